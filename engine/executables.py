"""Programs of ours that are no Python: each machine's own is in the package, with the source it was made from."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MODE = 0o555


def install(packaged: Path, target: Path) -> str:
    """Put a program at `target`, unless it is there already, and return that path.

    A copy: what pip has installed needn't be executable, nor may every user in a container read it. Replaced as
    a whole, so processes that run keep theirs. Raises OSError.
    """
    program = packaged.read_bytes()
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
