"""Starts a supervisor's process; the script's entry does so before anything else is imported (entry.py)."""

from __future__ import annotations

import os
import sys

KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "XDG_RUNTIME_DIR",
    "PYCOMPOSE_ROOT",
    "PYCOMPOSE_RUN",
    "PYCOMPOSE_CGROUP",
    "PYCOMPOSE_STRICT_LIMITS",
)
SUPERVISOR_FD = 3

# The socket of a supervisor that waits to be told its project; client/changes.py's `prepare` takes it.
waiting: list[int] = []


def spawn_supervisor(environment: dict[str, str]) -> int:
    """Start a supervisor and return our end of its socket (client.StartingSupervisor); raises OSError.

    It is nobody's child to wait for: it outlives us, and init reaps it.
    """
    return _spawn("pycompose.supervisor", environment)


def spawn_template(environment: dict[str, str]) -> int:
    """Start what supervisors are forked from, and return our end of its socket; raises OSError."""
    return _spawn("pycompose.supervisor.template", environment)


def _spawn(module: str, environment: dict[str, str]) -> int:
    import socket  # noqa: PLC0415 - for commands that find a supervisor, `ps` above all, nothing of it is needed

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    kept = {key: value for key, value in os.environ.items() if key in KEPT}
    with theirs:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-X", "utf8", "-m", module, str(SUPERVISOR_FD)],
            {**kept, **environment},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), SUPERVISOR_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
    return ours.detach()
