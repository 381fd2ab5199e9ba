"""A container that takes all it can get is stopped at its limits; everybody else goes on; errors are clear."""

from __future__ import annotations

import contextlib
import json
import os
import re
from functools import partial
from pathlib import Path

import pytest

from tests.support.attack import PYTHON
from tests.support.namespaces import full_of_mounts, mount, umount
from tests.support.requires import requires
from tests.support.scenario import Host, eventually

pytestmark = requires("host-python")

MIB = 1 << 20
# The good service starts no process once it ticks: a shell that can't fork ends, whoever is to blame.
PROJECT = """
services:
  good:
    image: busybox
    command: [sh, -c, "mkfifo /clock; exec 3<>/clock; while :; do echo tick; read -t 0.1 -u 3; done"]
    init: true
    stop_signal: SIGKILL
    healthcheck: {{test: [CMD, "true"], interval: 300ms, timeout: 20s, retries: 50}}
    restart: always
  bad:
    image: busybox
    command: {command}
    stop_signal: SIGKILL
    volumes: [/usr:/usr:ro, /lib:/lib:ro, /lib64:/lib64:ro, "./talk:/talk"]
    {options}
"""
DESCRIPTORS = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as exc:
            print(len(held), exc.strerror, flush=True)
        time.sleep(1000)
time.sleep(1000)
"""
PROCESSES = """
import os, time
children = []
def say(word):
    with open("/talk/said", "a") as file:
        file.write(word + "\\n")
def fill():
    refused = 0  # in a row: what others of the machine have just ended leaves room that isn't meant
    while refused < 10:
        try:
            pid = os.fork()
        except OSError:
            refused += 1
            time.sleep(0.05)
            continue
        refused = 0
        if pid == 0:
            time.sleep(1000)
            os._exit(0)
        children.append(pid)
fill()
say("full")
with open("/talk/free") as orders:
    for line in orders:
        for _ in range(int(line)):
            pid = children.pop()
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        say("freed")
"""


def start(host: Host, command: list[str], options: str = "") -> Path:
    """Bring the project up; return its folder."""
    text = PROJECT.format(command=json.dumps(command).replace("$", "$$"), options=options)
    folder = host.folder / "demo"
    folder.mkdir(exist_ok=True)
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    host.run("up", "-d", "good", cwd=folder).ok()
    eventually(lambda: "tick" in host.run("logs", "--tail", "5", "good", cwd=folder).stdout)
    host.run("up", "-d", "bad", cwd=folder).ok()
    return folder


def ours(host: Host) -> tuple[int, int]:
    """Return the pids of the first project's supervisor and keeper."""
    return host.processes("pycompose.supervisor")[0], host.processes("pycompose.engine.keeper")[0]


def goes_on(host: Host, folder: Path, before: tuple[int, int]) -> None:
    """Check that nobody was replaced, and that the good service is looked after, prints, and can be entered."""
    assert ours(host) == before
    host.run("exec", "-T", "good", "true", cwd=folder).ok()
    lines = host.run("logs", "good", cwd=folder).ok().stdout.count("tick")
    eventually(lambda: host.run("logs", "good", cwd=folder).ok().stdout.count("tick") > lines)
    eventually(lambda: state(host, folder, "good") == ("running", "healthy"))
    assert "Traceback" not in host.logs()


def state(host: Host, folder: Path, service: str) -> tuple[str, str]:
    """Return state and health of a service's container."""
    shown = host.run("ps", "-a", "--format", "json", service, cwd=folder).ok().json()
    entry = shown[0] if isinstance(shown, list) else shown
    return entry["State"], entry["Health"]


