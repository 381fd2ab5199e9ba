"""What no schema tells: objects that a cluster refuses or mixes up, and what of a container's life has to be kept."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.kube.containers import is_secret

from tests.unit.kube.conversion import convert_text, one, said

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.kube.convert import Conversion


def pod(conversion: Conversion, name: str = "") -> Any:
    """Return the pod's spec of a Deployment."""
    return one(conversion, "Deployment", name)["spec"]["template"]["spec"]


def ports(conversion: Conversion, name: str) -> list[int]:
    """Return the ports of a Service, [] where it has no address of its own and leads to all."""
    return [port["port"] for port in one(conversion, "Service", name)["spec"].get("ports", ())]


def test_a_service_has_the_ports_that_others_call_it_at(tmp_path: Path) -> None:
    """In Compose every port can be reached; a Service of the published ones only would cut brokers off."""
    text = """
services:
  kafka:
    image: x
    ports: [9092]
    environment: {LISTENERS: "CONTROLLER://:9093", VOTERS: "1@kafka:9093,2@kafka-2:9093"}
  kafka-2: {image: x}
  queue: {image: x, ports: [15672], networks: {default: {aliases: [mq]}}}
  db: {image: x, ports: [8080]}
  app:
    image: x
    environment: {URL: "amqp://u:p@mq/v", JDBC: "jdbc:postgresql://db/x", IMAGE: "queue.example.org:99", N: "db:70000"}
    command: [run, --kafka=kafka:9092, "http://kafka:29092/x"]
"""
    conversion = convert_text(text, tmp_path)
    assert ports(conversion, "kafka") == [9092, 9093, 29092]
    assert ports(conversion, "queue") == ports(conversion, "mq") == [15672, 5672]
    assert ports(conversion, "db") == [8080, 5432]
    assert one(conversion, "Service", "kafka-2")["spec"]["clusterIP"] == "None"
    assert said(conversion, "services.queue") == [
        "note: its Service has port 5672 as well, which app.environment.URL calls"
    ]


def test_files_of_settings_are_read_for_calls(tmp_path: Path) -> None:
    """A proxy has its upstreams in a file."""
    (tmp_path / "nginx.conf").write_text("upstream a { server app:3000; }", encoding="utf-8")
    (tmp_path / "routes").write_text("http://app:4000/x", encoding="utf-8")
    (tmp_path / "large").write_text("app:5000\n" * 10000, encoding="utf-8")
    text = """
services:
  app: {image: x, ports: [9100]}
  proxy: {image: x, volumes: ['./nginx.conf:/n', './large:/l', './missing:/m'], configs: [routes]}
configs: {routes: {file: ./routes}}
"""
    assert ports(convert_text(text, tmp_path), "app") == [9100, 3000, 4000]


def test_who_is_called_somewhere_can_be_waited_for(tmp_path: Path) -> None:
    """Also where the port is declared nowhere: the name leads to ready pods only."""
    text = """
services:
  api: {image: x, healthcheck: {test: [CMD, x]}}
  web:
    image: x
    environment: {API: "http://api:8000"}
    depends_on: {api: {condition: service_healthy}}
"""
    conversion = convert_text(text, tmp_path)
    (wait,) = pod(conversion, "web")["initContainers"]
    assert "nc -z -w 2 api 8000" in wait["command"][2]
    assert one(conversion, "Service", "api")["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize(
    ("text", "path"),
    (
        (
            "services: {a: {image: x, volumes: ['d_1:/a', 'd-1:/b']}}\nvolumes: {d_1: , d-1: }",
            "volumes.d-1",
        ),
        (
            "services: {a: {image: x, configs: [c_1, c-1]}}\nconfigs: {c_1: {content: a}, c-1: {content: b}}",
            "configs.c-1",
        ),
        (
            "services: {a: {image: x, secrets: [s_1, S-1]}}\nsecrets: {s_1: {file: f}, S-1: {file: f}}",
            "secrets.S-1",
        ),
    ),
)
def test_two_things_never_become_one(tmp_path: Path, text: str, path: str) -> None:
    """Data of one volume would be in the other, and the second secret in place of the first."""
    (tmp_path / "f").write_text("x", encoding="utf-8")
    (line,) = said(convert_text(text, tmp_path), path)
    assert line.startswith("error: its name in a cluster would be")


