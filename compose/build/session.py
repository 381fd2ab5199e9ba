"""Builds of one command: a runner, a cache and a network that they share, several at a time."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from pycompose.build.network import BuildNetwork
from pycompose.engine.builder.bases import Base, base_of
from pycompose.engine.builder.cache import BuildCache
from pycompose.engine.builder.pruning import trim
from pycompose.engine.builder.result import write_image
from pycompose.engine.builder.running import StepLimits, StepRunner
from pycompose.engine.builder.solve import Shared, Solver
from pycompose.engine.images.reference import parse
from pycompose.engine.images.store import ImageStore

if TYPE_CHECKING:
    from pycompose.engine.builder.request import BuildRequest, OnEvent
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths

_CLEAR = (sys.executable, "-I", "-m", "pycompose.build.cleanup")
# Gets an image that isn't there, or (True) one that may be newer: (reference, platform, newer).
Fetch = Callable[[str, str, bool], None]


class BuildSession:
    """Use as a context manager: everything that runs is gone at the end of the block."""

    def __init__(self, paths: StatePaths, fetch: Fetch) -> None:
        self._paths = paths
        self._fetch = fetch
        self.store = ImageStore(paths)
        self._cache = BuildCache(paths.builder, self.store.layout)
        self._shared = Shared()
        self._runners: list[StepRunner] = []
        self._lock = threading.Lock()
        self._fetched: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self._cache.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        for runner in self._runners:
            runner.cancel()
        for runner in self._runners:
            runner.close()
        if self._cache.added:
            trim(self._cache, self.store.layout, self._paths)

    def cancel(self) -> None:
        """Kill all steps; may be called from another thread."""
        for runner in list(self._runners):
            runner.cancel()

    def build(self, request: BuildRequest, names: tuple[str, ...], on_event: OnEvent) -> Image:
        """Build one image and give it its names.

        Raises DockerfileError, StepFailed, BuildError, ImageError; the images that had the names keep them then.
        """
        references = tuple(parse(name) for name in names)
        with self._runner(request) as runner, self.store.layout.adding():
            solver = Solver(
                self._paths,
                self.store,
                self._cache,
                runner,
                lambda name, platform: self._base(name, platform, newer=request.pull),
                request,
                on_event,
                self._shared,
            )
            return write_image(self.store, solver.solve(), references)

    def _base(self, name: str, platform: str, *, newer: bool) -> Base:
        with self._lock:
            if (name, platform) not in self._fetched:
                self._fetch(name, platform, newer)
                self._fetched.add((name, platform))
        return base_of(self.store, name, platform=platform)

    @contextlib.contextmanager
    def _runner(self, request: BuildRequest) -> Iterator[StepRunner]:
        network = BuildNetwork(self._paths, [_host(item) for item in request.extra_hosts])
        limits = StepLimits(
            shm_bytes=request.shm_bytes, rlimits=request.rlimits, memory_bytes=request.memory_bytes
        )
        runner = StepRunner(self._paths, network, limits, _CLEAR)
        network.project = runner.project
        self._runners.append(runner)
        try:
            yield runner
        finally:
            runner.close()
            self._runners.remove(runner)


def _host(line: str) -> tuple[str, str]:
    name, _, address = line.partition("=")
    return name, address
