"""The script's entry: hands the command to a forkserver, or gets a supervisor going and runs the command line.

Importing the command line, reading the compose file and finding images take as long as the supervisor's own imports;
begun first, they happen at the same time. This module therefore imports next to nothing.
"""

from __future__ import annotations

import gc
import os
import sys

from pycompose import handover

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
)
SUPERVISOR_FD = 3
# New objects between two searches for garbage (Python's default is 700).
GARBAGE = 50_000

# The socket of a supervisor that waits to be told its project; app.prepare takes it.
waiting: list[int] = []


def spawn_supervisor(environment: dict[str, str]) -> int:
    """Start a supervisor and return our end of its socket (control.Launch); raises OSError.

    It is nobody's child to wait for: it outlives us, and init reaps it.
    """
    import socket  # noqa: PLC0415 - not for commands that only look

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    kept = {key: value for key, value in os.environ.items() if key in KEPT}
    with theirs:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-m", "pycompose.supervisor", str(SUPERVISOR_FD)],
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


def _will_need_one(arguments: list[str]) -> bool:
    """Tell whether this is surely an `up` on a machine where no project has a supervisor yet."""
    if "up" not in arguments or os.geteuid() != 0 or {"-h", "--help", "--dry-run"} & set(arguments):
        return False
    projects = os.path.join(os.environ.get("PYCOMPOSE_RUN") or "/run/pycompose", "projects")
    try:
        return not any(
            os.path.exists(os.path.join(projects, name, "control.sock")) for name in os.listdir(projects)
        )
    except FileNotFoundError:
        return True
    except OSError:
        return False


def main() -> int:
    """Run the command line and return its exit code."""
    # Nearly all that imports and a compose file make stays to the end: looking through it again and again for
    # garbage took 8 % of the time of an `up`.
    gc.set_threshold(GARBAGE)
    arguments = sys.argv[1:]
    needs_one = _will_need_one(arguments)
    quick = not needs_one and handover.suits(arguments)
    if quick and (code := handover.hand_over(arguments)) is not None:
        os._exit(code)
    if needs_one:
        try:  # noqa: SIM105 - contextlib takes 1 ms to import
            waiting.append(spawn_supervisor({}))
        except OSError:
            pass  # the command line tries again and says what is wrong
    from pycompose.cli.main import main as command_line  # noqa: PLC0415 - see above

    try:
        return command_line()
    finally:
        if quick:
            handover.ask_for_one()
        gc.freeze()  # the interpreter looks for garbage once more when it ends, which takes 15 ms