def test_what_is_made_for_one_service_never_replaces_anothers(tmp_path: Path) -> None:
    """`web-published` is a service here, and what makes `web` reachable; `web-env` a secret, and web's variables."""
    text = """
services:
  web: {image: x, ports: [80], environment: {TOKEN: t}, secrets: [web-env], x-kube: {expose: NodePort}}
  web-published: {image: x, expose: [80]}
secrets: {web-env: {file: f}}
"""
    (tmp_path / "f").write_text("x", encoding="utf-8")
    conversion = convert_text(text, tmp_path)
    assert said(conversion, "services.web-published") == [
        "error: its Service web-published would be that of services.web too: rename one of them"
    ]
    assert [line for line in said(conversion, "services.web") if "Secret web-env" in line] == [
        "error: its Secret web-env would be that of secrets too: rename one of them"
    ]


def test_a_name_that_is_another_services_is_not_dropped_in_silence(tmp_path: Path) -> None:
    """An alias, in Docker, makes two answer."""
    text = "services: {web: {image: x}, db: {image: x, networks: {default: {aliases: [web, db]}}}}"
    assert said(convert_text(text, tmp_path), "services.db.networks.default") == [
        "warning: web: a cluster has one web only, which is another service"
    ]


def test_networks_are_of_a_project(tmp_path: Path) -> None:
    """Another project of the namespace may have a network of that name."""
    services = "{a: {image: x, networks: [one]}, b: {image: x, networks: [two]}}"
    text = f"name: shop\nservices: {services}\nnetworks: {{one: , two: }}"
    spec = one(convert_text(text, tmp_path), "NetworkPolicy", "net-one")["spec"]
    members = {"app.kubernetes.io/part-of": "shop", "network.pycompose/one": "true"}
    assert spec["podSelector"] == {"matchLabels": members}
    assert spec["ingress"] == [{"from": [{"podSelector": {"matchLabels": members}}]}]


@pytest.mark.parametrize(("mode", "kept"), ((0o755, 0o755), (0o644, None), (0o664, 0o664)))
def test_a_bound_file_keeps_its_mode(tmp_path: Path, mode: int, kept: int | None) -> None:
    """A script that can't be executed is no entry point."""
    (tmp_path / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "run.sh").chmod(mode)
    conversion = convert_text("services: {a: {image: x, volumes: ['./run.sh:/run.sh']}}", tmp_path)
    (volume,) = pod(conversion)["volumes"]
    assert volume["configMap"].get("defaultMode") == kept


def test_a_private_file_stays_private_and_readable_for_its_user(tmp_path: Path) -> None:
    """Servers refuse keys that others may read; the pod's group lets a user who isn't root read it."""
    (tmp_path / "key").write_text("k", encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    conversion = convert_text("services: {a: {image: x, user: '7:8', volumes: ['./key:/key']}}", tmp_path)
    assert pod(conversion)["volumes"][0]["secret"]["defaultMode"] == 0o600
    assert pod(conversion)["securityContext"] == {"fsGroup": 8}


def test_a_config_can_be_executed_where_its_file_can(tmp_path: Path) -> None:
    """Unless a mode is said."""
    (tmp_path / "run.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "run.sh").chmod(0o755)
    text = (
        "services: {a: {image: x, configs: [c, {source: d, mode: 0400}]}}\n"
        "configs: {c: {file: run.sh}, d: {file: run.sh}}"
    )
    modes = [volume["configMap"]["defaultMode"] for volume in pod(convert_text(text, tmp_path))["volumes"]]
    assert modes == [0o555, 0o400]


def test_secrets_are_written_as_server_side_apply_wants_them(tmp_path: Path) -> None:
    """`stringData` loses what is removed from it, and `kubectl diff` shows it."""
    conversion = convert_text("services: {a: {image: x, environment: {TOKEN: 'ü$$'}}}", tmp_path)
    assert one(conversion, "Secret")["data"] == {"TOKEN": base64.b64encode("ü$".encode()).decode()}


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("PGPASSWORD", "x"),
        ("MYSQL_PWD", "x"),
        ("ConnectionStrings:DbPassword", "x"),
        ("Smtp__ApiKey", "x"),
        ("MY PASSWORD", "x"),
        ("ConnectionStrings__Default", "Server=db;User Id=sa;Password=Your_password123"),
        ("URL", "jdbc:postgresql://db/x?user=a&password=b"),
        ("SETTINGS", '{"user": "a", "password": "b"}'),
        ("CERT", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
    ),
)
def test_secrets_as_people_write_them(name: str, value: str) -> None:
    """They are never in the clear."""
    assert is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("PWD", "/x"),
        ("OLDPWD", "/x"),
        ("COMPASS", "x"),
        ("KEYBOARD", "us"),
        ("MONKEY", "x"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("DB_PASSWORD_FILE", "/run/secrets/x"),
        ("SecretsPath", "/x"),
        ("URL", "http://api:8000/password"),
    ),
)
def test_what_is_no_secret_can_be_read(name: str, value: str) -> None:
    """Everybody may see how it is set."""
    assert not is_secret(name, value)