def test_memory(busy: Host) -> None:
    """Who takes more than his limit is killed, and it is said why."""
    folder = start(
        busy, ["sh", "-c", "head -c 400000000 /dev/zero | tail; exec tail /dev/zero"], "mem_limit: 32m"
    )
    before = ours(busy)

    eventually(lambda: state(busy, folder, "bad")[0] == "exited", 60)

    shown = busy.run("container", "inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "demo-bad-1")
    assert shown.ok().stdout == "true 137\n"
    goes_on(busy, folder, before)
    busy.run("down", cwd=folder).ok()


def test_descriptors(busy: Host) -> None:
    """Each process has its limit, whatever the machine's is, and twenty of them are in nobody's way."""
    folder = start(busy, [*PYTHON, DESCRIPTORS])
    before = ours(busy)

    logs = partial(busy.run, "logs", "--no-log-prefix", "bad", cwd=folder)
    eventually(lambda: logs().stdout.count("Too many open files") == 20, 60)

    assert {int(line.split()[0]) for line in logs().stdout.splitlines()} <= set(range(1000, 1025))
    goes_on(busy, folder, before)
    busy.run("down", cwd=folder).ok()


def test_log_flood(busy: Host) -> None:
    """The files stay within what was asked for, and the lines of others arrive in time."""
    options = "logging: {options: {max-size: 1m, max-file: '2'}}"
    folder = start(busy, ["yes", "x" * 200], options)
    before = ours(busy)
    paths = busy.inside(lambda: [str(path) for path in busy.paths.containers.glob("*/log")])
    assert len(paths) == 2

    def size() -> int:
        return sum(file.stat().st_size for path in paths for file in Path(path).iterdir())

    for _ in range(5):
        assert busy.inside(size) < 4 * MIB
        goes_on(busy, folder, before)
    resident = [line for pid in before for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    assert all(int(line.split()[1]) < 150_000 for line in resident if line.startswith("VmRSS"))
    busy.run("kill", "bad", cwd=folder).ok()
    busy.run("down", cwd=folder).ok()


def test_disk(host: Host, busybox_tar: Path) -> None:
    """A writable layer fills the disk on which all state is: what runs goes on, and what can't be done says so."""
    place = host.paths.root
    host.inside(partial(mount, "small", place, "tmpfs", data="size=40m,mode=0755"))
    host.watch.baseline()
    host.run("image", "import", busybox_tar, "busybox").ok()
    folder = start(host, ["sh", "-c", "dd if=/dev/zero of=/filler bs=64k; echo full; exec sleep 1000"])
    before = ours(host)
    eventually(lambda: host.run("exec", "-T", "bad", "sh", "-c", "echo x >/other", cwd=folder).code != 0)

    assert ours(host) == before
    host.run("exec", "-T", "good", "true", cwd=folder).ok()
    eventually(lambda: state(host, folder, "good") == ("running", "healthy"))
    other = host.project({"compose.yaml": PROJECT.format(command='["true"]', options="")}, "other")
    refused = host.run("up", "-d", "good", cwd=other).exited(1).stderr.splitlines()
    assert refused[-2].endswith("No space left on device")
    assert refused[-1].startswith("hint: ")

    host.run("rm", "-sf", "bad", cwd=folder).ok()
    goes_on(host, folder, before)
    host.run("up", "-d", "good", cwd=other).ok()
    host.run("down", cwd=other).ok()
    host.run("down", cwd=folder).ok()


def fill(path: Path) -> None:
    """Write to a file until its file system has no room for more."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_run(host: Host, busybox_tar: Path) -> None:
    """Somebody fills the machine's /run: what runs goes on and can be entered, and what can't be done says so."""
    place = host.paths.run
    host.inside(partial(mount, "small", place, "tmpfs", data="size=2m,mode=0700"))
    host.watch.baseline()
    host.run("image", "import", busybox_tar, "busybox").ok()
    folder = start(host, ["sleep", "1000"])
    before = ours(host)
    host.inside(partial(fill, place / "filler"))

    goes_on(host, folder, before)
    other = host.project({"compose.yaml": PROJECT.format(command='["true"]', options="")}, "other")
    refused = host.run("up", "-d", "good", cwd=other).exited(1).stderr
    again = host.run("up", "-d", "--force-recreate", "bad", cwd=folder).exited(1).stderr
    for text in (refused, again):
        error, hint = text.splitlines()[-2:]
        assert error.endswith("No space left on device")
        assert hint.startswith("hint: ")

    host.inside((place / "filler").unlink)
    host.run("up", "-d", "good", cwd=other).ok()
    host.run("up", "-d", "bad", cwd=folder).ok()
    goes_on(host, folder, before)
    host.run("down", cwd=other).ok()
    host.run("down", cwd=folder).ok()


def test_mounts(busy: Host) -> None:
    """On a machine with as many mounts as a namespace may have, a start says so, and what runs goes on."""
    folder = start(busy, ["sleep", "1000"])
    before = ours(busy)
    place = busy.folder / "mounts"

    busy.inside(partial(full_of_mounts, place))
    refused = busy.run("up", "-d", "--force-recreate", "bad", cwd=folder).exited(1).stderr
    busy.run("exec", "-T", "good", "true", cwd=folder).ok()
    busy.inside(partial(umount, place, flags=2))

    assert re.search(r"error: .*(mount|namespace).*\nhint: .*mount-max", refused), refused
    goes_on(busy, folder, before)
    busy.run("up", "-d", "bad", cwd=folder).ok()
    busy.run("down", cwd=folder).ok()


def own_pid_limit() -> bool:
    """Tell whether each pid namespace has a limit of its own (Linux 6.14): else it would be the machine's."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 14)


@pytest.mark.skipif(not own_pid_limit(), reason="needs a pid_max per pid namespace (Linux 6.14)")
def test_processes(busy: Host) -> None:
    """A container takes every process id that the machine has: nobody dies of it, and what can't be started says so."""
    machine = Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")
    busy.command(["sh", "-c", "echo 600 >/proc/sys/kernel/pid_max"]).ok()
    assert Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii") == machine
    talk = busy.folder / "demo/talk"
    talk.mkdir(parents=True)
    os.mkfifo(talk / "free")
    folder = start(busy, [*PYTHON, PROCESSES])
    before = ours(busy)
    said = talk / "said"
    eventually(lambda: said.exists() and said.read_text(encoding="ascii") == "full\n", 60)

    failures = []
    with (talk / "free").open("w", encoding="ascii") as orders:
        for number in range(1, 80):
            with contextlib.suppress(BlockingIOError):  # not even the command itself could be started
                done = busy.run("exec", "-T", "good", "true", cwd=folder)
                if done.code == 0:
                    break
                failures.append(done.stderr)
            print(1, file=orders, flush=True)
            eventually(partial(freed, said, number))
        else:
            pytest.fail("not even with 80 processes less")
    assert failures
    for text in failures:
        error, hint = text.splitlines()
        assert error.startswith("error: ")
        assert "internal error" not in error
        assert hint.startswith("hint: as many processes run as may")
    busy.run("kill", "bad", cwd=folder).ok()
    goes_on(busy, folder, before)
    busy.run("down", cwd=folder).ok()
    assert "internal error" not in busy.logs()


def freed(said: Path, number: int) -> bool:
    """Tell whether the container has ended as many of its processes."""
    return said.read_text(encoding="ascii").count("freed") == number


NESTED = """
import os
for place in ("/deep", "/data"):
    os.makedirs(place, exist_ok=True)
    os.chdir(place)
    for _ in range(1500):
        os.mkdir("dddd")
        os.chdir("dddd")
    os.mkfifo("last")
print("nested", flush=True)
os.execv("/bin/sleep", ["sleep", "1000"])
"""


def test_directories_without_end(busy: Host) -> None:
    """Deeper than paths and recursion go: its size can be asked for, and it is removed with everything."""
    text = PROJECT.format(command=json.dumps([*PYTHON, NESTED]), options="")
    text = text.replace('"./talk:/talk"', "deep:/data") + "\nvolumes: {deep: {}}\n"
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", "bad", cwd=folder).ok()
    eventually(lambda: "nested" in busy.run("logs", "bad", cwd=folder).stdout)

    busy.run("container", "inspect", "--size", "demo-bad-1", cwd=folder).ok()
    busy.run("system", "df", "-v", cwd=folder).ok()
    assert "File name too long" in busy.run("container", "diff", "demo-bad-1", cwd=folder).exited(1).stderr
    busy.run("up", "-d", "--force-recreate", "bad", cwd=folder).ok()
    busy.run("down", "-v", cwd=folder).ok()

    assert busy.inside(lambda: list(busy.paths.root.glob("**/dddd"))) == []
    assert "Traceback" not in busy.logs()
