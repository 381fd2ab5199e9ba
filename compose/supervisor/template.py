"""What supervisors are forked from where one process starts many projects, as a run of tests does (testing/warm.py).

`python -I -m pycompose.supervisor.template FD`: for each socket that comes on FD, one more supervisor begins on it, as
if it had been started on that (main.py). To load its libraries takes a supervisor longer than all that a small stack
needs besides. At the end of FD this process ends, and the supervisors stay. One thread, no locks: a fork can do what a
new process can.
"""

import gc
import sys

gc.disable()
sys.modules["ssl"] = None  # type: ignore[assignment]  # as in __main__.py

from pycompose.supervisor.reaper import have_orphans_reaped  # noqa: E402 - after the two lines above

have_orphans_reaped()  # for all that are forked here

import importlib  # noqa: E402 - as above
import os  # noqa: E402
import socket  # noqa: E402

from pycompose.engine.linux.process import close_all_but  # noqa: E402
from pycompose.engine.linux.sockets import receive_fds  # noqa: E402
from pycompose.supervisor.main import main  # noqa: E402

# What a supervisor imports when it first needs it.
LATE = (
    "pycompose.engine.linux.trees",
    "pycompose.networking.dns.forward",
    "pycompose.networking.dns.known",
    "pycompose.networking.dns.server",
)


def serve(channel: socket.socket) -> int:
    """Fork a supervisor for each socket that comes; return its exit code there, and 0 here when no more can come."""
    while True:
        _, fds, _ = receive_fds(channel, 1, 1)
        if not fds:
            return 0
        try:
            child = os.fork()
        except OSError:  # no room for processes: who has asked sees the end of his socket
            os.close(fds[0])
            continue
        if child == 0:
            if os.fork():
                os._exit(0)  # the supervisor is nobody's child to wait for
            return _become(channel, fds[0])
        os.close(fds[0])
        os.waitpid(child, 0)


def _become(channel: socket.socket, fd: int) -> int:
    """Be a supervisor that was started with socket `fd`."""
    os.setsid()
    number = channel.detach()
    os.dup2(fd, number)
    sys.argv = [sys.argv[0], str(number)]
    return main()


if __name__ == "__main__":
    close_all_but((int(sys.argv[1]),))
    for name in LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1]))))