def test_secrets_of_hooks_are_secrets(tmp_path: Path) -> None:
    """A hook's own value doesn't take the place of the service's."""
    hook = "{command: [a], environment: {TOKEN: hook, PLAIN: x}}"
    text = f"services: {{a: {{image: x, environment: {{TOKEN: main}}, pre_start: [{hook}]}}}}"
    conversion = convert_text(text, tmp_path)
    (first,) = pod(conversion)["initContainers"]
    keys = [item["valueFrom"]["secretKeyRef"]["key"] for item in first["env"] if item["name"] == "TOKEN"]
    assert keys == ["pre-start-0.TOKEN"]
    values = {key: base64.b64decode(value) for key, value in one(conversion, "Secret")["data"].items()}
    assert values == {"TOKEN": b"main", "pre-start-0.TOKEN": b"hook"}


def test_names_that_no_variable_can_have(tmp_path: Path) -> None:
    """They are left out; those that new clusters take are told."""
    text = "services: {a: {image: x, environment: {'Ü': a, 'A B': b, 'A.b-C': c}}}"
    conversion = convert_text(text, tmp_path)
    assert [item["name"] for item in pod(conversion)["containers"][0]["env"]] == ["A B", "A.b-C"]
    assert said(conversion, "services.a.environment.Ü") == [
        "warning: is no name for a variable there: left out"
    ]
    assert said(conversion, "services.a.environment.A B") == [
        "note: clusters take such names from Kubernetes 1.32 on"
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    (
        ("mem_limit: 64m, mem_reservation: 128m", "services.a.mem_reservation"),
        (
            "cpus: 0.5, deploy: {resources: {reservations: {cpus: '1'}}}",
            "services.a.deploy.resources.reservations.cpus",
        ),
    ),
)
def test_nothing_asks_for_more_than_it_may_have(tmp_path: Path, text: str, path: str) -> None:
    """An API server refuses requests above limits."""
    (line,) = said(convert_text(f"services: {{a: {{image: x, {text}}}}}", tmp_path), path)
    assert line.startswith("error: more ")


def test_a_privileged_container_may_gain_privileges(tmp_path: Path) -> None:
    """An API server refuses both at once."""
    text = "services: {a: {image: x, privileged: true, security_opt: ['no-new-privileges:true']}}"
    conversion = convert_text(text, tmp_path)
    assert pod(conversion)["containers"][0]["securityContext"] == {"privileged": True}
    (line,) = said(conversion, "services.a.security_opt[0]")
    assert line.startswith("warning: no-new-privileges")


@pytest.mark.parametrize(
    ("key", "value"),
    (
        ("size", "banana"),
        ("size", "10GB"),
        ("size", "-1Gi"),
        ("storageClass", "Fast SSD"),
    ),
)
def test_what_is_no_size_is_refused(tmp_path: Path, key: str, value: str) -> None:
    """Here, not by the cluster."""
    text = f"services: {{a: {{image: x, volumes: ['vol:/v']}}}}\nvolumes: {{vol: {{x-kube: {{{key}: {value}}}}}}}"
    (line,) = said(convert_text(text, tmp_path), f"volumes.vol.x-kube.{key}")
    assert line.startswith("error: must be a ")


