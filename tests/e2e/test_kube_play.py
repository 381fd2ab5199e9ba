"""What `kube generate` makes of the examples runs: Podman, among the peers, is the cluster (`--against docker`).

Podman plays one object after the other and keeps no traffic from pods that aren't ready; Jobs are waited for here as
`kube apply` waits for them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import machine_image
from tests.support.engines import SHARED, peers_pid
from tests.support.requires import requires
from tests.support.scenario import REPOSITORY, Host, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [requires("root", "postgres", "redis-server", "static-busybox"), pytest.mark.timeout(400)]
NETWORK = "podman-default-kube-network"
FETCH = """
import json, sys, urllib.request
method, url = sys.argv[1:]
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5)
    print(json.dumps([answer.status, answer.read().decode()]))
except OSError as exc:
    print(json.dumps([getattr(exc, "code", 0), str(exc)]))
"""


class Podman:
    """The peers' Podman, which has `image`; `folder` is the same on both sides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = f"localhost/{folder.name}:1"

    def __call__(self, *words: str, timeout_s: float = 100) -> str:
        """Run `podman`, which has to succeed; return what it prints on standard output."""
        enter = ("nsenter", "-t", peers_pid(), "-m", "-n", "-p", "-u", "-i", "--")
        done = subprocess.run(
            [*enter, "podman", *words], capture_output=True, text=True, check=False, timeout=timeout_s
        )
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def fetch(self, url: str, method: str = "GET") -> tuple[int, str]:
        """Return status and text of an answer, asked for by the name of a service from a container of its own."""
        said = self(
            "run", "--rm", "--network", NETWORK, self.image, "python3", "-c", FETCH, method, url, timeout_s=40
        )
        status, text = json.loads(said)
        return status, text

    @contextmanager
    def playing(self, objects: list[dict[str, Any]]) -> Iterator[None]:
        """Play objects in their order, each Job to its end; take all away afterwards."""
        played: list[str] = []
        batch: list[dict[str, Any]] = []
        try:
            for item in [*objects, None]:
                if item is not None:
                    batch.append(item)
                if item is not None and item["kind"] != "Job":
                    continue
                path = self.folder / f"{len(played)}.yaml"
                path.write_text(yaml.safe_dump_all(batch), encoding="utf-8")
                batch = [one for one in objects if one["kind"] == "ConfigMap"]  # Podman keeps none
                played.append(str(path))
                self("kube", "play", str(path))
                if item is not None:
                    name = item["spec"]["template"]["spec"]["containers"][0]["name"]
                    container = f"{item['metadata']['name']}-pod-{name}"
                    assert self("wait", container).strip() == "0", self("logs", container)
            yield
        finally:
            for one in reversed(played):
                self("kube", "down", "--force", one)


@pytest.fixture(scope="module")
def podman(request: pytest.FixtureRequest) -> Iterator[Podman]:
    """Give Podman an image of this machine's programs, and remove it in the end."""
    if request.config.getoption("--against") not in ("docker", "both"):
        pytest.skip("needs --against docker: real peers in their namespaces")
    if not peers_pid():
        pytest.skip("needs the peers (/run/peers.pid or PYCOMPOSE_PEERS_PID)")
    folder = Path(tempfile.mkdtemp(prefix="kube-play-", dir=SHARED))
    try:
        machine_image.write(folder / "machine.tar")
        podman = Podman(folder)
        podman("import", "--quiet", str(folder / "machine.tar"), podman.image)
        yield podman
        podman("image", "rm", "--force", podman.image)
    finally:
        shutil.rmtree(folder)


