"""An ordinary user runs what root runs: the same commands, in a private host of his own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import threading
from http.client import HTTPConnection
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from pycompose.rootless.uplink import pasta_is_sound

from tests.support.browser import ServedPage
from tests.support.ordinary import FIRST_SUBID, UID
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Host, eventually

if TYPE_CHECKING:
    from tests.support.ordinary import OrdinaryHost, Users

pytestmark = requires("newuidmap")
HOLDER = "pycompose.rootless.host"
KEEPER = "pycompose.engine.keeper"
COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "mkdir /w; echo page > /w/index.html; httpd -p 80 -h /w; exec sleep 1000"]
    stop_signal: KILL
    ports: ["8080:80"]
    healthcheck: {test: [CMD, wget, -qO-, "http://127.0.0.1/"], interval: 1s}
  app:
    image: busybox
    command: [sh, -c, "wget -qO- http://web/; id -u; exec sleep 1000"]
    stop_signal: KILL
    depends_on: {web: {condition: service_healthy}}
    volumes: ["data:/data", ".:/here"]
volumes:
  data:
"""
JOINED = """
x-service: &service {image: busybox, command: [sleep, '1234'], stop_signal: KILL}
services:
  owner: *service
  guest: {<<: *service, pid: "service:owner"}
  pids: {<<: *service, pid: host, healthcheck: {test: [CMD, "true"], interval: 1s}}
  groups: {<<: *service, cgroup: host, healthcheck: {test: [CMD, "true"], interval: 1s}}
"""
SLEEPER = "services: {web: {image: busybox, command: [sleep, '1000'], stop_signal: KILL}}"


