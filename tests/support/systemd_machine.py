"""A machine with a real systemd as its first process: namespaces and control groups of its own, this machine's files.

Its root is an overlay of /; what has to outlive a reboot lies on a tmpfs: /var/lib/pycompose, /srv, and the units (of
which this machine's own aren't there).
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.support.leftovers import PATIENCE
from tests.support.scenario import PYCOMPOSE, REPOSITORY, SEARCH, Result, eventually

CGROUPS = Path("/sys/fs/cgroup")
# How unshare tells that the first process of a pid namespace has called reboot(2) to restart: by SIGHUP.
RESTARTED = 128 + 1
BOOT_S = 60.0
# Keeps what outlives a reboot, and boots again after one. Arguments: a directory, the script below, and the group of
# version 2 with controllers, "" for none: that one must have no processes but systemd's, or systemd can pass none on.
AGAIN = f"""
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/lib" "$1/srv" "$1/units" "$1/root"
code={RESTARTED}
while [ $code = {RESTARTED} ]; do
    code=0
    rm -f "$1/entered"
    sh -c '
        if [ "$3" ]; then echo 0 >"$3/cgroup.procs"; fi
        exec unshare --pid --fork --kill-child --mount --net --uts --ipc --cgroup sh -c "$2" boot "$1"
    ' enter "$1" "$2" "$3" &
    until [ -e "$1/entered" ] || ! kill -0 $!; do sleep 0.1; done
    if [ "$3" ]; then echo $! >"$3/../cgroup.procs"; fi
    wait $! || code=$?
done
"""
# Argument: that directory. What this machine has mounted of control groups, and directories to show, come in between.
BOOT = """
set -eu
touch "$1/entered"
mount -t tmpfs tmpfs "$1/root"
cd "$1/root"
mkdir upper work new
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work new
cd new
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
{cgroups}
while grep -qsx 0 .{top}/cgroup.procs; do sleep 0.1; done
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
for name in {shown}; do mkdir -p ".$name"; mount --rbind "$name" ".$name"; done
mkdir -p old var/lib/pycompose srv etc/systemd/system
mount --bind "$1/lib" var/lib/pycompose
mount --bind "$1/srv" srv
mount --bind "$1/units" etc/systemd/system
ip link set lo up
pivot_root . old
umount -l old
exec env -i container=other PATH=$PATH /lib/systemd/systemd --unit=multi-user.target
"""


class SystemdMachine:
    """Boots in the background; `run` waits until it has. A context manager that leaves nothing."""

    def __init__(self, folder: Path) -> None:
        """`folder` is an empty directory."""
        self._groups = [top / f"pycompose-systemd-{os.getpid()}" for top in _hierarchies()]
        self._unified = next((str(group) for group in self._groups if group.parent == CGROUPS), "")
        self._folder = folder
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Make its control groups, and boot."""
        self._exit.callback(self._remove_groups)
        with contextlib.ExitStack() as undo:
            undo.push(self._exit)
            self._boot()
            undo.pop_all()
        return self

    def _boot(self) -> None:
        for group in self._groups:
            group.mkdir()
            if group.parent == CGROUPS:
                for name in (CGROUPS / "cgroup.controllers").read_text().split():
                    with contextlib.suppress(OSError):  # not one that the kernel keeps to itself
                        (CGROUPS / "cgroup.subtree_control").write_text(f"+{name}")
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (group / "cgroup.clone_children").exists() and (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())
                    (group / "cgroup.clone_children").write_text("1")
        shown = " ".join(map(shlex.quote, dict.fromkeys((str(REPOSITORY), sys.prefix, sys.base_prefix))))
        boot = BOOT.replace("{cgroups}", _mounts()).replace("{shown}", shown)
        boot = boot.replace("{top}", str(CGROUPS))
        self._process = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                AGAIN,
                "again",
                self._folder,
                boot,
                self._unified,
            ],
            env={"PATH": SEARCH},
            stdin=subprocess.DEVNULL,
            preexec_fn=self._enter_groups,  # noqa: PLW1509 - one thread
        )
        self._exit.callback(self._end)
        self.await_boot(0)

    def _enter_groups(self) -> None:
        for group in self._groups:
            if str(group) != self._unified:
                (group / "cgroup.procs").write_text("0")

    def __exit__(self, *_: object) -> None:
        """End it, and what it has had in control groups."""
        self._exit.close()

    def _end(self) -> None:
        for pid in reversed(self._pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self._process.wait()

    def _remove_groups(self) -> None:
        for group in self._groups:
            eventually(functools.partial(_removed, group))

    def _pids(self) -> list[int]:
        """Return what we have started: its own children, and theirs, down to systemd."""
        found, todo = [], [self._process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                if not _is_first(pid):
                    todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def await_boot(self, before: int) -> int:
        """Wait until another systemd than the process `before` has started everything; return its process."""

        def booted() -> int:
            if self._process.poll() is not None:
                pytest.fail("it has ended")
            pid = next((pid for pid in self._pids() if _is_first(pid) and pid != before), 0)
            return (
                pid
                if pid and self._inside(pid, "systemctl", "is-system-running").stdout == "running\n"
                else 0
            )

        self.pid = eventually(booted, BOOT_S)
        return self.pid

    def run(self, *arguments: str | Path, cwd: str = "/") -> Result:
        """Run a command on the machine to its end."""
        return self._inside(self.pid, "env", "-C", cwd, *arguments)

    def pycompose(self, *arguments: str, cwd: str) -> Result:
        """Run `pycompose ARGUMENTS`."""
        return self.run(PYCOMPOSE, *arguments, cwd=cwd)

    def write(self, name: str, text: str) -> None:
        """Write a file below /srv."""
        script = 'mkdir -p "$(dirname "$1")"; printf %s "$2" >"$1"'
        self.run("sh", "-c", script, "write", f"/srv/{name}", text).ok()

    @staticmethod
    def _inside(pid: int, *arguments: str | Path) -> Result:
        command = ["nsenter", "-t", str(pid), "-m", "-p", "-n", "-u", "-i", "-C", "--", *map(str, arguments)]
        done = subprocess.run(
            command,
            env={"PATH": f"{PYCOMPOSE.parent}:{SEARCH}", "HOME": "/root", "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=BOOT_S * PATIENCE,
            check=False,
        )
        shown = shlex.join(map(str, arguments))
        print(f"# {shown}\n{done.stdout}{done.stderr}")
        return Result(command=shown, code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def _hierarchies() -> list[Path]:
    """Return where control groups are mounted."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted(path.parent for path in CGROUPS.glob("*/cgroup.procs"))


def _mounts() -> str:
    """Return the commands that mount what this machine has of control groups."""
    lines = []
    controllers = {line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines()[1:]}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind not in {"cgroup", "cgroup2"} or not Path(place).is_relative_to(CGROUPS):
            continue
        words = [word for word in options.split(",") if word in controllers or word.startswith("name=")]
        named = ["none"] if words and words[0].startswith("name=") else []
        given = f"-o {','.join((*named, *words))}" if words else ""
        lines.append(f"mkdir -p .{place}; mount -t {kind} {given} {kind} .{place}")
    if CGROUPS not in _hierarchies():
        lines.insert(0, f"mount -t tmpfs -o mode=755 tmpfs .{CGROUPS}")
    return "\n".join(lines)


def _is_first(pid: int) -> bool:
    """Tell whether a process is the first one of a pid namespace below ours, and is systemd by now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(ids) > 1 and ids[-1] == "1" and "Name:\tsystemd\n" in status


def _removed(group: Path) -> bool:
    """Remove a control group with all below it; tell whether it has gone."""
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
    return not group.exists()
