"""What the management commands do with containers, and with the machine as a whole: every project, by name or id."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.client.listings import container_view
from pycompose.client.views import ContainerView, EventView, LogLine
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ExecError, NoSuchContainer, PycomposeError, StateError
from pycompose.engine.logs.reader import read_logs
from pycompose.engine.state import Status
from pycompose.errors import NotRunning
from pycompose.ipc.client import connect, connect_or_start
from pycompose.ipc.retry import persistently
from pycompose.labels import PROJECT
from pycompose.machine import boot as comeback
from pycompose.machine import images as catalog
from pycompose.machine import volumes as resources
from pycompose.state.snapshot import owner_of, read_container
from pycompose.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.client.changes import Context
    from pycompose.client.options import LogsOptions
    from pycompose.client.query_options import EventsOptions
    from pycompose.policy.observed import ObservedContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One line of `system df`: how many there are, how many in use, their bytes, and what `prune` could free."""

    kind: str
    total: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


# ---------------------------------------------------------------------- containers


def find_container(context: Context, text: str) -> ObservedContainer:
    """Return the container of this name, id, or unique beginning of an id. Raises NoSuchContainer."""
    name = text.removeprefix("/")
    found = None
    if name and "/" not in name:
        try:
            found = read_container(context.paths, owner_of(context.paths, name))
        except OSError:
            found = None
    if found is not None:
        return found
    try:
        ids = [
            entry.name for entry in context.paths.containers.iterdir() if text and entry.name.startswith(text)
        ]
    except FileNotFoundError:
        ids = []
    if len(ids) > 1:
        raise NoSuchContainer(f"container {text}: several ids begin so", hint="give more digits")
    found = read_container(context.paths, ids[0]) if ids else None
    if found is None:
        raise NoSuchContainer(f"container {text}: no such container", hint="see: pycompose container ls -a")
    return found


def container(context: Context, text: str) -> ContainerView:
    """Return a container as listings show it. Raises NoSuchContainer."""
    return container_view(context, find_container(context, text))


def changed_paths(context: Context, text: str) -> list[tuple[str, str]]:
    """Return (A, C or D, path) for what a container has changed in its image. Raises NoSuchContainer, EngineError."""
    from pycompose.client.export import changed_paths  # noqa: PLC0415 - brings the image store

    return changed_paths(context, find_container(context, text))


def ps_table(context: Context, container: ObservedContainer, arguments: Iterable[str]) -> list[list[str]]:
    """Return what `ps ARGUMENTS` says of a running container, titles first. Raises PycomposeError."""
    from pycompose.client.activity import ps_table  # noqa: PLC0415 - nobody else here needs it

    return ps_table(context, container, tuple(arguments))


def containers(context: Context, *, everything: bool, filters: Iterable[str] = ()) -> list[ContainerView]:
    """Return the containers of all projects, newest first; without `everything` the running ones.

    `filters` are name=TEXT, id=HEX, status=STATE, label=KEY[=VALUE], project=NAME, ancestor=IMAGE, volume=NAME,
    network=NAME, health=STATE, exited=CODE. Raises PycomposeError for another one.
    """
    chosen = list(filters)
    everything = everything or any(text.startswith(("status=", "exited=")) for text in chosen)
    views = [
        container_view(context, container)
        for container in resources.all_containers(context.paths)
        if everything or container.running
    ]
    for text in chosen:
        key, equals, value = text.partition("=")
        test = _FILTERS.get(key)
        if test is None or not equals:
            raise PycomposeError(f"--filter {text}: cannot be used", hint=f"known: {', '.join(_FILTERS)}")
        views = [view for view in views if test(view, value)]
    return sorted(views, key=lambda view: view.created_ns, reverse=True)


_FILTERS: dict[str, Any] = {
    "name": lambda view, value: value in view.name,
    "id": lambda view, value: view.id.startswith(value),
    "status": lambda view, value: view.state == value,
    "label": lambda view, value: resources.matches_labels(view.labels, value),
    "project": lambda view, value: view.project == value,
    "ancestor": lambda view, value: value in (view.image, view.image_id),
    "volume": lambda view, value: any(value in (m.source, m.target) for m in view.mounts),
    "network": lambda view, value: value in view.networks,
    "health": lambda view, value: (view.health or "none") == value,
    "exited": lambda view, value: view.state == "exited" and str(view.exit_code) == value,
}


def act(context: Context, text: str, operation: str, **fields: Any) -> str:
    """Perform `stop`, `start`, `restart`, `kill`, `pause` or `rm` on one container; return its name.

    `fields` are those of the supervisor's operation (changes.py). Raises NoSuchContainer, StateError and what the
    engine says.
    """
    container = find_container(context, text)
    if operation in ("kill", "pause") and not container.running:
        raise StateError(f"container {container.name}: is not running")
    return _ask(context, container, [container.id], operation, fields) or container.name


