"""What of /usr and /opt stays out of the image `host`: everything that not every user of the machine may read.

They are layers as they are, and root in a container would read a private key in /opt like any other file. So a layer of
whiteouts lies over each: for overlayfs (Documentation/filesystems/overlayfs.rst), nothing is there. It is made once and
kept until packages or the uppermost directories change; what becomes private deeper down in between stays visible.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import ImageError
from pycompose.engine.images.fingerprints import digest_of, fingerprint
from pycompose.engine.images.layout import ImageLayout, replace_file
from pycompose.engine.images.private_files import look

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

VERSION = 1
CURRENT_MASK = "mask.json"
_WORKERS = 4
# Where package managers write at every change, relative to the machine's root.
_PACKAGES = (
    "var/lib/dpkg/status", "var/lib/rpm", "var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "lib/apk/db/installed", "var/lib/pacman/local",
)  # fmt: skip
# Trees that people write into themselves are watched one level deeper.
_BY_HAND = ("opt", "usr/local")


def masks(layout: ImageLayout, root: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the layer to be laid over the directory `root`/NAME, for each of `names` that has something to hide.

    Raises ImageError.
    """
    known = _known(layout, root, names)
    if known is None:
        try:
            known = _make(layout, root, names)
        except OSError as exc:
            raise ImageError(
                f"image host: cannot hide what is private: {exc.filename}: {exc.strerror}"
            ) from exc
    return {name: layout.root / "host" / known["key"] / name for name in known["hiding"]}


def _known(layout: ImageLayout, root: Path, names: Sequence[str]) -> dict[str, Any] | None:
    try:
        known: dict[str, Any] = json.loads((layout.root / "host" / CURRENT_MASK).read_bytes())
        same = known["root"] == str(root) and known["names"] == list(names)
        if same and fingerprint(known["marks"]) == known["fingerprint"]:
            return (
                known
                if all((layout.root / "host" / known["key"] / name).is_dir() for name in known["hiding"])
                else None
            )
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, damaged, or a directory has gone: all the same, it is made
    return None


def _make(layout: ImageLayout, root: Path, names: Sequence[str]) -> dict[str, Any]:
    marks = list(_marks(root, names))
    before = fingerprint(marks)  # what changes during the walk is looked at again the next time
    hidden = _hidden([str(root / name) for name in names])
    key = digest_of(f"mask {VERSION}", str(root), before)
    hiding = [name for name in names if any(path.startswith(f"{root / name}/") for path in hidden)]
    with layout.adding(), layout.scratch("mask") as scratch:
        top = scratch / key
        top.mkdir()
        for path in hidden:
            _white_out(top, root, os.path.relpath(path, root))
        final = layout.root / "host" / key
        try:
            os.rename(top, final)
        except OSError:
            if not final.is_dir():
                raise
        value = {
            "root": str(root),
            "names": list(names),
            "key": key,
            "fingerprint": before,
            "marks": marks,
            "hiding": hiding,
        }
        replace_file(layout.root / "host" / CURRENT_MASK, json.dumps(value).encode(), durable=False)
    return value


def _marks(root: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield the paths whose change means that there may be other files."""
    yield from (str(root / name) for name in _PACKAGES if (root / name).exists())
    for name in dict.fromkeys((*names, *_BY_HAND)):
        level = [str(root / name)] if (root / name).is_dir() else []
        yield from level
        for _ in range(2 if name in _BY_HAND else 1):
            level = [path for directory in level for path in _directories(directory)]
            yield from level


def _directories(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _hidden(trees: Sequence[str]) -> list[str]:
    """Return what others may not read below `trees`, a directory without what is in it."""
    hidden: list[str] = []
    level = list(trees)
    for _ in range(2):
        below: list[str] = []
        for directory in level:
            hidden += look(directory, below)
        level = below
    count = min(_WORKERS, len(os.sched_getaffinity(0)))
    program = [sys.executable, "-I", "-S", look.__code__.co_filename]
    workers = [
        subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(count)
    ]
    for number, worker in enumerate(workers):
        assert worker.stdin is not None  # noqa: S101 - it is a pipe
        with worker.stdin as pipe:
            pipe.write(b"\0".join(map(os.fsencode, level[number::count])))
        worker.stdin = None
    for worker in workers:
        out, err = worker.communicate()
        if worker.returncode:
            reason = (
                err.decode(errors="replace").strip().splitlines() or [f"exit code {worker.returncode}"]
            )[-1]
            raise ImageError(f"image host: cannot look for what is private: {reason}")
        hidden += [os.fsdecode(path) for path in out.split(b"\0") if path]
    return hidden


def _white_out(top: Path, root: Path, path: str) -> None:
    """Make a whiteout for `path`, and the directories above it as they are on the machine."""
    parent = os.path.dirname(path)
    if not (top / parent).is_dir():
        _directory_like(top, root, parent)
    os.mknod(top / path, stat.S_IFCHR, 0)


def _directory_like(top: Path, root: Path, path: str) -> None:
    """Make a directory that looks like the machine's: the uppermost layer's owner and mode are those of all."""
    if path and not (top / os.path.dirname(path)).is_dir():
        _directory_like(top, root, os.path.dirname(path))
    target, like = top / path, root / path
    target.mkdir()
    status = like.stat()
    for name in os.listxattr(like):
        os.setxattr(target, name, os.getxattr(like, name))
    os.chown(target, status.st_uid, status.st_gid)
    target.chmod(stat.S_IMODE(status.st_mode))
