"""What wakes the watcher: watchfiles on a list of directories, and what it is silent about.

Its events say where to look and nothing else; the manifest is the truth. What was found out about it (1.3): an event of
a directory doesn't tell of what was put into it before its watch was there; overflows of the kernel's queue and
exhausted limits are passed over in silence; a name that isn't UTF-8 ends it; waiting, it looks after itself by the
clock, and throws away what it hears at the moment that it stops. So directories are watched one by one, watches are
counted, whatever is odd asks for a scan, and the waiting is ours: the kernel signals that a descriptor has something
to read (fcntl(2), O_ASYNC).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import sys
import tempfile
import threading
import time
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pycompose.watch.deep import PATH_MAX

if TYPE_CHECKING:
    from collections.abc import Collection

    from watchfiles._rust_notify import RustNotify

# A batch ends after one silent step, or after the debounce: the delay of a save, against waking up for half of one.
STEP_S = 0.002
DEBOUNCE_S = 0.05
# More signals than one save brings: waking up for each would take from whoever copies what came before.
FEW = 8
# How often everything is compared, though nothing was heard of; and what can't be watched.
IDLE_S = 60.0
POLL_S = 1.0
# How long it has to be quiet until everything is compared once: events of directories that move get lost.
SETTLE_S = 1.0
# watchfiles.Change.modified; what has been added or deleted is another file.
MODIFIED = 2
WATCHES = "fs.inotify.max_user_watches"
INSTANCES = "fs.inotify.max_user_instances"
# Pending for one thread, and blocked in it: it is only ever waited for.
_HEARD = frozenset({signal.SIGIO})
# fcntl.h: struct f_owner_ex, whose type is that of a thread.
_F_SETOWN_EX, _F_OWNER_TID = 15, 0


class Listener(Protocol):
    """Who is told; every call comes from the thread of `Wakeup`."""

    def touched(self, paths: Collection[str], replaced: Collection[str]) -> None:
        """Look at `paths`: something has happened there. Those of them that are `replaced` have come or gone."""

    def recheck(self, directories: Collection[str] | None) -> None:
        """Compare what is in `directories` with what you know; None is everything."""

    def degraded(self, text: str, hint: str) -> None:
        """Take note that a limit keeps directories from being watched."""

    def failed(self, failure: Exception) -> None:
        """Take note that nothing is watched any more."""


class _Glance:
    """The event that would stop watchfiles, which asks it before each look: two looks are what it takes.

    An exception leaves what has been heard where it is. A timeout and an event that is set throw it away.
    """

    def __init__(self) -> None:
        self._looks = 0

    def is_set(self) -> bool:
        """Return False twice."""
        self._looks += 1
        if self._looks > 2:
            raise TimeoutError
        return False


class Wakeup:
    """One thread that waits for events in the directories of the last `watch`."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._wanted: frozenset[str] = frozenset()
        self._changed = False
        self._closed = False
        self._over = False
        self._anew = False
        self._watched: frozenset[str] = frozenset()
        self._polled: tuple[str, ...] = ()
        self._told = False
        self.settle_s = SETTLE_S
        # Something has been heard of since everything was compared; when that is to be done.
        self._restless = False
        self._due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="wakeup", daemon=True)

    def start(self, directories: Collection[str]) -> None:
        """Begin to watch; the directories are rechecked when their watches are there."""
        self._wanted = frozenset(directories)
        # A thread begins with the mask of the one that starts it. Others' signals are none of its business: Ctrl+C is
        # for the main thread, and would not wake that if it were handled here.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def watch(self, directories: Collection[str], *, anew: bool = False) -> None:
        """Watch these from now on; those that are new are rechecked once their watches are there.

        With `anew` all count as new: directories may be others than they were, and events may have been lost.
        """
        wanted = frozenset(directories)
        with self._lock:
            self._anew = self._anew or anew
            # The watch of a directory that has gone is gone, too; one that comes back needs another.
            self._watched &= wanted
            if self._anew or wanted != self._wanted:
                self._wanted = wanted
                self._wake()

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closed = True
            self._wake()
        if self._thread.ident is not None:
            self._thread.join()

    def _wake(self) -> None:
        """Have the thread look up. Call with the lock."""
        self._changed = True
        if self._thread.ident is not None and not self._over:
            signal.pthread_kill(self._thread.ident, signal.SIGIO)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            self._watch_all()
        except Exception as exc:  # noqa: BLE001 - its owner says so
            self._listener.failed(exc)
        finally:
            with self._lock:
                self._over = True

    def _watch_all(self) -> None:
        notify: RustNotify | None = None
        while not self._closed:
            with self._lock:
                self._changed = self._closed
                wanted, anew, self._anew = self._wanted, self._anew, False
                new = wanted if anew or notify is None else wanted - self._watched
                self._watched = wanted
            if notify is None or new:
                old, notify = notify, self._make(wanted)
                if old is not None:
                    self._drain(old)
                # What happened meanwhile may be in neither one's queue.
                self._compare(None)
            if not self._wait(notify):
                notify = None
        if notify is not None:
            notify.close()

    def _wait(self, notify: RustNotify | None) -> bool:
        """Hand on events until another set of directories is wanted; False when a new watcher is needed."""
        pause_s = STEP_S
        while not self._changed:
            if (left_s := self._due_s - time.monotonic()) <= 0:
                self._compare(None if self._restless else self._polled or None)
                continue
            if _signalled(min(pause_s, left_s)):
                _await_silence()
                pause_s = STEP_S
            else:
                # The library's own thread reads the descriptor, and may be waiting for the processor.
                pause_s = min(2 * pause_s, IDLE_S)
            if notify is None:
                continue
            try:
                self._tell_touched(_take(notify))
            except RuntimeError:
                # A name that isn't UTF-8, or whatever else it doesn't survive.
                notify.close()
                self._compare(None)
                return False
        return True

    def _compare(self, directories: Collection[str] | None) -> None:
        """Have these compared, everything for None, and again in a while."""
        self._listener.recheck(directories)
        self._restless = False
        self._due_s = time.monotonic() + (POLL_S if self._polled else IDLE_S)

    def _drain(self, old: RustNotify) -> None:
        """Hand on what an old watcher has heard until now."""
        with contextlib.suppress(RuntimeError):  # everything is compared anyway
            self._tell_touched(_take(old))
        old.close()

    def _tell_touched(self, found: set[tuple[int, str]]) -> None:
        if found:
            self._listener.touched(
                {path for _, path in found}, {path for kind, path in found if kind != MODIFIED}
            )
            self._restless = True
            self._due_s = time.monotonic() + (POLL_S if self._polled else self.settle_s)

    def _make(self, wanted: frozenset[str]) -> RustNotify | None:
        """Return a watcher of as many directories as the limits allow, near the roots first; the rest is polled."""
        library = _library()
        directories = sorted((path for path in wanted if _speakable(path)), key=lambda path: path.count("/"))
        unspeakable = tuple(path for path in wanted if not _speakable(path))
        before = _inotify()
        notify: RustNotify | None = None
        for _ in range(5):
            directories = [path for path in directories if os.path.isdir(path)]
            try:
                notify = library.RustNotify(directories, False, False, 0, False, True)
                break
            except FileNotFoundError:
                continue  # one has just gone
            except (OSError, RuntimeError):
                break
        if notify is None:
            self._polled = tuple(wanted)
            self._tell(INSTANCES, "128", len(wanted), len(wanted))
            return None
        descriptors = _inotify() - before
        for fd in descriptors:
            _signal_when_readable(int(fd))
        there = sum(map(_watches, descriptors))
        missing = 0 if there >= len(directories) or not _exhausted() else len(directories) - there
        self._polled = (*directories[len(directories) - missing :], *unspeakable)
        if missing:
            self._tell(WATCHES, "65536", len(directories), missing)
        return notify

    def _tell(self, name: str, usual: str, needed: int, missing: int) -> None:
        if self._told:
            return
        self._told = True
        try:
            limit = Path("/proc/sys", name.replace(".", "/")).read_text(encoding="ascii").strip()
        except OSError:
            limit = usual
        advice = max(524_288, 2 * needed) if name == WATCHES else 1024
        self._listener.degraded(
            f"{name} = {limit} is used up: {needed} directories are to be watched, {missing} of them are "
            f"looked at every {POLL_S:.0f} s instead",
            f"sysctl -w {name}={advice}",
        )