def boot(context: Context, told: Callable[[str], None]) -> None:
    """Start the containers outside any compose file that come back with the machine; `told` gets their names.

    Those with `--rm` are removed. Raises what could not be done, when all has been tried.
    """
    failures: list[PycomposeError] = []

    def each(container: ObservedContainer, operation: str) -> None:
        fields: dict[str, Any] = {"stop": False, "volumes": True} if operation == "rm" else {}
        try:
            _ask(context, container, [container.id], operation, fields)
        except PycomposeError as exc:
            failures.append(exc)
        else:
            told(container.name)

    comeback.boot(context, each)
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("some are left", failures)


def shutdown(context: Context, timeout_s: float | None) -> list[str]:
    """Stop the containers outside any compose file so that `boot` brings them back; return their names."""
    found = comeback.running(context)
    if found:
        fields = {"timeout_s": timeout_s, "returns": True}
        _ask(context, found[0], [one.id for one in found], "stop", fields)
    return [one.name for one in found]


def remove(context: Context, text: str, *, force: bool, volumes: bool) -> str:
    """Remove a container, a running one only with `force`; return its name. Raises NoSuchContainer, StateError."""
    container = find_container(context, text)
    if container.running and not force:
        raise StateError(
            f"container {container.name}: cannot remove: it is running", hint="stop it first, or use --force"
        )
    fields = {"stop": force, "volumes": volumes, "timeout_s": 0.0}
    _ask(context, container, [container.id], "rm", fields)
    return container.name


def connect_network(
    context: Context, network: str, text: str, *, aliases: tuple[str, ...] = (), ip: str = "", ip6: str = ""
) -> None:
    """Put a container on one more network. Raises NetworkError, NoSuchContainer."""
    container = find_container(context, text)
    name = resources.find_network(context, network).name
    fields = {"network": name, "aliases": list(aliases), "ip": ip, "ip6": ip6}
    _ask(context, container, [container.id], "connect", fields)


def disconnect_network(context: Context, network: str, text: str) -> None:
    """Take a container off a network. Raises NetworkError, NoSuchContainer."""
    container = find_container(context, text)
    name = resources.find_network(context, network).name
    _ask(context, container, [container.id], "disconnect", {"network": name})


def prune_containers(context: Context, *, labels: Iterable[str] = ()) -> resources.Pruned:
    """Remove all containers that don't run."""
    wanted = list(labels)
    stopped: dict[str, list[ObservedContainer]] = {}
    for container in resources.all_containers(context.paths):
        idle = container.state.status in (Status.CREATED, Status.EXITED)
        waits = bool(container.runtime.get("restarting"))
        fits = all(resources.matches_labels(container.config.labels, label) for label in wanted)
        if idle and fits and not waits:
            stopped.setdefault(container.config.project, []).append(container)
    names, freed = [], 0
    for found in stopped.values():
        sizes = [resources.directory_bytes(context.paths.container(c.id) / "rw") for c in found]
        _ask(context, found[0], [c.id for c in found], "rm", {"stop": False, "volumes": False})
        names += [c.name for c in found]
        freed += sum(sizes)
    return resources.Pruned(names=tuple(names), freed_bytes=freed)


def _ask(
    context: Context, container: ObservedContainer, ids: list[str], operation: str, fields: dict[str, Any]
) -> str:
    """Have the container's supervisor perform an operation on containers of one project."""
    project = container.config.labels.get(PROJECT, container.config.project)
    message = {"op": operation, "services": [], "ids": ids, **fields}
    resources.restore_networks(context.paths, resources.kept_networks(context.paths))

    def work() -> None:
        with connect_or_start(context.paths, project) as connection:
            try:
                connection.call(message, context.sink)
            except ExecError as exc:
                exc.exit_code = 1
                raise

    persistently(operation, work, context.sink)
    return container.name


def container_logs(context: Context, text: str, options: LogsOptions) -> Iterator[LogLine]:
    """Yield the lines of one container; with `follow` until it ends. Raises NoSuchContainer."""
    container = find_container(context, text)
    since_ns, until_ns = options.since_ns or None, options.until_ns or None
    if not options.follow:
        directory = context.paths.container(container.id) / "log"
        if not directory.exists():
            return
        for line in read_logs(directory, since_ns=since_ns, until_ns=until_ns, tail=options.tail):
            yield LogLine(
                container=container.name,
                service=container.service,
                number=container.number,
                stream=line.stream,
                data=line.data,
                stamp_ns=line.stamp_ns,
            )
        return
    from pycompose.client.logs import Tail  # noqa: PLC0415 - only to follow

    with Tail(context, container.config.project) as tail:
        tail.add(container, since_ns=since_ns, lines=options.tail)
        first = True
        while first or container.id in tail.active:
            first = False
            for item in tail.wait():
                if isinstance(item, LogLine):
                    if until_ns and item.stamp_ns > until_ns:
                        return
                    yield item


