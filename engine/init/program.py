"""Where the init program is: the one of this package for this machine, as containers can have it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pycompose.engine.errors import EngineError

MACHINES = ("aarch64", "x86_64")
_MODE = 0o555


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
    """Put the program for this machine at `target`, unless it is there already, and return that path.

    A copy: what pip has installed needn't be executable, nor may every user in a container read it. Replaced as
    a whole, so containers that run keep theirs. Raises EngineError as `packaged`, OSError.
    """
    program = packaged(os.uname().machine).read_bytes()
    with contextlib.suppress(FileNotFoundError):
        if target.read_bytes() == program:
            return str(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(program)
        temporary.chmod(_MODE)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return str(target)
