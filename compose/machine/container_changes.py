"""What `pycompose container …` changes: containers of every project, by name or id, through their supervisors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.client import kept_networks
from pycompose.client.supervisor import call
from pycompose.engine.config import Limits
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError, PycomposeError, StateError
from pycompose.engine.state import Status
from pycompose.ipc.client import connect_or_start
from pycompose.ipc.requests import (
    ConnectRequest,
    DisconnectRequest,
    KillRequest,
    PauseRequest,
    RemoveRequest,
    RenameRequest,
    RestartRequest,
    StartRequest,
    StopRequest,
    UpdateRequest,
)
from pycompose.ipc.retry import persistently
from pycompose.labels import PROJECT
from pycompose.machine import containers
from pycompose.machine.names import check_container_name
from pycompose.machine.rows import PruneResult, directory_bytes, matches_labels
from pycompose.model import Restart
from pycompose.networking.settings import ENDPOINT_OPTIONS, option_problems
from pycompose.state.snapshot import shown_labels
from pycompose.state.users import all_containers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pycompose.client.context import Context
    from pycompose.ipc.messages import ChangeResult
    from pycompose.ipc.requests import ContainersRequest
    from pycompose.policy.observed import ObservedContainer


def act(context: Context, text: str, request: ContainersRequest[ChangeResult]) -> str:
    """Have done with one container what `request` says, return its name.

    Raises NoSuchContainer, StateError and what the engine says.
    """
    container = containers.find(context, text)
    ask(context, container, request)
    return container.name


def start(context: Context, text: str) -> str:
    """Start a container, return its name. Raises as `act`."""
    return act(context, text, StartRequest())


def stop(context: Context, text: str, timeout_s: float | None, signal: str = "") -> str:
    """Stop a container (by its own signal for ""), return its name. Raises as `act`."""
    return act(context, text, StopRequest(timeout_s=timeout_s, signal=signal))


def restart(context: Context, text: str, timeout_s: float | None, signal: str = "") -> str:
    """Stop and start a container, return its name; see `stop`. Raises as `act`."""
    return act(context, text, RestartRequest(timeout_s=timeout_s, signal=signal, no_deps=True))


def kill(context: Context, text: str, signal: str) -> str:
    """Send a signal (name or number) to a running container, return its name. Raises as `act`."""
    _check_running(context, text)
    return act(context, text, KillRequest(signal=signal))


def pause(context: Context, text: str, *, on: bool) -> str:
    """Freeze a running container, or let it go on; return its name. Raises as `act`."""
    _check_running(context, text)
    return act(context, text, PauseRequest(pause=on))


def rename(context: Context, text: str, name: str) -> str:
    """Give a container another name, return the old one. Raises AlreadyExists, PycomposeError, and as `act`."""
    check_container_name(f"container {text}: cannot rename to {name!r}", name)
    if containers.find(context, text).name == name:
        raise PycomposeError(f"container {text}: cannot be renamed to its own name")
    return act(context, text, RenameRequest(name=name))


def update(context: Context, text: str, limits: dict[str, Any], restart_policy: dict[str, Any] | None) -> str:
    """Change some fields of engine.config.Limits, and the restart policy (those of model.Restart) unless it is None.

    Returns the name. Raises as `act`.
    """
    policy = None if restart_policy is None else Restart(**restart_policy)
    return act(context, text, UpdateRequest(limits=Limits(**limits), restart=policy))


def connect(  # noqa: PLR0913 - one parameter per flag
    context: Context,
    network: str,
    text: str,
    *,
    aliases: tuple[str, ...] = (),
    ip: str = "",
    ip6: str = "",
    link_local: tuple[str, ...] = (),
    links: tuple[str, ...] = (),
    options: Mapping[str, str] | None = None,
) -> None:
    """Put a container on one more network; `links` are CONTAINER or CONTAINER:ALIAS, which it knows others by.

    Raises NetworkError, NoSuchContainer.
    """
    for problem in option_problems(options or {}, ENDPOINT_OPTIONS):
        raise NetworkError(f"network {network}: connect {text}: {problem.path[-1]}: {problem.reason}")
    container = containers.find(context, text)
    named = ((containers.find(context, name).name, alias or name) for name, _, alias in _split(links))
    request = ConnectRequest(
        network=_network(context, network),
        aliases=aliases,
        ip=ip,
        ip6=ip6,
        link_local=link_local,
        links=tuple(named),
        options=dict(options or {}),
    )
    ask(context, container, request)


def _split(links: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    return (link.partition(":") for link in links)


def disconnect(context: Context, network: str, text: str) -> None:
    """Take a container off a network. Raises NetworkError, NoSuchContainer."""
    container = containers.find(context, text)
    ask(context, container, DisconnectRequest(network=_network(context, network)))


def _network(context: Context, text: str) -> str:
    """Return the name of the network of this name or id prefix, unless it is none to be on; raises NetworkError."""
    from pycompose.machine import networks  # noqa: PLC0415 - brings the networking, 20 MB

    name = networks.find(context, text).name
    if name in ("host", "none"):
        raise NetworkError(
            f"network {name}: no container can be connected to it, or taken off it",
            hint=f"network_mode: {name} (container run --network {name}) is for a container's whole life",
        )
    return name


def _check_running(context: Context, text: str) -> None:
    container = containers.find(context, text)
    if not container.running:
        raise StateError(f"container {container.name}: is not running")


def remove(context: Context, text: str, *, force: bool, volumes: bool) -> str:
    """Remove a container, a running one only with `force`; return its name. Raises NoSuchContainer, StateError."""
    container = containers.find(context, text)
    if container.running and not force:
        raise StateError(
            f"container {container.name}: cannot remove: it is running", hint="stop it first, or use --force"
        )
    ask(context, container, RemoveRequest(stop=force, kill=force, volumes=volumes, timeout_s=0.0))
    return container.name


def prune(
    context: Context, *, labels: Iterable[str] = (), without: Iterable[str] = (), before_ns: int = 0
) -> PruneResult:
    """Remove all containers that don't run.

    Only those with `labels`, none with a label of `without`, and only what was made before a moment unless it is 0.
    """
    wanted, spared = list(labels), list(without)
    stopped: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(context.paths):
        idle = container.state.status in (Status.CREATED, Status.EXITED)
        waits = container.waits
        found = shown_labels(container.config)
        fits = all(matches_labels(found, label) for label in wanted)
        fits = fits and not any(matches_labels(found, label) for label in spared)
        fits = fits and not (before_ns and container.config.created_ns >= before_ns)
        if idle and fits and not waits:
            stopped.setdefault(container.config.project, []).append(container)
    gone: list[ObservedContainer] = []
    freed = 0
    for group in stopped.values():
        sizes = [directory_bytes(context.paths.container(c.id) / "rw") for c in group]
        ask(context, group[0], RemoveRequest(ids=tuple(c.id for c in group)))
        gone += group
        freed += sum(sizes)
    return PruneResult(names=tuple(c.name for c in gone), ids=tuple(c.id for c in gone), freed_bytes=freed)


def ask(context: Context, container: ObservedContainer, request: ContainersRequest[ChangeResult]) -> None:
    """Ask something of the container's supervisor: about this container unless `request` names others of its project.

    Raises what the supervisor says.
    """
    project = container.config.labels.get(PROJECT, container.config.project)
    whole = request if request.ids else replace(request, ids=(container.id,))
    kept_networks.restore_all(context.paths)
    if isinstance(request, StartRequest | RestartRequest):
        kept_networks.restore_of(context.paths, container.id)

    def work() -> None:
        with connect_or_start(context.paths, project) as connection:
            call(connection, whole, context.sink)

    persistently(whole, work, context.sink)
