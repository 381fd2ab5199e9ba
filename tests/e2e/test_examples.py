"""The examples do what their READMEs say."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from tests.support import oracle
from tests.support.http import fetch
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, REPOSITORY, Host, Hosts, eventually

EXAMPLES = REPOSITORY / "examples"


@pytest.mark.parametrize("example", sorted(path.parent.name for path in EXAMPLES.glob("*/compose.yaml")))
def test_examples_are_plain_compose_files(example: str) -> None:
    """Docker Compose accepts them."""
    binary = oracle.find()
    assert binary is not None
    done = subprocess.run(
        [binary, "config", "--quiet"], cwd=EXAMPLES / example, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


@requires("host-python", "ip")
def test_hello(hosts: Hosts) -> None:
    """A page from three services, and a garden that outlives them."""
    host = hosts(neighbour=True)
    project = host.project(EXAMPLES / "hello", "hello")

    host.run("up", "-d", cwd=project).ok()

    states = {line["Service"]: (line["State"], line["Health"]) for line in services(host, project)}
    assert states == {"web": ("running", ""), "api": ("running", "healthy"), "worker": ("running", "")}
    assert eventually(lambda: visit(host)) == "Hello, visitor 1! 1 flower grows in the garden, 0 in bloom.\n"
    assert "<svg" in host.inside(lambda: fetch("http://127.0.0.1:8080/garden", accept="text/html"))
    assert "visitor 1" in host.outside(lambda: fetch(f"http://{HOST_ADDRESS}:8080/garden"))
    eventually(lambda: flower(host, project)["size"] > 1)  # the worker is at work
    assert "0 of 1 flowers" in eventually(lambda: host.run("logs", "worker", cwd=project).ok().stdout)
    assert memory_limit(host, project) == 64 * 1024 * 1024

    host.run("down", cwd=project).ok()
    with pytest.raises(OSError, match="refused"):
        visit(host)
    host.run("up", "-d", cwd=project).ok()
    assert eventually(lambda: visit(host)).startswith("Hello, visitor 2!")

    host.run("down", "-v", cwd=project).ok()
    host.run("up", "-d", cwd=project).ok()
    assert eventually(lambda: visit(host)).startswith("Hello, visitor 1!")
    host.run("down", "-v", cwd=project).ok()


@requires("host-python", "redis-server")
def test_todo(host: Host) -> None:
    """Entries go through Redis into a volume."""
    project = host.project(EXAMPLES / "todo", "todo")
    url = "http://127.0.0.1:8081"
    host.run("up", "-d", cwd=project).ok()

    title = urllib.parse.urlencode({"title": "water the garden"}).encode()
    entries = json.loads(eventually(lambda: host.inside(lambda: fetch(f"{url}/todos", data=title))))
    assert entries == [{"id": 1, "title": "water the garden", "done": False}]
    done = host.inside(lambda: fetch(f"{url}/todos/1/done", data=b""))
    assert json.loads(done) == [{"id": 1, "title": "water the garden", "done": True}]
    stored = host.run("exec", "-T", "redis", "redis-cli", "hgetall", "todos", cwd=project).ok()
    assert stored.stdout.splitlines() == ["1", '{"title": "water the garden", "done": true}']

    host.run("down", cwd=project).ok()
    host.run("up", "-d", cwd=project).ok()
    page = eventually(lambda: host.inside(lambda: fetch(url, accept="text/html")))
    assert "water the garden" in page
    host.run("down", "-v", cwd=project).ok()


def services(host: Host, project: Path) -> list[dict[str, str]]:
    """Return `ps --format json`, one object per container."""
    found = host.run("ps", "--format", "json", cwd=project).ok().json()
    return found if isinstance(found, list) else [found]


def visit(host: Host) -> str:
    """Ask for the page as curl would."""
    return host.inside(lambda: fetch("http://127.0.0.1:8080/"))


def flower(host: Host, project: Path) -> dict[str, int]:
    """Return the first flower, as it is in the volume."""
    text = host.run("exec", "-T", "api", "cat", "/data/garden.json", cwd=project).ok().stdout
    first: dict[str, int] = json.loads(text)[0]
    return first


def memory_limit(host: Host, project: Path) -> int:
    """Return the limit that the api container sees, in bytes, on cgroup v1 or v2."""
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    text = (
        host.run("exec", "-T", "api", "sh", "-c", f"cat {files} 2>/dev/null; true", cwd=project).ok().stdout
    )
    return int(text)
