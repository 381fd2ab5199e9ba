"""`cp`: files and directories into and out of containers, with docker's rules for names.

A name that ends in `/` asks for a directory, `/.` for what is in one. Into a directory that exists, the source keeps
its name; else it takes the target's, whose parent has to exist (docker/cli `docker container cp`). The container is a
stranger: its paths are resolved inside its root by the kernel, and what comes out of it loses owners, setuid bits and
devices on the way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import sys
import tempfile
from typing import IO, TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import EngineError, NoSuchContainer, PycomposeError
from pycompose.engine.filesystem import transfer, view
from pycompose.engine.images.layers.compress import MAGIC_BYTES, Budget, detect, pieces
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.engine.images.layers.tarwriter import StandardOutput, TarWriter
from pycompose.engine.linux import fs
from pycompose.engine.state import Status
from pycompose.events import Event, Phase
from pycompose.ipc.client import connect_or_start
from pycompose.ipc.requests import HoldRequest
from pycompose.policy.observed import ObservedContainer
from pycompose.state.snapshot import observe_containers, read_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import CpOptions

STREAM = "-"
_MAX_LINKS = 40
_PIECE = 1024 * 1024
_LINK_ITSELF = os.O_PATH | os.O_NOFOLLOW


def cp(context: Context, project_name: str, options: CpOptions) -> None:
    """Copy between the host and the containers of a service.

    Out of the lowest replica, into every one, unless `options.index` names one; `-` is a tar on standard input or
    output. Raises NoSuchContainer, PycomposeError naming container and path.
    """
    containers = targets(context, project_name, options)
    with contextlib.ExitStack() as stack:
        replay = None
        if options.to_container and options.local == STREAM and not options.dry_run:
            replay = stack.enter_context(_standard_input(again=len(containers) > 1))
        for container in containers:
            _one(context, container, options, replay)


def targets(context: Context, project_name: str, options: CpOptions) -> list[ObservedContainer]:
    """Return the containers to copy out of or into; raises NoSuchContainer."""
    found, _ = observe_containers(context.paths, project_name)
    chosen = [c for c in found if c.service == options.service and (options.all or not c.oneoff)]
    if options.container:
        chosen = [c for c in found if c.id == options.container]
    elif options.index:
        chosen = [c for c in chosen if c.number == options.index and not c.oneoff]
    if not chosen:
        which = f" (index {options.index})" if options.index else ""
        raise NoSuchContainer(
            f'no container found for service "{options.service}"{which}', hint="see `pycompose ps -a`"
        )
    chosen.sort(key=lambda c: (c.oneoff, c.number))
    return chosen if options.to_container else chosen[:1]


def exists(context: Context, container_id: str, path: str) -> bool:
    """Tell whether there is something at `path` in a container. Raises NoSuchContainer, EngineError."""
    container = read_container(context.paths, container_id)
    if container is None:
        raise NoSuchContainer(f"container {container_id[:12]}: is gone", hint="see `pycompose ps -a`")
    try:
        with (
            held_stopped(context, container) as now,
            view.whole(context.paths, now.config, now.state) as root,
        ):
            return look_inside(root, path) is not None
    except OSError as exc:
        raise EngineError(f"container {container.name}: look at {path}: {exc.strerror}") from exc


def _one(
    context: Context, container: ObservedContainer, options: CpOptions, replay: Callable[[], IO[bytes]] | None
) -> None:
    there = f"{container.name}:{options.path}"
    names = (options.local, there) if options.to_container else (there, options.local)
    subject = f"{container.name} copy {names[0]} to {names[1]}"
    context.sink(Event(subject=subject, text="Copying", phase=Phase.WORKING))
    left_out: list[bytes] = []
    if not options.dry_run:
        try:
            with (
                held_stopped(context, container) as now,
                view.whole(context.paths, now.config, now.state) as root,
            ):
                left_out = _put(root, options, replay) if options.to_container else _get(root, options)
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            if options.to_container and exc.errno == errno.EROFS:  # theirs, not one of our state directories
                hint = "copy to a volume or a tmpfs, or take `read_only` away"
                raise _failed(container, options, f"{where}read-only in the container", hint) from exc
            raise _failed(container, options, f"{where}{exc.strerror}") from exc
        except PycomposeError as exc:
            raise _failed(container, options, exc.message, exc.hint) from exc
    if left_out:
        text = ", ".join(os.fsdecode(name) for name in left_out[:3]) + (", …" if left_out[3:] else "")
        text = f"{container.name}: devices, sockets and the kernel's file systems are left out: {text}"
        context.sink(Event(subject="", text=text, phase=Phase.WARNING))
    context.sink(Event(subject=subject, text="Copied", phase=Phase.DONE))


@contextlib.contextmanager
def held_stopped(context: Context, container: ObservedContainer) -> Iterator[ObservedContainer]:
    """Yield the container as it is, and keep one that doesn't run from being started for the block.

    Two mounts of its overlay at the same time would be undefined (kernel: filesystems/overlayfs.rst). Raises
    NoSuchContainer, SupervisorError.
    """
    if container.state.status in (Status.RUNNING, Status.PAUSED):
        yield container
        return
    with connect_or_start(context.paths, container.config.project) as connection:
        connection.call(HoldRequest(), lambda _event: None)
        now = read_container(context.paths, container.id)
        if now is None:
            raise NoSuchContainer(f"container {container.name}: is gone", hint="see `pycompose ps -a`")
        yield now


def _failed(
    container: ObservedContainer, options: CpOptions, reason: str, hint: str | None = None
) -> PycomposeError:
    if options.to_container:
        what = f"copy {options.local} to {options.path}"
    else:
        what = f"copy {options.path} to {options.local}"
    return EngineError(f"container {container.name}: {what}: {reason}", hint=hint)


# ---------------------------------------------------------------------- names


@dataclass(slots=True)
class CopySource:
    """What is copied: an O_PATH descriptor of it, and the name it goes by (`.` for what is in a directory)."""

    fd: int
    name: str

    @property
    def is_directory(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(os.fstat(self.fd).st_mode)


def wants_directory(path: str) -> bool:
    """Tell whether a name can only be a directory's: it ends in a slash or a dot."""
    return path.endswith("/") or posixpath.basename(path) in (".", "..")


