"""Builds of services: which, in which order, under which names; what happens goes to the screen as it happens."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from pycompose.build.contexts import Contexts
from pycompose.build.order import AT_ONCE, Order
from pycompose.build.requests import SERVICE, BuildFlags, service_request, with_services
from pycompose.build.session import BuildSession
from pycompose.build.steplog import StepLog
from pycompose.engine.builder.solve import AbandonedError
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import BuildError, PycomposeError
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompose.build.session import Fetch
    from pycompose.build.steplog import StepRow
    from pycompose.engine.builder.request import BuildRequest, OnFailure
    from pycompose.engine.builder.solve import BuildResult
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink
    from pycompose.model import Project


def buildable(project: Project, services: Iterable[str]) -> list[str]:
    """Return those of `services` that have a `build:`."""
    return [name for name in services if project.services[name].build is not None]


def image_name(project: Project, service: str) -> str:
    """Return the name that a service's build gets: its `image:`, else PROJECT-SERVICE."""
    return project.services[service].image or project.joined(service)


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
    rows: list[StepRow] | None = None,
    on_failure: OnFailure | None = None,
) -> dict[str, Image]:
    """Build the services' images, all that don't need each other at the same time; return them by service.

    With `quiet` the steps say nothing; they are added to `rows`. Raises the first failure; the others are canceled,
    and images that were there keep their names.
    """
    ordered = needed(project, services)
    names = {name: image_name(project, name) for name in ordered}
    show = StepLog(sink, [] if rows is None else rows, several=len(ordered) > 1, quiet=quiet)
    with (
        Contexts(paths, environment) as contexts,
        BuildSession(paths, fetch, contexts.fetcher, on_failure) as session,
    ):
        requests = {
            name: service_request(project, project.services[name], flags, environment, contexts)
            for name in ordered
        }
        firsts = alike(requests)
        for name, first in firsts.items():
            requests[first] = replace(requests[first], names=(*requests[first].names, *requests[name].names))
        order = Order(
            {name: [firsts[name]] if name in firsts else upon(project, name) for name in ordered},
            {name: (names[name], *requests[name].tags) for name in ordered},
            flags.parallel or AT_ONCE,
        )
        builds = _Builds(session, order, requests, firsts, names, show, sink)
        # A thread for each: who waits for another leaves his room to it.
        with ThreadPoolExecutor(len(ordered), "build") as threads:
            futures = [threads.submit(builds.one, name) for name in ordered]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            except BaseException:
                session.cancel()
                raise
    show.finish()
    if builds.failures:
        raise first_failure(builds.failures)  # the others were canceled for it
    return {name: order.done[name].result() for name in ordered}


def alike(requests: Mapping[str, BuildRequest]) -> dict[str, str]:
    """Return for each service whose build does the same as that of an earlier one that one: it is built once."""
    earlier: dict[tuple[str, str], list[str]] = {}
    found = {}
    for name, request in requests.items():
        others = earlier.setdefault((request.dockerfile, str(request.context)), [])
        first = next((other for other in others if request.does_the_same_as(requests[other])), None)
        if first is None:
            others.append(name)
        else:
            found[name] = first
    return found


def first_failure(failures: Sequence[BaseException]) -> BaseException:
    """Return what failed first by itself: what it has canceled may end before it has said so."""
    return next((exc for exc in failures if not isinstance(exc, AbandonedError)), failures[0])


@dataclass(slots=True)
class _Builds:
    """The builds of one command, each in a thread of its own."""

    session: BuildSession
    order: Order
    requests: Mapping[str, BuildRequest]
    # Who does the same as another one: service → that one.
    firsts: Mapping[str, str]
    names: Mapping[str, str]
    show: StepLog
    sink: Sink
    failures: list[BaseException] = field(default_factory=list)
    results: dict[str, BuildResult] = field(default_factory=dict)

    def one(self, name: str) -> None:
        """Build the image of a service when those that it needs are there; the first failure ends all of them."""
        subject = f"Image {self.names[name]}"
        done = self.order.done[name]
        try:
            begun = Event(subject=subject, text="Building", phase=Phase.WORKING)
            if name in self.firsts:
                self.sink(begun)
            self.order.wait(name)
            with self.order.room:
                if name not in self.firsts:
                    self.sink(begun)
                image = self._build(name, subject)
            self.sink(Event(subject=subject, text="Built", phase=Phase.DONE))
            done.set_result(image)
        except BaseException as exc:
            is_its_own = exc not in self.failures  # not that of one it has waited for
            self.failures.append(exc)
            if first_failure(self.failures) is not exc or not is_its_own or isinstance(exc, AbandonedError):
                self.sink(Event(subject=subject, text="Canceled", phase=Phase.WARNING))
            else:
                details = str(exc) if isinstance(exc, PycomposeError) else ""
                self.sink(Event(subject=subject, text="Error", phase=Phase.ERROR, details=details))
            done.set_exception(exc)
            self.session.cancel()
            raise

    def _build(self, name: str, subject: str) -> Image:
        request = with_services(self.requests[name], self.names)
        names = (self.names[name], *request.tags)
        on_event = self.show.of(name, subject)
        if name in self.firsts:
            done = self.results[self.firsts[name]]
            return self.session.build_again(done, request, names, on_event).image
        built = self.session.build(
            request, names, on_event, lambda image: self.order.wait_for_image(name, image)
        )
        self.results[name] = built.result
        return built.image
