"""What people do besides `up`, done by an ordinary user: registries, tests, names, the machine, other users."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from tests.support.ordinary import UID
from tests.support.registry import PASSWORD, USER, registry
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.ordinary import OrdinaryHost, Users

pytestmark = requires("newuidmap")
SLEEPER = "services: {web: {image: busybox, command: [sleep, '1000'], stop_signal: KILL}}"
SERVED = """
services:
  web:
    image: busybox
    command: [sh, -c, "mkdir /w; echo page > /w/index.html; exec httpd -f -p 80 -h /w"]
    stop_signal: KILL
"""


@requires("docker-registry")
def test_a_registry_of_the_machines(user: OrdinaryHost, tmp_path: Path) -> None:
    """On its loopback, which containers can't reach; with the user's credentials, and no way out at all."""
    manager = registry(tmp_path / "registry", auth=True)
    running = user.inside(manager.__enter__)
    try:
        name = f"{running.host}/app:1"
        folder = user.project({"compose.yaml": f"services: {{app: {{image: '{name}', build: .}}}}"})
        (folder / "Dockerfile").write_text("FROM busybox\nRUN echo built >/file && chown 5:6 /file\n")
        user.run("build", cwd=folder).ok()
        refused = user.run("push", cwd=folder).exited(1).stderr
        assert f"log in with: pycompose login {running.host}" in refused
        user.run("login", "-u", USER, "--password-stdin", running.host, stdin=PASSWORD).ok()
        assert running.host in json.loads((user.folder / ".docker/config.json").read_text())["auths"]
        user.run("push", "-q", cwd=folder).ok()
        user.run("image", "rm", "-f", name).ok()

        user.run("pull", "-q", cwd=folder).ok()

        shown = user.run("run", "--rm", "-T", "app", "stat", "-c", "%u %g", "/file", cwd=folder).ok().stdout
        assert shown == "5 6\n"
        user.run("down", cwd=folder).ok()
        missing = user.run("image", "pull", "127.0.0.1:1/nosuch").exited(1).stderr
        assert "127.0.0.1:1: connection refused" in missing
        unknown = user.run("image", "pull", "nosuch.invalid/app").exited(1).stderr
        assert "its name cannot be resolved" in unknown
    finally:
        user.inside(lambda: manager.__exit__(None, None, None))


def test_tests_of_an_ordinary_user(user: OrdinaryHost) -> None:
    """A process with one thread goes to the private host with its first stack, and finds addresses there."""
    folder = user.project({
        "compose.yaml": SERVED,
        "pytest.ini": "[pytest]\npycompose_files = compose.yaml\n",
        "test_it.py": """
import asyncio, urllib.request
from pycompose.testing import Compose, http
def get(stack): return urllib.request.urlopen(stack["web"].wait_for(http(80)).url(80)).read()
def test_fixture(compose): assert get(compose) == b"page\\n"
def test_reset(compose):
    compose["web"].exec("sh", "-c", "echo other > /w/index.html", check=True)
    compose.reset("recreate")
    assert get(compose) == b"page\\n"
def test_own():
    with Compose("compose.yaml") as stack:
        assert get(stack) == b"page\\n"
""",
        "asynchronous.py": """
import asyncio
from pycompose.testing import Compose
async def main():
    async with Compose("compose.yaml") as stack:
        print(stack.running)
asyncio.run(main())
""",
        "threads.py": """
import threading
from pycompose.testing import Compose
threading.Thread(target=threading.Event().wait, daemon=True).start()
Compose("compose.yaml").start()
""",
    })  # fmt: skip
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pycompose-require"]
    assert "3 passed" in user.command(pytest_run, cwd=folder, timeout_s=90).ok().stdout
    assert user.command([sys.executable, "asynchronous.py"], cwd=folder).ok().stdout == "('web',)\n"
    refused = user.command([sys.executable, "threads.py"], cwd=folder).exited(1).stderr
    assert "this process has several threads" in refused
    assert "pycompose system enter COMMAND" in refused
    entered = user.run("system", "enter", *pytest_run, cwd=folder, timeout_s=90).ok()
    assert "3 passed" in entered.stdout
    fixture = [*pytest_run[:-1], "-k", "fixture"]
    assert "1 skipped" in user.command(fixture, cwd=folder, env={"PYCOMPOSE_ROOTLESS": "0"}).ok().stdout
    assert user.run("ls", "-a", "-q").ok().stdout == ""


def test_entering(user: OrdinaryHost) -> None:
    """Any program is run where the containers are: as root there, in the same directory, with its exit code."""
    folder = user.project({"compose.yaml": SERVED})
    user.run("up", "-d", cwd=folder).ok()
    (address,) = user.run("exec", "-T", "web", "hostname", "-i", cwd=folder).ok().stdout.split()

    there = user.run("system", "enter", "sh", "-c", "id -u; pwd; exit 7", cwd=folder).exited(7)
    assert there.stdout == f"0\n{folder}\n"
    fetch = [
        "python3",
        "-c",
        f"import urllib.request as u; print(u.urlopen('http://{address}').read().decode())",
    ]
    assert eventually(lambda: user.run("system", "enter", *fetch).stdout.startswith("page"))
    shell = user.run("system", "enter", stdin="touch mine; exit 3\n", cwd=folder, env={"SHELL": "/bin/sh"})
    shell.exited(3)
    assert (folder / "mine").stat().st_uid == UID
    assert "nosuch: cannot run: No such file" in user.run("system", "enter", "nosuch").exited(127).stderr
    user.run("down", cwd=folder).ok()


@requires("slirp4netns")
def test_the_machine_by_name(users: Users) -> None:
    """host-gateway is an address of the machine: what listens on all of its addresses answers there."""
    user = users(tun=True, neighbour=True, without=("pasta",))
    text = """
