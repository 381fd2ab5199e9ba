"""The log files of a project's containers and the supervisor's events, waited for at the same time."""

from __future__ import annotations

import contextlib
import select
import time
from typing import TYPE_CHECKING, Self

from pycompose.client.views import ContainerLogLine
from pycompose.engine.errors import PycomposeError
from pycompose.engine.logs.writer import log_directory
from pycompose.errors import NotRunning, SupervisorError
from pycompose.events import ContainerEvent
from pycompose.ipc.client import connect
from pycompose.ipc.messages import ContainerMessage, SubscribedMessage
from pycompose.state.snapshot import read_container

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.engine.logs.follow import LogFollower
    from pycompose.engine.logs.reader import LogLine
    from pycompose.ipc.client import Connection
    from pycompose.policy.observed import ObservedContainer

# How long another supervisor is waited for, and how often looked for.
SUCCESSOR_S = 5.0
SUPERVISOR_POLL_S = 0.1


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
        lines = _all(*found)
        found[1].close()
        return lines

    def rest(self) -> list[ContainerLogLine]:
        """Return all that is left of containers that have ended, in the order of the lines' stamps."""
        ended = [found for key, found in self._followers.items() if key not in self.active]
        return sorted((line for found in ended for line in _all(*found)), key=lambda line: line.stamp_ns)

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
            _wait_readable(fds, timeout_s)
            lines = self._read()
        events = self._events()
        if events:
            # What was written before the event must be shown before it, however much it is.
            lines += self._read()
            lines += self.rest()
        return [*sorted(lines, key=lambda line: line.stamp_ns), *events]

    def _read(self) -> list[ContainerLogLine]:
        return [
            _log_line(container, line)
            for container, follower in self._followers.values()
            for line in follower.read()
        ]

    def _events(self) -> list[ContainerEvent]:
        events: list[ContainerEvent] = self._resubscribe() if self._until_s else []
        while self._connection is not None and _wait_readable([self._connection.socket.fileno()], 0):
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


def _wait_readable(fds: Iterable[int], timeout_s: float | None) -> bool:
    """Wait until one of them is readable, select() knows none above 1023; tell whether one is."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


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


def _log_line(container: ObservedContainer, line: LogLine) -> ContainerLogLine:
    return ContainerLogLine(
        container=container.name,
        service=container.service,
        number=container.number,
        stream=line.stream,
        data=line.data,
        stamp_ns=line.stamp_ns,
    )


def _all(container: ObservedContainer, follower: LogFollower) -> list[ContainerLogLine]:
    """Return the lines of a container that writes no more."""
    lines: list[ContainerLogLine] = []
    while batch := follower.read():
        lines += [_log_line(container, line) for line in batch]
    return lines
