"""Which containers outside any compose file come back with the machine, as their restart policies ask.

What is known of a container at run time goes with a reboot, so one with a policy has a word beside its configuration:
whether it was to run, had ended, or had been stopped by somebody. Docker's rules (docs.docker.com, "Start containers
automatically", and what dockerd does at its start): `always` comes back if it was ever started, `unless-stopped` unless
somebody has stopped it, `on-failure` if it ran when the machine went down, which is a failure. `--rm` is made good.
"""

from __future__ import annotations

import contextlib
import enum
from typing import TYPE_CHECKING

from pycompose.state.records import read_service
from pycompose.state.snapshot import ALONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pycompose.client.changes import Context
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Restart
    from pycompose.policy.observed import ObservedContainer


class Last(enum.Enum):
    """What has become of a container that was started."""

    UP = "up"
    ENDED = "ended"
    STOPPED = "stopped"


def _file(paths: StatePaths, container_id: str) -> Path:
    return paths.container(container_id) / "last"


def note(paths: StatePaths, container_id: str, last: Last) -> None:
    """Write down what has become of a container; raises OSError.

    Written over, not replaced: an empty file, after a power cut, counts as UP.
    """
    _file(paths, container_id).write_text(last.value, encoding="ascii")


def note_change(paths: StatePaths, container_id: str, last: Last) -> None:
    """Do as `note` for a container of which something is noted; what can't be written is as it was."""
    with contextlib.suppress(OSError):
        if _file(paths, container_id).exists():
            note(paths, container_id, last)


def noted(paths: StatePaths, container_id: str) -> Last | None:
    """Return what has become of a container; None for one that was never started, or without a policy then."""
    try:
        return Last(_file(paths, container_id).read_text(encoding="ascii") or Last.UP)
    except FileNotFoundError:
        return None


def returns(policy: Restart, last: Last | None) -> bool:
    """Tell whether a container is started with the machine."""
    if last is None:
        return False
    return {
        "always": True,
        "unless-stopped": last is not Last.STOPPED,
        "on-failure": last is Last.UP,
    }.get(policy.kind, False)


def boot(context: Context, each: Callable[[ObservedContainer, str], None]) -> None:
    """Call `each` with "start" or "rm" for the containers that aren't running, in an order in which that works.

    A container can only join one that is older.
    """
    for container in _alone(context):
        if container.running:
            continue
        record = read_service(context.paths, container.id)
        if record.auto_remove:
            each(container, "rm")
        elif returns(record.service.restart, noted(context.paths, container.id)):
            each(container, "start")


def running(context: Context) -> list[ObservedContainer]:
    """Return the containers that run."""
    return [container for container in _alone(context) if container.running]


def _alone(context: Context) -> list[ObservedContainer]:
    from pycompose.machine.volumes import all_containers  # noqa: PLC0415 - the supervisor needs none of it

    found = [one for one in all_containers(context.paths) if one.config.project == ALONE]
    return sorted(found, key=lambda one: one.config.created_ns)
