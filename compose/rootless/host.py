"""The process of a user's private host that stays outside: `python -I -m pycompose.rootless.host LINGER_S`.

It makes the host, lets commands in by passing them its namespaces, and binds ports of the machine for those inside
(engine/linux/outside.py). What is in the host goes on without it: the next command starts another one, which finds
the namespaces by a process that lives in them. It ends, and the host with it, when nothing has been in there for
LINGER_S seconds.

Descriptor 3 is the socket of whoever has started it, who hears `{}` when it listens, or the error.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from pycompose.engine.errors import PycomposeError
from pycompose.engine.linux import namespaces, outside, process
from pycompose.engine.linux.sockets import peer_uid
from pycompose.engine.state import boot_id
from pycompose.engine.statefiles import locked
from pycompose.rootless import delegation, making, maps, uplink
from pycompose.rootless.places import FIRST_FD, KINDS, LOCK, RECORD

PEER_S = 1.0
# How often it looks whether somebody is still in there.
LOOK_MS = 15_000
# As often, and no longer, after somebody has said that he was the last.
LEAVING_S = 0.1
_LOOPBACKS = ("127.", "::1")


class PrivateHost:
    """The namespaces of the host and the way out of it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.ranges = maps.of_user(os.geteuid())
        self.uplink = uplink.Uplink(uplink.available(), run)
        self.namespaces: list[int] = []
        self.inodes: list[int] = []
        self.group = delegation.group()

    def open(self) -> None:
        """Find the host by what lives in it, else make it; raises PycomposeError, OSError."""
        self.namespaces = self._living()
        self.uplink.adopt()
        if not self.namespaces:
            self.uplink.end()  # of a host that is gone: nothing else ends it
            self.namespaces = making.make(self.run, self.ranges, self._resolver())
        self.inodes = [os.fstat(fd).st_ino for fd in self.namespaces]
        with open(f"{self.run}/{RECORD}", "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(" ".join([boot_id(), *map(str, self.inodes)]) + f"\n{self.group}")

    def connect(self) -> None:
        """Start the way out, if it isn't there (any more)."""
        if self.uplink.is_wanted():
            with making.inhabitant(self.namespaces) as pid:
                self.uplink.start(pid)

    def close(self) -> None:
        """Let go of the host, whose last process has ended."""
        self.uplink.end()
        for name in (outside.SOCKET, RECORD):
            with contextlib.suppress(OSError):
                os.unlink(f"{self.run}/{name}")

    def is_used(self) -> bool:
        """Tell whether a process lives in the host, or in a container of it."""
        # Who has ended and isn't reaped, as where process 1 doesn't do that, has no mount namespace any more.
        own = self.inodes[0]
        return any(
            pid != self.uplink.pid and _inode(pid, "user") == own and _inode(pid, "mnt") for pid in _pids()
        )

    def _living(self) -> list[int]:
        """Return the namespaces of a host that a process without one of us is in, [] when there is none."""
        try:
            with open(f"{self.run}/{RECORD}", encoding="utf-8", errors="surrogateescape") as file:
                boot, *words = file.readline().split()
                group = file.read()
            inodes = [int(word) for word in words]
        except (OSError, ValueError):
            return []
        if boot != boot_id():
            return []
        for pid in _pids():
            if [_inode(pid, kind) for kind in KINDS] == inodes:
                with contextlib.suppress(OSError):
                    found = [namespaces.open_namespace(pid, kind) for kind in KINDS]
                    self.group = group
                    return found
        self._end_rest(inodes[0])
        return []

    def _end_rest(self, user: int) -> None:
        """Kill containers whose supervisor, keeper and host are gone: nobody will ever get at them again.

        Each goes by its process 1, which is this user's own, or one of his ranges' inside a namespace that he owns.
        """
        for pid in _pids():
            if _inode(pid, "user") != user:
                continue
            child = os.fork()
            if not child:
                with contextlib.suppress(OSError):
                    namespaces.setns(namespaces.open_namespace(pid, "user"), namespaces.CLONE_NEWUSER)
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            os.waitpid(child, 0)

    def _resolver(self) -> str:
        """Return a file for the host's /etc/resolv.conf, "" where it can ask whom the machine asks."""
        try:
            with open(making.RESOLVER, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            return ""
        words = [line.split() for line in lines]
        servers = [one[1] for one in words if one[:1] == ["nameserver"] and len(one) > 1]
        if not self.uplink.kind or not servers or not all(one.startswith(_LOOPBACKS) for one in servers):
            return ""
        path = f"{self.run}/resolv.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"nameserver {uplink.DNS[self.uplink.kind]}\n")
            file.writelines(f"{line}\n" for line in lines if not line.startswith("nameserver"))
        return path


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _reap() -> None:
    """Let those be gone who have ended: children, and what a way out has left to us."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _inode(pid: int, kind: str) -> int:
    """Return the number of a namespace, 0 where we may not look."""
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return 0


class HostServer:
    """Answers on `host.sock`, one request a connection."""

    def __init__(self, host: PrivateHost, linger_s: float) -> None:
        self._host = host
        self._linger_s = linger_s
        self._listener = _listen(host.run)
        self._used_s = time.monotonic()

    def serve(self) -> None:
        """Serve until nothing is in the host any more."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            _reap()
            if poll.poll(min(LOOK_MS, self._linger_s * 1000)):
                self._accept()
                self._used_s = time.monotonic()
            elif self._host.is_used():
                self._used_s = time.monotonic()
            elif time.monotonic() - self._used_s >= self._linger_s and self._end():
                return

    def _end(self) -> bool:
        """Let go, unless somebody is about to come in."""
        with contextlib.suppress(PycomposeError), locked(Path(self._host.run, LOCK), wait=False):
            self._listener.setblocking(False)
            try:
                self._accept()
            except BlockingIOError:
                self._host.close()
                return True
            self._listener.setblocking(True)
        return False

    def _accept(self) -> None:
        caller, _ = self._listener.accept()
        with caller:
            caller.settimeout(PEER_S)
            # Also root's of the machine, who can do what he likes.
            if peer_uid(caller) not in (0, os.geteuid()):
                return
            opened: list[int] = []
            try:
                text = caller.recv(outside.MESSAGE_BYTES)
                if not text:  # a command that is performed inside has looked whether we live
                    self._host.connect()
                    return
                message = json.loads(text)
                if message["op"] == "connect":
                    _connect(caller, message["address"], message["number"])
                    return
                answer = self._answer(message, opened)
                passed = opened if answer.pop("pass", None) is None else self._host.namespaces
                socket.send_fds(caller, [json.dumps(answer).encode()], passed)
            except (OSError, ValueError, KeyError, TypeError):
                return
            finally:
                for fd in opened:
                    os.close(fd)

    def _answer(self, message: dict[str, Any], opened: list[int]) -> dict[str, Any]:
        """Do what is asked; a socket for the other side is put into `opened`."""
        if message["op"] == "enter":
            self._host.connect()
            return {"pass": True, "lack": self._host.uplink.lack, "single": self._host.ranges.lack}
        if message["op"] == "end":
            self._linger_s = LEAVING_S
            return {}
        if message["op"] == "address":
            return {"address": self._host.uplink.machine_address()}
        from pycompose.networking.ports import reserve  # noqa: PLC0415 - many hosts publish nothing

        number, protocol = message["number"], message["protocol"]
        if message["op"] == "owner":
            return {"who": reserve.find_owner(number, protocol)}
        try:
            opened.append(reserve.bind_here(message["address"], number, protocol, relayed=True).detach())
        except OSError as exc:
            return {"errno": exc.errno}
        return {}


def _connect(caller: socket.socket, address: str, number: int) -> None:
    """Have a child connect to somewhere for the caller: it may wait as long as that takes, we may not."""
    if os.fork():
        return
    answer: dict[str, Any] = {}
    fds: list[int] = []
    try:
        fds.append(socket.create_connection((address, number), outside.CONNECT_S).detach())
    except socket.gaierror as exc:
        answer = {"unknown": exc.strerror}
    except OSError as exc:
        answer = {"errno": exc.errno or errno.ETIMEDOUT}
    try:
        socket.send_fds(caller, [json.dumps(answer).encode()], fds)
    finally:
        os._exit(0)


def _listen(run: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    directory = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(outside.SOCKET, dir_fd=directory)
        listener.bind(f"/proc/self/fd/{directory}/{outside.SOCKET}")
    finally:
        os.close(directory)
    listener.listen(64)
    return listener


def main() -> int:
    """Make or find the host, tell whoever waits for it, and serve."""
    first = socket.socket(fileno=FIRST_FD)
    first.set_inheritable(False)
    process.close_all_but((FIRST_FD,))
    process.set_name("pycompose-host")
    process.set_child_subreaper()
    os.chdir("/")
    host = PrivateHost(os.environ["PYCOMPOSE_RUN"])
    with first:
        try:
            host.open()
            server = HostServer(host, float(sys.argv[1]))
        except PycomposeError as exc:
            first.send(json.dumps(exc.to_json()).encode())
            return 1
        except OSError as exc:
            text = f"private host: cannot make: {exc.filename or host.run}: {exc.strerror}"
            first.send(json.dumps({"message": text, "hint": None}).encode())
            return 1
        first.send(b"{}")
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
