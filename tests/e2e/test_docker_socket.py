"""Services that mount Docker's socket have our Engine API there: on demand, read-only if they say so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.requires import requires
from tests.support.scenario import Result, eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

pytestmark = requires("host-python")

SOCKET = "/var/run/docker.sock"
COMPOSE = f"""
services:
  watcher: {{image: host, command: sleep 1000, stop_signal: SIGKILL, volumes: ["{SOCKET}:{SOCKET}"]}}
  reader: {{image: host, command: sleep 1000, stop_signal: SIGKILL, volumes: ["{SOCKET}:/run/docker.sock:ro"]}}
"""


@pytest.fixture
def folder(busy: Host) -> Path:
    """Make the project."""
    return busy.project({"compose.yaml": COMPOSE})


ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b" HTTP/1.1\\r\\nHost: d\\r\\nConnection: close\\r\\n\\r\\n")
while part := s.recv(65536):
    sys.stdout.write(part.decode())
"""


def asked(host: Host, folder: Path, service: str, request: str) -> Result:
    """Ask the API inside a container."""
    where = "/run/docker.sock" if service == "reader" else SOCKET
    return host.run("exec", "-T", service, "/usr/bin/python3", "-c", ASK, where, request, cwd=folder)


def servers(host: Host) -> list[int]:
    """Return the processes that serve such sockets."""
    return host.processes("-m pycompose.api")


@pytest.mark.timeout(150)
def test_the_socket_is_ours(busy: Host, folder: Path) -> None:
    """Nothing runs for it until somebody asks, nothing is made on the machine, and it goes with the container."""
    up = busy.run("up", "-d", cwd=folder).ok()
    assert "docker.sock" not in up.stderr
    assert not busy.inside(lambda: Path(SOCKET).exists())
    assert servers(busy) == []
    answer = asked(busy, folder, "watcher", "GET /containers/json").ok().stdout
    assert answer.startswith("HTTP/1.1 200 OK")
    assert '"/demo-watcher-1"' in answer
    assert '"/demo-reader-1"' in answer
    assert len(servers(busy)) == 1
    (found,) = busy.run("inspect", "demo-watcher-1").ok().json()
    assert found["HostConfig"]["Binds"] == [f"{SOCKET}:{SOCKET}:rw"]
    stopped = asked(busy, folder, "watcher", "POST /containers/demo-reader-1/kill").ok().stdout
    assert stopped.startswith("HTTP/1.1 204")
    busy.run("down", cwd=folder).ok()
    eventually(lambda: servers(busy) == [])


@pytest.mark.timeout(150)
def test_read_only_means_looking_only(busy: Host, folder: Path) -> None:
    busy.run("up", "-d", cwd=folder).ok()
    assert asked(busy, folder, "reader", "GET /version").ok().stdout.startswith("HTTP/1.1 200")
    refused = asked(busy, folder, "reader", "POST /containers/demo-watcher-1/kill").ok().stdout
    assert refused.startswith("HTTP/1.1 403")
    assert "this socket is mounted read-only" in refused
    busy.run("down", cwd=folder).ok()


@pytest.mark.timeout(150)
def test_it_outlives_our_processes(busy: Host, folder: Path) -> None:
    """The server, the supervisor and the keeper are killed, one after the other."""
    busy.run("up", "-d", cwd=folder).ok()
    for text in ("-m pycompose.api", "pycompose.supervisor", "pycompose.engine.keeper"):
        assert asked(busy, folder, "watcher", "GET /_ping").ok().stdout.endswith("OK")
        busy.kill(text)
        eventually(lambda: asked(busy, folder, "watcher", "GET /_ping").stdout.endswith("OK"))
    busy.run("restart", "-t", "0", cwd=folder).ok()
    assert asked(busy, folder, "watcher", "GET /_ping").ok().stdout.endswith("OK")
    busy.run("down", cwd=folder).ok()


OWN = f"""
services:
  limited:
    image: host
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ["{SOCKET}:{SOCKET}", "data:/data"]
    x-socket: {{allow: [containers, events, networks, volumes, exec], projects: own}}
  neighbour: {{image: host, command: sleep 1000, stop_signal: SIGKILL}}
volumes: {{data: {{}}}}
"""
OTHER = (
    "services: {stranger: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, volumes: ['data:/data']}}\n"
    "volumes: {data: {}}\n"
)


@pytest.mark.timeout(150)
def test_a_service_is_kept_to_what_its_file_says(busy: Host) -> None:
    """Its own project's containers, networks and volumes are all that there is, and no way leads out."""
    folder = busy.project({"compose.yaml": OWN})
    other = busy.project({"compose.yaml": OTHER}, "other")
    busy.run("up", "-d", cwd=other).ok()
    busy.run("up", "-d", cwd=folder).ok()

    def ask(request: str, status: int) -> str:
        answer = asked(busy, folder, "limited", request).ok().stdout
        assert answer.startswith(f"HTTP/1.1 {status}"), answer
        return answer

    listed = ask("GET /containers/json", 200)
    assert "/demo-neighbour-1" in listed
    assert "stranger" not in listed
    past = ask(f"GET /events?since=1&until={time.time():.9f}", 200)
    assert "neighbour" in past
    assert "stranger" not in past
    assert "other_default" not in ask("GET /networks", 200)
    assert "other_data" not in ask("GET /volumes", 200)
    assert "demo_data" in ask("GET /volumes", 200)
    ask("GET /version", 200)
    for path in ("containers/other-stranger-1/json", "networks/other_default", "volumes/other_data"):
        ask(f"GET /{path}", 404)
    for request in ("POST /containers/other-stranger-1/kill", "DELETE /volumes/other_data?force=1",
                    "POST /containers/other-stranger-1/exec"):  # fmt: skip
        ask(request, 404)
    assert "doesn't allow images" in ask("GET /images/json", 403)
    assert "projects: own" in ask("POST /containers/create", 403)
    ask("POST /networks/demo_default/connect", 403)
    ask("POST /containers/prune", 403)
    ask("POST /build", 403)
    ask("GET /info", 403)
    ask("POST /containers/demo-neighbour-1/kill", 204)
    for project in (folder, other):
        busy.run("down", "-v", cwd=project).ok()
