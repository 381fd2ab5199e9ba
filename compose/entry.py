"""The script's entry: hands the command to a forkserver, or gets a supervisor going and runs the command line.

Importing the command line, reading the compose file and finding images take as long as the supervisor's own imports;
begun first, they happen at the same time. This module therefore imports next to nothing.
"""

from __future__ import annotations

import gc
import os
import sys

from pycompose import handover

# New objects between two searches for garbage (Python's default is 700).
GARBAGE = 50_000


def _will_need_one(arguments: list[str]) -> bool:
    """Tell whether this is surely an `up` on a machine where no project has a supervisor yet."""
    if "up" not in arguments or {"-h", "--help", "--dry-run"} & set(arguments):
        return False
    from pycompose import privileges  # noqa: PLC0415 - for `up` only

    if not privileges.can_run_containers():
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
        from pycompose.ipc import spawn  # noqa: PLC0415 - for the first `up` only

        try:  # noqa: SIM105 - contextlib takes 1 ms to import
            spawn.waiting.append(spawn.spawn_supervisor({}))
        except OSError:
            pass  # the command line tries again and says what is wrong
    from pycompose.cli.main import main as command_line  # noqa: PLC0415 - see above

    try:
        return command_line()
    finally:
        if quick:
            handover.ask_for_one()
        gc.freeze()  # the interpreter looks for garbage once more when it ends, which takes 15 ms
