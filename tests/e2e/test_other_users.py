"""Another user of the machine gets at nothing of a running project, and learns nothing about it (CVE-2021-41091)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.scenario import eventually
from tests.support.users import as_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.scenario import Host

COMPOSE = """
services:
  app:
    image: busybox
    command: [sh, -c, "cp /bin/busybox /data/tool; chmod 4755 /data/tool; chmod 777 /data; echo up; exec sleep 1000"]
    stop_signal: SIGKILL
    stdin_open: true
    volumes: [data:/data, /anonymous]
    secrets: [password]
    environment: {TOKEN: canary}
    ports: ["8080"]
    healthcheck: {test: [CMD, test, -u, /data/tool], interval: 1s}
volumes:
  data:
secrets:
  password: {environment: PASSWORD}
"""
PTRACE_ATTACH = 16
_libc = ctypes.CDLL(None, use_errno=True)


def everything(roots: list[Path]) -> Iterator[Path]:
    """Yield every path of the state, the roots first."""
    for root in roots:
        yield root
        for directory, names, files in os.walk(root):
            yield from (Path(directory, name) for name in (*names, *files))


def possible(path: str) -> Iterator[str]:
    """Yield what the calling process can do with `path`, a file, a directory or a socket."""
    actions: list[tuple[str, Callable[[], object]]] = [
        ("look at", lambda: os.lstat(path)),
        ("list", lambda: os.listdir(path)),
        ("read", lambda: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))),
        ("write", lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))),
        ("make something in", lambda: os.close(os.open(f"{path}/x", os.O_CREAT | os.O_WRONLY))),
        ("change the mode of", lambda: os.chmod(path, 0o700)),
        ("connect to", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(path)),
    ]
    for what, action in actions:
        try:
            action()
        except OSError:
            continue
        yield f"{what} {path}"
    if os.access(path, os.X_OK):
        yield f"execute or enter {path}"


def readable(path: str) -> Iterator[str]:
    """Yield how the calling process can look at `path` below /proc."""
    actions: list[tuple[str, Callable[[], object]]] = [
        ("read", lambda: os.read(os.open(path, os.O_RDONLY), 1)),
        ("follow", lambda: os.readlink(path)),
        ("list", lambda: os.listdir(path)),
        ("enter", lambda: os.listdir(f"{path}/")),
    ]
    for what, action in actions:
        try:
            action()
        except OSError:
            continue
        yield f"{what} {path}"


def project(host: Host, name: str = "demo") -> Path:
    """Make and start the project; everything that a start makes is there when it is healthy."""
    folder = host.project({"compose.yaml": COMPOSE}, name)
    host.run("up", "-d", "--wait", cwd=folder, env={"PASSWORD": "hidden"}).ok()
    host.run("ps", cwd=folder).ok()
    return folder


def test_cve_2021_41091_cve_2021_41089_cve_2024_25621_no_file_or_socket_of_the_state_can_be_reached(
    busy: Host,
) -> None:
    """Neither listed nor read nor executed nor connected to: the state roots themselves are closed."""
    folder = project(busy)
    paths = busy.inside(lambda: [str(path) for path in everything([busy.paths.root, busy.paths.run])])
    tool = busy.inside(lambda: os.stat(busy.paths.volume("demo_data") / "_data/tool").st_mode)
    assert tool & stat.S_ISUID
    assert sum(path.endswith(".sock") for path in paths) >= 2

    found = as_user(busy, lambda: [what for path in paths for what in possible(path)])

    assert found == [f"look at {busy.paths.root}", f"look at {busy.paths.run}"]
    busy.run("down", "-v", cwd=folder).ok()


def test_directories_are_closed_whatever_the_umask(busy: Host) -> None:
    """Also those in between, of which mkdir(2) makes the mode from the umask."""
    folder = busy.project({"compose.yaml": COMPOSE})
    script = "umask 0; exec pycompose up -d --wait"
    busy.command(["sh", "-c", script], cwd=folder, env={"PASSWORD": "hidden"}).ok()

    def opened() -> list[str]:
        seen = [path for path in everything([busy.paths.root, busy.paths.run]) if path.is_dir()]
        data, base = str(busy.paths.volumes), str(busy.paths.base)
        inside = (data, base, str(busy.paths.images), str(busy.paths.containers))
        return [
            f"{path} {stat.S_IMODE(path.stat().st_mode):o}"
            for path in seen
            if path.stat().st_mode & 0o077 and not str(path.parent).startswith(inside)
        ]

    assert busy.inside(opened) == [f"{busy.paths.base} 755"]
    busy.run("down", "-v", cwd=folder).ok()


def test_directories_of_an_older_version_are_closed_by_the_next_command(busy: Host) -> None:
    """They were 0711, 0755 and 0701; also a command that starts no supervisor closes them."""
    folder = project(busy)
    busy.run("down", "-v", cwd=folder).ok()
    busy.run("volume", "create", "old").ok()

    def open_all() -> None:
        for path in everything([busy.paths.root, busy.paths.run]):
            if path.is_dir():
                path.chmod(0o755)

    busy.inside(open_all)
    target = str(busy.paths.volume("old") / "_data")
    assert as_user(busy, lambda: os.listdir(os.path.dirname(target))) != []

    busy.run("volume", "ls").ok()

    assert as_user(busy, lambda: list(possible(target))) == []
    assert busy.inside(
        lambda: [stat.S_IMODE(p.stat().st_mode) for p in (busy.paths.root, busy.paths.run)]
    ) == [
        0o700,
        0o700,
    ]
    busy.run("volume", "rm", "old").ok()


def test_a_shared_directory_keeps_its_mode_when_it_is_a_root(busy: Host) -> None:
    """PYCOMPOSE_RUN=/run must not close /run, but what is ours in it."""
    shared = busy.folder / "shared"
    (shared / "somebody").mkdir(parents=True)
    shared.chmod(0o755)
    (shared / "projects").mkdir(mode=0o755)

    busy.run("ls", env={"PYCOMPOSE_RUN": str(shared)}).ok()

    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert stat.S_IMODE((shared / "projects").stat().st_mode) == 0o700


def test_state_of_another_user_is_refused(busy: Host) -> None:
    """Whoever owns the directory could exchange what root executes from it."""
    theirs = busy.folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1000, 1000)

    result = busy.run("ls", env={"PYCOMPOSE_ROOT": str(theirs)}).exited(1)

    assert f"state directory {theirs}: cannot use: it belongs to user 1000" in result.stderr
    assert "hint: give it to root" in result.stderr


def test_no_process_can_be_looked_into_or_signalled(busy: Host) -> None:
    """Supervisor, keeper, forkserver and the container's processes: memory, files, environment, namespaces."""
    folder = project(busy)
    pids = busy.watch.processes()
    outside = dict.fromkeys(pids, busy.pid_outside)
    assert len(outside) >= 3
    proc = f"/proc/{busy.watch.pid}/root/proc"
    inner = [name for name in os.listdir(proc) if name.isdigit() and name != "1"]
    secret = (
        "mem",
        "environ",
        "maps",
        "root",
        "cwd",
        "exe",
        "fd",
        "ns/net",
        "ns/mnt",
        "io",
        "auxv",
        "syscall",
    )

    def attack() -> list[str]:
        found = [what for pid in inner for name in secret for what in readable(f"/proc/{pid}/{name}")]
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, 0)
                found.append(f"signal {pid}")
            if _libc.ptrace(PTRACE_ATTACH, pid, 0, 0) == 0:
                found.append(f"trace {pid}")
        return found

    assert as_user(busy, attack) == []
    busy.run("down", "-v", cwd=folder).ok()


