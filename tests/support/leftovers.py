"""Finds, names and removes whatever a test has left behind on its private machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.state import exiting

from tests.support.namespaces import umount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.engine.paths import StatePaths

# An emulated guest is 10 to 20 times slower.
PATIENCE = 20 if os.environ.get("PYCOMPOSE_GUEST") == "1" else 1
_SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _directly(call: Callable[[], object]) -> object:
    return call()


@dataclass(kw_only=True)
class Watch:
    """What a private machine looked like before the test, and how to look at it again.

    `pid` is a process in the machine's mount namespace; `inside` runs a function with the machine's mount and
    network namespace. `pid_namespace` (the link text of /proc/PID/ns/pid) is set for a machine with its own:
    every process in it but `pid` is then a leftover.
    """

    paths: StatePaths
    pid: int = field(default_factory=os.getpid)
    inside: Callable[[Callable[[], object]], object] = _directly
    pid_namespace: str = ""
    mounts: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    def baseline(self) -> None:
        """Remember the mounts and links that belong to the machine itself."""
        self.mounts = frozenset(self._mount_points())
        self.links = frozenset(self._links())

    def find(self) -> list[str]:
        """Return one line per thing that is left; empty when the machine is as it was."""
        return list(self.left())

    def left(self) -> Iterator[str]:
        """Yield what is left, what is found fastest and stays longest first."""
        yield from (f"process {pid}: {_command(pid)}" for pid in self.processes())
        yield from (f"mount {point}" for point in self._new_mounts())
        yield from (f"link {name}" for name in self._new_links())
        yield from (f"nft table {family} {name}" for family, name in self._tables())
        yield from (f"cgroup {path}" for path in self._cgroups(parents=False))
        yield from (f"file {path}" for path in self._files())

    def wait(self, timeout_s: float = 5.0) -> list[str]:
        """Return what is left; processes and cgroups that are just going away get `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while next(self.left(), ""):
            if time.monotonic() > deadline:
                return self.find()
            time.sleep(0.05)
        return []

    def clean(self) -> None:
        """Remove what can be removed, so that one failure does not become ten."""
        if self.pid_namespace:  # whose network and mounts end with it
            self._end_processes()
            self._remove_cgroups()
        else:
            self._end()
        for path in self._files():
            _remove(path)

    def power_off(self) -> None:
        """Leave of everything what a machine that loses its power has when it starts again: the state root."""
        self._end()
        run = Path(f"/proc/{self.pid}/root") / self.paths.run.relative_to("/")
        for path in run.iterdir():
            _remove(path)

    def _end(self) -> None:
        self._end_processes()
        for point in sorted(self._new_mounts(), reverse=True):
            with contextlib.suppress(OSError):
                self.inside(partial(umount, point))
        for name in self._new_links():
            self._run("ip", "link", "delete", name)
        for family, name in self._tables():
            self._run("nft", "delete", "table", family, name)
        self._remove_cgroups()

    def _end_processes(self) -> None:
        deadline = time.monotonic() + 5
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _remove_cgroups(self) -> None:
        for path in self._cgroups(parents=True):
            with contextlib.suppress(OSError):
                path.rmdir()

    def processes(self) -> list[int]:
        """Return the pids (as seen from here) of living processes that belong to the machine."""
        needles = [
            f"PYCOMPOSE_RUN={self.paths.run}\0".encode(),
            f"PYCOMPOSE_CGROUP={self.paths.cgroup_parent}\0".encode(),
        ]
        skip = {os.getpid(), self.pid}
        return [pid for pid in _pids() if pid not in skip and self._ours(pid, needles)]

    def _ours(self, pid: int, needles: list[bytes]) -> bool:
        try:
            if self.pid_namespace and os.readlink(f"/proc/{pid}/ns/pid") == _own_pid_namespace():
                return False  # most are: nothing gets out of the machine's
            if exiting(pid):
                return False  # whether or not process 1 of the machine ever waits for it
            if f"/{self.paths.cgroup_parent}" in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
                return True
            if self.pid_namespace:
                return os.readlink(f"/proc/{pid}/ns/pid") == self.pid_namespace
            environment = Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return any(needle in environment for needle in needles) or os.fsencode(self.paths.run) in command

    def _mount_points(self) -> Iterator[str]:
        for line in Path(f"/proc/{self.pid}/mountinfo").read_text(encoding="utf-8").splitlines():
            point = line.split(" ")[4]
            yield re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), point)

    def _new_mounts(self) -> list[str]:
        return [point for point in self._mount_points() if point not in self.mounts]

    def _links(self) -> list[str]:
        names = self.inside(lambda: [name for _index, name in socket.if_nameindex()])
        assert isinstance(names, list)
        return names

    def _new_links(self) -> list[str]:
        return [name for name in self._links() if name not in self.links]

    def _tables(self) -> list[tuple[str, str]]:
        text = self._run("nft", "-j", "list", "tables")
        found = json.loads(text)["nftables"] if text else []
        tables = [entry["table"] for entry in found if "table" in entry]
        return [(table["family"], table["name"]) for table in tables if table["name"].startswith("pyc")]

    def _cgroups(self, *, parents: bool) -> list[Path]:
        """Return the groups below every group of our name, deepest first; `parents`: those themselves too."""
        found: list[Path] = []
        for mount in _cgroup_mounts():
            for top, directories, _files in os.walk(mount):
                if self.paths.cgroup_parent in directories:
                    directories.remove(self.paths.cgroup_parent)
                    ours = Path(top, self.paths.cgroup_parent)
                    found += [Path(sub) for sub, _d, _f in os.walk(ours) if parents or Path(sub) != ours]
        return sorted(found, key=lambda path: -len(path.parts))

    def _files(self) -> list[Path]:
        """Return the entries of every directory whose entries stand for something that exists."""
        seen = Path(f"/proc/{self.pid}/root")
        run, root = (seen / path.relative_to("/") for path in (self.paths.run, self.paths.root))
        homes = [
            run / "projects", run / "containers", run / "netns", run / "networks",
            root / "projects", root / "containers",
        ]  # fmt: skip
        found = [entry for home in homes if home.is_dir() for entry in sorted(home.iterdir())]
        if run.is_dir():
            found += [entry for entry in run.iterdir() if stat.S_ISSOCK(entry.lstat().st_mode)]
        return found

    def _run(self, *command: str) -> str:
        program = shutil.which(command[0], path=_SBIN)
        if program is None:
            return ""
        done = self.inside(
            lambda: subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
        )
        assert isinstance(done, subprocess.CompletedProcess)
        return str(done.stdout)


@cache
def _own_pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _command(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode(errors="replace")
            .strip()[:200]
        )
    except OSError:
        return "gone"


def _cgroup_mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    split = [line.split(" ") for line in lines]
    return sorted({words[4] for words in split if words[words.index("-") + 1] in ("cgroup", "cgroup2")})
