"""Builds of one command: a runner, a cache and a network that they share, several at a time."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pycompose.engine.builder.bases import Base, base_of
from pycompose.engine.builder.cache import BuildCache
from pycompose.engine.builder.preparations import Preparations
from pycompose.engine.builder.pruning import trim
from pycompose.engine.builder.request import DONE, FAILED, STARTED, WARNING, BuildEvent
from pycompose.engine.builder.result import write_image
from pycompose.engine.builder.solve import BuildResult, Shared, Solver
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import BuildError, NoSuchImage, PycomposeError
from pycompose.engine.images.reference import parse
from pycompose.engine.images.store import ImageStore

if TYPE_CHECKING:
    from pycompose.engine.builder.cacheoptions import CachePlace
    from pycompose.engine.builder.fetching import Fetcher
    from pycompose.engine.builder.request import BuildRequest, OnEvent, OnFailure
    from pycompose.engine.builder.running import StepRunner
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths

_CLEAR = (sys.executable, "-I", "-m", "pycompose.build.cleanup")
# Gets an image that isn't there, or (True) one that may be newer: (reference, platform, newer).
Fetch = Callable[[str, str, bool], None]


class Built(NamedTuple):
    """An image, and what it was made of."""

    image: Image
    result: BuildResult


class BuildSession:
    """Use as a context manager: everything that runs is gone at the end of the block."""

    def __init__(
        self, paths: StatePaths, fetch: Fetch, fetcher: Fetcher, on_failure: OnFailure | None = None
    ) -> None:
        """`on_failure` is called with a step that has failed, before anything of it is taken away."""
        self._paths = paths
        self._on_failure = on_failure
        self._fetcher = fetcher
        self._fetch = fetch
        self.store = ImageStore(paths)
        self._cache = BuildCache(paths.builder, self.store.layout)
        self._shared = Shared()
        # One for all builds whose steps get the same limits and hosts.
        self._runners: dict[object, StepRunner] = {}
        self._runners_lock = threading.Lock()
        self._canceled = False
        self._lock = threading.Lock()
        self._fetched: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self._cache.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        for runner in self._runners.values():
            runner.close()
        if self._cache.added:
            trim(self._cache, self.store.layout, self._paths)

    def cancel(self) -> None:
        """Kill all steps; may be called from another thread."""
        self._canceled = True
        self._shared.canceled.set()
        self._fetcher.cancel()
        for runner in list(self._runners.values()):
            runner.cancel()

    def build(
        self,
        request: BuildRequest,
        names: tuple[str, ...],
        on_event: OnEvent,
        awaited: Callable[[str], bool] = lambda _: False,
    ) -> Built:
        """Build one image and give it its names.

        `awaited(image)` is asked before a base image is looked for: it waits for who is building it, and tells
        whether somebody was, so that nobody looks for a newer one elsewhere.
        Raises DockerfileError, StepFailed, BuildError, ImageError; the images that had the names keep them then.
        """
        for name in names:
            parse(name)  # a bad one is told at once
        with self.store.layout.adding():
            solver = Solver(
                self._paths,
                self.store,
                self._cache,
                lambda: self._runner(request),
                self.cancel,
                lambda name, platform: self._base(name, platform, newer=not awaited(name) and request.pull),
                request,
                on_event,
                self._fetcher,
                self._shared,
                self._on_failure,
            )
            result = solver.solve()
            image = self._enter(result, names, solver.preparations)
            for number, place in enumerate(request.cache_to):
                self._export(place, result, on_event, -100 - number)
            return Built(image, result)

    def build_again(
        self, result: BuildResult, request: BuildRequest, names: tuple[str, ...], on_event: OnEvent
    ) -> Built:
        """Enter what was built for a `request` that does the same, under this one's labels and names."""
        result = replace(result, request=request)
        with self.store.layout.adding():
            return Built(self._enter(result, names, Preparations(request, on_event)), result)

    def _enter(self, result: BuildResult, names: tuple[str, ...], preparations: Preparations) -> Image:
        references = tuple(parse(name) for name in names)
        return preparations.export(lambda: write_image(self.store, result, references), names)

    def _export(self, place: CachePlace, result: BuildResult, on_event: OnEvent, step: int) -> None:
        """Put the build's cache where `cache_to` says. Raises BuildError."""
        from pycompose.engine.builder.cacheexport import export_cache  # noqa: PLC0415 - few ask for it

        event: dict[str, Any] = {"step": step, "title": f"exporting cache to {place}"}
        started = time.monotonic()
        on_event(BuildEvent(kind=STARTED, **event))
        try:
            steps = self._fetcher.run(lambda: export_cache(place, result, self.store.layout, self._fetcher))
        except (PycomposeError, OSError) as exc:
            on_event(BuildEvent(kind=FAILED, **event, took_s=time.monotonic() - started))
            reason = str(exc) if isinstance(exc, PycomposeError) else f"{exc.filename}: {exc.strerror}"
            if not place.ignore_error:
                raise BuildError(f"cache_to {place}: {reason}") from exc
            on_event(BuildEvent(kind=WARNING, step=0, data=f"cache_to {place}: {reason}"))
            return
        on_event(BuildEvent(kind=DONE, **event, took_s=time.monotonic() - started))
        if not steps:
            text = f"cache_to {place}: nothing to export: all of it stands on this machine's own system"
            on_event(BuildEvent(kind=WARNING, step=0, data=text))

    def _base(self, name: str, platform: str, *, newer: bool) -> Base:
        with self._lock:
            if (name, platform) not in self._fetched:
                if not newer:
                    with contextlib.suppress(NoSuchImage):
                        return base_of(self.store, name, platform=platform)
                self._fetch(name, platform, newer)
                self._fetched.add((name, platform))
        return base_of(self.store, name, platform=platform)

    def _runner(self, request: BuildRequest) -> StepRunner:
        # Only for who has a step to run: 40 ms of imports.
        from pycompose.build.network import BuildNetwork  # noqa: PLC0415
        from pycompose.engine.builder.running import StepLimits, StepRunner  # noqa: PLC0415

        key = (
            request.extra_hosts,
            request.shm_bytes,
            request.rlimits,
            request.memory_bytes,
            request.cgroup_parent,
            request.hostname,
        )
        with self._runners_lock:
            if key not in self._runners:
                hosts = [_host(item) for item in request.extra_hosts]
                network = BuildNetwork(self._paths, hosts, request.hostname)
                limits = StepLimits(
                    shm_bytes=request.shm_bytes,
                    rlimits=request.rlimits,
                    memory_bytes=request.memory_bytes,
                    cgroup_parent=request.cgroup_parent,
                    hostname=request.hostname,
                )
                runner = self._runners[key] = StepRunner(self._paths, network, limits, _CLEAR)
                network.project = runner.project
                if self._canceled:
                    runner.cancel()
            return self._runners[key]


def _host(line: str) -> tuple[str, str]:
    name, _, address = line.partition("=")
    return name, address
