"""Containers of every project, by name or id: what there is to see of them. What changes them: container_changes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.client.listings import container_view
from pycompose.client.views import ContainerLogLine, ContainerView
from pycompose.engine.errors import EngineError, NoSuchContainer, PycomposeError
from pycompose.machine.rows import matches_labels
from pycompose.state.snapshot import owner_of, read_container
from pycompose.state.users import all_containers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import LogsOptions
    from pycompose.policy.observed import ObservedContainer


def find(context: Context, text: str) -> ObservedContainer:
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


def view(context: Context, text: str) -> ContainerView:
    """Return a container as listings show it. Raises NoSuchContainer."""
    return container_view(context, find(context, text))


def changed_paths(context: Context, text: str) -> list[tuple[str, str]]:
    """Return (A, C or D, path) for what a container has changed in its image. Raises NoSuchContainer, EngineError."""
    from pycompose.client.export import changed_paths  # noqa: PLC0415 - brings the image store

    return changed_paths(context, find(context, text))


def ps_table(context: Context, container: ObservedContainer, arguments: Iterable[str]) -> list[list[str]]:
    """Return what `ps ARGUMENTS` says of a running container, titles first. Raises PycomposeError."""
    from pycompose.client.top import ps_table  # noqa: PLC0415 - nobody else here needs it

    return ps_table(context, container, tuple(arguments))


def views(context: Context, *, everything: bool, filters: Iterable[str] = ()) -> list[ContainerView]:
    """Return the containers of all projects, newest first; without `everything` the running ones.

    `filters` are name=TEXT, id=HEX, status=STATE, label=KEY[=VALUE], project=NAME, ancestor=IMAGE, volume=NAME,
    network=NAME, health=STATE, exited=CODE. Raises PycomposeError for another one.
    """
    chosen = list(filters)
    everything = everything or any(text.startswith(("status=", "exited=")) for text in chosen)
    found = [
        container_view(context, container)
        for container in all_containers(context.paths)
        if everything or container.running
    ]
    for text in chosen:
        key, equals, value = text.partition("=")
        test = _FILTERS.get(key)
        if test is None or not equals:
            raise PycomposeError(f"--filter {text}: cannot be used", hint=f"known: {', '.join(_FILTERS)}")
        found = [view for view in found if test(view, value)]
    return sorted(found, key=lambda view: view.created_ns, reverse=True)


_FILTERS: dict[str, Callable[[ContainerView, str], bool]] = {
    "name": lambda view, value: value in view.name,
    "id": lambda view, value: view.id.startswith(value),
    "status": lambda view, value: view.state == value,
    "label": lambda view, value: matches_labels(view.labels, value),
    "project": lambda view, value: view.project == value,
    "ancestor": lambda view, value: value in (view.image, view.image_id),
    "volume": lambda view, value: any(value in (m.source, m.target) for m in view.mounts),
    "network": lambda view, value: value in view.networks,
    "health": lambda view, value: (view.health or "none") == value,
    "exited": lambda view, value: view.state == "exited" and str(view.exit_code) == value,
}


def logs(context: Context, text: str, options: LogsOptions) -> Iterator[ContainerLogLine]:
    """Yield the lines of one container; with `follow` until it ends. Raises NoSuchContainer, EngineError."""
    from pycompose.engine.logs.reader import read_logs  # noqa: PLC0415 - only here
    from pycompose.engine.logs.writer import is_kept, log_directory  # noqa: PLC0415 - only here

    container = find(context, text)
    if not is_kept(container.config.log):
        raise EngineError(
            f"container {container.name}: cannot read its log: logging driver {container.config.log.driver} keeps none"
        )
    since_ns, until_ns = options.since_ns or None, options.until_ns or None
    if not options.follow:
        directory = log_directory(context.paths, container.config)
        if not directory.exists():
            return
        for line in read_logs(directory, since_ns=since_ns, until_ns=until_ns, tail=options.tail):
            yield ContainerLogLine(
                container=container.name,
                service=container.service,
                number=container.number,
                stream=line.stream,
                data=line.data,
                stamp_ns=line.stamp_ns,
            )
        return
    from pycompose.client.logs import LogTail  # noqa: PLC0415 - only to follow

    with LogTail(context, container.config.project) as tail:
        tail.add(container, since_ns=since_ns, lines=options.tail)
        first = True
        while first or container.id in tail.active:
            first = False
            for item in tail.wait():
                if isinstance(item, ContainerLogLine):
                    if until_ns and item.stamp_ns > until_ns:
                        return
                    yield item


def wait(context: Context, text: str) -> int:
    """Wait until a container doesn't run, return its exit code. Raises NoSuchContainer."""
    from pycompose.errors import NotRunning  # noqa: PLC0415 - only here
    from pycompose.ipc.client import connect  # noqa: PLC0415 - only here
    from pycompose.ipc.messages import ResultMessage, StoppedMessage  # noqa: PLC0415 - only here
    from pycompose.ipc.requests import WaitRequest  # noqa: PLC0415 - only here

    container = find(context, text)
    try:
        connection = connect(context.paths, container.config.project)
    except NotRunning:
        return container.state.exit_code
    with connection:
        connection.send(WaitRequest(ids=(container.id,)))
        while True:
            message, _ = connection.receive()
            if isinstance(message, StoppedMessage):
                return message.waited.code
            if isinstance(message, ResultMessage):
                return container.state.exit_code
