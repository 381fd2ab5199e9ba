"""What `pycompose volume …` and `pycompose network …` do: the machine's volumes and networks apart from any project.

Networks live in the kernel and on a tmpfs. What `network create` was asked for is kept in ROOT/networks/NAME.json
too, so that `external: true` finds the network again after a reboot.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, TypeVar

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import AlreadyExists, NetworkError, PycomposeError, VolumeError, VolumeInUse
from pycompose.engine.statefiles import read_json, write_json
from pycompose.networking.api import Networking
from pycompose.networking.model import NetworkSpec, NetworkState, Pool, check_name
from pycompose.state.ownership import clear_abandoned, is_held
from pycompose.state.records import read_service
from pycompose.state.snapshot import claims, read_container
from pycompose.volumes.store import ANONYMOUS, PROJECT, VolumeSpec, VolumeState, VolumeStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pycompose.client.changes import Context
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import ObservedContainer

# An `up` makes volumes and networks before the containers that refer to them.
YOUNG_NS = 60_000_000_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRow:
    """One line of `volume ls`. `users` are the names of the containers that mount it."""

    name: str
    driver: str
    mountpoint: str
    labels: dict[str, str]
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One line of `network ls`. `users` are the names of the containers that refer to it, running or not."""

    name: str
    id: str
    driver: str
    labels: dict[str, str]
    users: tuple[str, ...]
    created_ns: int = 0
    internal: bool = False
    ipv6: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, by name, and the bytes that freed."""

    names: tuple[str, ...] = ()
    freed_bytes: int = 0


def all_containers(paths: StatePaths) -> Iterator[ObservedContainer]:
    """Yield every container of the machine, by id."""
    try:
        ids = sorted(entry.name for entry in paths.containers.iterdir())
    except FileNotFoundError:
        return
    for container_id in ids:
        container = read_container(paths, container_id)
        if container is not None:
            yield container


def directory_bytes(path: Path) -> int:
    """Return how much the files below a directory take on disk; links aren't followed."""
    import os  # noqa: PLC0415 - only here

    total = 0
    seen: set[int] = set()
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
    return total


def matches_labels(labels: Mapping[str, str], wanted: str) -> bool:
    """Tell whether `labels` have KEY or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _in_the_making(paths: StatePaths, project: str, created_ns: int) -> bool:
    """Tell whether an `up` may have made something a moment ago, for a container that isn't there yet."""
    young = time.time_ns() - created_ns < YOUNG_NS
    return bool(project) and young and is_held(paths, project)


# ---------------------------------------------------------------------- volumes


def create_volume(
    context: Context, name: str, driver: str, options: dict[str, str], labels: dict[str, str]
) -> str:
    """Make a volume, return its name; "" makes an anonymous one, one that exists is fine. Raises VolumeError."""
    if not name:
        name, labels = secrets.token_hex(32), {**labels, ANONYMOUS: ""}
    spec = VolumeSpec(name=name, driver=driver, options=options, labels=labels)
    return VolumeStore(context.paths).ensure(spec).name


def volume_users(paths: StatePaths) -> dict[str, list[ObservedContainer]]:
    """Return the containers that mount each volume, running or not."""
    root = f"{paths.volumes}/"
    users: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(paths):
        names = {
            mount.source.removeprefix(root).split("/", 1)[0]
            for mount in container.config.mounts
            if mount.source.startswith(root)
        }
        for name in names:
            users.setdefault(name, []).append(container)
    return users


def volumes(context: Context, filters: Iterable[str] = ()) -> list[VolumeRow]:
    """Return the volumes by name; `filters` are dangling=BOOL, driver=X, label=KEY[=VALUE], name=TEXT.

    Raises PycomposeError for another filter.
    """
    store = VolumeStore(context.paths)
    users = volume_users(context.paths)
    rows = [_volume_row(store, volume, users) for volume in store.all()]
    return _filtered(rows, filters, {"driver": lambda row, value: row.driver == value})


R = TypeVar("R", VolumeRow, NetworkRow)


def _volume_row(
    store: VolumeStore, volume: VolumeState, users: Mapping[str, Sequence[ObservedContainer]]
) -> VolumeRow:
    return VolumeRow(
        name=volume.name,
        driver=volume.driver,
        mountpoint=str(store.data(volume.name)),
        labels=volume.labels,
        users=tuple(container.name for container in users.get(volume.name, ())),
    )


def _filtered(rows: list[R], filters: Iterable[str], more: Mapping[str, Callable[[R, str], bool]]) -> list[R]:
    tests: dict[str, Callable[[R, str], bool]] = {
        "dangling": lambda row, value: bool(row.users) != (value.lower() in ("true", "1")),
        "label": lambda row, value: matches_labels(row.labels, value),
        "name": lambda row, value: value in row.name,
        **more,
    }
    for text in filters:
        key, equals, value = text.partition("=")
        test = tests.get(key)
        if test is None or not equals:
            raise PycomposeError(
                f"--filter {text}: cannot be used", hint=f"known: {', '.join(sorted(tests))}"
            )
        rows = [row for row in rows if test(row, value)]
    return rows


def remove_volume(context: Context, name: str, *, force: bool = False) -> None:
    """Remove a volume and its data.

    Raises VolumeError when there is none (unless `force`), VolumeInUse while a container refers to it.
    """
    store = VolumeStore(context.paths)
    if store.get(name) is None:
        if force:
            return
        raise VolumeError(f"volume {name}: no such volume", hint="see: pycompose volume ls")
    if users := volume_users(context.paths).get(name):
        names = ", ".join(container.name for container in users)
        raise VolumeInUse(f"volume {name}: in use by {names}", hint="remove the containers first")
    store.remove(name)


