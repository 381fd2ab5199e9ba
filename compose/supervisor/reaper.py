"""An ancestor that reaps orphans, where the machine's process 1 doesn't: in containers of CI jobs it is often `sleep`.

When a keeper is killed, its children are process 1's: what ends then stays a zombie if that never waits. A zombie that
was executed in a container even keeps the container's own process 1 from ending (pid_namespaces(7)): `down` would wait
for ever. So a supervisor forks before it loads anything, and goes on as the child of a process that finds out, beside
it, whether it is on such a machine: if not it ends, else it is the "child subreaper" (prctl(2)) of all its descendants
from then on, and these are the supervisor, the keeper and all containers, whoever of them dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

# Programs that are known to wait for orphans; of others we find out.
REAPERS = frozenset(
    (
        "systemd", "init", "docker-init", "podman-init", "tini", "dumb-init", "catatonit", "s6-svscan", "runit",
        "runsvdir", "openrc-init",
    )
)  # fmt: skip
PATIENCE_S = 0.2
INTERVAL_S = 0.001
NAME = b"pycompose reaper"
_PID_BYTES = 32


def have_orphans_reaped() -> None:
    """Return at once where process 1 is known to do it, else in a child of a process that does it where nobody does."""
    try:
        with open("/proc/1/comm", encoding="utf-8", errors="replace") as file:
            if file.read().strip() in REAPERS:
                return
        if os.fork():
            try:
                _reap()
            finally:
                os._exit(0)
    except OSError:
        return  # no /proc, or no room for processes: what follows will say so
    with contextlib.suppress(OSError):
        os.setsid()


def orphans_are_reaped() -> bool:
    """Tell whether somebody waits for processes whose parent has ended, by having one; raises OSError."""
    told, tell = os.pipe()
    held, hold = os.pipe()
    child = os.fork()
    if child == 0:
        orphan = os.fork()
        if orphan == 0:
            os.close(hold)
            os.read(held, 1)  # until its parent has ended, and been waited for
        else:
            os.write(tell, str(orphan).encode())
        os._exit(0)
    os.waitpid(child, 0)
    orphan = int(os.read(told, _PID_BYTES))
    for fd in (told, tell, held, hold):
        os.close(fd)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not os.path.exists(f"/proc/{orphan}"):
            return True
        time.sleep(INTERVAL_S)
    return False


def _reap() -> None:
    """Wait for orphans until there are no children, unless somebody does; under another name than the supervisor's."""
    from pycompose.engine.linux.process import set_child_subreaper  # noqa: PLC0415 - not for the supervisor

    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(Exception):
        _rename()
        if orphans_are_reaped():
            os._exit(0)
    with contextlib.suppress(OSError):
        set_child_subreaper()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _rename() -> None:
    """Write NAME over the arguments, which ps shows (proc_pid_stat(5): arg_start and arg_end)."""
    import ctypes  # noqa: PLC0415 - as above

    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, NAME, min(len(NAME), end - start - 1))