def generated(
    host: Host, podman: Podman, folder: Path, services: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what `kube generate` makes of a project whose services have the image, and what `services` adds."""
    more = {name: {"image": podman.image, **keys} for name, keys in services.items()}
    override = {"x-kube": {"waitImage": podman.image}, "services": more}
    (folder / "cluster.yaml").write_text(json.dumps(override), encoding="utf-8")
    words = ("kube", "generate", "--quiet", "--binds", "hostpath", "--show-secrets", "--format", "json")
    done = host.run("-f", "compose.yaml", "-f", "cluster.yaml", *words, cwd=folder).ok()
    objects: list[dict[str, Any]] = json.loads(done.stdout)
    return objects


def example(podman: Podman, name: str) -> Path:
    """Return a copy of an example where Podman finds its files, too."""
    return Path(shutil.copytree(REPOSITORY / "examples" / name, podman.folder / name))


def test_hello(host: Host, podman: Podman) -> None:
    """Page and worker wait for the API, at the port that their variables name; the garden is a volume."""
    objects = generated(
        host, podman, example(podman, "hello"), {name: {} for name in ("web", "api", "worker")}
    )
    waits = [
        item["spec"]["template"]["spec"]["initContainers"][0]["name"]
        for item in objects
        if item["kind"] == "Deployment" and "initContainers" in item["spec"]["template"]["spec"]
    ]
    assert waits == ["wait-api", "wait-api"]
    with podman.playing(objects):
        page = eventually(lambda: answer(podman, "http://web:8080/"), 40)
        assert page.startswith("Hello, visitor 1! 1 flower grows in the garden")
    with podman.playing(objects):
        assert eventually(lambda: answer(podman, "http://web:8080/"), 40).startswith("Hello, visitor 1!")


def test_todo(host: Host, podman: Podman) -> None:
    """The list is in Redis."""
    services: dict[str, dict[str, Any]] = {"web": {}, "redis": {"expose": [6379]}}
    with podman.playing(generated(host, podman, example(podman, "todo"), services)):
        assert eventually(lambda: answer(podman, "http://web:8081/todos"), 40) == "[]\n"


def test_database_then_api(host: Host, podman: Podman) -> None:
    """A task, a database that waits for it, an API that waits for both databases: `examples/testing`."""
    host.run("image", "import", podman.folder / "machine.tar", podman.image).ok()
    services: dict[str, dict[str, Any]] = {
        "data": {}, "db": {"expose": [5432]}, "cache": {"expose": [6379]}, "api": {},
    }  # fmt: skip
    objects = generated(host, podman, example(podman, "testing"), services)
    (db,) = (item for item in objects if item["kind"] == "Deployment" and item["metadata"]["name"] == "db")
    assert db["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] > 0
    with podman.playing(objects):
        eventually(lambda: answer(podman, "http://api:8000/visits") == "0", 60)
        assert podman.fetch("http://api:8000/visits/anna", "POST") == (201, "anna")
        assert podman.fetch("http://api:8000/visits") == (200, "1")


def test_quotes(host: Host, podman: Podman) -> None:
    """What pycompose has built, in three stages and from a cache mount, is an image for others."""
    folder = example(podman, "quotes")
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text("utf-8").replace("FROM host", "FROM machine"), "utf-8")
    image, archive = f"localhost/{podman.folder.name}/quotes:1", podman.folder / "quotes.tar"
    host.run("image", "import", podman.folder / "machine.tar", "machine").ok()
    objects = generated(host, podman, folder, {"web": {"image": image}})
    host.run("-f", "compose.yaml", "-f", "cluster.yaml", "build", cwd=folder, timeout_s=100).ok()
    host.run("image", "save", image, "-o", archive).ok()
    podman("load", "--quiet", "--input", str(archive))
    try:
        with podman.playing(objects):
            assert "Good day" in eventually(lambda: answer(podman, "http://web:8082/"), 40)
    finally:
        podman("image", "rm", "--force", image)


SHOP = """
name: shop
services:
  db:
    command: [sh, -c, 'exec redis-server --save "" --requirepass "$$PASSWORD"']
    environment: &env {PASSWORD: "$${HOME}$$(id)", WHO: world}
    expose: [6379]
    healthcheck: {test: [CMD, "true"], interval: 1s}
  migrate:
    # Podman may have the file open for writing when the container starts: "text file busy".
    command: [sh, -c, "for i in 1 2 3 4 5 6 7 8 9; do /migrate.sh && exit; sleep 1; done; exit 1"]
    environment: *env
    volumes: ["./migrate.sh:/migrate.sh:ro"]
    depends_on: {db: {condition: service_healthy}}
  api:
    command: [python3, /api.py, "$$(PASSWORD)"]
    environment: *env
    configs: [{source: code, target: /api.py}]
    secrets: [token]
    depends_on: {migrate: {condition: service_completed_successfully}}
    ports: ["8000:80"]
configs:
  code:
    content: |
      import http.server, os, subprocess, sys
      class Page(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              argv = ["redis-cli", "-h", "db", "-a", os.environ["PASSWORD"], "--no-auth-warning", "get", "greeting"]
              said = subprocess.run(argv, capture_output=True, text=True).stdout
              self.send_response(200)
              self.end_headers()
              self.wfile.write((said + sys.argv[1] + open("/run/secrets/token").read()).encode())
      http.server.HTTPServer(("", 80), Page).serve_forever()
secrets:
  token: {file: ./token}
"""
MIGRATE = """#!/bin/sh
exec redis-cli -h db -a "$PASSWORD" --no-auth-warning set greeting "hello $WHO"
"""


def test_database_migration_api(host: Host, podman: Podman) -> None:
    """The walk of docs/kubernetes.md with secrets, a config, a script, and dollars that nobody expands."""
    folder = podman.folder / "shop"
    folder.mkdir()
    for name, text, mode in (
        ("compose.yaml", SHOP, 0o644), ("migrate.sh", MIGRATE, 0o755), ("token", "t0k€n", 0o600),
    ):  # fmt: skip
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(mode)
    more = {"waitImage": podman.image}
    images = {name: {"image": podman.image} for name in ("db", "migrate", "api")}
    (folder / "cluster.yaml").write_text(json.dumps({"x-kube": more, "services": images}), encoding="utf-8")
    words = ("kube", "generate", "--quiet", "--show-secrets", "--format", "json")
    done = host.run("-f", "compose.yaml", "-f", "cluster.yaml", *words, cwd=folder).ok()
    with podman.playing(json.loads(done.stdout)):
        page = eventually(lambda: answer(podman, "http://api/"), 40)
    assert page == "hello world\n$(PASSWORD)t0k€n"


def answer(podman: Podman, url: str) -> str:
    """Return a page; one that isn't there yet fails."""
    status, text = podman.fetch(url)
    assert status == 200, text
    return text
