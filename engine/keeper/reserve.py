"""A keeper in reserve (engine/launch.py): everything is loaded, and it waits to be told whose it is."""

from __future__ import annotations

import contextlib
import json
import os
import socket

from pycompose.engine.linux.sockets import receive_fds

PROJECT = "PYCOMPOSE_PROJECT"
_ENVIRONMENT_BYTES = 1 << 16
_ERRORS = 2


def wait(fd: int) -> str:
    """Wait at socket `fd` for an environment, a listening socket, a log; they become ours, the socket takes its place.

    Returns the project, after its name as the answer. Ends this process when everybody who could tell is gone.
    """
    sock = socket.socket(fileno=fd)
    fds: list[int] = []
    with contextlib.suppress(OSError):
        data, fds, _ = receive_fds(sock, _ENVIRONMENT_BYTES, 2)
    if len(fds) != 2:
        os._exit(0)
    environment: dict[str, str] = json.loads(data)
    with contextlib.suppress(OSError):  # who has told is dead: the end of his connection will say so
        sock.send(environment[PROJECT].encode())
    sock.detach()
    for given, own in zip(fds, (fd, _ERRORS), strict=True):
        os.dup2(given, own, inheritable=False)
        os.close(given)
    os.environ.clear()
    os.environ.update(environment)
    return environment[PROJECT]
