"""What `pycompose network …` does: the machine's networks apart from any project."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from pycompose.client import kept_networks
from pycompose.engine.errors import NetworkError, PycomposeError
from pycompose.engine.paths import BUILDS
from pycompose.labels import PROJECT
from pycompose.machine.predefined_networks import users_of_modes, with_predefined
from pycompose.machine.rows import (
    NetworkRow,
    PruneResult,
    filtered,
    in_the_making,
    is_true,
    matches,
    matches_labels,
)
from pycompose.networking.api import Networking
from pycompose.networking.model import PREDEFINED, NetworkState, check_name
from pycompose.state.users import network_users

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.engine.paths import StatePaths


def states(context: Context) -> list[NetworkState]:
    """Return all networks by name, those that are always there included, without those of builds."""
    kept_networks.restore_all(context.paths)
    with contextlib.closing(Networking(context.paths)) as networking:
        made = [state for state in networking.list_networks() if not state.project.startswith(BUILDS)]
    return with_predefined(context.paths, made)


def rows(context: Context, filters: Iterable[str] = ()) -> list[NetworkRow]:
    """Return the networks by name; `filters` are those of docker: FILTERS has them. Raises PycomposeError."""
    users = network_users(context.paths) | users_of_modes(context.paths)
    found = [
        NetworkRow(
            name=state.name,
            id=state.id,
            driver=state.driver,
            labels=state.labels,
            users=tuple(container.name for container in users.get(state.name, ())),
            created_ns=state.created_ns,
            internal=state.internal,
            ipv6=bool(state.subnet6),
        )
        for state in states(context)
    ]
    return filtered(found, filters, FILTERS)


FILTERS: dict[str, Callable[[NetworkRow, str], bool]] = {
    "dangling": lambda row, value: (
        is_true("dangling", value) == (not row.users and row.name not in PREDEFINED)
    ),
    "driver": lambda row, value: row.driver == value,
    "id": lambda row, value: matches("id", value, row.id),
    "scope": lambda _row, value: value == "local",
    "type": lambda row, value: ("builtin" if row.name in PREDEFINED else "custom") == _type(value),
}


def _type(value: str) -> str:
    if value not in ("builtin", "custom"):
        raise PycomposeError(f"--filter type={value}: cannot be used", hint="known: builtin, custom")
    return value


def find(context: Context, text: str) -> NetworkState:
    """Return the network of this name or id prefix. Raises NetworkError."""
    if (state := _named(context, text)) is not None:
        return state
    states_ = states(context)
    found = [s for s in states_ if s.name == text] or [s for s in states_ if text and s.id.startswith(text)]
    if len(found) != 1:
        reason = "several ids begin so" if found else "not found"
        raise NetworkError(f"network {text}: {reason}", hint="see: pycompose network ls")
    return found[0]


def _named(context: Context, name: str) -> NetworkState | None:
    """Return the network of this name without a look at all the others, None when there is none but a predefined one.

    Raises NetworkError when it has gone with a reboot and can't be made again.
    """
    try:
        check_name(name)
    except NetworkError:
        return None
    kept_networks.restore(context.paths, name)
    with contextlib.closing(Networking(context.paths)) as networking:
        state = networking.inspect(name)
    return None if state is None or state.project.startswith(BUILDS) else state


def remove(context: Context, text: str, *, force: bool = False) -> str:
    """Remove a network, return its name, "" when there was none and `force` makes that no error.

    Raises NetworkError while a container refers to it, or when there is none.
    """
    try:
        state = find(context, text)
    except NetworkError:
        if force:
            return ""
        raise
    if state.name in PREDEFINED:
        raise NetworkError(f"network {state.name}: is a pre-defined network and cannot be removed")
    if state.config_only and (
        made := [other.name for other in states(context) if other.config_from == state.name]
    ):
        raise NetworkError(f"network {state.name}: configuration network is in use by {', '.join(made)}")
    # As Docker: one that doesn't run isn't there (its next start fails, and says so).
    if users := [c for c in network_users(context.paths).get(state.name, ()) if c.running]:
        names = ", ".join(container.name for container in users)
        raise NetworkError(f"network {state.name}: in use by {names}", hint="stop the containers first")
    _remove(context.paths, state.name)
    return state.name


def _remove(paths: StatePaths, name: str) -> None:
    # Forgotten first: one that is still there can be removed again, one that comes back with a reboot surprises.
    kept_networks.forget(paths, name)
    with contextlib.closing(Networking(paths)) as networking:
        state = networking.inspect(name)
        networking.remove_network(name)
        if state is not None and state.project:
            _remove_last_firewall(paths, networking, state.project)


def _remove_last_firewall(paths: StatePaths, networking: Networking, project: str) -> None:
    """Take a project's rules away, unless more of it is there."""
    # Networks that commands make belong to no project: `network rm` of those starts without them.
    from pycompose.state.ownership import is_held  # noqa: PLC0415
    from pycompose.state.snapshot import claims  # noqa: PLC0415

    if not (networking.list_networks(project) or claims(paths, project) or is_held(paths, project)):
        networking.remove_firewall(project)


def prune(
    context: Context, *, labels: Iterable[str] = (), without: Iterable[str] = (), before_ns: int = 0
) -> PruneResult:
    """Remove the networks that no container refers to, running or not.

    Only those with `labels`, none with a label of `without`, and only what was made before a moment unless it is 0.
    """
    wanted, spared = list(labels), list(without)
    # Half of what `network create` would import.
    from pycompose.build.cleanup import clear_dead  # noqa: PLC0415
    from pycompose.state.abandoned import clear_abandoned  # noqa: PLC0415

    removed = [] if wanted or spared or before_ns else clear_abandoned(context.paths)
    clear_dead(context.paths)
    for row in rows(context):
        project = row.labels.get(PROJECT, "")
        if row.users or row.name in PREDEFINED or in_the_making(context.paths, project, row.created_ns):
            continue
        if before_ns and row.created_ns >= before_ns:
            continue
        if any(matches_labels(row.labels, label) for label in spared):
            continue
        if all(matches_labels(row.labels, label) for label in wanted):
            with contextlib.suppress(NetworkError):  # somebody has just connected
                _remove(context.paths, row.name)
                removed.append(row.name)
    return PruneResult(names=tuple(removed))
