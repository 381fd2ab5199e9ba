"""A private machine on which commands are run by an ordinary user, who has ranges of ids and a home.

The machine's /etc is its own: the user is in copies of passwd(5), subuid(5) and subgid(5) that nobody else sees.
"""

from __future__ import annotations

import copy
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.linux import mounts
from pycompose.engine.linux.libc import AT_FDCWD
from pycompose.engine.paths import StatePaths
from pycompose.rootless import delegation

from tests.support.leftovers import Watch
from tests.support.namespaces import MS_BIND, mount
from tests.support.scenario import PYCOMPOSE, REPOSITORY, STATE_ROOT, Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UID, OTHER_UID = 1001, 1002
NAME, OTHER_NAME = "ordinary", "other"
FIRST_SUBID, OTHER_SUBID, SUBIDS = 100_000, 200_000, 65_536


class OrdinaryHost(Host):
    """A machine whose commands are those of user UID.

    `ids` gives him his ranges; `tun` lets everybody use /dev/net/tun, as distributions do: then he has a way out.
    With `group` his commands run in a control group of version 2 that is his.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ids: bool = True,
        tun: bool = False,
        neighbour: bool = False,
        group: bool = False,
        root: Path = STATE_ROOT,
        reaps: bool = True,
    ) -> None:
        super().__init__(folder, neighbour=neighbour, root=root, reaps=reaps)
        self.uid = UID
        self._root = self.environment, self.paths
        self.group = self._delegate() if group else None
        self._account(ids=ids)
        if tun:
            self._tun()
        self.give(folder)
        prefixes = {Path(sys.base_prefix), Path(sys.prefix), REPOSITORY, folder}
        self.inside(lambda: _reachable(sorted(prefixes)))
        self._be(UID, folder)
        self.watch = _Watch(
            paths=self.paths,
            pid=self.watch.pid,
            inside=self.inside,
            pid_namespace=self.watch.pid_namespace,
        )
        self.watch.baseline()

    def _be(self, uid: int, home: Path) -> None:
        """Have commands be those of a user who isn't root."""
        environment, paths = self._root
        runtime = Path(f"/run/user/{uid}")
        self.inside(lambda: _own_directory(runtime, uid))
        self.uid, self.folder = uid, home
        self.paths = StatePaths(
            root=home / ".local/share/pycompose", run=runtime / "pycompose", cgroup_parent=paths.cgroup_parent
        )
        self.environment = {
            "PATH": f"{PYCOMPOSE.parent}:{environment['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(runtime),
        }

    def other_user(self) -> OrdinaryHost:
        """Return the same machine for another ordinary user, with a home and ranges of his own."""
        other = copy.copy(self)
        home = self.folder / OTHER_NAME
        home.mkdir()
        os.chown(home, OTHER_UID, OTHER_UID)
        other._be(OTHER_UID, home)
        return other

    def root_user(self) -> OrdinaryHost:
        """Return the same machine for root."""
        root = copy.copy(self)
        root.uid, (root.environment, root.paths) = 0, self._root
        root.folder = self.folder / "root"
        root.folder.mkdir()
        return root

    def project(self, files: Mapping[str, str] | Path, name: str = "demo") -> Path:
        """Make a project folder, the user's."""
        target = super().project(files, name)
        self.give(target)
        return target

    def readable(self, path: Path) -> Path:
        """Return a copy in the user's home."""
        copy = Path(shutil.copy(path, self.folder / path.name))
        self.give(copy)
        return copy

    def give(self, path: Path) -> None:
        """Make root's files in `path` the user's, but for those of pycompose."""
        if not self.uid:
            return
        for top, directories, files in os.walk(path):
            directories[:] = [name for name in directories if name not in (".local", "root", OTHER_NAME)]
            for one in (Path(top), *(Path(top, name) for name in files)):
                if one.lstat().st_uid == 0:
                    os.chown(one, self.uid, self.uid, follow_symlinks=False)
        if path.is_file():
            os.chown(path, self.uid, self.uid)

    def popen(self, argv: Sequence[str], cwd: Path) -> subprocess.Popen[bytes]:
        """Start a program whose output nobody reads but for its errors, without a word and as fast as can be."""
        return self._started(argv, cwd, self.environment, subprocess.DEVNULL, subprocess.PIPE)

    def _popen(
        self,
        argv: Sequence[str | Path],
        cwd: Path | None,
        env: Mapping[str, str] | None,
        stdout: int,
        stderr: int,
        *,
        stdin: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        self.give(self.folder)  # what the test has written there meanwhile
        environment = {**self.environment, **(env or {})}
        if self.group is not None:
            change = f"exec setpriv --reuid={self.uid} --regid={self.uid} --clear-groups"
            enter = ["sh", "-c", f'echo $$ > "$0/cgroup.procs"; {change} "$@"', str(self.group)]
            return super()._popen([*enter, *argv], cwd, environment, stdout, stderr, stdin=stdin)
        return self._started(argv, cwd or self.folder, environment, stdout, stderr, stdin=stdin)

    def _started(
        self,
        argv: Sequence[str | Path],
        cwd: Path,
        environment: Mapping[str, str],
        stdout: int,
        stderr: int,
        *,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        return self.inside(
            lambda: subprocess.Popen(
                argv,
                cwd=cwd,
                env=environment,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                user=self.uid,
                group=self.uid,
                extra_groups=(),
            )
        )

    def _delegate(self) -> Path:
        """Make the group, as root or systemd would."""
        (mount_point,) = {Path(line.split()[4]) for line in _mountinfo() if " - cgroup2 " in line}
        group = mount_point / self.paths.cgroup_parent
        group.mkdir()
        for path in (
            group,
            *(group / name for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")),
        ):
            os.chown(path, UID, UID)
        return group

    def _account(self, *, ids: bool) -> None:
        etc = self.folder / "etc"
        etc.mkdir()
        ranges = f"{NAME}:{FIRST_SUBID}:{SUBIDS}\n{OTHER_NAME}:{OTHER_SUBID}:{SUBIDS}\n" if ids else ""
        accounts = (
            f"{NAME}:x:{UID}:{UID}::{self.folder}:/bin/sh\n"
            f"{OTHER_NAME}:x:{OTHER_UID}:{OTHER_UID}::{self.folder / OTHER_NAME}:/bin/sh\n"
        )
        texts = {"passwd": Path("/etc/passwd").read_text() + accounts, "subuid": ranges, "subgid": ranges}
        for name, text in texts.items():
            (etc / name).write_text(text, encoding="utf-8")
            place = f"/etc/{name}"
            if not Path(place).exists():
                continue
            self.inside(lambda name=name, place=place: mount(str(etc / name), place, flags=MS_BIND))

    def _tun(self) -> None:
        place = self.folder / "tun"
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(10, 200))
        place.chmod(0o666)
        self.inside(lambda: mount(str(place), "/dev/net/tun", flags=MS_BIND))


@dataclass(kw_only=True)
class Users:
    """Makes the machines of one test, whose users have the image `busybox`."""

    folder: Path
    archive: Path
    made: list[OrdinaryHost] = field(default_factory=list)

    def __call__(
        self,
        *,
        ids: bool = True,
        tun: bool = False,
        neighbour: bool = False,
        group: bool = False,
        without: Sequence[str] = (),
        resolver: str = "",
    ) -> OrdinaryHost:
        """Start another machine, `without` some of its programs; `resolver` is its /etc/resolv.conf."""
        home = self.folder / f"home{len(self.made) or ''}"
        home.mkdir()
        _copy(self.archive, home / "busybox.tar", own=None if ids else 0)
        machine = OrdinaryHost(home, ids=ids, tun=tun, neighbour=neighbour, group=group)
        self.made.append(machine)
        for program in without:
            machine.inside(partial(mount, "/dev/null", f"/usr/bin/{program}", flags=MS_BIND))
        if resolver:
            (home / "resolv.conf").write_text(resolver, encoding="utf-8")
            machine.inside(partial(mount, str(home / "resolv.conf"), "/etc/resolv.conf", flags=MS_BIND))
        machine.run("image", "import", home / "busybox.tar", "busybox").ok()
        return machine


def _copy(source: Path, target: Path, *, own: int | None) -> None:
    """Copy an archive; `own` is who owns everything in the copy, if not who does in the original."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            if own is not None:
                member.uid = member.gid = own
            new.addfile(member, old.extractfile(member) if member.isreg() else None)


class _Watch(Watch):
    """The private host stays for a while when nothing is left in it, and the group in the one that is the user's."""

    def left(self) -> Iterator[str]:
        own = f"/{self.paths.cgroup_parent}/{delegation.OWN} "
        lasting = ("pycompose.rootless.host", "/pasta ", "/slirp4netns ", "/host.sock", own)
        return (line for line in super().left() if not any(text in f"{line} " for text in lasting))


def _mountinfo() -> list[str]:
    return Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()


def _own_directory(path: Path, uid: int) -> None:
    path.mkdir(parents=True, mode=0o700)
    os.chown(path, uid, uid)


def _reachable(paths: Sequence[Path]) -> None:
    """Let everybody get to `paths`, in the calling mount namespace: what hides them is covered by open directories."""
    trees = [(path, mounts.clone_tree(AT_FDCWD, str(path), recursive=True)) for path in paths]
    hiding = {closed for path in paths if (closed := _closed(path)) is not None}
    for directory in sorted(hiding):
        mount("open", directory, "tmpfs", data="mode=0755")
    for path, tree in trees:
        if any(path.is_relative_to(directory) for directory in hiding):
            path.mkdir(parents=True, exist_ok=True)
            target = os.open(path, os.O_PATH | os.O_DIRECTORY)
            mounts.attach(tree, target, str(path))
            os.close(target)
        os.close(tree)


def _closed(path: Path) -> Path | None:
    """Return the topmost directory above `path` that others can't go through."""
    above = [one for one in reversed(path.parents) if not one.stat().st_mode & stat.S_IXOTH]
    return above[0] if above else None
