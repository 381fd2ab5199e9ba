"""Rows of the mapping, each a compose file in golden/ with what becomes of it (regenerate.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pycompose.engine.images.spec import Healthcheck, ImageConfig
from pycompose.kube.scope import ImageFacts, Options

from tests.unit.kube.conversion import convert_text, invalid, one, said
from tests.unit.kube.regenerate import GOLDEN, NAMES, result

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", NAMES)
def test_a_row(name: str, tmp_path: Path) -> None:
    """What is said, and the objects, byte for byte; a cluster would take them, and reads what was meant."""
    text = result(name, tmp_path)
    assert text == (GOLDEN / f"{name}.out").read_text(encoding="utf-8")
    conversion = convert_text(
        (GOLDEN / f"{name}.yaml").read_text("utf-8"), tmp_path, environment={"WORD": "secret"}
    )
    assert list(yaml.safe_load_all(text.replace("FOLDER", str(tmp_path)))) == conversion.objects
    assert [problem for item in conversion.objects if (problem := invalid(item))] == []


def test_the_check_sees_what_a_cluster_would_refuse() -> None:
    """A field that isn't there, a value of another type."""
    pod = {"template": {"spec": {"containers": [{"name": "a", "readinessProb": {}}]}}, "selector": {}}
    item = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": pod}
    assert "readinessProb" in invalid(item)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": "80"}}
    assert "'80'" in invalid(service)


def facts(**config: Any) -> ImageFacts:
    """Return what is known of an image in which `app` is 7:8."""
    return ImageFacts(
        config=ImageConfig(**config), ids=lambda spec: (7, 8) if spec.startswith("app") else None
    )


def test_what_an_image_says_counts(tmp_path: Path) -> None:
    """Its ports, its health check, and its users by name."""
    text = (
        "services: {a: {image: x, user: app, volumes: ['data:/d']}, "
        "b: {image: y, depends_on: {a: {condition: service_healthy}}}}\nvolumes: {data: }\n"
    )
    images = {
        "a": facts(
            exposed_ports=("6379/tcp", "53/udp"),
            healthcheck=Healthcheck(test=("CMD-SHELL", "ping"), interval_s=7, retries=2),
        )
    }
    conversion = convert_text(text, tmp_path, images)
    pod = one(conversion, "Deployment", "a")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {"runAsUser": 7, "runAsGroup": 8}
    assert pod["securityContext"] == {"fsGroup": 8}
    assert container["readinessProbe"] == {
        "exec": {"command": ["/bin/sh", "-c", "ping"]},
        "timeoutSeconds": 30,
        "periodSeconds": 7,
        "failureThreshold": 2,
    }
    assert [port["port"] for port in one(conversion, "Service", "a")["spec"]["ports"]] == [6379, 53]
    (wait,) = one(conversion, "Deployment", "b")["spec"]["template"]["spec"]["initContainers"]
    assert "nc -z -w 2 a 6379" in wait["command"][2]