def prune_volumes(context: Context, *, everything: bool, labels: Iterable[str] = ()) -> Pruned:
    """Remove anonymous volumes that no container refers to, with `everything` named ones too."""
    store = VolumeStore(context.paths)
    store.sweep()
    users = volume_users(context.paths)
    removed, freed = [], 0
    wanted = list(labels)
    for volume in store.all():
        if volume.name in users or not (everything or volume.anonymous):
            continue
        if _in_the_making(context.paths, volume.labels.get(PROJECT, ""), volume.created_ns):
            continue
        if all(matches_labels(volume.labels, label) for label in wanted):
            size = directory_bytes(store.data(volume.name))
            store.remove(volume.name)
            removed.append(volume.name)
            freed += size
    return Pruned(names=tuple(removed), freed_bytes=freed)


# ---------------------------------------------------------------------- networks


def _kept(paths: StatePaths, name: str) -> Path:
    return paths.root / "networks" / f"{check_name(name)}.json"


@contextlib.contextmanager
def _networking(paths: StatePaths) -> Iterator[Networking]:
    networking = Networking(paths)
    try:
        yield networking
    finally:
        networking.close()


def create_network(context: Context, request: NetworkRequest) -> str:
    """Make a network, return its id. Raises AlreadyExists, NetworkError, AddressesExhausted."""
    families: dict[str, dict[str, str]] = {}
    for key, values in (
        ("subnet", request.subnets),
        ("gateway", request.gateways),
        ("ip_range", request.ranges),
    ):
        for value in values:
            families.setdefault("6" if ":" in value else "4", {})[key] = value
    spec = NetworkSpec(
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
    with _networking(context.paths) as networking:
        restore_networks(context.paths, [request.name])
        if networking.inspect(request.name) is not None:
            raise AlreadyExists(f"network {request.name}: already exists", hint="see: pycompose network ls")
        state = networking.ensure_network(spec)
    path = _kept(context.paths, request.name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, plain(_as_made(spec, state)))
    return state.id


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


def restore_networks(paths: StatePaths, names: Iterable[str]) -> None:
    """Make networks again that `network create` had made before a reboot. Raises NetworkError."""
    for name in names:
        try:
            spec = from_json(NetworkSpec, read_json(_kept(paths, name)))
        except FileNotFoundError:
            continue
        if not paths.network(name).exists():
            with _networking(paths) as networking:
                networking.ensure_network(spec)


def kept_networks(paths: StatePaths) -> list[str]:
    """Return the names of the networks that `network create` has made."""
    try:
        return sorted(entry.stem for entry in (paths.root / "networks").glob("[!.]*.json"))
    except FileNotFoundError:
        return []


def network_users(paths: StatePaths) -> dict[str, list[ObservedContainer]]:
    """Return the containers that refer to each network, running or not."""
    users: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(paths):
        with contextlib.suppress(FileNotFoundError):
            for network in read_service(paths, container.id).networks.values():
                users.setdefault(network.name, []).append(container)
    return users


def networks(context: Context, filters: Iterable[str] = ()) -> list[NetworkRow]:
    """Return the networks by name; `filters` are dangling=BOOL, driver=X, id=HEX, label=KEY[=VALUE], name=TEXT."""
    restore_networks(context.paths, kept_networks(context.paths))
    users = network_users(context.paths)
    with _networking(context.paths) as networking:
        rows = [
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
    return _filtered(rows, filters, tests)


def find_network(context: Context, text: str) -> NetworkState:
    """Return the network of this name or id prefix. Raises NetworkError."""
    restore_networks(context.paths, kept_networks(context.paths))
    with _networking(context.paths) as networking:
        states = networking.list_networks()
    found = [s for s in states if s.name == text] or [s for s in states if text and s.id.startswith(text)]
    if len(found) != 1:
        reason = "several ids begin so" if found else "no such network"
        raise NetworkError(f"network {text}: {reason}", hint="see: pycompose network ls")
    return found[0]


def remove_network(context: Context, text: str, *, force: bool = False) -> str:
    """Remove a network, return its name. Raises NetworkError while a container refers to it, or when there is none."""
    try:
        state = find_network(context, text)
    except NetworkError:
        if force:
            return text
        raise
    if users := network_users(context.paths).get(state.name):
        names = ", ".join(container.name for container in users)
        raise NetworkError(f"network {state.name}: in use by {names}", hint="remove the containers first")
    _remove_network(context.paths, state.name)
    return state.name


def _remove_network(paths: StatePaths, name: str) -> None:
    # Forgotten first: one that is still there can be removed again, one that comes back with a reboot surprises.
    _kept(paths, name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (paths.root / "networks").rmdir()
    with _networking(paths) as networking:
        state = networking.inspect(name)
        networking.remove_network(name)
        project = state.project if state else ""
        if project and not (
            networking.list_networks(project) or claims(paths, project) or is_held(paths, project)
        ):
            networking.remove_firewall(project)


def prune_networks(context: Context, *, labels: Iterable[str] = ()) -> Pruned:
    """Remove the networks that no container refers to, running or not."""
    wanted = list(labels)
    removed = [] if wanted else clear_abandoned(context.paths)
    for row in networks(context):
        project = row.labels.get(PROJECT, "")
        if row.users or _in_the_making(context.paths, project, row.created_ns):
            continue
        if all(matches_labels(row.labels, label) for label in wanted):
            with contextlib.suppress(NetworkError):  # somebody has just connected
                _remove_network(context.paths, row.name)
                removed.append(row.name)
    return Pruned(names=tuple(removed))