def fetch(machine: Host, address: str, port: int) -> str:
    """Return the body that a web server of the machine answers with; raises OSError."""

    def get() -> str:
        with socket.create_connection((address, port), 5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while data := sock.recv(4096):
                answer += data
        return answer.decode().partition("\r\n\r\n")[2]

    return machine.inside(get)


def command_of(pid: str) -> str:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


def end(machine: Host, name: str) -> None:
    """Kill the processes whose command line contains `name`."""
    pids = machine.processes(name)
    assert pids
    machine.kill(name)
    eventually(lambda: not set(pids) & set(machine.processes(name)))


def inhabitants(inode: int) -> list[int]:
    """Return the processes in the user namespace of that number, in whatever pid namespace."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            found += [int(entry)] if os.stat(f"/proc/{entry}/ns/user").st_ino == inode else []
    return found


def test_everyday_commands(user: OrdinaryHost) -> None:
    """Healthy dependencies, names, output, exec, run, volumes: nothing of it is different."""
    folder = user.project({"compose.yaml": COMPOSE})

    user.run("up", "-d", "--wait", cwd=folder).ok()

    assert "(healthy)" in user.run("ps", cwd=folder).ok().stdout
    logs = eventually(
        lambda: (text := user.run("logs", "app", cwd=folder).ok().stdout).count("\n") > 1 and text
    )
    assert str(logs) == "app-1  | page\napp-1  | 0\n"
    assert user.run("exec", "-T", "app", "cat", cwd=folder, stdin="input").ok().stdout == "input"
    assert user.run("run", "--rm", "-T", "app", "hostname", "-i", cwd=folder).ok().stdout.startswith("172.")
    assert user.run("volumes", "-q", cwd=folder).ok().stdout == "demo_data\n"
    user.run("restart", "app", cwd=folder).ok()
    user.run("down", "-v", cwd=folder).ok()
    assert user.run("ls", "-a", "-q").ok().stdout == ""


def test_who_owns_what(user: OrdinaryHost) -> None:
    """Root of a container is the user outside, the others are of his range: uid 1000 is its number 999."""
    folder = user.project({"compose.yaml": COMPOSE})
    script = "touch /here/root; touch /here/other; chown 1000:1000 /here/other; chown 7 /data"
    user.run("run", "--rm", "--no-deps", "app", "sh", "-c", script, cwd=folder).ok()

    assert [(folder / name).stat().st_uid for name in ("root", "other")] == [UID, FIRST_SUBID + 999]
    assert (user.paths.volume("demo_data") / "_data").stat().st_uid == FIRST_SUBID + 6
    user.run("down", "-v", cwd=folder).ok()


def test_namespaces_of_the_machine(user: OrdinaryHost) -> None:
    """Processes are the machine's with `pid: host`; the network is the private host's."""
    text = "services: {web: {image: busybox, pid: host, uts: host, ipc: host, command: [cat, /proc/1/comm]}}"
    folder = user.project({"compose.yaml": text})
    shown = user.run("run", "--rm", "-T", "web", cwd=folder).ok().stdout

    assert shown == user.command(["cat", "/proc/1/comm"]).ok().stdout
    user.run("down", cwd=folder).ok()


def test_entering_who_has_a_namespace_of_the_machines_or_of_another(user: OrdinaryHost) -> None:
    """The machine's own can't be entered a second time without root, nor come back to: nobody needs that."""
    folder = user.project({"compose.yaml": JOINED})
    user.run("up", "-d", "--wait", cwd=folder, timeout_s=60).ok()
    shown = {
        name: user.run("exec", "-T", name, "sh", "-c", "ps | grep -c '[s]leep 1234'", cwd=folder).ok().stdout
        for name in ("owner", "guest", "pids", "groups", "owner")
    }

    assert shown["owner"] == shown["guest"] == "2\n"
    assert int(shown["pids"]) >= 4
    assert shown["groups"] == "1\n"
    user.run("exec", "-d", "pids", "setsid", "sleep", "5678", cwd=folder).ok()
    top = user.run("top", "owner", "pids", cwd=folder).ok().stdout
    assert [line.rpartition("sleep ")[2] for line in top.splitlines()[1:]] == ["1234", "1234", "5678"]
    assert sorted(line.split()[0] for line in top.splitlines()[1:]) == ["owner", "pids", "pids"]

    user.run("down", cwd=folder).ok()
    assert user.processes("sleep\x005678") == []


def test_images_are_what_they_are_for_root(user: OrdinaryHost) -> None:
    """Owners, removed files and replaced directories: also in a layer that comes from elsewhere."""
    dockerfile = """
FROM busybox
RUN mkdir -p /d /gone && touch /d/old /gone/file /owned && chown 1000:50 /owned && chmod 4750 /owned
RUN rm -rf /d /gone && mkdir /d && touch /d/new
RUN mv /d /moved
"""
    folder = user.project({"Dockerfile": dockerfile, "compose.yaml": "services: {app: {build: .}}"})
    user.run("build", cwd=folder).ok()
    look = ["sh", "-c", "ls /moved; ls -d /d /gone; ls -ln /owned"]
    seen = [user.run("run", "--rm", "-T", "app", *look, cwd=folder).stdout]
    user.run("image", "save", "-o", "saved.tar", "demo-app", cwd=folder).ok()
    user.run("image", "rm", "-f", "demo-app").ok()
    user.run("image", "load", "-i", "saved.tar", cwd=folder).ok()
    seen.append(user.run("run", "--rm", "-T", "app", *look, cwd=folder).stdout)

    for text in seen:
        assert re.fullmatch(r"new\n-rwsr-x--- +1 1000 +50 +0 .* /owned\n", text), text
    user.run("down", cwd=folder).ok()


def test_published_ports(user: OrdinaryHost) -> None:
    """They are the machine's, whose network is another one; TCP and UDP, IPv4 and IPv6, and from inside, too."""
    text = """
services:
  web:
    image: busybox
    command: [sh, -c, "mkdir /w; echo page > /w/index.html; exec httpd -f -p 80 -h /w"]
    stop_signal: KILL
    ports: ["8080:80", "127.0.0.1::80"]
  time:
    image: host
    command:
      - python3
      - -c
      - "import socket; s = socket.socket(2, 2); s.bind(('', 53)); [s.sendto(*s.recvfrom(99)) for _ in iter(int, 1)]"
    stop_signal: KILL
    ports: ["5353:53/udp"]
  inside: {image: busybox, network_mode: host, command: [sleep, "1000"], stop_signal: KILL}
"""  # fmt: skip
    folder = user.project({"compose.yaml": text})
    user.run("up", "-d", cwd=folder).ok()
    port = int(user.run("port", "web", "80", cwd=folder).ok().stdout.rpartition(":")[2])
    assert port

    for address in ("127.0.0.1", "::1"):
        assert eventually(lambda address=address: fetch(user, address, 8080)) == "page\n"
    own = re.findall(r"127.0.0.1:(\d+)->80", user.run("ps", cwd=folder).ok().stdout)
    assert fetch(user, "127.0.0.1", int(own[0])) == "page\n"

    def ask(address: str, text: bytes) -> bytes:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect((address, 5353))  # answers of other addresses don't count
            sock.send(text)
            return sock.recv(99)

    for address, said in product(("127.0.0.1", "127.0.0.9", "::1"), (b"hello", b"")):
        assert eventually(lambda case=(address, said): user.inside(lambda: ask(*case)) == case[1])
    fetched = user.run("exec", "inside", "wget", "-qO-", "http://127.0.0.1:8080/", cwd=folder)
    assert fetched.ok().stdout == "page\n"

    user.run("stop", "web", cwd=folder).ok()
    with pytest.raises(ConnectionRefusedError):
        fetch(user, "127.0.0.1", 8080)
    user.run("down", cwd=folder).ok()


def test_the_page_is_on_the_machine(user: OrdinaryHost) -> None:
    """Its server is in the private host, and its address is one of the machine's."""
    served = ServedPage(user)
    address = urlsplit(served.address)

    def ask() -> int:
        connection = HTTPConnection("127.0.0.1", address.port, timeout=30)
        connection.request("GET", f"/?{address.query}")
        status = connection.getresponse().status
        connection.close()
        return status

    assert user.inside(ask) == 303
    served.end()


def test_ports_that_cannot_be_had(user: OrdinaryHost) -> None:
    """The errors are root's: who has the port, and what lets everybody have one below 1024."""

    def listen() -> socket.socket:
        sock = socket.socket()
        sock.bind(("0.0.0.0", 8080))
        sock.listen()
        return sock

    folder = user.project({"compose.yaml": SLEEPER})
    with user.inside(listen):
        override = "services: {web: {ports: ['8080:80']}}"
        taken = user.run("-f", "compose.yaml", "-f", "-", "up", "-d", cwd=folder, stdin=override).exited(1)
    low = user.run(
        "-f", "compose.yaml", "-f", "-", "up", "-d", cwd=folder, stdin="services: {web: {ports: ['80:80']}}"
    ).exited(1)

    assert "port 8080/tcp: publish on 0.0.0.0: already in use" in taken.stderr
    assert "port 80/tcp: publish on 0.0.0.0: Permission denied" in low.stderr
    assert "sysctl -w net.ipv4.ip_unprivileged_port_start=80" in low.stderr
    user.run("down", cwd=folder).ok()


def test_nothing_is_lost_when_the_process_outside_is_killed(user: OrdinaryHost) -> None:
    """Containers and their ports go on; the next command finds the host again and starts another process."""
    folder = user.project({"compose.yaml": COMPOSE})
    user.run("up", "-d", "--wait", cwd=folder).ok()
    before = user.run("ps", "-q", cwd=folder).ok().stdout

    end(user, HOLDER)
    assert fetch(user, "127.0.0.1", 8080) == "page\n"
    assert user.run("ps", "-q", cwd=folder).ok().stdout == before
    assert len(user.processes(HOLDER)) == 1

    more = "services: {web: {ports: ['8081:80']}}"
    user.run("-f", "compose.yaml", "-f", "-", "up", "-d", cwd=folder, stdin=more).ok()
    assert eventually(lambda: fetch(user, "127.0.0.1", 8081)) == "page\n"
    end(user, "pycompose.supervisor")
    assert eventually(lambda: fetch(user, "127.0.0.1", 8081)) == "page\n"
    user.run("down", "-v", cwd=folder).ok()


def test_nothing_is_lost_when_the_keeper_is_killed(user: OrdinaryHost) -> None:
    """Containers and what they publish go on, and what they say from then on is kept."""
    folder = user.project({"compose.yaml": COMPOSE})
    user.run("up", "-d", "--wait", cwd=folder).ok()
    before = user.run("ps", "-q", cwd=folder).ok().stdout

    end(user, "pycompose.engine.keeper")

    assert user.run("exec", "-T", "app", "sh", "-c", "echo again >/proc/1/fd/1; echo done", cwd=folder).ok()
    assert eventually(lambda: "again" in user.run("logs", "app", cwd=folder).ok().stdout)
    assert user.run("ps", "-q", cwd=folder).ok().stdout == before
    assert fetch(user, "127.0.0.1", 8080) == "page\n"
    user.run("down", "-v", cwd=folder).ok()


def test_when_all_are_killed_the_next_command_begins_anew(user: OrdinaryHost) -> None:
    """As after a reboot: nobody could get into the namespaces of what is left, so that goes."""
    folder = user.project({"compose.yaml": SLEEPER})
    user.run("up", "-d", cwd=folder).ok()
    inode = os.stat(f"/proc/{user.process('pycompose.supervisor')}/ns/user").st_ino
    assert len(inhabitants(inode)) > 1
    user.kill(HOLDER, "pycompose.supervisor", "pycompose.engine.keeper", "pycompose.forkserver")
    eventually(lambda: not user.processes("pycompose.supervisor") and not user.processes(HOLDER))
    eventually(lambda: len(inhabitants(inode)) == 1)  # a killed keeper ends with the networks that it was in

    user.run("up", "-d", cwd=folder).ok()

    assert user.run("exec", "web", "true", cwd=folder).ok()
    eventually(lambda: not inhabitants(inode))
    user.run("down", cwd=folder).ok()


def test_the_host_ends_by_itself(user: OrdinaryHost) -> None:
    """When nothing has been in it for a while; here that is a moment."""
    end(user, HOLDER)
    script = "from pycompose.rootless import entering; entering.LINGER_S = 0.2; entering.enter()"
    user.command([sys.executable, "-c", script]).ok()

    eventually(lambda: not user.processes(HOLDER))

    assert not (user.paths.run / "host.sock").exists()
    user.run("ls").ok()


def test_quick_commands_are_performed_by_a_process_inside(user: OrdinaryHost) -> None:
    """Handed over from outside, in the caller's own directory."""
    folder = user.project({"compose.yaml": SLEEPER})
    user.run("up", "-d", cwd=folder).ok()
    user.run("ps", cwd=folder).ok()
    sockets = user.paths.projects_run
    eventually(lambda: user.inside(lambda: list(sockets.glob("*/commands.sock"))))
    refused = user.run("ps", cwd=folder, env={"PYCOMPOSE_ROOTLESS": "0"}).exited(1)
    assert "needs root: user 1001" in refused.stderr
    end(user, HOLDER)
    path = user.paths.run / "host.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        user.inside(lambda: (path.unlink(), silent.bind(str(path)), path.chmod(0o666), silent.listen()))

        # Whoever went in himself would wait for an answer in vain, and start another process.
        assert "demo-web-1" in user.run("ps", cwd=folder).ok().stdout
        assert user.run("exec", "-T", "web", "cat", cwd=folder, stdin="input").ok().stdout == "input"
        assert user.processes(HOLDER) == []

    user.run("ps", cwd=folder).ok()
    assert len(user.processes(HOLDER)) == 1
    user.run("down", cwd=folder).ok()


def test_a_build_is_run_by_the_keeper_that_waits(user: OrdinaryHost) -> None:
    """One that a build before has left in reserve, in the user's host; a build that finds all done leaves it."""
    services = {
        "web": {"image": "busybox", "command": ["sleep", "1000"], "stop_signal": "KILL"},
        "made": {"image": "made", "scale": 0, "build": {"context": "."}},
    }
    dockerfile = "FROM busybox\nARG A\nRUN exec sleep ${A:-0.1}\n"
    folder = user.project({"compose.yaml": json.dumps({"services": services}), "Dockerfile": dockerfile})
    user.run("up", "-d", "web", cwd=folder).ok()
    user.run("ps", cwd=folder).ok()
    sockets = user.paths.projects_run
    eventually(lambda: user.inside(lambda: list(sockets.glob("*/commands.sock"))))
    own = set(user.processes(KEEPER))
    user.run("build", cwd=folder).ok()

    def waiting() -> list[int]:
        found = set(user.processes(KEEPER)) - own
        return [one for one in found if Path(f"/proc/{one}/comm").read_text() == "pycompose-keep\n"]

    (first,) = eventually(waiting)
    user.run("build", cwd=folder).ok()
    assert waiting() == [first]

    running = user.spawn("build", "--build-arg", "A=3.25", cwd=folder)
    children = Path(f"/proc/{first}/task/{first}/children")
    eventually(lambda: [one for one in children.read_text().split() if "sleep" in command_of(one)])
    assert running.wait() == 0
    user.run("down", cwd=folder).ok()
    eventually(lambda: not user.processes(KEEPER))


def test_limits_that_do_not_hold_are_said_once(user: OrdinaryHost) -> None:
    """A warning per service where no control group is the user's, an error for who insists."""
    keys = "image: busybox, command: [sleep, '1000'], stop_signal: KILL, mem_limit: 64m, oom_score_adj: -500, scale: 3"
    folder = user.project({"compose.yaml": f"services: {{web: {{{keys}}}}}"})

    result = user.run("up", "-d", cwd=folder).ok()

    assert result.stderr.count("mem_limit has no effect: this user has no memory controller") == 1
    assert result.stderr.count("oom_score_adj has no effect") == 1
    words = "{{.CPUPerc}} {{.MemPerc}} {{.BlockIO}} {{.PIDs}}"
    counted = user.run("stats", "--no-stream", "--format", words, cwd=folder).ok().stdout
    assert counted.splitlines() == ["-- -- -- / -- --"] * 3
    user.run("down", cwd=folder).ok()
    strict = user.run("up", "-d", cwd=folder, env={"PYCOMPOSE_STRICT_LIMITS": "1"}).exited(1)
    assert "mem_limit: cannot set memory.max" in strict.stderr
    user.run("down", cwd=folder).ok()


def test_pausing_without_a_control_group(user: OrdinaryHost) -> None:
    """Every process is stopped, children, those of `exec` and process 1; what pauses for a moment does so, too."""
    text = """
services:
  web:
    image: busybox
    command: [sh, -c, "i=0; while :; do i=$$((i+1)); (echo $$i >/data/a); done"]
    stop_signal: KILL
    volumes: ["data:/data"]
volumes: {data: {}}
"""
    folder = user.project({"compose.yaml": text})
    user.run("up", "-d", cwd=folder).ok()
    user.run("exec", "-d", "web", "sleep", "1000", cwd=folder).ok()
    data = user.paths.volume("demo_data") / "_data/a"
    eventually(data.exists)

    user.run("pause", cwd=folder).ok()

    supervisor = user.process("pycompose.supervisor")
    everybody = inhabitants(os.stat(f"/proc/{supervisor}/ns/user").st_ino)
    contained = os.stat(f"/proc/{supervisor}/ns/pid").st_ino
    pids = [pid for pid in everybody if os.stat(f"/proc/{pid}/ns/pid").st_ino != contained]
    assert len(pids) > 1
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids]
    assert set(states) - {"Z"} == {"T"}  # a child that had ended when its parent was stopped runs nothing
    assert "(Paused)" in user.run("ps", cwd=folder).ok().stdout
    before = data.read_text()
    end(user, "pycompose.engine.keeper")
    assert user.run("unpause", cwd=folder).ok()
    eventually(lambda: data.read_text() not in ("", before))
    user.run("container", "commit", "demo-web-1", "committed").ok()
    user.run("volume", "snapshot", "--pause", "demo_data", "first").ok()
    before = data.read_text()
    eventually(lambda: data.read_text() not in ("", before))
    user.run("down", "-v", cwd=folder).ok()