@pytest.mark.parametrize("size", ("20Gi", "500M", "1.5Ti", "1000000"))
def test_sizes(tmp_path: Path, size: str) -> None:
    """As Kubernetes writes quantities."""
    text = f"services: {{a: {{image: x, volumes: ['vol:/v']}}}}\nvolumes: {{vol: {{x-kube: {{size: '{size}'}}}}}}"
    claim = one(convert_text(text, tmp_path), "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == size


@pytest.mark.parametrize(
    ("value", "severity"),
    (
        ("ingress a.example.org", ""),
        ("ingress *.example.org/api/v1", ""),
        ("ingress A.example.org", "error"),
        ("ingress a.example.org:80", "error"),
        ("ingress a b", "error"),
        ("nodeport", "error"),
    ),
)
def test_hosts_of_an_ingress(tmp_path: Path, value: str, severity: str) -> None:
    """As the API server has them: no port, lower case."""
    text = f"services: {{a: {{image: x, ports: [80], x-kube: {{expose: '{value}'}}}}}}"
    lines = said(convert_text(text, tmp_path), "services.a.x-kube.expose")
    assert [line.partition(":")[0] for line in lines] == ([severity] if severity else [])


def test_two_at_one_address_are_found(tmp_path: Path) -> None:
    """Which of them answers is chance."""
    service = "{image: x, ports: [80], x-kube: {expose: ingress h.example}}"
    conversion = convert_text(f"services: {{a: {service}, b: {service}}}", tmp_path)
    assert said(conversion, "services.b.x-kube.expose") == ["warning: h.example is what a answers at, too"]


def test_an_external_name_that_no_object_can_have_is_said(tmp_path: Path) -> None:
    """Docker's volumes have names that a cluster's claims can't have."""
    text = "services: {a: {image: x, volumes: ['vol:/v']}}\nvolumes: {vol: {external: true, name: My_Vol}}"
    conversion = convert_text(text, tmp_path)
    assert pod(conversion)["volumes"][0]["persistentVolumeClaim"]["claimName"] == "my-vol"
    assert said(conversion, "volumes.vol") == [
        "warning: My_Vol becomes my-vol: no object of a cluster can be called so"
    ]


def test_the_clusters_own_api_is_not_taken_by_chance(tmp_path: Path) -> None:
    """`kubernetes` is its Service in the namespace default."""
    (line,) = said(convert_text("services: {kubernetes: {image: x}}", tmp_path), "services.kubernetes")
    assert line.startswith("warning: ")


@pytest.mark.parametrize(
    ("source", "words"),
    (("nowhere", "isn't on this machine"), ("folder", "is a directory of"), ("/dev/null", "is no file, but")),
)
def test_it_says_what_a_bind_mount_is(tmp_path: Path, source: str, words: str) -> None:
    """A directory, a device, nothing."""
    (tmp_path / "folder").mkdir()
    path = source if source.startswith("/") else f"./{source}"
    (line,) = said(
        convert_text(f"services: {{a: {{image: x, volumes: ['{path}:/x']}}}}", tmp_path),
        "services.a.volumes[0]",
    )
    assert words in line


def test_ports_of_the_nodes_network_are_not_said_to_stay_inside(tmp_path: Path) -> None:
    """The container listens on the node."""
    text = "services: {a: {image: x, network_mode: host, ports: [80]}}"
    assert said(convert_text(text, tmp_path), "services.a.ports") == []


@pytest.mark.parametrize("kind", ("StatefulSet", "DaemonSet"))
def test_how_others_than_deployments_are_replaced_is_said(tmp_path: Path, kind: str) -> None:
    """`order` has no field there."""
    text = f"services: {{a: {{image: x, deploy: {{update_config: {{order: start-first}}}}, x-kube: {{kind: {kind}}}}}}}"
    (line,) = said(convert_text(text, tmp_path), "services.a.deploy.update_config")
    assert line.startswith(f"note: a {kind} replaces")
