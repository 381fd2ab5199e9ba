"""Where the init program is: the one of this package for this machine, as containers can have it."""

from __future__ import annotations

from pathlib import Path

from pycompose.engine import executables
from pycompose.engine.errors import EngineError
from pycompose.engine.machine import machine_name

MACHINES = ("aarch64", "x86_64")


def packaged(machine: str) -> Path:
    """Return the program for `machine` (uname -m) in this package; raises EngineError when there is none."""
    if machine not in MACHINES:
        raise EngineError(
            f"init: cannot use: there is no init program for {machine}",
            hint="remove `init: true`, or start an init of the image's own; there is one for "
            + " and ".join(MACHINES),
        )
    return Path(__file__).with_name(f"docker-init.{machine}")


def install(target: Path) -> str:
    """Put the program for this machine at `target` and return that path; raises EngineError as `packaged`, OSError."""
    return executables.install(packaged(machine_name()), target)