def clean(path: str) -> str:
    """Return a path of a container as absolute one, `..` taken by its letters."""
    return posixpath.normpath("/" + path.lstrip("/"))


def source_name(path: str) -> str:
    """Return the name that what is at `path` has when it is copied into a directory."""
    if posixpath.basename(path) == "." or path in ("", "/"):
        return "."
    return posixpath.basename(posixpath.normpath(path)) or "."


def _rename(source: CopySource, target: str, found: int | None) -> tuple[str, str]:
    """Return the directory to copy into and the new name, for a target whose mode is `found` (None: not there).

    docker/cli PrepareArchiveCopy. Raises PycomposeError.
    """
    resolved = target.rstrip("/") or "/"
    if found is not None and stat.S_ISDIR(found):
        return resolved, source.name
    if found is not None and not stat.S_ISREG(found):
        raise EngineError("the target has to be a directory or a regular file")
    if found is not None and source.is_directory:
        raise EngineError(
            "cannot copy a directory onto a file", hint="remove the file, or choose another name"
        )
    if not source.is_directory and wants_directory(target):
        raise EngineError("no such directory", hint="make it first, or leave the slash out")
    return posixpath.dirname(resolved), posixpath.basename(resolved)


def end_of_links(path: str, look: Callable[[str], tuple[int, str] | None]) -> tuple[str, int | None]:
    """Follow the links at `path` by their texts; return where they end, and the mode of what is there."""
    for _ in range(_MAX_LINKS):
        found = look(path)
        if found is None:
            return path, None
        mode, text = found
        if not stat.S_ISLNK(mode):
            return path, mode
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
    raise EngineError("too many symbolic links")


# ---------------------------------------------------------------------- out of a container


def _get(root: int, options: CpOptions) -> list[bytes]:
    source = source_inside(root, options.path, follow=options.follow_link)
    walker = transfer.Walker()
    try:
        if options.local == STREAM:
            _to_standard_output(walker, source)
            return walker.left_out
        directory, name = _target_outside(source, options.local)
        target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            extractor = transfer.Extractor(target, owners=options.archive)
            extractor.tree(walker.walk(source.fd, os.fsencode(name)))
        finally:
            os.close(target)
        return walker.left_out + extractor.left_out
    finally:
        os.close(source.fd)


def source_inside(root: int, path: str, *, follow: bool) -> CopySource:
    """Return what is at `path` in a container's root, to be closed by the caller. Raises EngineError."""
    absolute = clean(path)
    follow = follow or wants_directory(path)
    try:
        fd = fs.open_in_root(root, absolute, os.O_PATH if follow else _LINK_ITSELF)
    except (FileNotFoundError, NotADirectoryError):
        raise EngineError(f"could not find {absolute} in the container") from None
    try:
        if path.endswith(("/", "/.")) and not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise EngineError(f"{absolute} is not a directory")
        if transfer.is_pseudo(fd):
            raise EngineError(f"{absolute} is made up by the kernel and cannot be copied")
    except BaseException:
        os.close(fd)
        raise
    return CopySource(fd, source_name(path))