@requires("cgroup2")
def test_a_control_group_that_is_the_users(users: Users) -> None:
    """Containers have groups in it, by which they are paused, counted and killed; found by every later command."""
    user = users(group=True)
    assert user.group is not None
    folder = user.project({"compose.yaml": SLEEPER})
    user.run("up", "-d", cwd=folder).ok()
    (container,) = user.run("ps", "-q", "--no-trunc", cwd=folder).ok().stdout.split()

    assert (user.group / "pycompose" / container).is_dir()
    user.run("pause", cwd=folder).ok()
    assert "(Paused)" in user.run("ps", cwd=folder).ok().stdout
    assert "frozen 1" in (user.group / "pycompose" / container / "cgroup.events").read_text()
    user.run("unpause", cwd=folder).ok()
    user.run("down", cwd=folder).ok()
    assert not (user.group / "pycompose" / container).exists()


def test_many_containers(user: OrdinaryHost) -> None:
    """More than an ordinary user may have large pipes for (pipe(7))."""
    folder = user.project({"compose.yaml": SLEEPER})
    user.run("up", "-d", "--scale", "web=40", cwd=folder, timeout_s=120).ok()

    assert user.run("ps", "-q", cwd=folder).ok().stdout.count("\n") == 40
    user.run("down", cwd=folder, timeout_s=120).ok()


