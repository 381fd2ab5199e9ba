"""Reading and writing the files of a cgroup, v1 and v2 alike.

Paths start at a mount point that the kernel named; a cgroup filesystem has no symbolic links.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.cgroups.limits import key_of
from pycompose.engine.errors import CgroupError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

RETRY_S = 0.005
# What a group says that others have removed, or are about to: the second one while it is still to be seen.
GONE = (errno.ENOENT, errno.ENODEV)
# The group in a container's group that its processes are in, where there are limits.
INSIDE = "inside"
PARENT_MODE = 0o711
_MARK = "trusted.pycompose"


def open_file(group: Path, name: str, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of the file `name` of `group`; raises OSError."""
    return os.open(f"{group}/{name}", flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def read(group: Path, name: str) -> str:
    """Return the whole text of a file; raises OSError."""
    fd = open_file(group, name)
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return b"".join(chunks).decode("ascii", "replace").strip()


def read_flat(group: Path, name: str) -> dict[str, int]:
    """Return a "flat keyed" file such as `cgroup.events` as numbers; raises OSError."""
    pairs = (line.split() for line in read(group, name).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def write(group: Path, name: str, text: str) -> None:
    """Give the kernel each line of `text` by a write of its own; raises OSError."""
    fd = open_file(group, name, os.O_WRONLY)
    try:
        for line in text.split("\n"):
            os.write(fd, line.encode("ascii"))
    finally:
        os.close(fd)


def apply(group: Path, files: Mapping[str, str], optional: Collection[str] = ()) -> None:
    """Write `files` in order. A missing file that is `optional` is passed over.

    The kernel refuses with EINVAL a value that contradicts its neighbour (memory above memory plus swap,
    runtime above period), so such files get a second turn after the others have been written.
    Raises CgroupError that names the compose key, the file, the text and the reason.
    """
    waiting = list(files.items())
    for last_turn in (False, True):
        refused: list[tuple[str, str]] = []
        for name, text in waiting:
            try:
                write(group, name, text)
            except OSError as exc:
                if exc.errno == errno.EINVAL and not last_turn:
                    refused.append((name, text))
                elif exc.errno != errno.ENOENT or name not in optional:
                    raise _unwritable(group, name, text, exc) from exc
        waiting = refused


def make(group: Path, mode: int = 0o755) -> bool:
    """Create the directory `group` and tell whether it is new; raises OSError.

    In a container everybody may read his limits: programs choose their sizes by them.
    """
    try:
        os.mkdir(group, mode)
    except FileExistsError:
        return False
    return True


def make_parent(group: Path, *, ours: bool) -> bool:
    """Create `group`, which containers get groups in, and tell whether it is new; raises OSError.

    The machine's users don't see the names in it, the containers' ids. `ours` is False outside our own root: it is
    then marked, so that `remove_parent` knows it from one that somebody else has made.
    """
    if not make(group, PARENT_MODE):
        return False
    if not ours:
        with contextlib.suppress(OSError):  # left behind then, as Docker leaves them
            os.setxattr(group, _MARK, b"1")
    return True


def remove_parent(group: Path, *, ours: bool) -> None:
    """Remove a group of `make_parent`, if it is empty."""
    with contextlib.suppress(OSError):
        if ours or os.getxattr(group, _MARK):
            os.rmdir(group)


def processes(group: Path) -> list[int]:
    """Return the pids in `group` and everything below it, none when it doesn't exist."""
    found: list[int] = []
    for level in tree(group):
        with contextlib.suppress(OSError):
            found += map(int, read(level, "cgroup.procs").split())
    return found


def tree(group: Path) -> Iterator[Path]:
    """Yield `group` and the groups below it, children first."""
    try:
        names = [entry.name for entry in os.scandir(group) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for name in names:
        yield from tree(group / name)
    yield group


def remove_tree(group: Path, deadline: float) -> None:
    """Remove `group` and what is below it; zombies are given until `deadline` (monotonic seconds) to go.

    Raises CgroupError that names the processes that are left.
    """
    while True:
        try:
            if not _remove_plain(group):
                for level in tree(group):
                    with contextlib.suppress(FileNotFoundError):
                        level.rmdir()
        except OSError as exc:
            if exc.errno not in (errno.EBUSY, errno.ENOTEMPTY) or time.monotonic() >= deadline:
                left = ", ".join(map(str, processes(group)))
                reason = f"processes left: {left}" if left else exc.strerror
                raise CgroupError(f"cgroup {group}: cannot remove: {reason}") from exc
            time.sleep(RETRY_S)
        else:
            return


def _remove_plain(group: Path) -> bool:
    """Remove `group` if nothing but INSIDE is in it, without a look: there are fifty files in each group."""
    for path in (f"{group}/{INSIDE}", str(group)):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _unwritable(group: Path, name: str, text: str, exc: OSError) -> CgroupError:
    key = key_of(name)
    message = f"{key}: cannot set {name} to {text.strip()} in {group}: {exc.strerror}"
    if exc.errno == errno.ENOENT:
        return CgroupError(f"{message}: this kernel has no such file", hint=f"remove {key} from the service")
    if exc.errno == errno.EBUSY:
        return CgroupError(f"{message}: more than that is in use", hint=f"raise {key}")
    return CgroupError(message, hint=f"check {key} of the service against this machine")