def test_nothing_that_everybody_can_read_tells_a_projects_name(busy: Host) -> None:
    """Arguments of processes, interfaces, mounts, sockets, the names of files in directories for all."""
    folder = project(busy, "merger")
    (folder / "src").mkdir()
    text = COMPOSE.replace(
        "    healthcheck", "    develop: {watch: [{path: src, action: sync, target: /src}]}\n    healthcheck"
    )
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    busy.run("up", "-d", "--wait", cwd=folder, env={"PASSWORD": "hidden"}).ok()
    busy.run("watch", "-d", "--no-up", cwd=folder).ok()
    eventually(lambda: busy.processes("pycompose.forkserver"))
    supervisor = busy.process("-m pycompose.supervisor")
    os.kill(supervisor, signal.SIGKILL)
    busy.process("-m pycompose.supervisor", supervisor)  # the keeper's choice of words
    proc = f"/proc/{busy.watch.pid}/root/proc"
    pids = [name for name in os.listdir(proc) if name.isdigit()]

    def told() -> list[str]:
        links = os.listdir("/sys/class/net")
        files = [
            *(f"/proc/{pid}/{name}" for pid in pids for name in ("cmdline", "comm", "stat")),
            *(f"/sys/class/net/{link}/ifalias" for link in links),
            *(f"/proc/self/{name}" for name in ("mountinfo", "net/unix")),
        ]
        found = [link for link in links if "merger" in link]
        for path in files:
            with contextlib.suppress(OSError):
                if b"merger" in Path(path).read_bytes():
                    found.append(path)
        return found

    assert as_user(busy, told) == []
    busy.run("watch", "--stop", cwd=folder)
    busy.run("down", "-v", cwd=folder).ok()


def test_no_socket_is_in_the_abstract_namespace(busy: Host) -> None:
    """Those have no permissions (CVE-2020-15257)."""
    folder = project(busy)

    names = as_user(busy, lambda: Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:])

    assert [line for line in names if line.split()[-1].startswith("@")] == []
    busy.run("down", "-v", cwd=folder).ok()


def test_control_groups_are_not_listed_for_others(busy: Host) -> None:
    """The names below ours are the containers' ids; the groups themselves can't be written to."""
    folder = project(busy)
    name = busy.paths.cgroup_parent
    mounts = [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if " - cgroup" in line
    ]
    groups = [f"{mount}/{name}" for mount in mounts if os.path.isdir(f"{mount}/{name}")]
    below = [str(path) for group in groups for path in Path(group).rglob("*")]
    assert below

    def attack() -> list[str]:
        found = []
        for group in groups:
            with contextlib.suppress(OSError):
                found.append(f"{group}: {os.listdir(group)}")
        return found + [path for path in below if os.access(path, os.W_OK)]

    assert as_user(busy, attack) == []
    busy.run("down", "-v", cwd=folder).ok()