@requires("pasta", "slirp4netns")
@pytest.mark.parametrize(("program", "resolver"), (("pasta", "169.254.1.1"), ("slirp4netns", "10.0.2.3")))
def test_the_way_out(users: Users, program: str, resolver: str) -> None:
    """Containers reach other machines, and not the loopback of this one, by whatever address."""
    if program == "pasta" and not pasta_is_sound():
        pytest.skip("this machine's pasta is too old to be used")
    user = users(tun=True, neighbour=True, without=("slirp4netns" if program == "pasta" else "pasta",))
    folder = user.project({"compose.yaml": SLEEPER})
    user.run("up", "-d", cwd=folder).ok()

    def serve(address: str) -> socket.socket:
        return socket.create_server((address, 7000))

    with (
        user.outside(lambda: serve(NEIGHBOUR_ADDRESS)) as there,
        user.inside(lambda: serve("127.0.0.1")) as here,
    ):
        for listener in (there, here):
            threading.Thread(target=_greet, args=(listener,), daemon=True).start()

        def heard(address: str) -> str:
            reach = ["exec", "-T", "web", "timeout", "3", "nc", address, "7000"]
            return user.run(*reach, cwd=folder).stdout

        assert heard(NEIGHBOUR_ADDRESS) == "hello"
        assert [heard(address) for address in ("172.17.0.1", HOST_ADDRESS, "10.0.2.2", resolver)] == [""] * 4
        user.command(["sh", "-c", f"read pid _ <{user.paths.run}/uplink.pid; kill -9 $pid"]).ok()
        user.run("run", "--rm", "web", "true", cwd=folder).ok()
        assert heard(NEIGHBOUR_ADDRESS) == "hello"
    user.run("down", cwd=folder).ok()


