"""Containers of every project, by name or id: what there is to see of them. What changes them: container_changes.py."""

from __future__ import annotations

import contextlib
import operator
import re
from functools import partial
from typing import TYPE_CHECKING

from pycompose.client.listings import container_view
from pycompose.client.views import ContainerLogLine, ContainerView
from pycompose.engine.errors import EngineError, NoSuchContainer, PycomposeError
from pycompose.machine.rows import directory_bytes, is_true, matches, matches_labels
from pycompose.state.memory import Derived
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

    `filters` are name=REGEX, id=HEX, status=STATE, label=KEY[=VALUE], project=NAME, ancestor=IMAGE, volume=NAME,
    network=NAME, health=STATE, exited=CODE, publish=PORT[-PORT][/PROTO], expose=PORT[-PORT][/PROTO], before=NAME,
    since=NAME, is-task=BOOL. All labels have to be there, of another key one of its values, as docker has it. Raises
    PycomposeError for another one, NoSuchContainer for who isn't there.
    """
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key not in (*_FILTERS, *_MOMENTS) or not equals:
            known = ", ".join((*_FILTERS, *_MOMENTS))
            raise PycomposeError(f"--filter {text}: cannot be used", hint=f"known: {known}")
        _check_value(key, value)
        wanted.setdefault(key, []).append(value)
    everything = everything or bool({"status", "exited"} & wanted.keys())
    found = [
        _views.value(container.id, (container,), partial(container_view, context, container))
        for container in all_containers(context.paths)
        if everything or container.running
    ]
    for key, values in wanted.items():
        if key in _MOMENTS:
            stamps = [find(context, value).config.created_ns for value in values]
            found = [view for view in found if any(_MOMENTS[key](view.created_ns, stamp) for stamp in stamps)]
        else:
            enough = all if key == "label" else any
            found = [view for view in found if enough(_FILTERS[key](view, value) for value in values)]
    return sorted(found, key=lambda view: view.created_ns, reverse=True)


# Its service's record is in the same folder as its configuration: it is another object when that has changed.
_views: Derived[ContainerView] = Derived()


def sizes(context: Context, shown: Iterable[ContainerView]) -> list[tuple[int, int]]:
    """Return for each container the bytes that it has written, and those together with its image's."""
    from pycompose.engine.images.store import ImageStore  # noqa: PLC0415 - only for sizes

    store = ImageStore(context.paths)
    found = []
    for view in shown:
        written = directory_bytes(context.paths.container(view.id) / "rw")
        image = 0
        with contextlib.suppress(PycomposeError):  # it has been removed
            image = store.resolve(
                view.image_id if view.image_id.startswith("sha256:") else view.image
            ).size_bytes
        found.append((written, written + image))
    return found


# What states and probes are called (moby container.IsValidStateString, IsValidHealthString).
_WORDS = {
    "status": ("created", "running", "paused", "restarting", "removing", "exited", "dead"),
    "health": ("none", "starting", "healthy", "unhealthy"),
}
_CODE = re.compile(r"[-+]?[0-9]{1,9}")


def _check_value(key: str, value: str) -> None:
    """Raise PycomposeError, in Docker's words, for a value that no container can have."""
    words = _WORDS.get(key, ())
    if (words and value not in words) or (key == "exited" and not _CODE.fullmatch(value)):
        hint = f"it is {', '.join(words[:-1])} or {words[-1]}" if words else "it is a number"
        raise PycomposeError(f"invalid filter '{key}={value}'", hint=hint)


def _has_port(numbers: Iterable[tuple[int, str]], wanted: str) -> bool:
    """Tell whether one of (port, protocol) is in PORT[-PORT][/PROTO]. Raises PycomposeError."""
    ports, _, protocol = wanted.partition("/")
    first, _, last = ports.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        raise PycomposeError(f"--filter …={wanted}: not a port", hint="for example 80, 8000-8010/tcp")
    return any(
        int(first) <= number <= int(last or first) and protocol in ("", kind) for number, kind in numbers
    )


_MOMENTS: dict[str, Callable[[int, int], bool]] = {"before": operator.lt, "since": operator.gt}
_FILTERS: dict[str, Callable[[ContainerView, str], bool]] = {
    "name": lambda view, value: matches("name", value, f"/{view.name}") or matches("name", value, view.name),
    "id": lambda view, value: view.id.startswith(value),
    "status": lambda view, value: view.state == value,
    "label": lambda view, value: matches_labels(view.labels, value),
    "project": lambda view, value: view.project == value,
    "ancestor": lambda view, value: value in (view.image, view.image_id),
    "volume": lambda view, value: any(value in (m.source, m.target) for m in view.mounts),
    "network": lambda view, value: value in view.networks,
    "health": lambda view, value: (view.health or "none") == value,
    "exited": lambda view, value: view.state == "exited" and view.exit_code == int(value),
    "publish": lambda view, value: _has_port(
        ((port.host_port, port.protocol) for port in view.ports if port.host_port), value
    ),
    "expose": lambda view, value: _has_port(((port.target, port.protocol) for port in view.ports), value),
    "is-task": lambda _view, value: not is_true("is-task", value),
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
    from pycompose.client.log_tail import LogTail  # noqa: PLC0415 - only to follow

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
        yield from (line for line in tail.rest() if not until_ns or line.stamp_ns <= until_ns)


def log_details(context: Context, text: str) -> str:
    """Return what `logging: options:` names of a container's labels and environment, as `--details` shows it.

    `tag`, too; sorted, with values as in addresses of the web (moby daemon/logger/loginfo.go, ExtraAttributes). Raises
    NoSuchContainer.
    """
    from urllib.parse import quote_plus  # noqa: PLC0415 - few ask

    from pycompose.state.records import read_service  # noqa: PLC0415 - as above

    config = find(context, text).config
    options = read_service(context.paths, config.id).service.logging.options
    variables = dict(line.split("=", 1) for line in config.process.env if "=" in line)
    found = {"tag": config.log.tag} if config.log.tag else {}
    for key, known in (("labels", config.labels), ("env", variables)):
        named = options.get(key, "").split(",")
        pattern = options.get(f"{key}-regex", "")
        found |= {
            name: value
            for name, value in known.items()
            if name in named or (pattern and re.search(pattern, name))
        }
    return ",".join(f"{quote_plus(name)}={quote_plus(found[name])}" for name in sorted(found))


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
