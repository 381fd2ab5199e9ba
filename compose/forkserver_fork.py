"""What a fork of the forkserver does: it waits for a command, and is then the process that its caller would be."""

from __future__ import annotations

import contextlib
import gc
import io
import marshal
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import NoReturn, cast

from pycompose.caller import take_on
from pycompose.cli.main import main as command_line
from pycompose.engine import launch
from pycompose.engine.linux import userns
from pycompose.engine.linux.process import close_all_but, set_name, set_parent_death_signal
from pycompose.engine.linux.sockets import receive_fds
from pycompose.engine.paths import StatePaths
from pycompose.entry import GARBAGE
from pycompose.handover import INT_BYTES, PACKET_BYTES
from pycompose.state.snapshot import claims

# What is rehearsed (see `rehearse`), in a project of so many containers at most.
LOOK = ("logs", "--tail", "1")
MOST_CONTAINERS = 20
SAMPLE = b"""
services:
  web: {image: host, command: [sleep, "1"], ports: ["80:80"], volumes: ["data:/data"], depends_on: [db]}
  db: {image: host, environment: {A: "${B:-c}"}, healthcheck: {test: [CMD, "true"], interval: 1s}}
volumes: {data: {}}
"""
# Where somebody builds: what this one has in common with `build`, 2 ms of 10.
CHECK = ("build", "--check")
SAMPLE_OF_BUILDS = b"""
services:
  web: {build: {context: /, dockerfile_inline: "FROM scratch\\nRUN true\\n"}}
"""
# Of a request: the memory with the command, the directory, and the standard streams.
DESCRIPTORS = 5
_CREDENTIALS = struct.Struct("=iII")  # struct ucred


def peer(caller: socket.socket) -> tuple[int, int]:
    """Return process and user of the other side (SO_PEERCRED, unix(7))."""
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return pid, uid


def may_build(memory: int) -> bool:
    """Tell whether the command in `memory` may build something."""
    data = os.pread(memory, os.fstat(memory).st_size, 0)
    arguments: list[str] = marshal.loads(data)[0]  # noqa: S302 - as in `_become`
    return not {"build", "--build"}.isdisjoint(arguments)


def rehearse(project: str, *commands: tuple[str, ...], sample: bytes = SAMPLE) -> None:
    """Perform commands that only look, for nobody: the next one then finds done what is done at the first time.

    In the forkserver that is what Python and our own modules remember, 2 ms of 4 for a `ps`; in a fork it is copying
    the memory that it shares with its parent and will write to, 3 us a page.
    """
    if len(claims(StatePaths.from_environment(), project)) > MOST_CONTAINERS:
        project = ""
    streams = sys.stdin, sys.stdout, sys.stderr
    for command in commands:
        sys.stdin = io.TextIOWrapper(io.BytesIO(sample))
        sys.stdout = sys.stderr = io.TextIOWrapper(io.BytesIO())
        place = ("--project-directory", "/", "--env-file", os.devnull, "-p", project or "sample", "-f", "-")
        command_line([*place, *command])
    sys.stdin, sys.stdout, sys.stderr = streams


def wait_for_command(channel: int, project: str, *, builds: bool) -> NoReturn:
    """Wait for a command and perform it; without one, end."""
    parent = os.getppid()
    try:
        set_parent_death_signal(signal.SIGKILL)
        os.setsid()
        close_all_but((channel,))
        fds: list[int] = []
        if os.getppid() == parent:
            rehearse(project, LOOK)
            if builds:
                rehearse(project, CHECK, sample=SAMPLE_OF_BUILDS)
            _, fds, _ = receive_fds(socket.socket(fileno=os.dup(channel)), PACKET_BYTES, DESCRIPTORS + 2)
    except BaseException:  # noqa: BLE001 - this process must not go on as its parent
        os._exit(1)
    if not fds:
        os._exit(0)
    _become(fds)


def _become(fds: list[int]) -> NoReturn:
    """Be the process that the caller would have been."""
    code = 1
    memory, here, stdin, stdout, stderr, caller, *keeper = fds
    try:
        set_name("pycompose")
        with open(memory, "rb", closefd=False) as file:
            file.seek(0)
            arguments, environment, umask, ignored, kinds = marshal.load(file)  # noqa: S302 - our own uid has sent it
        os.fchdir(here)
        if not userns.is_initial():
            with contextlib.suppress(
                OSError
            ):  # the same directory as our mounts have it, not the caller's outside
                os.chdir(os.readlink(f"/proc/self/fd/{here}"))
        for target, fd in enumerate((stdin, stdout, stderr)):
            os.dup2(fd, target)
        close_all_but((caller, *keeper))
        for spare in keeper:
            launch.give(spare)
        os.umask(umask)
        with socket.socket(fileno=os.dup(caller)) as sock:
            take_on(peer(sock)[0])
        os.environb.clear()
        os.environb.update(environment)
        time.tzset()
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        sys.argv = ["pycompose", *arguments]
        _open_streams(kinds)
        gc.set_threshold(GARBAGE)
        gc.enable()
        code = command_line()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001 - as above
        sys.excepthook(*sys.exc_info())
    finally:
        _leave(code & 0xFF, caller)


def _open_streams(kinds: list[tuple[str, str, bool, bool]]) -> None:
    """Open the standard streams as the caller's are: encoding, errors, by lines, unbuffered (PYTHONUNBUFFERED)."""
    opened = []
    for fd, (encoding, errors, by_line, unbuffered) in enumerate(kinds):
        raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
        buffer = io.BufferedReader(raw) if fd == 0 else raw if unbuffered else io.BufferedWriter(raw)
        opened.append(
            io.TextIOWrapper(
                cast("io.BufferedWriter", buffer),
                encoding,
                errors,
                line_buffering=by_line,
                write_through=unbuffered,
            )
        )
    sys.stdin, sys.stdout, sys.stderr = opened
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = opened  # type: ignore[misc]


def _leave(code: int, caller: int) -> NoReturn:
    """Tell the caller the wait status, without taking the interpreter apart and before the kernel does that."""
    try:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:  # noqa: BLE001 - as above
        code = code or 1
    finally:
        os.closerange(0, 3)
        with contextlib.suppress(OSError):
            os.write(caller, (code << 8).to_bytes(INT_BYTES, sys.byteorder))
        os._exit(code)
