"""Builds of services: which, in which order, under which names; what happens goes to the screen as it happens."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from pycompose.build.requests import SERVICE, BuildFlags, service_request, with_services
from pycompose.build.session import BuildSession
from pycompose.engine.builder.request import (
    CACHED,
    CANCELED,
    DONE,
    FAILED,
    OUTPUT,
    STARTED,
    WARNING,
    BuildEvent,
)
from pycompose.engine.errors import BuildError, PycomposeError
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompose.build.session import Fetch
    from pycompose.engine.builder.request import OnEvent
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink
    from pycompose.model import Project

# Builds at the same time; the steps of all of them share the processors.
AT_ONCE = 8


def buildable(project: Project, services: Iterable[str]) -> list[str]:
    """Return those of `services` that have a `build:`."""
    return [name for name in services if project.services[name].build is not None]


def image_name(project: Project, service: str) -> str:
    """Return the name that a service's build gets: its `image:`, else PROJECT-SERVICE."""
    return project.services[service].image or f"{project.name}-{service}"


def needed(project: Project, services: Sequence[str]) -> list[str]:
    """Return `services` with what their builds are built upon (`additional_contexts: service:x`), those first.

    Raises BuildError for a service that doesn't exist or has no build, and for a circle.
    """
    ordered: list[str] = []
    under_way: list[str] = []

    def visit(name: str, wanted_by: str) -> None:
        if name in ordered:
            return
        service = project.services.get(name)
        if service is None or service.build is None:
            raise BuildError(
                f"service {wanted_by}: build: additional context service:{name}: no such service with a build"
            )
        if name in under_way:
            circle = " -> ".join([*under_way[under_way.index(name) :], name])
            raise BuildError(f"services are built upon each other in a circle: {circle}")
        under_way.append(name)
        for other in upon(project, name):
            visit(other, name)
        under_way.pop()
        ordered.append(name)

    for name in services:
        visit(name, name)
    return ordered


def upon(project: Project, service: str) -> list[str]:
    """Return the services whose images a service's build reads."""
    build = project.services[service].build
    given = (build.tree.get("additional_contexts") or {}) if build is not None else {}
    return [str(value).removeprefix(SERVICE) for value in given.values() if str(value).startswith(SERVICE)]


def build_services(  # noqa: PLR0913 - each from somewhere else
    paths: StatePaths,
    project: Project,
    services: Sequence[str],
    flags: BuildFlags,
    *,
    environment: Mapping[str, str],
    sink: Sink,
    fetch: Fetch,
    quiet: bool = False,
) -> dict[str, Image]:
    """Build the services' images, all that don't need each other at the same time; return them by service.

    With `quiet` the steps say nothing. Raises the first failure; the others are canceled, and images that were
    there keep their names.
    """
    ordered = needed(project, services)
    requests = {
        name: service_request(project, project.services[name], flags, environment) for name in ordered
    }
    names = {name: image_name(project, name) for name in ordered}
    done: dict[str, Future[Image]] = {name: Future() for name in ordered}
    show = StepLog(sink, several=len(ordered) > 1, quiet=quiet)
    with BuildSession(paths, fetch) as session:

        def one(name: str) -> None:
            subject = f"Image {names[name]}"
            try:
                for other in upon(project, name):
                    done[other].result()
                sink(Event(subject=subject, text="Building", phase=Phase.WORKING))
                request = with_services(requests[name], names)
                image = session.build(request, (names[name], *request.tags), show.of(name, subject))
                sink(Event(subject=subject, text="Built", phase=Phase.DONE))
                done[name].set_result(image)
            except BaseException as exc:
                details = str(exc) if isinstance(exc, PycomposeError) else ""
                sink(Event(subject=subject, text="Error", phase=Phase.ERROR, details=details))
                done[name].set_exception(exc)
                session.cancel()
                raise

        with ThreadPoolExecutor(min(AT_ONCE, len(ordered)), "build") as threads:
            futures = [threads.submit(one, name) for name in ordered]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:
                session.cancel()
                raise
        for future in futures:
            future.result()
    return {name: done[name].result() for name in ordered}


class StepLog:
    """Turns what builds tell into lines, as BuildKit's plain progress: `#3 [web 2/5] RUN …`, `#3 output`, `#3 DONE`."""

    def __init__(self, sink: Sink, *, several: bool, quiet: bool) -> None:
        self._sink = sink
        self._several = several
        self._quiet = quiet
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, int], int] = {}
        self._rest: dict[int, str] = {}

    def of(self, service: str, subject: str) -> OnEvent:
        """Return what takes the events of one service's build."""

        def take(event: BuildEvent) -> None:
            if event.kind == WARNING:
                self._sink(Event(subject=subject, text="Warning", phase=Phase.WARNING, details=event.data))
            elif not self._quiet:
                if event.kind == STARTED:
                    self._sink(
                        Event(subject=subject, text="Building", phase=Phase.WORKING, details=event.title)
                    )
                with self._lock:
                    for line in self._lines(service, event):
                        self._sink(Event(subject=subject, text="", phase=Phase.WORKING, log=line))

        return take

    def _lines(self, service: str, event: BuildEvent) -> list[str]:
        number = self._numbers.setdefault((service, event.step), len(self._numbers) + 1)
        if event.kind == OUTPUT:
            *lines, rest = (self._rest.pop(number, "") + event.data).split("\n")
            if rest:
                self._rest[number] = rest
            return [f"#{number} {line}" for line in lines]
        title = f"#{number} {self._title(service, event)}"
        if event.kind == STARTED:
            return [title]
        if event.kind == CACHED:
            return [title, f"#{number} CACHED"]
        rest = self._rest.pop(number, "")
        word = {DONE: f"DONE {event.took_s:.1f}s", FAILED: "ERROR", CANCELED: "CANCELED"}[event.kind]
        return [*([f"#{number} {rest}"] if rest else []), f"#{number} {word}"]

    def _title(self, service: str, event: BuildEvent) -> str:
        return (
            f"[{service} {event.title[1:]}" if self._several and event.title.startswith("[") else event.title
        )
