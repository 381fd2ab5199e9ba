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
INTERRUPTED_EXIT = 130


def _will_need_one(arguments: list[str]) -> bool:
    """Tell whether this is surely an `up` on a machine where no project has a supervisor yet."""
    if "up" not in arguments or {"-h", "--help", "--dry-run"} & set(arguments):
        return False
    from pycompose import privileges  # noqa: PLC0415 - for `up` only

    projects = os.path.join(os.environ.get("PYCOMPOSE_RUN") or "/run/pycompose", "projects")
    try:
        if any(os.path.exists(os.path.join(projects, name, "control.sock")) for name in os.listdir(projects)):
            return False
    except FileNotFoundError:
        pass
    except OSError:
        return False
    if privileges.can_run_containers():
        return True
    from pycompose.engine.errors import PycomposeError  # noqa: PLC0415 - for those who aren't root

    try:
        privileges.require_containers()
    except PycomposeError:
        return False  # the command line says it
    return True


def _read_as_docker() -> bool:
    """Put our words in the place of docker's; False when all that was asked has been said."""
    from pycompose.dockercli import plugin, words  # noqa: PLC0415 - under docker's names only

    if sys.argv[1] == plugin.PROGRAM_WORD:
        found = plugin.arguments_for(sys.argv[2:])
        if found is None:
            return False
        sys.argv[1:] = found
    if sys.argv[1:2] == ["docker"]:
        if folder := words.configuration(sys.argv[2:]):
            os.environ["DOCKER_CONFIG"] = folder
        try:  # noqa: SIM105 - contextlib takes 1 ms to import
            sys.argv[1:] = words.translate(sys.argv[2:])
        except words.UnknownWord:
            pass  # the command line says what is wrong
    return True


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        return _main()
    except KeyboardInterrupt:  # before the command line was there to say so
        return INTERRUPTED_EXIT


def _main() -> int:
    # Nearly all that imports and a compose file make stays to the end: looking through it again and again for
    # garbage took 8 % of the time of an `up`.
    gc.set_threshold(GARBAGE)
    if os.geteuid():
        from pycompose.rootless import places  # noqa: PLC0415 - for those who aren't root

        places.settle(os.environ)
    if sys.argv[1:2] == ["compose"]:
        del sys.argv[1]  # tools say `docker compose …`, and let one name another docker
    elif sys.argv[1:2] and sys.argv[1].startswith("docker") and not _read_as_docker():
        return 0
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
    try:
        return _command_line(arguments)
    finally:
        if quick:
            handover.ask_for_one()
        gc.freeze()  # the interpreter looks for garbage once more when it ends, which takes 15 ms


def _command_line(arguments: list[str]) -> int:
    if arguments[:1] == ["network"]:
        from pycompose.cli import bare  # noqa: PLC0415 - see above

        if (perform := bare.read(arguments, os.environ)) is not None:
            return perform()
    from pycompose.cli import light_click  # noqa: PLC0415 - see above

    light_click.load()
    from pycompose.cli.main import main as command_line  # noqa: PLC0415 - see above

    return command_line()
