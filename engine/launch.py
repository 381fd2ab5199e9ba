"""Starting the process of a keeper, or taking one that waits in reserve.

A keeper takes 50 ms to load. Where somebody builds, his forkserver has one waiting (`reserve`) that knows nothing of
any project yet; a build that it performs is lent the other end of its socket (`give`), and tells it whose it is from
then on. It ends when everybody who has that end is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pycompose
from pycompose import engine
from pycompose.engine.paths import STRICT_LIMITS

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths

# The keeper runs without `site`: no start-up hook of anybody runs in it, and it saves 15 ms. It is told
# where the two packages are instead, which holds for wheels and for both kinds of editable installs.
_BOOT = """\
import os, sys, types
for name, path in (("pycompose", sys.argv[1]), ("pycompose.engine", sys.argv[2])):
    module = types.ModuleType(name)
    module.__path__ = [path]
    sys.modules[name] = module
from pycompose.engine.keeper.main import main
from pycompose.engine.statedirs import make_directory
main(os.environ.get("PYCOMPOSE_PROJECT", ""))
"""
_FD = 3
_NAME_BYTES = 1024
# The end of the socket of the keeper in reserve that this process may use, -1 for none.
_given = [-1]


def start(paths: StatePaths, project: str, listener: int, log: Path) -> int | None:
    """Have a keeper of `project` accept connections on `listener`; return its pid if it is a child of ours.

    Raises OSError.
    """
    spare, _given[0] = _given[0], -1
    if spare >= 0:
        with socket.socket(fileno=spare) as sock, contextlib.suppress(OSError):
            if _told(sock, project, _environment(paths, project), listener, log):
                return None
    return spawn(paths, project, listener, log)


def _told(sock: socket.socket, project: str, environment: dict[str, str], listener: int, log: Path) -> bool:
    """Make the keeper in reserve that of a project; tell whether it has taken that. Raises OSError."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        socket.send_fds(sock, [json.dumps(environment).encode()], [listener, output])
    finally:
        os.close(output)
    # The answer names another project where a build before us was killed as it had just told.
    return sock.recv(_NAME_BYTES) == project.encode()


def give(spare: int) -> None:
    """Let the next `start` of this process use the keeper at the other end of socket `spare`, which it closes."""
    _given[0] = spare


def reserve() -> tuple[int, socket.socket]:
    """Start a keeper that waits, in the limits and namespaces that we are in; return its pid and our end.

    Raises OSError.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with theirs:
        try:
            return _spawn({"PATH": os.defpath}, theirs.fileno(), Path(os.devnull)), ours
        except BaseException:
            ours.close()
            raise


def spawn(paths: StatePaths, project: str, listener: int, log: Path) -> int:
    """Start the keeper's process with `listener` as descriptor 3, return its pid. Raises OSError."""
    return _spawn(_environment(paths, project), listener, log)


def _environment(paths: StatePaths, project: str) -> dict[str, str]:
    # Everybody can read the arguments of a process, and only its owner the environment (proc(5)).
    environment = {**paths.to_environment(), "PATH": os.defpath, "PYCOMPOSE_PROJECT": project}
    if STRICT_LIMITS in os.environ:
        environment[STRICT_LIMITS] = os.environ[STRICT_LIMITS]
    return environment


def _spawn(environment: dict[str, str], fd: int, log: Path) -> int:
    packages = [next(iter(package.__path__)) for package in (pycompose, engine)]
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, *packages]
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    binary = sealed_copy(sys.executable)
    try:
        return os.posix_spawn(
            f"/proc/self/fd/{binary}",
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(log), output, 0o600),
                (os.POSIX_SPAWN_DUP2, fd, _FD),
            ],
            setsid=True,
        )
    finally:
        os.close(binary)


def sealed_copy(path: str) -> int:
    """Return a descriptor of an immutable copy of a program in memory; raises OSError.

    What a container could reach through /proc/PID/exe is then not the host's interpreter (CVE-2019-5736).
    """
    fd = os.memfd_create("pycompose-keeper", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        source = os.open(os.path.realpath(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while os.sendfile(fd, source, None, 1 << 30):
                pass
        finally:
            os.close(source)
        # Out of the way of the descriptors that the new process is given by number.
        fd, low = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FD + 1), fd
        os.close(low)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd
