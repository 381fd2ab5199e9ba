"""Files into the root of a container, from outside: nothing in the image is needed, no program, no right.

Every path is resolved by the kernel inside the container's root (openat2, RESOLVE_IN_ROOT): a link to /etc in there is
the container's /etc. A file is written beside its place and moved over it, so that readers see the old one or the
new one; programs that watch it see it as they see an editor's save.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Self

from pycompose.engine.linux import fs
from pycompose.watch import content, deep
from pycompose.watch.content import READ
from pycompose.watch.displaced import NOTHING, Displaced
from pycompose.watch.manifest import TICK_NS
from pycompose.watch.matching import SCRATCH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.watch.manifest import FileEntry

Owner = tuple[int, int]

# No setuid and setgid: the owner inside is another one than outside.
MODE = 0o1777
# What one file meets and all others of the same size or more would, too.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
# What is larger isn't compared unless its time stamp says so: that would hold up the others.
MOST_COMPARED = 64 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class ContainerTree:
    """The files behind `root`, an O_PATH descriptor that stays its giver's. A context manager."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._cached: tuple[str, int] | None = None
        # Who owns the directory that is cached.
        self._owner: Owner | None = None
        # File system → why it takes nothing any more, of this size or more.
        self._full: dict[int, tuple[int, int]] = {}
        self._displaced = Displaced()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the last directory, and of what has been replaced."""
        self._close()
        self._displaced.let_go()

    def put(  # noqa: PLR0913 - what is known of both sides
        self,
        target: str,
        source: str,
        entry: FileEntry,
        owner: Owner | None,
        *,
        known: bool,
        made: bool = False,
        anew: bool = False,
    ) -> bool:
        """Make `target` what `source` is; return whether anything had to be done. Raises OSError, Changing.

        With `known` a file of the same size is taken for another one unless its time stamp is the same, too; without,
        its content is compared, as it is where only stamps say that nothing has changed. `owner` None is the owner of
        the directory it is in. A directory that is there already keeps its mode unless we have `made` it. With `anew` a
        file is copied whatever it looks like.
        """
        directory, name = os.path.split(target)
        parent = self._parent(directory, owner)
        there = _status(name, parent)
        ids = owner or self._owned(parent)
        try:
            if entry.directory:
                return self._directory(parent, name, entry, ids, there, made=made)
            if stat.S_ISLNK(entry.mode):
                return self._link(parent, name, source, ids, there)
            return self._regular(parent, name, source, entry, ids, there, known=known, anew=anew)
        except OSError as exc:
            if exc.errno in FULL:
                size = 0 if exc.errno == errno.EROFS else entry.size
                self._full[os.fstat(parent).st_dev] = exc.errno, size
            raise

    def _expect_room(self, parent: int, size: int) -> None:
        """Raise OSError where something as large as that has found no place already."""
        if self._full:
            number, least = self._full.get(os.fstat(parent).st_dev, (0, 0))
            if number and size >= least:
                raise OSError(number, os.strerror(number))

    def _regular(  # noqa: PLR0913 - as _file
        self,
        parent: int,
        name: str,
        source: str,
        entry: FileEntry,
        ids: Owner,
        there: os.stat_result | None,
        *,
        known: bool,
        anew: bool,
    ) -> bool:
        reading = _open_source(source)
        try:
            return self._file(parent, name, reading, entry, ids, there, known=known, anew=anew)
        finally:
            os.close(reading)

    def outdated(self, target: str, source: str, entry: FileEntry) -> bool:
        """Tell whether a file that has been put for `entry` isn't `source` any more, though that looks the same.

        Two writes within one tick of the clock do. A file that the container has changed since is the container's.
        """
        if not stat.S_ISREG(entry.mode):
            return False
        directory, name = os.path.split(target)
        try:
            parent = self._open(directory)
        except (FileNotFoundError, NotADirectoryError):
            return False
        there = _status(name, parent)
        if there is None or not stat.S_ISREG(there.st_mode):
            return False
        if (there.st_size, there.st_mtime_ns) != (entry.size, entry.mtime_ns):
            return False
        reading = _open_source(source)
        try:
            return not self._same(parent, name, reading)
        finally:
            os.close(reading)

    def put_open(self, target: str, reading: int, entry: FileEntry) -> None:
        """Make `target` the regular file that `reading` is open on, owned as its directory is. Raises as `put`."""
        directory, name = os.path.split(target)
        parent = self._parent(directory, None)
        self._file(parent, name, reading, entry, _owner(parent), _status(name, parent), known=True)

    def remove(self, target: str) -> bool:
        """Take away what we have put at `target`; a directory only if nothing is left in it. Raises OSError."""
        directory, name = os.path.split(target)
        try:
            parent = self._open(directory)
        except (FileNotFoundError, NotADirectoryError):
            return False
        there = _status(name, parent)
        if there is None or (held := _hold(parent, name)) is None:
            return False
        self._displaced.hold(held)
        if not stat.S_ISDIR(there.st_mode):
            os.unlink(name, dir_fd=parent)
            return True
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                raise
            return False
        return True

    # ------------------------------------------------------------------ one kind after the other

    def _directory(
        self,
        parent: int,
        name: str,
        entry: FileEntry,
        ids: Owner,
        there: os.stat_result | None,
        *,
        made: bool,
    ) -> bool:
        mode = stat.S_IMODE(entry.mode) & MODE
        if there is not None and stat.S_ISDIR(there.st_mode):
            if not made or stat.S_IMODE(there.st_mode) & MODE == mode:
                return False
            with _opened(name, parent) as fd:
                os.fchmod(fd, mode)
            return True
        self._expect_room(parent, 0)
        if there is not None:
            if _mounted(parent, name):
                raise OSError(errno.EBUSY, "something is mounted there")
            os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
        with _opened(name, parent) as fd:
            os.fchown(fd, *ids)
            os.fchmod(fd, mode)
        return True

    def _link(self, parent: int, name: str, source: str, ids: Owner, there: os.stat_result | None) -> bool:
        text = deep.reached(os.readlink, source)
        if there is not None and stat.S_ISLNK(there.st_mode) and os.readlink(name, dir_fd=parent) == text:
            return False
        self._expect_room(parent, 0)
        self._make_room(parent, name, there)
        if there is not None and _mounted(parent, name):
            raise OSError(errno.EBUSY, "something is mounted there")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SCRATCH, dir_fd=parent)
        os.symlink(text, SCRATCH, dir_fd=parent)
        os.chown(SCRATCH, *ids, dir_fd=parent, follow_symlinks=False)
        os.rename(SCRATCH, name, src_dir_fd=parent, dst_dir_fd=parent)
        return True

    def _file(  # noqa: PLR0913 - what the caller has found out already
        self,
        parent: int,
        name: str,
        reading: int,
        entry: FileEntry,
        ids: Owner,
        there: os.stat_result | None,
        *,
        known: bool,
        anew: bool = False,
    ) -> bool:
        content.check_unchanged(reading, entry)
        mode = stat.S_IMODE(entry.mode) & MODE
        if not anew and there is not None and stat.S_ISREG(there.st_mode) and there.st_size == entry.size:
            timed = there.st_mtime_ns == entry.mtime_ns
            # Time stamps can be set, and a directory may have taken another's place: the content decides.
            later = there.st_ctime_ns > entry.ctime_ns + TICK_NS and entry.size > MOST_COMPARED
            if (timed and later) or ((timed or not known) and self._same(parent, name, reading)):
                return _chmod(parent, name, there, mode)
        self._expect_room(parent, entry.size)
        self._make_room(parent, name, there)
        writing = os.open(SCRATCH, _CREATE, 0o600, dir_fd=parent)
        try:
            content.check_space(reading, writing, entry.size)
            content.copy(reading, writing, entry.size, partial(content.check_unchanged, reading, entry))
            os.fchown(writing, *ids)
            os.fchmod(writing, mode)
            os.utime(writing, ns=(entry.mtime_ns, entry.mtime_ns))
            content.check_unchanged(reading, entry)
        except BaseException:
            os.unlink(SCRATCH, dir_fd=parent)
            raise
        finally:
            os.close(writing)
        self._move(parent, name, entry, there)
        return True

    def _move(self, parent: int, name: str, entry: FileEntry, there: os.stat_result | None) -> None:
        """Move the finished file to its place; into it, where something is mounted on it."""
        held = _hold(parent, name) if there is not None else NOTHING
        if held is None:
            self._fill(parent, name, entry)
            return
        try:
            os.rename(SCRATCH, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            os.unlink(SCRATCH, dir_fd=parent)
            raise
        finally:
            self._displaced.hold(held)

    @staticmethod
    def _fill(parent: int, name: str, entry: FileEntry) -> None:
        """Write the finished file into the one that is mounted at its place."""
        reading = os.open(SCRATCH, READ, dir_fd=parent)
        os.unlink(SCRATCH, dir_fd=parent)
        try:
            writing = os.open(name, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                content.copy(reading, writing, entry.size)
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    @staticmethod
    def _make_room(parent: int, name: str, there: os.stat_result | None) -> None:
        """Take an empty directory away from where something else goes. Raises OSError for one that isn't empty."""
        if there is not None and stat.S_ISDIR(there.st_mode):
            if _mounted(parent, name):
                raise OSError(errno.EBUSY, "something is mounted there")
            os.rmdir(name, dir_fd=parent)

    @staticmethod
    def _same(parent: int, name: str, reading: int) -> bool:
        """Tell whether the file `name` holds what `reading` does."""
        theirs = os.open(name, READ, dir_fd=parent)
        try:
            return content.same(reading, theirs)
        finally:
            os.close(theirs)

    # ------------------------------------------------------------------ directories

    def _parent(self, path: str, owner: Owner | None) -> int:
        """Return a descriptor of directory `path`, made where it is missing; valid until the next call."""
        try:
            return self._open(path)
        except FileNotFoundError:
            pass
        above, name = os.path.split(path)
        parent = self._parent(above, owner)
        os.mkdir(name, 0o755, dir_fd=parent)
        ids = owner or _owner(parent)
        os.chown(name, *ids, dir_fd=parent, follow_symlinks=False)
        return self._open(path)

    def _open(self, path: str) -> int:
        if self._cached is not None:
            if self._cached[0] == path:
                return self._cached[1]
            self._close()
        fd = deep.open_in_root(self._root, path, _DIRECTORY)
        self._cached = (path, fd)
        # What we were writing when somebody killed us.
        with contextlib.suppress(OSError):
            os.unlink(SCRATCH, dir_fd=fd)
        return fd

    def _owned(self, parent: int) -> Owner:
        """Return the owner of the directory that is cached, which is asked for once."""
        if self._owner is None:
            self._owner = _owner(parent)
        return self._owner

    def _close(self) -> None:
        if self._cached is not None:
            os.close(self._cached[1])
            self._cached = self._owner = None


