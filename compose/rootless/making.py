"""Making a private host: namespaces that stay as long as somebody is in them, or has them open.

the process outside (host.py)            a child
                                         unshare the user namespace
                                    <--  b"u"
write the maps                      -->  b"m"
                                         mounts, network, what an earlier host has left
                                    <--  b"r", or the errno and what failed
open the namespaces                 -->  end of the connection: it ends
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket
import struct
from typing import TYPE_CHECKING, NoReturn

from pycompose.engine.errors import NamespaceError, doctor_row
from pycompose.engine.linux import mounts, namespaces, process
from pycompose.engine.linux.libc import call
from pycompose.engine.statedirs import IN_RUN
from pycompose.rootless import maps
from pycompose.rootless.places import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESOLVER = "/etc/resolv.conf"
_MS_BIND = 0x1000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def make(run: str, ranges: maps.Ranges, resolver: str = "") -> list[int]:
    """Make a host and return descriptors of its namespaces, in the order of KINDS.

    What an earlier one has left in `run` is removed, as by a reboot. `resolver` is a file that takes the place of
    /etc/resolv.conf there. Raises NamespaceError, and PycomposeError when ids can't be mapped.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if not pid:
        ours.close()
        _live(theirs, run, resolver, os.getppid())
    theirs.close()
    try:
        with ours:
            _expect(ours, b"u")
            maps.write(pid, ranges)
            ours.send(b"m")
            _expect(ours, b"r")
            return [namespaces.open_namespace(pid, kind) for kind in KINDS]
    except OSError as exc:
        raise NamespaceError(
            f"private host: cannot make: {exc.strerror}", hint=doctor_row("user namespaces")
        ) from exc
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def inhabitant(descriptors: Sequence[int]) -> Iterator[int]:
    """Have a process live in the namespaces for the block, and yield its pid; raises OSError."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        try:
            process.set_parent_death_signal(signal.SIGKILL)
            for fd, kind in zip(descriptors, KINDS, strict=True):
                namespaces.setns(fd, namespaces.KINDS[kind])
            process.set_dumpable(dumpable=True)
            os.write(tell, b"in")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        with open(told, "rb", buffering=0) as reader:
            if not reader.read(2):
                raise OSError(errno.EPERM, "cannot enter the private host")
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _expect(sock: socket.socket, word: bytes) -> None:
    answer = sock.recv(4096)
    if answer == word:
        return
    number, _, what = answer.decode(errors="replace").partition(" ")
    reason = os.strerror(int(number)) if number.isdigit() else "its process was killed"
    hint = doctor_row("user namespaces")
    if number.isdigit() and int(number) == errno.ENOSPC:
        hint = f"there are as many namespaces as may be, see user.max_user_namespaces; {doctor_row('user namespaces')}"
    raise NamespaceError(f"private host: cannot {what or 'make'}: {reason}", hint=hint)


def _live(sock: socket.socket, run: str, resolver: str, parent: int) -> NoReturn:
    """Be in the namespaces until they have been opened."""
    step = "make a user namespace"
    try:
        process.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        namespaces.unshare(namespaces.CLONE_NEWUSER)
        # Without, nobody else of this user may write our maps: all of /proc/PID would be root's.
        process.set_dumpable(dumpable=True)
        sock.send(b"u")
        if sock.recv(1) == b"m":
            step = "make its namespaces"
            kinds = (namespaces.KINDS[kind] for kind in KINDS if kind != "user")
            namespaces.unshare(sum(kinds))
            step = "separate its mounts"
            # What is mounted on the machine later appears, what we mount stays here.
            mounts.set_propagation("/", mounts.MS_SLAVE | mounts.MS_REC)
            if resolver:
                step = f"mount {RESOLVER}"
                call("mount", resolver, RESOLVER, None, _MS_BIND, None, path=RESOLVER)
            step = "bring its loopback up"
            _loopback_up()
            _forget(run)
            sock.send(b"r")
            sock.recv(1)
    except OSError as exc:
        with contextlib.suppress(OSError):
            sock.send(f"{exc.errno} {step}".encode())
            sock.recv(1)
    finally:
        os._exit(0)


def _forget(run: str) -> None:
    """Remove what the run directory says of an earlier host, files of mapped users included."""
    for name in IN_RUN:
        shutil.rmtree(f"{run}/{name}", ignore_errors=True)


def _loopback_up() -> None:
    """netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        found = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", found)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