def _target_outside(source: CopySource, local: str) -> tuple[str, str]:
    """Return directory and name on the host, whose own links are followed."""

    def look(path: str) -> tuple[int, str] | None:
        try:
            mode = os.lstat(path).st_mode
            return mode, os.readlink(path) if stat.S_ISLNK(mode) else ""
        except FileNotFoundError:
            return None

    slash = "/" if wants_directory(local) else ""
    # A final slash would make lstat follow; the links are looked at one by one.
    path, mode = end_of_links(os.path.abspath(local), look)
    if slash and mode is not None and not stat.S_ISDIR(mode):
        raise EngineError(f"{local} is not a directory")
    directory, name = _rename(source, path + slash, mode)
    if not os.path.isdir(directory):
        raise EngineError(f'invalid output path: directory "{directory}" does not exist')
    return directory, name


def _to_standard_output(walker: transfer.Walker, source: CopySource) -> None:
    if sys.stdout.isatty():
        raise EngineError("standard output is a terminal", hint="redirect it, or name a file")
    out = StandardOutput()
    tar = TarWriter(out)
    transfer.write_tar(walker.walk(source.fd, os.fsencode(source.name)), tar)
    tar.close()
    out.flush()


# ---------------------------------------------------------------------- into a container


def _put(root: int, options: CpOptions, replay: Callable[[], IO[bytes]] | None) -> list[bytes]:
    target, mode = end_of_links(clean(options.path), lambda path: look_inside(root, path))
    if replay is not None:
        if mode is None or not stat.S_ISDIR(mode):
            raise EngineError(f"the target of a stream has to be a directory: {clean(options.path)}")
        extractor = into_root(root, target)
        file = replay()
        start = file.read(MAGIC_BYTES)
        extractor.tar(TarReader(pieces(JoinedInput(start, file), detect(start), Budget())))
        return extractor.left_out
    source = _source_outside(options.local, follow=options.follow_link)
    try:
        slash = "/" if wants_directory(options.path) and target != "/" else ""
        if slash and mode is not None and not stat.S_ISDIR(mode):
            raise EngineError(f"{clean(options.path)} is not a directory")
        directory, name = _rename(source, target + slash, mode)
        try:
            os.close(fs.open_in_root(root, directory, os.O_PATH | os.O_DIRECTORY))
        except (FileNotFoundError, NotADirectoryError):
            raise EngineError(f"could not find the directory {directory} in the container") from None
        walker = transfer.Walker()
        extractor = into_root(root, directory)
        extractor.tree(walker.walk(source.fd, os.fsencode(name)))
        return walker.left_out + extractor.left_out
    finally:
        os.close(source.fd)


def into_root(root: int, directory: str) -> transfer.Extractor:
    """Return what unpacks into a directory of a container, with owners and devices."""
    return transfer.Extractor(root, directory, resolve=transfer.IN_ROOT, owners=True, special=True)


def look_inside(root: int, path: str) -> tuple[int, str] | None:
    """Return mode and target of what is at `path` in a container's root, None where nothing is."""
    try:
        fd = fs.open_in_root(root, path, _LINK_ITSELF)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        mode = os.fstat(fd).st_mode
        return mode, os.readlink("", dir_fd=fd) if stat.S_ISLNK(mode) else ""
    finally:
        os.close(fd)


def _source_outside(local: str, *, follow: bool) -> CopySource:
    follow = follow or wants_directory(local)
    try:
        fd = os.open(local, (os.O_PATH if follow else _LINK_ITSELF) | os.O_CLOEXEC)
    except OSError as exc:
        raise EngineError(f"{local}: {exc.strerror}") from exc
    name = source_name(local)
    return CopySource(fd, os.path.basename(os.path.abspath(local)) or "." if name == ".." else name)


@contextlib.contextmanager
def _standard_input(*, again: bool) -> Iterator[Callable[[], IO[bytes]]]:
    """Yield what gives standard input from its beginning; `again` says that it is asked several times."""
    if sys.stdin.isatty():
        raise PycomposeError("standard input: it is a terminal", hint="pipe an archive in")
    if not again:
        yield lambda: sys.stdin.buffer
        return
    with tempfile.TemporaryFile() as file:
        while piece := sys.stdin.buffer.read(_PIECE):
            file.write(piece)

        def rewound() -> IO[bytes]:
            file.seek(0)
            return file

        yield rewound


class JoinedInput:
    """A file of which the first bytes have been read already."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start = start
        self._file = file

    def read(self, size: int = _PIECE, /) -> bytes:
        """Return up to `size` bytes, the first ones first."""
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        return self._file.read(size)
