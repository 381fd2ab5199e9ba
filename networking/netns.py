"""Network namespaces: made, pinned by a bind mount, entered.

setns(2) and unshare(2) with CLONE_NEWNET act on the calling thread only, so each entry happens on a thread
of its own that ends with it: no pool thread ever comes back in a foreign namespace. A socket stays in the
namespace it was created in, and /proc/sys/net shows the namespace of the thread that opens it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from pycompose.engine.errors import NetworkError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

T = TypeVar("T")


class _NamespaceThread(threading.Thread, Generic[T]):
    """One call on a fresh thread; `result` is raised or returned by whoever joins it."""

    def __init__(self, action: Callable[[], T]) -> None:
        super().__init__(name="netns", daemon=True)
        self._action = action
        self._value: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value.append(self._action())
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that waits
            self._error = exc

    def finish(self) -> T:
        """Run the action and return what it returns, or raise what it raises."""
        self.start()
        self.join()
        if self._error is not None:
            raise self._error
        return self._value[0]


def is_pinned(pin: Path) -> bool:
    """Tell whether a namespace is mounted on `pin`."""
    return os.path.ismount(pin)


def create(pin: Path, setup: Callable[[], T]) -> T:
    """Make a namespace, pin it at `pin`, run `setup` inside and return its result.

    Raises NetworkError; then nothing stays pinned.
    """

    def inside() -> T:
        _call("unshare", CLONE_NEWNET)
        _call("mount", "/proc/thread-self/ns/net", str(pin), None, MS_BIND, None, path=str(pin))
        return setup()

    make_directory(pin.parent)
    try:
        os.close(os.open(pin, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        return _NamespaceThread(inside).finish()
    except OSError as exc:
        remove(pin)
        raise NetworkError(f"network namespace {pin}: create: {os.strerror(exc.errno or 0)}") from exc


def enter(pin: Path | int, action: Callable[[], T]) -> T:
    """Run `action` inside the namespace pinned at `pin` (or that a descriptor refers to); return its result.

    Raises NetworkError when the namespace can't be entered, and whatever `action` raises.
    """

    def inside() -> T:
        try:
            if isinstance(pin, int):
                _call("setns", pin, CLONE_NEWNET)
            else:
                fd = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    _call("setns", fd, CLONE_NEWNET)
                finally:
                    os.close(fd)
        except OSError as exc:
            raise NetworkError(f"network namespace {pin}: enter: {os.strerror(exc.errno or 0)}") from exc
        return action()

    return _NamespaceThread(inside).finish()


def remove(pin: Path) -> None:
    """Unpin the namespace; it goes when its last process and socket go. No error when it isn't there."""
    while True:
        try:
            _call("umount2", str(pin), MNT_DETACH | UMOUNT_NOFOLLOW, path=str(pin))
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOENT):  # not mounted (any more)
                break
            raise NetworkError(f"network namespace {pin}: unpin: {os.strerror(exc.errno or 0)}") from exc
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pin)


def _call(name: str, *arguments: object, path: str | None = None) -> None:
    """Make a system call that Python lacks; raises OSError."""
    from pycompose.engine.linux import libc  # noqa: PLC0415 - ctypes: 4 ms that networks without containers need not pay

    libc.call(name, *arguments, path=path)


def write_sysctls(values: Mapping[str, str], *, required: bool = False) -> None:
    """Write values below /proc/sys/net of the calling thread's namespace; keys like "ipv4/ip_forward".

    A key that the kernel doesn't have is skipped unless it is `required`: it was built without the protocol. Raises
    OSError.
    """
    for key, value in values.items():
        try:
            fd = os.open(f"/proc/sys/net/{key}", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if required:
                raise
            continue
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


def read_sysctl(key: str) -> str:
    """Return a value below /proc/sys/net of the thread's namespace, "" when there is no such key."""
    try:
        with open(f"/proc/sys/net/{key}", encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
