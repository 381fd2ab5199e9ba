"""Whether a container outside any compose file ran when the machine went down: `containers/ID/last`.

What is known of a container at run time goes with a reboot, so one with a restart policy has a word beside its
configuration: whether it was to run, had ended, or had been stopped by somebody.
"""

from __future__ import annotations

import contextlib
import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths


class LastStatus(enum.Enum):
    """What has become of a container that was started."""

    UP = "up"
    ENDED = "ended"
    STOPPED = "stopped"


def _file(paths: StatePaths, container_id: str) -> Path:
    return paths.container(container_id) / "last"


def note(paths: StatePaths, container_id: str, last: LastStatus) -> None:
    """Write down what has become of a container; raises OSError.

    Written over, not replaced: an empty file, after a power cut, counts as UP.
    """
    _file(paths, container_id).write_text(last.value, encoding="ascii")


def note_change(paths: StatePaths, container_id: str, last: LastStatus) -> None:
    """Do as `note` for a container of which something is noted; what can't be written is as it was."""
    with contextlib.suppress(OSError):
        if _file(paths, container_id).exists():
            note(paths, container_id, last)


def last_status(paths: StatePaths, container_id: str) -> LastStatus | None:
    """Return what has become of a container; None for one that was never started, or without a policy then."""
    try:
        return LastStatus(_file(paths, container_id).read_text(encoding="ascii") or LastStatus.UP)
    except FileNotFoundError:
        return None
