"""What of /usr and /opt stays out of the image `host`: everything that not every user of the machine may read.

They are layers as they are, and root in a container would read a private key in /opt like any other file. So a layer of
whiteouts lies over each: for overlayfs (Documentation/filesystems/overlayfs.rst), nothing is there. It is made once and
kept until packages or the uppermost directories change; what becomes private deeper down in between stays visible.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import stat
import sys
from typing import IO, TYPE_CHECKING, Any

from pycompose.engine.errors import ImageError
from pycompose.engine.images import private_files
from pycompose.engine.images.fingerprints import digest_of, fingerprint
from pycompose.engine.images.layout import ImageLayout, replace_file
from pycompose.engine.linux import mounts, userns
from pycompose.engine.linux.libc import AT_FDCWD
from pycompose.engine.linux.whiteouts import make_whiteout

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

VERSION = 1
CURRENT_MASK = "mask.json"
_WORKERS = 4
# Of `/proc/self/fd/NUMBER/.`, split at its slashes.
_VIEW_PARTS = 6
# Where package managers write at every change, relative to the machine's root.
_PACKAGES = (
    "var/lib/dpkg/status", "var/lib/rpm", "var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "lib/apk/db/installed", "var/lib/pacman/local",
)  # fmt: skip
# Trees that people write into themselves are watched one level deeper.
_BY_HAND = ("opt", "usr/local")


def known_masks(layout: ImageLayout, root: Path, names: Sequence[str]) -> dict[str, Path] | None:
    """Return what `make_masks` has returned, None where that has to be called again."""
    try:
        known = json.loads((layout.root / "host" / CURRENT_MASK).read_bytes())
        same = known["root"] == str(root) and known["names"] == list(names)
        if same and fingerprint(known["marks"]) == known["fingerprint"]:
            layers = _layers(layout, known)
            return layers if all(path.is_dir() for path in layers.values()) else None
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, damaged, or a directory has gone: all the same, it is made
    return None


def make_masks(layout: ImageLayout, root: Path, names: Sequence[str]) -> dict[str, Path]:
    """Make and return the layer to be laid over the directory `root`/NAME, for each of `names` that needs one.

    Raises ImageError.
    """
    try:
        return _layers(layout, _make(layout, root, names))
    except OSError as exc:
        raise ImageError(f"image host: cannot hide what is private: {exc.filename}: {exc.strerror}") from exc


def _layers(layout: ImageLayout, known: dict[str, Any]) -> dict[str, Path]:
    return {name: layout.root / "host" / known["key"] / name for name in known["hiding"]}


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
    """Return what others may not read below `trees`, a directory without what is in it. Raises ImageError, OSError."""
    hidden: list[str] = []
    with contextlib.ExitStack() as ends:
        views = {}
        for tree in trees:
            fd = _alone(tree)
            ends.callback(os.close, fd)
            views[f"/proc/self/fd/{fd}/."] = tree
        workers = [ends.enter_context(worker) for worker in _start_workers(views)]
        idle, pending = list(workers), list(views)
        while pending or len(idle) < len(workers):
            while idle and pending:
                share = -(-len(pending) // len(idle))
                _send(idle.pop(), pending[-share:])
                del pending[-share:]
            busy = {worker.stdout: worker for worker in workers if worker.stdout and worker not in idle}
            for pipe in select.select(list(busy), (), ())[0]:
                found, rest = _answer(pipe)
                hidden += found
                pending += rest
                idle.append(busy[pipe])
    names = {view: tree for view, tree in views.items() if view in hidden}
    if names:
        raise ImageError(f"image host: cannot use {', '.join(names.values())}: not every user may read it")
    places = (path.split("/", _VIEW_PARTS) for path in sorted(hidden))
    return [f"{views['/'.join(view)]}/{rest}" for *view, rest in places]


def _alone(tree: str) -> int:
    """Return a descriptor of `tree` without what is mounted in it, as a lower layer shows it; raises OSError."""
    try:
        return mounts.clone_tree(AT_FDCWD, tree)
    except OSError:  # an ordinary user sees what is there
        return os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _start_workers(views: Iterable[str]) -> list[subprocess.Popen[bytes]]:
    """Start a process per processor; they have the descriptors that `views` name, by the same numbers."""
    import subprocess  # noqa: PLC0415 - every `up` would pay for it

    return [
        subprocess.Popen(
            [sys.executable, "-I", "-S", private_files.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[int(view.split("/")[-2]) for view in views],
        )
        for _ in range(min(_WORKERS, len(os.sched_getaffinity(0))))
    ]


def _send(worker: subprocess.Popen[bytes], directories: list[str]) -> None:
    assert worker.stdin is not None  # noqa: S101 - it is a pipe
    marshal.dump(directories, worker.stdin)
    worker.stdin.flush()


def _answer(pipe: IO[bytes]) -> tuple[list[str], list[str]]:
    try:
        found, rest = marshal.load(pipe)  # noqa: S302 - our own child has sent it
    except (EOFError, ValueError, TypeError):
        raise ImageError(
            "image host: cannot look for what is private: a process that does has died"
        ) from None
    return found, rest


def _white_out(top: Path, root: Path, path: str) -> None:
    """Make a whiteout for `path`, and the directories above it as they are on the machine."""
    parent = os.path.dirname(path)
    if not (top / parent).is_dir():
        _directory_like(top, root, parent)
    directory = os.open(top / parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        make_whiteout(directory, os.fsencode(os.path.basename(path)))
    finally:
        os.close(directory)


def _directory_like(top: Path, root: Path, path: str) -> None:
    """Make a directory that looks like the machine's: the uppermost layer's owner and mode are those of all."""
    if path and not (top / os.path.dirname(path)).is_dir():
        _directory_like(top, root, os.path.dirname(path))
    target, like = top / path, root / path
    target.mkdir()
    status = like.stat()
    for name in os.listxattr(like):
        os.setxattr(target, name, os.getxattr(like, name))
    os.chown(target, *userns.as_root_for_nobody(status))
    target.chmod(stat.S_IMODE(status.st_mode))
