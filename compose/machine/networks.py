"""What `pycompose network …` does: the machine's networks apart from any project."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.client import kept_networks
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import AlreadyExists, NetworkError
from pycompose.labels import PROJECT
from pycompose.machine.rows import NetworkRow, PruneResult, filtered, in_the_making, matches_labels
from pycompose.networking.api import Networking
from pycompose.networking.model import NetworkSpec, NetworkState, Pool, check_name
from pycompose.state.abandoned import clear_abandoned
from pycompose.state.ownership import is_held
from pycompose.state.snapshot import claims
from pycompose.state.users import network_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.client.context import Context
    from pycompose.engine.paths import StatePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRequest:
    """What `network create` is asked for; `subnets`, `gateways` and `ranges` belong together by family."""

    name: str
    driver: str = "bridge"
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    internal: bool = False
    ipv6: bool = False
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def create(context: Context, request: NetworkRequest) -> str:
    """Make a network, return its id. Raises AlreadyExists, NetworkError, AddressesExhausted."""
    spec = network_spec(request)
    with contextlib.closing(Networking(context.paths)) as networking:
        kept_networks.restore(context.paths, request.name)
        if networking.inspect(request.name) is not None:
            raise AlreadyExists(f"network {request.name}: already exists", hint="see: pycompose network ls")
        state = networking.ensure_network(spec)
    kept_networks.keep(context.paths, _as_made(spec, state))
    return state.id


def network_spec(request: NetworkRequest) -> NetworkSpec:
    """Return the network that is asked for, with one pool of addresses per family. Raises NetworkError for its name."""
    families: dict[str, dict[str, str]] = {}
    for key, values in (
        ("subnet", request.subnets),
        ("gateway", request.gateways),
        ("ip_range", request.ranges),
    ):
        for value in values:
            families.setdefault("6" if ":" in value else "4", {})[key] = value
    return NetworkSpec(
        name=check_name(request.name),
        project="",
        driver=request.driver,
        internal=request.internal,
        enable_ipv6=request.ipv6,
        pools=tuple(
            Pool(
                subnet=found.get("subnet", ""),
                gateway=found.get("gateway", ""),
                ip_range=found.get("ip_range", ""),
            )
            for found in families.values()
        ),
        options=request.options,
        labels=request.labels,
    )


def _as_made(spec: NetworkSpec, state: NetworkState) -> NetworkSpec:
    """Return what makes the network again with the same subnets."""
    pools = [
        Pool(subnet=subnet, gateway=gateway, ip_range=ip_range)
        for subnet, gateway, ip_range in (
            (state.subnet, state.gateway, state.ip_range),
            (state.subnet6, state.gateway6, state.ip_range6),
        )
        if subnet
    ]
    return replace(spec, pools=tuple(pools))


def rows(context: Context, filters: Iterable[str] = ()) -> list[NetworkRow]:
    """Return the networks by name; `filters` are dangling=BOOL, driver=X, id=HEX, label=KEY[=VALUE], name=TEXT."""
    kept_networks.restore_all(context.paths)
    users = network_users(context.paths)
    with contextlib.closing(Networking(context.paths)) as networking:
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
            for state in networking.list_networks()
        ]
    tests: dict[str, Callable[[NetworkRow, str], bool]] = {
        "driver": lambda row, value: row.driver == value,
        "id": lambda row, value: row.id.startswith(value),
    }
    return filtered(found, filters, tests)


def find(context: Context, text: str) -> NetworkState:
    """Return the network of this name or id prefix. Raises NetworkError."""
    kept_networks.restore_all(context.paths)
    with contextlib.closing(Networking(context.paths)) as networking:
        states = networking.list_networks()
    found = [s for s in states if s.name == text] or [s for s in states if text and s.id.startswith(text)]
    if len(found) != 1:
        reason = "several ids begin so" if found else "no such network"
        raise NetworkError(f"network {text}: {reason}", hint="see: pycompose network ls")
    return found[0]


def remove(context: Context, text: str, *, force: bool = False) -> str:
    """Remove a network, return its name. Raises NetworkError while a container refers to it, or when there is none."""
    try:
        state = find(context, text)
    except NetworkError:
        if force:
            return text
        raise
    if users := network_users(context.paths).get(state.name):
        names = ", ".join(container.name for container in users)
        raise NetworkError(f"network {state.name}: in use by {names}", hint="remove the containers first")
    _remove(context.paths, state.name)
    return state.name


def _remove(paths: StatePaths, name: str) -> None:
    # Forgotten first: one that is still there can be removed again, one that comes back with a reboot surprises.
    kept_networks.forget(paths, name)
    with contextlib.closing(Networking(paths)) as networking:
        state = networking.inspect(name)
        networking.remove_network(name)
        project = state.project if state else ""
        if project and not (
            networking.list_networks(project) or claims(paths, project) or is_held(paths, project)
        ):
            networking.remove_firewall(project)


def prune(context: Context, *, labels: Iterable[str] = ()) -> PruneResult:
    """Remove the networks that no container refers to, running or not."""
    wanted = list(labels)
    removed = [] if wanted else clear_abandoned(context.paths)
    for row in rows(context):
        project = row.labels.get(PROJECT, "")
        if row.users or in_the_making(context.paths, project, row.created_ns):
            continue
        if all(matches_labels(row.labels, label) for label in wanted):
            with contextlib.suppress(NetworkError):  # somebody has just connected
                _remove(context.paths, row.name)
                removed.append(row.name)
    return PruneResult(names=tuple(removed))