def _open_source(path: str) -> int:
    return deep.reached(lambda name: os.open(name, READ), path)


def _status(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _hold(parent: int, name: str) -> int | None:
    """Return a descriptor of what is there or NOTHING, None where something is mounted on it. Raises OSError.

    For us, who are in another mount namespace, the kernel would take the mount away and do what we ask (rename(2) has
    EBUSY for the caller's own mounts only).
    """
    try:
        return fs.openat2(parent, name, os.O_PATH | os.O_NOFOLLOW, resolve=fs.RESOLVE_NO_XDEV)
    except FileNotFoundError:
        return NOTHING
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
    return None


def _mounted(parent: int, name: str) -> bool:
    held = _hold(parent, name)
    if held is None:
        return True
    if held != NOTHING:
        os.close(held)
    return False


@contextlib.contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    """Open a directory, never by way of a link."""
    fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _owner(fd: int) -> Owner:
    status = os.fstat(fd)
    return status.st_uid, status.st_gid


def _chmod(parent: int, name: str, there: os.stat_result, mode: int) -> bool:
    if stat.S_IMODE(there.st_mode) & MODE == mode:
        return False
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if stat.S_ISREG(
            os.fstat(fd).st_mode
        ):  # chmod(2) follows a link that somebody may have put there since
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)
    return True