services:
  web: {image: busybox, command: [sleep, "1000"], stop_signal: KILL, extra_hosts: ["host.docker.internal:host-gateway"]}
  host:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: KILL
    network_mode: host
    extra_hosts: ["host.docker.internal:host-gateway"]
"""
    folder = user.project({"compose.yaml": text})
    user.run("up", "-d", cwd=folder).ok()
    with user.inside(lambda: socket.create_server(("0.0.0.0", 7000))) as listener:
        threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        for service in ("web", "host"):
            reach = ["exec", "-T", service, "timeout", "5", "nc", "host.docker.internal", "7000"]
            assert user.run(*reach, cwd=folder).stdout == "hello"
    hosts = user.run("exec", "-T", "web", "cat", "/etc/hosts", cwd=folder).ok().stdout
    assert f"{HOST_ADDRESS}\thost.docker.internal\n" in hosts
    user.run("down", cwd=folder).ok()


@requires("slirp4netns", "dnsmasq")
def test_a_resolver_on_the_machines_loopback(users: Users) -> None:
    """As systemd-resolved and dnsmasq are: containers ask it by way of the uplink, and commands directly."""
    user = users(tun=True, neighbour=True, without=("pasta",), resolver="nameserver 127.0.0.1\n")
    serve = [
        "dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces",
        "--address=/where.test/198.51.100.9", "--user=root", "--conf-file=/dev/null",
    ]  # fmt: skip
    running = user.inside(lambda: subprocess.Popen(serve))
    folder = user.project({"compose.yaml": SLEEPER})
    user.run("up", "-d", cwd=folder).ok()

    def asked() -> bool:
        look = user.run("exec", "-T", "web", "nslookup", "where.test", cwd=folder)
        return "198.51.100.9" in look.stdout

    assert eventually(asked)
    user.run("down", cwd=folder).ok()
    running.terminate()
    running.wait()


NETWORKED = """
services:
  web:
    image: busybox
    command: [sh, -c, "mkdir /w; echo %(who)s > /w/index.html; exec httpd -f -p 80 -h /w"]
    stop_signal: KILL
    ports: ["%(port)d:80"]
networks: {default: {ipam: {config: [{subnet: %(subnet)s.0/24}]}}}
"""


@requires("slirp4netns")
def test_users_beside_each_other(users: Users) -> None:
    """Two of them and root have projects of one name at once, and know nothing of the others'."""
    first = users(tun=True, neighbour=True, without=("pasta",))
    second, root = first.other_user(), first.root_user()
    people = {"first": first, "second": second, "root": root}
    folders = {}
    for number, (who, machine) in enumerate(people.items()):
        archive = machine.readable(users.archive)
        machine.run("image", "import", archive, "busybox").ok()
        values = {"who": who, "port": 8080 + number, "subnet": f"10.77.{number}"}
        folders[who] = machine.project({"compose.yaml": NETWORKED % values})
        machine.run("up", "-d", cwd=folders[who]).ok()

    for number, (who, machine) in enumerate(people.items()):
        assert machine.run("ls", "-q").ok().stdout == "demo\n"
        page = partial(machine.command, ["busybox", "wget", "-qO-", f"http://127.0.0.1:{8080 + number}/"])
        assert eventually(lambda page=page: page().stdout) == f"{who}\n"

    def reach(machine: OrdinaryHost, who: str, address: str) -> str:
        script = f"wget -qO- http://{address}/"
        return machine.run("exec", "-T", "web", "timeout", "5", "sh", "-c", script, cwd=folders[who]).stdout

    assert reach(first, "first", "10.77.0.2") == "first\n"
    assert [reach(first, "first", "10.77.1.2"), reach(second, "second", "10.77.0.2")] == ["", ""]
    theirs = second.run("ls", env={"PYCOMPOSE_RUN": str(first.paths.run)}).exited(1).stderr
    assert "cannot use" in theirs or "Permission denied" in theirs
    busy = second.run("up", "-d", cwd=folders["first"]).exited(1).stderr
    assert "port 8080/tcp: publish on 0.0.0.0: already in use" in busy
    for who, machine in people.items():
        machine.run("down", cwd=folders[who]).ok()


def _greet(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(b"hello")
