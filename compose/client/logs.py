"""Use cases that show output: `logs`, and what an attached `up` follows.

Lines come from the log files, lives and deaths from the supervisor's events; both are waited for at the same time.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from pycompose.client.views import ContainerLogLine, Exited, Recreated, Started
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.engine.logs.reader import merge, read_batches
from pycompose.engine.logs.writer import is_kept, log_directory
from pycompose.errors import NotRunning, SupervisorError
from pycompose.events import ContainerEvent, Event, Phase
from pycompose.ipc.client import connect
from pycompose.ipc.messages import ContainerMessage, SubscribedMessage
from pycompose.policy.observed import ObservedContainer
from pycompose.state.snapshot import claims, observe_containers, read_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import FollowOptions, LogsOptions
    from pycompose.config.load import Loaded
    from pycompose.engine.logs.follow import LogFollower
    from pycompose.ipc.client import Connection

# How long another supervisor is waited for, and how often looked for.
SUCCESSOR_S = 5.0
SUPERVISOR_POLL_S = 0.1


def logs(
    context: Context, project_name: str, loaded: Loaded | None, options: LogsOptions
) -> Iterator[list[ContainerLogLine]]:
    """Yield the lines of the chosen containers, merged by their stamps; with `follow` also what comes later.

    As many at a time as are there. Warns of those whose logging driver keeps nothing.
    """
    found, _ = observe_containers(context.paths, project_name, states=False)
    chosen = [c for c in found if _wanted(c, loaded, options)]
    if options.index and not chosen and not options.follow:
        raise NoSuchContainer(
            f'service "{options.services[0]}" has no container number {options.index}',
            hint="see `pycompose ps -a` for what there is",
        )
    for container in chosen:
        if not is_kept(container.config.log):
            driver = container.config.log.driver
            text = f'Can\'t retrieve logs for "{container.name}": logging driver {driver} keeps none'
            context.sink(Event(subject="", text=text, phase=Phase.WARNING))
    chosen = [container for container in chosen if is_kept(container.config.log)]
    if options.follow:
        yield from _follow_logs(context, project_name, loaded, options, chosen)
        return
    sources = {
        (container.name, container.service, container.number): read_batches(
            log_directory(context.paths, container.config),
            since_ns=options.since_ns or None,
            until_ns=options.until_ns or None,
            tail=options.tail,
        )
        for container in chosen
    }
    for batch in merge(sources):
        yield [
            ContainerLogLine(name, service, data, number, stream, stamp_ns)
            for (name, service, number), (stamp_ns, stream, data, _) in batch
        ]


def _wanted(container: ObservedContainer, loaded: Loaded | None, options: LogsOptions) -> bool:
    if container.oneoff or (options.index and container.number != options.index):
        return False
    if options.services:
        return container.service in options.services
    return loaded is None or loaded.attached(container.service)


def _follow_logs(
    context: Context,
    project_name: str,
    loaded: Loaded | None,
    options: LogsOptions,
    chosen: list[ObservedContainer],
) -> Iterator[list[ContainerLogLine]]:
    with LogTail(context, project_name) as tail:
        for container in chosen:
            tail.add(container, since_ns=options.since_ns or None, lines=options.tail)
        first = True
        while first or tail.alive:
            first = False
            items = tail.wait()
            lines = [item for item in items if isinstance(item, ContainerLogLine)]
            until_ns = options.until_ns or sys.maxsize
            yield [line for line in lines if line.stamp_ns <= until_ns]
            if lines and lines[-1].stamp_ns > until_ns:
                return
            for event in items:
                if isinstance(event, ContainerLogLine) or event.action != "start":
                    continue
                if not tail.knows(event.id):
                    found = read_container(context.paths, event.id)
                    if found is not None and is_kept(found.config.log) and _wanted(found, loaded, options):
                        tail.add(found, since_ns=None, lines=None)


def _log_line(container: ObservedContainer, line: Any) -> ContainerLogLine:
    return ContainerLogLine(
        container=container.name,
        service=container.service,
        number=container.number,
        stream=line.stream,
        data=line.data,
        stamp_ns=line.stamp_ns,
    )


class LogTail:
    """Follows the log files of containers and the supervisor's events at the same time."""

    def __init__(self, context: Context, project_name: str, *, since_ns: int = 0) -> None:
        """Events come from `since_ns` on, 0 is from now."""
        self._context = context
        self._followers: dict[str, tuple[ObservedContainer, LogFollower]] = {}
        self.active: set[str] = set()
        self._project = project_name
        self._until_s = 0.0
        self._subscribed_ns = 0
        self._connection: Connection | None = None
        with contextlib.suppress(NotRunning):
            self.active = self._subscribe(since_ns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for _, follower in self._followers.values():
            follower.close()
        if self._connection is not None:
            self._connection.close()

    @property
    def alive(self) -> bool:
        """Whether anything can still come: some container runs under a supervisor, or under one that will come."""
        return bool(self.active) and (self._connection is not None or bool(self._until_s))

    def _subscribe(self, since_ns: int) -> set[str]:
        """Connect, and return the ids of active containers; raises NotRunning."""
        from pycompose.ipc.requests import SubscribeRequest  # noqa: PLC0415 - only to follow

        connection = connect(self._context.paths, self._project)
        try:
            connection.send(SubscribeRequest(since_ns=since_ns))
            message, _ = connection.receive()
            if not isinstance(message, SubscribedMessage):
                raise SupervisorError("supervisor: doesn't say which containers run")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._subscribed_ns = message.time_ns
        return {key for key, active in message.subscribed.items() if active}

    def knows(self, container_id: str) -> bool:
        """Whether the container is followed."""
        return container_id in self._followers

    def add(self, container: ObservedContainer, *, since_ns: int | None, lines: int | None) -> None:
        """Follow one more container."""
        from pycompose.engine.logs.follow import LogFollower  # noqa: PLC0415 - only to follow
        from pycompose.engine.statedirs import make_directory  # noqa: PLC0415 - as above

        directory = log_directory(self._context.paths, container.config)
        make_directory(directory)
        self._followers[container.id] = (container, LogFollower(directory, since_ns=since_ns, tail=lines))

    def drop(self, container_id: str) -> list[ContainerLogLine]:
        """Stop following a container that has gone; return its last lines."""
        found = self._followers.pop(container_id, None)
        if found is None:
            return []
        container, follower = found
        lines: list[ContainerLogLine] = []
        while batch := follower.read():
            lines += [_log_line(container, line) for line in batch]
        follower.close()
        return lines

    def wait(self, timeout_s: float | None = None) -> list[ContainerLogLine | ContainerEvent]:
        """Wait for lines and events; lines of all containers in the order of their stamps, then the events."""
        lines = self._read()
        if not lines:
            fds = [follower.fileno() for _, follower in self._followers.values()]
            if self._connection is not None:
                fds.append(self._connection.socket.fileno())
            elif self._until_s:
                timeout_s = SUPERVISOR_POLL_S
            else:
                timeout_s = 0
            if not fds and not timeout_s:
                return []
            select.select(fds, [], [], timeout_s)
            lines = self._read()
        events = self._events()
        if events:
            # What was written before the event must be shown before it.
            lines += self._read()
        return [*sorted(lines, key=lambda line: line.stamp_ns), *events]

    def _read(self) -> list[ContainerLogLine]:
        return [
            _log_line(container, line)
            for container, follower in self._followers.values()
            for line in follower.read()
        ]

    def _events(self) -> list[ContainerEvent]:
        events: list[ContainerEvent] = self._resubscribe() if self._until_s else []
        while self._connection is not None and select.select([self._connection.socket], [], [], 0)[0]:
            try:
                message, _ = self._connection.receive()
            except PycomposeError:
                self._connection.close()
                self._connection = None
                if self.active:  # it has been killed, and the keeper starts another one
                    self._until_s = time.monotonic() + SUCCESSOR_S
                break
            if isinstance(message, ContainerMessage):
                event = message.container
                events.append(event)
                if event.time_ns > self._subscribed_ns:  # else it is told again, and what we know is newer
                    (self.active.add if event.active else self.active.discard)(event.id)
        return events

    def _resubscribe(self) -> list[ContainerEvent]:
        """Subscribe to the next supervisor if it is there; return the ends that nobody has told meanwhile."""
        before = self.active
        try:
            self.active = self._subscribe(0)
        except NotRunning:
            if time.monotonic() > self._until_s:
                self._until_s = 0.0
            return []
        self._until_s = 0.0
        return [_missed_end(self._context, container_id) for container_id in sorted(before - self.active)]


def _missed_end(context: Context, container_id: str) -> ContainerEvent:
    """Return the event of a container's end, or of its removal if it isn't there any more."""
    found = read_container(context.paths, container_id)
    return ContainerEvent(
        time_ns=time.time_ns(),
        action="die" if found else "destroy",
        id=container_id,
        name=found.name if found else "",
        service=found.service if found else "",
        number=found.number if found else 0,
        oneoff=found.oneoff if found else False,
        image=found.config.image if found else "",
        active=False,
        attributes={"exitCode": str(found.state.exit_code)} if found else {},
    )


def follow(
    context: Context, project_name: str, options: FollowOptions
) -> Iterator[ContainerLogLine | Exited | Recreated | Started]:
    """Yield output, starts and exits of an attached `up`, until no watched container is active any more."""
    with LogTail(context, project_name, since_ns=options.since_ns) as tail:
        names: dict[str, str] = {}
        for container_id in claims(context.paths, project_name):
            _track(context, tail, container_id, options, names, since_ns=options.since_ns or None)
        while True:
            for item in tail.wait():
                if isinstance(item, ContainerLogLine):
                    yield item
                else:
                    yield from _followed_event(context, tail, item, options, names)
            if not _watched_active(context, tail, options):
                return


def _watched_active(context: Context, tail: LogTail, options: FollowOptions) -> bool:
    if not tail.alive:
        return False
    if not options.watched:
        return True
    for container_id in tail.active:
        container = read_container(context.paths, container_id)
        if container is not None and container.service in options.watched:
            return True
    return False


def _track(
    context: Context,
    tail: LogTail,
    container_id: str,
    options: FollowOptions,
    names: dict[str, str],
    *,
    since_ns: int | None,
) -> None:
    container = read_container(context.paths, container_id)
    if container is None or container.oneoff:
        return
    names[container.name] = container.id
    if not options.services or container.service in options.services:
        tail.add(container, since_ns=since_ns, lines=None)


def _followed_event(
    context: Context, tail: LogTail, event: ContainerEvent, options: FollowOptions, names: dict[str, str]
) -> Iterator[ContainerLogLine | Exited | Recreated | Started]:
    if event.oneoff:
        return
    who: dict[str, Any] = {"container": event.name, "service": event.service, "number": event.number}
    if event.action == "create":
        known = names.get(event.name)
        if not tail.knows(event.id):
            _track(context, tail, event.id, options, names, since_ns=None)
        if known is not None and known != event.id:
            yield Recreated(**who)
    elif event.action == "start":
        if not tail.knows(event.id):
            _track(context, tail, event.id, options, names, since_ns=None)
        yield Started(**who)
    elif event.action == "die":
        code = int(event.attributes.get("exitCode", "0"))
        restarting = bool(event.attributes.get("restarting"))
        yield Exited(**who, exit_code=code, restarting=restarting, time_ns=event.time_ns)
    elif event.action == "destroy":
        yield from tail.drop(event.id)
