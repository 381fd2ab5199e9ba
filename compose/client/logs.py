"""Use cases that show output: `logs`, and what an attached `up` follows.

Lines come from the log files, lives and deaths from the supervisor's events; both are waited for at the same time.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from pycompose.client.log_tail import LogTail
from pycompose.client.views import ContainerLogLine, Exited, Recreated, Started
from pycompose.engine.errors import NoSuchContainer
from pycompose.engine.logs.reader import merge, read_batches
from pycompose.engine.logs.writer import is_kept, log_directory
from pycompose.engine.state import Status
from pycompose.events import Event, Phase
from pycompose.state.snapshot import claims, observe_containers, read_container

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import FollowOptions, LogsOptions
    from pycompose.config.load import Loaded
    from pycompose.events import ContainerEvent
    from pycompose.policy.observed import ObservedContainer


def logs(
    context: Context,
    project_name: str,
    loaded: Loaded | None,
    options: LogsOptions,
    expect: Callable[[list[ObservedContainer]], None] = lambda _containers: None,
) -> Iterator[list[ContainerLogLine]]:
    """Yield the lines of the chosen containers, merged by their stamps, as many at a time as are there.

    `expect` gets the containers before. Warns of those whose logging driver keeps nothing; raises NoSuchContainer.
    """
    wanted = _wanted(loaded, options)
    found, _ = observe_containers(context.paths, project_name, states=False)
    there = [container for container in found if wanted(container)]
    if options.index and not there:
        raise NoSuchContainer(
            f'service "{options.services[0]}" has no container number {options.index}',
            hint="see `pycompose ps -a` for what there is",
        )
    chosen = _kept(context, there)
    expect(chosen)
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


def follow_logs(
    context: Context,
    project_name: str,
    loaded: Loaded | None,
    options: LogsOptions,
    expect: Callable[[list[ObservedContainer]], None] = lambda _containers: None,
) -> Iterator[ContainerLogLine | Exited | Recreated]:
    """Yield the lines of the chosen containers, those that come later, and how the containers end.

    Ends once they have run and ended. `expect` gets the containers before. Warns of those whose logging driver keeps
    nothing.
    """
    wanted = _wanted(loaded, options)
    begin_ns = time.time_ns()
    found, _ = observe_containers(context.paths, project_name)
    there = [container for container in found if wanted(container)]
    chosen = _kept(context, there)
    expect(chosen)
    until_ns = options.until_ns or sys.maxsize
    with LogTail(context, project_name, since_ns=begin_ns) as tail:
        for container in chosen:
            tail.add(container, since_ns=options.since_ns or None, lines=options.tail)
        followed = _Followed(context, wanted, there)
        more = True
        while more:
            for item in tail.wait():
                if isinstance(item, ContainerLogLine):
                    if item.stamp_ns > until_ns:
                        return
                    yield item
                    continue
                yield from followed.take(item)
                if item.action == "start" and not tail.knows(item.id):
                    started = read_container(context.paths, item.id)
                    if started is not None and is_kept(started.config.log) and wanted(started):
                        tail.add(started, since_ns=None, lines=None)
            more = tail.alive and not followed.ended(tail.active)
        yield from (line for line in tail.rest() if line.stamp_ns <= until_ns)
        yield from followed.untold(project_name, begin_ns)


def _kept(context: Context, containers: list[ObservedContainer]) -> list[ObservedContainer]:
    """Return the containers whose log can be read, and warn of the others."""
    for container in containers:
        if not is_kept(container.config.log):
            driver = container.config.log.driver
            text = f'Can\'t retrieve logs for "{container.name}": logging driver {driver} keeps none'
            context.sink(Event(subject="", text=text, phase=Phase.WARNING))
    return [container for container in containers if is_kept(container.config.log)]


def _wanted(loaded: Loaded | None, options: LogsOptions) -> Callable[[ObservedContainer], bool]:
    """Return what tells whether a container's output has been asked for."""

    def wanted(container: ObservedContainer) -> bool:
        if container.oneoff or (options.index and container.number != options.index):
            return False
        if options.services:
            return container.service in options.services
        return loaded is None or loaded.attached(container.service)

    return wanted