def test_the_services_own_health_check_counts_more(tmp_path: Path) -> None:
    """Its test, with the image's numbers where it has none of its own; `disable` is the end of both."""
    images = {name: facts(healthcheck=Healthcheck(test=("CMD", "ping"), interval_s=7)) for name in ("a", "b")}
    text = "services: {a: {image: x, healthcheck: {test: [CMD, own]}}, b: {image: x, healthcheck: {disable: true}}}\n"
    conversion = convert_text(text, tmp_path, images)
    (container,) = one(conversion, "Deployment", "a")["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["exec"] == {"command": ["own"]}
    assert container["readinessProbe"]["periodSeconds"] == 7
    (container,) = one(conversion, "Deployment", "b")["spec"]["template"]["spec"]["containers"]
    assert "readinessProbe" not in container


def test_a_private_file_is_a_secret(tmp_path: Path) -> None:
    """What others may not read here isn't in a ConfigMap there."""
    (tmp_path / "key").write_bytes(b"\xff\x00")
    (tmp_path / "key").chmod(0o600)
    conversion = convert_text("services: {a: {image: x, volumes: ['./key:/key:ro']}}\n", tmp_path)
    secret = one(conversion, "Secret")
    assert secret["data"] == {"content": "/wA="}
    volumes = one(conversion, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert volumes == [
        {"name": "v0", "secret": {"secretName": secret["metadata"]["name"], "defaultMode": 0o600}}
    ]
    assert said(conversion, "services.a.volumes[0]") == [
        f"note: {tmp_path}/key is a Secret there: as it is now, and read-only"
    ]


def test_more_than_a_cluster_keeps_is_refused(tmp_path: Path) -> None:
    """Files, configs and secrets above 1 MiB; just below they go."""
    (tmp_path / "big").write_bytes(b"x" * ((1 << 20) + 1))
    (tmp_path / "fits").write_bytes(b"x" * (1 << 20))
    text = (
        "services: {a: {image: x, volumes: ['./big:/b', './fits:/f'], configs: [c], secrets: [s]}}\n"
        "configs: {c: {file: ./big}}\nsecrets: {s: {file: ./big}}\n"
    )
    conversion = convert_text(text, tmp_path)
    for path in ("services.a.volumes[0]", "configs.c", "secrets.s"):
        (line,) = said(conversion, path)
        assert line.startswith("error: ")
        assert "1 MiB" in line
    assert len([item for item in conversion.objects if item["kind"] == "ConfigMap"]) == 1


def test_other_content_makes_other_pods(tmp_path: Path) -> None:
    """Nothing in a pod notices a changed file or variable: the template has to change; and only then."""

    def template(word: str, content: str) -> object:
        text = (
            f"services: {{a: {{image: x, environment: {{MY_TOKEN: {word}}}, configs: [c]}}}}\n"
            f"configs: {{c: {{content: {content}}}}}\n"
        )
        return one(convert_text(text, tmp_path), "Deployment")["spec"]["template"]

    assert template("one", "two") == template("one", "two")
    assert template("one", "two") != template("other", "two")
    assert template("one", "two") != template("one", "other")


def test_a_changed_job_has_another_name(tmp_path: Path) -> None:
    """A Job's template can't be changed."""

    def name(command: str) -> object:
        text = f"services: {{a: {{image: x, command: {command}, deploy: {{mode: replicated-job}}}}}}\n"
        return one(convert_text(text, tmp_path), "Job")["metadata"]["name"]

    assert name("[a]") == name("[a]")
    assert name("[a]") != name("[b]")


def test_what_the_command_line_says(tmp_path: Path) -> None:
    """Namespace, keys of x-kube, images and host paths."""
    (tmp_path / "dir").mkdir()
    options = Options(
        namespace="blue",
        overrides={("a", "expose"): "LoadBalancer"},
        images={"a": "r/x@sha256:0"},
        host_binds=True,
    )
    text = "services: {a: {build: ., ports: [80], volumes: ['./dir:/d']}}\n"
    conversion = convert_text(text, tmp_path, options=options)
    assert {item["metadata"]["namespace"] for item in conversion.objects} == {"blue"}
    assert one(conversion, "Service", "a-published")["spec"]["type"] == "LoadBalancer"
    pod = one(conversion, "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "r/x@sha256:0"
    assert pod["volumes"][0]["hostPath"] == {"path": f"{tmp_path}/dir", "type": "DirectoryOrCreate"}


def test_long_and_empty_names_stay_apart(tmp_path: Path) -> None:
    """Names that are too long for a label end in what tells them apart."""
    long = "a" * 60
    conversion = convert_text(f"services: {{{long}b: {{image: x}}, {long}c: {{image: x}}}}\n", tmp_path)
    names = [item["metadata"]["name"] for item in conversion.objects if item["kind"] == "Deployment"]
    assert len(set(names)) == 2
    assert all(len(name) <= 52 for name in names)


def test_the_same_input_gives_the_same_output(tmp_path: Path) -> None:
    """And services come behind what they need, whatever the order of the file."""
    text = "services: {a: {image: x, depends_on: [z]}, z: {image: x, depends_on: [m]}, m: {image: x}}\n"
    conversion = convert_text(text, tmp_path)
    assert [part.service for part in conversion.parts] == ["m", "z", "a"]
    assert convert_text(text, tmp_path) == conversion