@requires("pasta")
@pytest.mark.skipif(pasta_is_sound(), reason="this machine's pasta is new enough")
def test_an_old_pasta_is_not_used(users: Users, capsys: pytest.CaptureFixture[str]) -> None:
    """It gives containers bytes that nobody has sent: none is started, and the first command says why."""
    user = users(tun=True, neighbour=True, without=("slirp4netns",))

    text = "containers can't reach the outside: pasta is older than 2024 and repeats bytes"
    assert text in capsys.readouterr().out
    user.command(["test", "-e", f"{user.paths.run}/uplink.pid"]).exited(1)


def _greet(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(b"hello")


def test_a_user_without_ranges(users: Users) -> None:
    """Has one id: images whose files are all root's run, others are refused with what to do."""
    user = users(ids=False)
    folder = user.project({"compose.yaml": SLEEPER.replace("image:", "group_add: [5], image:")})

    up = user.run("up", "-d", cwd=folder).ok()
    assert up.stderr.count("group_add has no effect: this user has one id; ") == 1
    assert user.run("exec", "-T", "web", "id", "-u", cwd=folder).ok().stdout == "0\n"
    system = {
        "compose.yaml": "services: {web: {image: host, command: [stat, -c, '%u %g', /etc/passwd, /etc/shadow]}}"
    }
    assert user.run("up", cwd=user.project(system, "system")).ok().stdout.count("web-1  | 0 0\n") == 2
    other = user.run("run", "--rm", "-u", "1000", "web", "true", cwd=folder).exited(1).stderr
    assert "cannot change the user 1000: it is none of the ids that this user has (1)" in other
    assert 'at "id maps"' in other
    user.run("down", cwd=folder).ok()
    layer = user.folder / "other.tar"
    user.command(["sh", "-c", f"tar -cf {layer} --owner=5 --group=5 -C {user.folder} busybox.tar"]).ok()
    refused = user.run("image", "import", layer, "other").exited(1)

    assert "its owner is none of the ids that this user has (1)" in refused.stderr
    assert "/etc/subuid" in refused.stderr


def test_what_is_mounted_below_the_machines_programs(users: Users) -> None:
    """Can't be left out of the image `host` without root; the error says where it is."""
    user = users(without=("pasta",))
    folder = user.project({"compose.yaml": "services: {web: {image: host, command: [id]}}"})

    refused = user.run("up", "-d", cwd=folder).exited(1)

    assert "cannot use /usr of this machine: something is mounted at /usr/bin/pas" in refused.stderr
    user.run("down", cwd=folder).ok()


def test_who_has_no_place_for_sockets_is_told(user: OrdinaryHost) -> None:
    """Without a session there is no runtime directory; /tmp would be anybody's."""
    environment = {"XDG_RUNTIME_DIR": "", "PYCOMPOSE_RUN": "/run/nosuch/pycompose"}
    result = user.run("ls", env=environment).exited(1)

    assert "run directory /run/nosuch/pycompose: cannot make" in result.stderr
    assert "loginctl enable-linger" in result.stderr
    assert "needs root" in user.run("ls", env={"PYCOMPOSE_ROOTLESS": "0"}).exited(1).stderr
    assert (
        user.run("ls", env={"PYCOMPOSE_RUN": "/run/pycompose"})
        .exited(1)
        .stderr.startswith("error: run directory")
    )


def test_units_are_the_users_own(user: OrdinaryHost) -> None:
    """They are those of the service manager of his session."""
    folder = user.project({"compose.yaml": "services: {web: {image: busybox, restart: always}}"})
    fake = user.folder / "bin/systemctl"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "$@" >> "$HOME/asked"\n', encoding="utf-8")
    fake.chmod(0o755)
    path = f"{fake.parent}:{user.environment['PATH']}"

    result = user.run("systemd", "--install", cwd=folder, env={"PATH": path}).ok()

    unit = (user.folder / ".config/systemd/user/pycompose-demo.service").read_text(encoding="utf-8")
    assert "WantedBy=default.target\n" in unit
    assert f"PYCOMPOSE_ROOT={user.paths.root}" in unit
    assert "loginctl enable-linger" in result.stdout
    assert (
        user.folder / "asked"
    ).read_text() == "--user daemon-reload\n--user enable pycompose-demo.service\n"


def test_doctor_tries_things_in_the_private_host(user: OrdinaryHost) -> None:
    """What takes root is tried as its root: networks, firewall, overlays."""
    checks = {row["check"]: row["state"] for row in user.run("doctor", "--json").ok().json()["checks"]}

    assert checks["user"] == "ok"
    assert {checks[name] for name in ("overlay", "network devices", "nftables", "forwarding", "id maps")} == {
        "ok"
    }
    assert checks["uplink"] == "limited"


def test_reset_leaves_nothing(user: OrdinaryHost) -> None:
    """Files of the user's ranges included, which he can't remove himself; not while there are containers."""
    folder = user.project({"compose.yaml": COMPOSE})
    user.run(
        "run", "--rm", "--no-deps", "app", "sh", "-c", "mkdir /data/x; chown -R 1000 /data", cwd=folder
    ).ok()
    user.run("up", "-d", "web", cwd=folder).ok()
    refused = user.run("system", "reset", "-f").exited(1)
    assert "there are containers, such as demo-web-1" in refused.stderr
    assert "pycompose -p demo down" in refused.stderr
    user.run("down", cwd=folder).ok()

    user.run("system", "reset", "-f").ok()

    assert not user.paths.root.exists()
    eventually(lambda: not user.processes("pycompose.") or None)
    assert user.run("image", "ls", "-q").ok().stdout == ""
