"""The networks that are always there: `bridge`, which is made when a container needs it, `host` and `none`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.networking.model import DEFAULT_BRIDGE, NetworkState, predefined_id
from pycompose.state.users import all_containers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import ObservedContainer

# Docker's names and drivers of them.
DRIVERS = {DEFAULT_BRIDGE: "bridge", "host": "host", "none": "null"}


def with_predefined(paths: StatePaths, states: Iterable[NetworkState]) -> list[NetworkState]:
    """Return `states` with those of the predefined ones that aren't among them, by name."""
    found = {state.name: state for state in states}
    for name, driver in DRIVERS.items():
        missing = NetworkState(name=name, id=predefined_id(paths.root, name), project="", driver=driver)
        found.setdefault(name, missing)
    return [found[name] for name in sorted(found)]


def users_of_modes(paths: StatePaths) -> dict[str, list[ObservedContainer]]:
    """Return the containers, running or not, whose network is the machine's (`host`), or none."""
    users: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(paths):
        from pycompose.state.records import read_service  # noqa: PLC0415 - not for a machine without containers

        with contextlib.suppress(FileNotFoundError):
            mode = read_service(paths, container.id).service.network_mode
            if mode in ("host", "none"):
                users.setdefault(mode, []).append(container)
    return users