def wait(context: Context, text: str) -> int:
    """Wait until a container doesn't run, return its exit code. Raises NoSuchContainer."""
    container = find_container(context, text)
    try:
        connection = connect(context.paths, container.config.project)
    except NotRunning:
        return container.state.exit_code
    with connection:
        connection.send({"op": "wait", "services": [], "ids": [container.id]})
        while True:
            message, _ = connection.receive()
            if "waited" in message:
                return int(message["waited"]["code"])
            if "result" in message:
                return container.state.exit_code


# ---------------------------------------------------------------------- the machine


def usage(context: Context) -> list[Use]:
    """Return what images, containers and volumes take. Raises ImageError."""
    disk = catalog.disk_usage(context)
    images = Use(
        kind="Images",
        total=disk.images,
        active=disk.in_use,
        size_bytes=disk.layers_bytes + disk.blobs_bytes,
        reclaimable_bytes=disk.reclaimable_bytes,
    )
    return [
        images,
        _summed("Containers", container_sizes(context)),
        _summed("Local Volumes", volume_sizes(context)),
    ]


def events(context: Context, options: EventsOptions, filters: Iterable[str] = ()) -> Iterator[EventView]:
    """Yield what happens to containers, as `activity.all_events`.

    `filters` are container=NAME or ID, event=ACTION, image=NAME, service=NAME, type=container; several of one key are
    alternatives. Raises PycomposeError for another one.
    """
    from pycompose.client.activity import all_events  # noqa: PLC0415 - nobody else here needs it

    wanted: dict[str, set[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key not in _EVENT_FILTERS or not equals:
            raise PycomposeError(
                f"--filter {text}: cannot be used", hint=f"known: {', '.join(_EVENT_FILTERS)}"
            )
        wanted.setdefault(key, set()).add(value)
    for view in all_events(context, options):
        if all(any(_EVENT_FILTERS[key](view, value) for value in values) for key, values in wanted.items()):
            yield view


_EVENT_FILTERS: dict[str, Callable[[EventView, str], bool]] = {
    "container": lambda view, value: (
        value == view.attributes["name"] or (bool(value) and view.container_id.startswith(value))
    ),
    "event": lambda view, value: view.action.partition(":")[0] == value or view.action == value,
    "image": lambda view, value: view.attributes["image"] == value,
    "service": lambda view, value: view.service == value,
    "type": lambda _view, value: value == "container",
}


def _summed(kind: str, sizes: list[tuple[str, int, bool]]) -> Use:
    return Use(
        kind=kind,
        total=len(sizes),
        active=sum(used for _, _, used in sizes),
        size_bytes=sum(size for _, size, _ in sizes),
        reclaimable_bytes=sum(size for _, size, used in sizes if not used),
    )


def container_sizes(context: Context) -> list[tuple[str, int, bool]]:
    """Return (name, bytes of what it has written and logged, whether it runs) of each container."""
    return [
        (
            container.name,
            resources.directory_bytes(context.paths.container(container.id)),
            container.running,
        )
        for container in resources.all_containers(context.paths)
    ]


def volume_sizes(context: Context) -> list[tuple[str, int, bool]]:
    """Return (name, bytes, whether a container refers to it) of each volume."""
    return [
        (row.name, resources.directory_bytes(Path(row.mountpoint)), bool(row.users))
        for row in resources.volumes(context)
    ]


def information(context: Context) -> dict[str, Any]:
    """Return what there is on the machine and what it can do, with the names of `docker info`."""
    found = list(resources.all_containers(context.paths))
    states = [container.state.status for container in found]
    cgroup2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "Containers": len(found),
        "ContainersRunning": states.count(Status.RUNNING),
        "ContainersPaused": states.count(Status.PAUSED),
        "ContainersStopped": sum(s not in (Status.RUNNING, Status.PAUSED) for s in states),
        "Images": len({row.id for row in catalog.rows(context)}),
        "Driver": "overlay",
        "RootDir": str(context.paths.root),
        "RunDir": str(context.paths.run),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if cgroup2 else "1",
        "KernelVersion": platform.release(),
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": memory,
        "Name": platform.node(),
        "ServerVersion": VERSION,
    }


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