def _library() -> Any:
    """Return watchfiles' own module, without its package: that brings anyio, multiprocessing and more, 2 MB."""
    name = "watchfiles._rust_notify"
    if name not in sys.modules:
        package = PathFinder.find_spec("watchfiles")
        spec = PathFinder.find_spec(name, package.submodule_search_locations) if package is not None else None
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _exhausted() -> bool:
    """Tell whether the user has no watch left; one that is missing may as well be of a directory that has gone."""
    with tempfile.TemporaryDirectory() as place:
        try:
            _library().RustNotify([place], False, False, 0, False, False).close()
        except (OSError, RuntimeError):
            return True
    return False


def _speakable(path: str) -> bool:
    """Tell whether watchfiles can be told the name, and the kernel: UTF-8, and not too long."""
    try:
        return len(path.encode()) < PATH_MAX
    except UnicodeEncodeError:
        return False


def _signal_when_readable(fd: int) -> None:
    """Have the kernel send the calling thread SIGIO when there is something to read."""
    fcntl.fcntl(fd, _F_SETOWN_EX, struct.pack("ii", _F_OWNER_TID, threading.get_native_id()))
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)


def _signalled(seconds: float) -> bool:
    return signal.sigtimedwait(_HEARD, seconds) is not None


def _await_silence() -> None:
    """Wait until nothing more is heard for a step, though not for ever."""
    end_s = time.monotonic() + DEBOUNCE_S
    heard = 0
    while _signalled(STEP_S) and time.monotonic() < end_s:
        heard += 1
        if heard > FEW:
            time.sleep(STEP_S)


def _take(notify: RustNotify) -> set[tuple[int, str]]:
    """Return what watchfiles has heard until now. Raises RuntimeError when it can't go on."""
    try:
        found = notify.watch(0, 0, 0, _Glance())
    except TimeoutError:
        return set()
    assert isinstance(found, set)  # noqa: S101 - nothing else ends it
    return found


def _inotify() -> set[str]:
    """Return our descriptors of inotify instances."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify":
                found.add(fd)
    return found


def _watches(fd: str) -> int:
    """Return how many watches an instance has (proc(5), fdinfo)."""
    try:
        return Path(f"/proc/self/fdinfo/{fd}").read_bytes().count(b"inotify wd")
    except OSError:
        return 0
