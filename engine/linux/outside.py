"""Asking the process outside of an ordinary user's private host (compose/rootless/host.py) for what only it can do.

The host has a network of its own: ports of the machine are bound, and the machine's own services are reached, by that
process, which passes the sockets in. One connection on `host.sock` is one request:

    here                                        outside
    {"op": "bind", address, number, protocol}  -->
                                               <--  {}, the socket   or   {"errno"}
    {"op": "owner", number, protocol}          -->
                                               <--  {"who"}
    {"op": "address"}                          -->
                                               <--  {"address"}
    {"op": "connect", address, number}         -->
                                               <--  {}, the socket   or   {"errno"}   or   {"unknown"}
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from typing import Any

from pycompose.engine.linux import userns
from pycompose.engine.linux.sockets import receive_fds

SOCKET = "host.sock"
MESSAGE_BYTES = 4096
MOST_DESCRIPTORS = 8
ANSWER_S = 10.0
# What a connection takes at most: its name is looked up, and its addresses are tried, one after the other.
CONNECT_S = 15.0
# Opens the network namespace of a socket for who is root there (linux/sockios.h).
SIOCGSKNS = 0x894C


def is_elsewhere() -> bool:
    """Tell whether the machine's network is not the one that we are in."""
    return not userns.is_initial() and os.path.exists(_socket())


def _socket() -> str:
    return f"{os.environ.get('PYCOMPOSE_RUN', '')}/{SOCKET}"


def ask(path: str, message: dict[str, Any], timeout_s: float = ANSWER_S) -> tuple[dict[str, Any], list[int]]:
    """Return the answer of the process that listens at `path`, and the descriptors with it; raises OSError."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(timeout_s)
            sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")  # however long the path is
            sock.send(json.dumps(message).encode())
            data, fds, _ = receive_fds(sock, MESSAGE_BYTES, MOST_DESCRIPTORS)
    finally:
        os.close(directory)
    if not data:
        raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET), path)
    return json.loads(data), fds


def bind(address: str, number: int, protocol: str) -> socket.socket:
    """Return a socket of the machine's network; raises OSError, the kernel's there or that nobody answers."""
    return _passed(
        *ask(_socket(), {"op": "bind", "address": address, "number": number, "protocol": protocol})
    )


def is_of_machine(sock: socket.socket) -> bool:
    """Tell whether a socket is of the machine's network, and not of the one that we are in and root of."""
    try:
        os.close(fcntl.ioctl(sock, SIOCGSKNS))
    except PermissionError:
        return True
    except OSError:  # a kernel that doesn't tell
        return False
    return False


def connect(address: str, number: int) -> socket.socket:
    """Return a TCP connection of the machine's, within CONNECT_S; `address` may be a name.

    Raises socket.gaierror for a name that the machine doesn't know, OSError.
    """
    message = {"op": "connect", "address": address, "number": number}
    answer, fds = ask(_socket(), message, CONNECT_S + ANSWER_S)
    if "unknown" in answer:
        raise socket.gaierror(socket.EAI_NONAME, answer["unknown"])
    return _passed(answer, fds)


def _passed(answer: dict[str, Any], fds: list[int]) -> socket.socket:
    if not fds:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
    return socket.socket(fileno=fds[0])


def machine_addresses() -> list[str]:
    """Return the address by which the machine is reached from here, none where we are on it or it can't be reached."""
    if not is_elsewhere():
        return []
    try:
        found = str(ask(_socket(), {"op": "address"})[0].get("address", ""))
    except OSError:
        return []
    return [found] if found else []


def owner(number: int, protocol: str) -> str:
    """Return who has the port of the machine, "" when that can't be found out."""
    try:
        return str(ask(_socket(), {"op": "owner", "number": number, "protocol": protocol})[0].get("who", ""))
    except OSError:
        return ""