class _Followed:
    """What has become of the wanted containers, of which `there` are there at first.

    Nothing will come once they have run and ended, and none has been made that is still to start.
    """

    def __init__(
        self,
        context: Context,
        wanted: Callable[[ObservedContainer], bool],
        there: Collection[ObservedContainer],
    ) -> None:
        self._context = context
        self._wanted = wanted
        self._known = {container.id: True for container in there}
        self._names = {container.name for container in there}
        self._made = {container.id for container in there if container.state.status is Status.CREATED}
        self._ran = any(container.state.status is not Status.CREATED for container in there)
        self._ended_ns: dict[str, int] = {}

    def take(self, event: ContainerEvent) -> Iterator[Exited | Recreated]:
        """Take note of what has happened to a container, and yield what is to be said of it."""
        if event.action == "create" and self._is_wanted(event.id):
            self._made.add(event.id)
            if event.name in self._names:
                yield Recreated(container=event.name, service=event.service, number=event.number)
            self._names.add(event.name)
        elif event.action in ("start", "destroy"):
            self._made.discard(event.id)
        elif event.action == "die" and self._is_wanted(event.id):
            self._ended_ns[event.id] = event.time_ns
            yield _exited(event)

    def ended(self, active: set[str]) -> bool:
        """Return whether nothing will come any more, given the ids of the containers that are active."""
        runs = any(self._is_wanted(container_id) for container_id in active)
        self._ran = self._ran or runs
        return self._ran and not runs and not self._made

    def untold(self, project_name: str, begin_ns: int) -> Iterator[Exited]:
        """Yield the ends since `begin_ns` that no supervisor was there to tell."""
        found, _ = observe_containers(self._context.paths, project_name)
        for container in found:
            state = container.state
            ended = state.status is Status.EXITED and state.finished_ns >= begin_ns
            # By time: a start is told after the end of what ends at once.
            if ended and self._ended_ns.get(container.id, 0) < state.started_ns and self._wanted(container):
                yield Exited(
                    container=container.name,
                    service=container.service,
                    number=container.number,
                    exit_code=state.exit_code,
                    exit_code_known=state.exit_code_known,
                    time_ns=state.finished_ns,
                )

    def _is_wanted(self, container_id: str) -> bool:
        if container_id not in self._known:
            container = read_container(self._context.paths, container_id)
            if container is None:
                return False
            self._known[container_id] = self._wanted(container)
        return self._known[container_id]


def _exited(event: ContainerEvent) -> Exited:
    return Exited(
        container=event.name,
        service=event.service,
        number=event.number,
        exit_code=int(event.attributes.get("exitCode", "0")),
        restarting=bool(event.attributes.get("restarting")),
        time_ns=event.time_ns,
    )


def follow(
    context: Context, project_name: str, options: FollowOptions
) -> Iterator[ContainerLogLine | Exited | Recreated | Started]:
    """Yield output, starts and exits of an attached `up`, until no watched container is active any more."""
    with LogTail(context, project_name, since_ns=options.since_ns) as tail:
        names: dict[str, str] = {}
        watched: dict[str, bool] = {}
        for container_id in claims(context.paths, project_name):
            _track(context, tail, container_id, options, names, since_ns=options.since_ns or None)
        while True:
            for item in tail.wait():
                if isinstance(item, ContainerLogLine):
                    yield item
                else:
                    yield from _followed_event(context, tail, item, options, names)
            if not (tail.alive and any(_is_watched(context, one, options, watched) for one in tail.active)):
                yield from tail.rest()
                return


def _is_watched(context: Context, container_id: str, options: FollowOptions, known: dict[str, bool]) -> bool:
    """Tell whether `up` waits for the end of a container; what was found out is kept in `known`."""
    if container_id not in known:
        container = read_container(context.paths, container_id)
        if container is None:
            return False
        known[container_id] = not container.oneoff and (
            not options.watched or container.service in options.watched
        )
    return known[container_id]


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
        yield _exited(event)
    elif event.action == "destroy":
        yield from tail.drop(event.id)
