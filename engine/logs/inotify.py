"""Directories watched for whoever has to look at them again: one inotify(7) instance for all of a process.

A user has few instances (128 by default, root's containers included), and many watches. A thread reads the instance,
and wakes by an eventfd(2) each who watches the directory that has changed; it is there while something is watched.

What is of one `_Instance`, its watches included, is changed with `_lock` held.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import struct
import threading
import time
from typing import TYPE_CHECKING, Protocol

from pycompose.engine.linux.libc import call

if TYPE_CHECKING:
    from pathlib import Path

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
_MASK = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name
# What comes at once after something is told together, later and later while it goes on.
_FIRST_PAUSE_MS, _LAST_PAUSE_MS = 1, 16
_LOOK_NS = 100_000_000
# timerfd_settime(2): interval and first time, seconds and nanoseconds each.
_ITIMERSPEC = struct.Struct("@4l")


class DirectoryWatch(Protocol):
    """Tells when a directory may have changed, and when it is no more."""

    gone: bool

    def fileno(self) -> int:
        """Return the descriptor that is readable when something may have changed since the last `drain`."""

    def drain(self) -> None:
        """Take note of what has been told; look at the directory afterwards."""

    def close(self) -> None:
        """Watch no more."""


def watch_directory(directory: Path) -> DirectoryWatch:
    """Watch a directory, by the clock (ten times a second) when the user has no instances, watches or threads left.

    Raises OSError, where there is no such directory, too.
    """
    try:
        return _watch(directory)
    except OSError as exc:
        if exc.errno not in (errno.EMFILE, errno.ENOSPC):  # max_user_instances, max_user_watches
            raise
    except RuntimeError:  # threading's word for RLIMIT_NPROC or pids.max
        pass
    return _TimedWatch(directory)


class _SharedWatch:
    """One of those who watch a directory; `over` is what `gone` will be after the next `drain`."""

    def __init__(self, instance: _Instance, directory: Path) -> None:
        self.gone = self.over = False
        self.directory = directory
        self.identity = (0, 0)
        self.number = -1
        self._instance = instance
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._wakeup

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wakeup)
        # Not before: what was in the directory until its end is to be looked at after it is known.
        self.gone = self.over

    def wake(self) -> None:
        """Make the descriptor readable. Call with the lock."""
        if self._wakeup >= 0:
            os.eventfd_write(self._wakeup, 1)

    def close(self) -> None:
        if self._wakeup < 0:
            return
        ended = _forget(self._instance, self)
        wakeup, self._wakeup = self._wakeup, -1
        os.close(wakeup)
        # The collector may find a forgotten one in any thread.
        if ended is not None and ended is not threading.current_thread():
            ended.join()


class _TimedWatch:
    """A directory that is looked at by the clock."""

    def __init__(self, directory: Path) -> None:
        self.gone = False
        self._directory = directory
        self._timer = call("timerfd_create", time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            call("timerfd_settime", self._timer, 0, _ITIMERSPEC.pack(0, _LOOK_NS, 0, _LOOK_NS), 0)
            self._identity = _identity(directory)
        except BaseException:
            os.close(self._timer)
            raise

    def fileno(self) -> int:
        return self._timer

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer, 8)
            self.gone = self.gone or not _is_there(self._directory, self._identity)

    def close(self) -> None:
        if self._timer >= 0:
            os.close(self._timer)
            self._timer = -1


class _Instance:
    """An inotify instance, who watches what in it, and the thread that reads it."""

    def __init__(self) -> None:
        """Make one, without its thread; raises OSError."""
        self.watches: dict[int, set[_SharedWatch]] = {}
        self.count = 0
        self.fd = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except BaseException:
            os.close(self.fd)
            raise
        self.thread = threading.Thread(target=self._run, name="inotify", daemon=True)

    def start(self) -> None:
        """Start the thread, with every signal blocked: they are for the threads that wait for them."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.fd)
        os.close(self.stop)

    def _run(self) -> None:
        both, stop = select.poll(), select.poll()
        both.register(self.fd, select.POLLIN)
        both.register(self.stop, select.POLLIN)
        stop.register(self.stop, select.POLLIN)
        pause_ms = _FIRST_PAUSE_MS
        while self.stop not in dict(both.poll()):
            with _lock:
                self._tell()
            stop.poll(pause_ms)
            again = bool(both.poll(0))
            pause_ms = min(2 * pause_ms, _LAST_PAUSE_MS) if again else _FIRST_PAUSE_MS
        self.close()

    def _tell(self) -> None:
        """Wake who watches what has changed. Call with the lock."""
        changed: set[_SharedWatch] = set()
        try:
            events = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            number, mask, _cookie, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if mask & IN_Q_OVERFLOW:
                changed |= self._look()
            watching = self.watches.get(number, ())
            changed.update(watching)
            if mask & (IN_DELETE_SELF | IN_IGNORED):
                for one in watching:
                    one.over = True
                self.watches.pop(number, None)
        for one in changed:
            one.wake()

    def _look(self) -> set[_SharedWatch]:
        """Look whether the directories are still there, when events were lost; return all who watch."""
        found = set[_SharedWatch]().union(*self.watches.values())
        for one in found:
            one.over = not _is_there(one.directory, one.identity)
        return found


# RLock: whoever has it may run the collector, which closes what a forgotten generator had opened.
_lock = threading.RLock()
_shared: _Instance | None = None


def _watch(directory: Path) -> _SharedWatch:
    """Watch a directory by the process' instance, made if there is none; raises OSError."""
    global _shared
    with _lock:
        instance = _shared or _Instance()
        # Counted first, so that it stays if the last other one goes meanwhile.
        instance.count += 1
        try:
            if _shared is None:
                instance.start()
                _shared = instance
            watch = _SharedWatch(instance, directory)
        except BaseException:
            _uncount(instance)
            raise
        try:
            # By number, not by path: a directory that goes and comes again is another one.
            watch.number = call("inotify_add_watch", instance.fd, os.fsencode(directory), _MASK)
            instance.watches.setdefault(watch.number, set()).add(watch)
            watch.identity = _identity(directory)
        except BaseException:
            watch.close()
            raise
        return watch


def _forget(instance: _Instance, watch: _SharedWatch) -> threading.Thread | None:
    """Take one out of its instance; return the thread that is ending if it was the last one."""
    with _lock:
        if instance is not _shared:
            return None  # we are a fork
        watching = instance.watches.get(watch.number)
        if watching is not None and watch in watching:
            watching.discard(watch)
            if not watching:
                del instance.watches[watch.number]
                with contextlib.suppress(OSError):  # it has just gone
                    call("inotify_rm_watch", instance.fd, watch.number)
        return _uncount(instance)


def _uncount(instance: _Instance) -> threading.Thread | None:
    """Have an instance end that nobody uses any more; return the thread that is ending. Call with the lock."""
    global _shared
    instance.count -= 1
    if instance.count:
        return None
    if instance is not _shared:
        instance.close()
        return None
    _shared = None
    os.eventfd_write(instance.stop, 1)
    return instance.thread


def _identity(directory: Path) -> tuple[int, int]:
    status = os.stat(directory)
    return status.st_dev, status.st_ino


def _is_there(directory: Path, identity: tuple[int, int]) -> bool:
    try:
        return _identity(directory) == identity
    except OSError:
        return False


def _forked() -> None:
    """Have a fork begin with nothing: it has no thread, and events that it took would be missing elsewhere."""
    global _lock, _shared
    _lock = threading.RLock()
    if _shared is not None:
        _shared.close()
        _shared = None


os.register_at_fork(after_in_child=_forked)
