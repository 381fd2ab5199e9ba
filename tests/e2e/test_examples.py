"""The examples do what their READMEs say."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
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

    host.run("up", "-d", "--wait", cwd=project).ok()

    states = {line["Service"]: (line["State"], line["Health"]) for line in services(host, project)}
    assert states == {"web": ("running", "healthy"), "api": ("running", "healthy"), "worker": ("running", "")}
    assert visit(host) == "Hello, visitor 1! 1 flower grows in the garden, 0 in bloom.\n"
    assert "<svg" in host.inside(lambda: fetch("http://127.0.0.1:8080/garden", accept="text/html"))
    assert "visitor 1" in host.outside(lambda: fetch(f"http://{HOST_ADDRESS}:8080/garden"))
    eventually(lambda: flower(host, project)["size"] > 1)  # the worker is at work
    assert "0 of 1 flowers" in eventually(lambda: host.run("logs", "worker", cwd=project).ok().stdout)
    assert memory_limit(host, project) == 64 * 1024 * 1024

    host.run("down", cwd=project).ok()
    with pytest.raises(OSError, match="refused"):
        visit(host)
    host.run("up", "-d", "--wait", cwd=project).ok()
    assert visit(host).startswith("Hello, visitor 2!")

    host.run("down", "-v", cwd=project).ok()
    host.run("up", "-d", "--wait", cwd=project).ok()
    assert visit(host).startswith("Hello, visitor 1!")
    host.run("down", "-v", cwd=project).ok()


@requires("host-python", "redis-server")
def test_todo(host: Host) -> None:
    """Entries go through Redis into a volume."""
    project = host.project(EXAMPLES / "todo", "todo")
    url = "http://127.0.0.1:8081"
    host.run("up", "-d", "--wait", cwd=project).ok()

    title = urllib.parse.urlencode({"title": "water the garden"}).encode()
    entries = json.loads(host.inside(lambda: fetch(f"{url}/todos", data=title)))
    assert entries == [{"id": 1, "title": "water the garden", "done": False}]
    done = host.inside(lambda: fetch(f"{url}/todos/1/done", data=b""))
    assert json.loads(done) == [{"id": 1, "title": "water the garden", "done": True}]
    stored = host.run("exec", "-T", "redis", "redis-cli", "hgetall", "todos", cwd=project).ok()
    assert stored.stdout.splitlines() == ["1", '{"title": "water the garden", "done": true}']

    host.run("stop", "redis", cwd=project).ok()
    script = "from urllib.request import *; print(urlopen('http://127.0.0.1:8081/todos').read().decode())"
    asked = host.spawn("exec", "-T", "web", "python3", "-u", "-c", f"print('asking'); {script}", cwd=project)
    asked.expect("asking")  # while there is no Redis
    host.run("start", "redis", cwd=project).ok()
    assert asked.wait() == 0
    assert "water the garden" in asked.output

    host.run("down", cwd=project).ok()
    host.run("up", "-d", "--wait", cwd=project).ok()
    assert "water the garden" in host.inside(lambda: fetch(url, accept="text/html"))
    host.run("down", "-v", cwd=project).ok()


@requires("host-python")
def test_quotes(host: Host) -> None:
    """Three stages upon the machine's own system; libraries come from the cache; the page is served by nobody."""
    project = host.project(EXAMPLES / "quotes", "quotes")
    url = "http://127.0.0.1:8082"

    built = host.run("up", "-d", "--build", "--wait", cwd=project, env={"GREETING": "Hi"}, timeout_s=120).ok()
    assert "moods: compiling" in built.stdout
    assert "[web tests" not in built.stdout
    assert host.inside(lambda: fetch(f"{url}/busy")) == "Hi! Make it work, make it right, make it fast.\n"
    assert "<h1>Hi</h1>" in host.inside(lambda: fetch(url, accept="text/html"))
    assert host.run("exec", "-T", "web", "id", "-un", cwd=project).ok().stdout == "nobody\n"

    with (project / "vendor/pages/__init__.py").open("a", encoding="utf-8") as file:
        file.write("# a change\n")
    again = host.run("build", "--explain", cwd=project, env={"GREETING": "Hi"}, timeout_s=120).ok()
    assert "moods: from the cache" in again.stdout
    assert "pages: compiling" in again.stdout
    assert "the mount at /src: vendor/pages/__init__.py changed (" in again.stderr
    tests = host.run("image", "build", "--target", "tests", ".", cwd=project, timeout_s=120).ok()
    assert "OK" in tests.stderr
    host.run("down", cwd=project).ok()


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


@requires("host-python", "ip", "postgres", "redis-server")
def test_testing(host: Host) -> None:
    """A stack of PostgreSQL, Redis and an API, put back before each test, and cut in two."""
    project = host.project(EXAMPLES / "testing", "testing")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    done = host.command(argv, cwd=project, timeout_s=120, env={"PYTHONDONTWRITEBYTECODE": "1"}).ok()

    assert "5 passed" in done.stdout
    assert host.run("ls", "-a", "-q").ok().stdout == ""


@requires("host-python", "ip")
def test_live(hosts: Hosts) -> None:
    """A page that knows when it has changed, and a server that is restarted for its own code."""
    host = hosts()
    project = host.project(EXAMPLES / "live", "live")
    page, server = project / "app/page/index.html", project / "app/server.py"
    watching = host.spawn("watch", cwd=project)
    watching.expect("^Watch enabled")

    def get() -> str:
        return host.inside(lambda: fetch("http://127.0.0.1:8080/"))

    def teapot() -> bool:
        try:
            get()
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code == 418
        return False

    assert "Change me" in eventually(get)
    page.write_text(page.read_text().replace("Change me", "Changed"))
    watching.expect('^Syncing service "web" after 1 changes')
    assert "Changed" in get()
    server.write_text(server.read_text().replace("super().do_GET()", 'self.send_error(418, "tea")'))
    watching.expect("restarted")
    assert eventually(teapot)

    watching.interrupt()
    assert watching.wait() == 130
    host.run("down", "-t", "0", cwd=project).ok()
