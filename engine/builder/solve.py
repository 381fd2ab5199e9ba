"""Builds an image: stages beside each other, steps one after the other, what has been made before not again."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.cache import BuildCache, key_of
from pycompose.engine.builder.dockerfile import parse
from pycompose.engine.builder.evaluate import SCRATCH, evaluate
from pycompose.engine.builder.instructions import checked, error
from pycompose.engine.builder.platforms import platform_arguments
from pycompose.engine.builder.request import (
    CACHED,
    CANCELED,
    DONE,
    FAILED,
    OUTPUT,
    STARTED,
    WARNING,
    BuildEvent,
    BuildRequest,
    OnEvent,
)
from pycompose.engine.builder.running import StepRunner
from pycompose.engine.builder.snapshot import Layer, Snapshot
from pycompose.engine.builder.sources import Sources
from pycompose.engine.builder.steps import (
    Evaluated,
    Inputs,
    StageSteps,
    Step,
)
from pycompose.engine.builder.stepwork import StepWork
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError, DockerfileError, PycomposeError
from pycompose.engine.images.spec import Platform, machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.builder.bases import Base
    from pycompose.engine.images.store import ImageStore
    from pycompose.engine.paths import StatePaths

TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage that is built: its file system, and (step, layer) in order for the history."""

    stage: StageSteps
    snapshot: Snapshot
    base: Base | None
    # One per step; None for a step that has changed no files.
    layers: tuple[Layer | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What `solve` gives: the target and everything it stands on, and words about the build."""

    evaluated: Evaluated
    stages: Mapping[int, StageResult]
    request: BuildRequest

    @property
    def target(self) -> StageResult:
        """The stage that becomes the image."""
        return self.stages[self.evaluated.target]


@dataclass(slots=True)
class Shared:
    """What builds that run at the same time have in common: the same step is done by one of them, for all."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    steps: dict[str, Future[Layer]] = field(default_factory=dict)
    processors: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(max(2, os.cpu_count() or 2))
    )


class Solver:
    """One build. `bases` finds (and gets) images; `runner` runs processes; events come from several threads."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is somebody's own
        self,
        paths: StatePaths,
        store: ImageStore,
        cache: BuildCache,
        runner: StepRunner,
        bases: Callable[[str, str], Base],
        request: BuildRequest,
        on_event: OnEvent,
        shared: Shared | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._runner = runner
        self._request = request
        self._on_event = on_event
        self._shared = shared or Shared()
        self._file = parse(request.dockerfile, request.dockerfile_name)
        self._futures: dict[int, Future[StageResult]] = {}
        self._failed = threading.Event()
        self._numbers: dict[tuple[int, int], int] = {}
        self._ingredients: dict[str, Any] = {}
        self._sources = Sources(paths, store.layout, self._file, request, bases, self._snapshot)
        self._work = StepWork(paths, store.layout, self._file, request, self._sources, runner)

    # The whole

    def solve(self) -> BuildResult:
        """Build what the target needs; raises DockerfileError, StepFailed, BuildError, ImageError."""
        request = self._request
        plan = checked(self._file)
        target = Platform.parse(request.platform) if request.platform else machine()
        inputs = Inputs(
            arguments=request.arguments,
            platform=platform_arguments(target, machine(), request.target),
            contexts=frozenset(name.lower() for name in request.contexts),
            allow_insecure=request.allow_insecure,
            allow_host_network=request.allow_host_network or request.network == "host",
        )
        evaluated = evaluate(plan, request.target, inputs, self._sources.base_image)
        for name in evaluated.unused_arguments:
            self._tell(BuildEvent(kind=WARNING, step=0, data=f"build argument {name} was not consumed"))
        self._number(evaluated)
        with contextlib.closing(self._sources):
            self._sources.open_context()
            for number in evaluated.stages:
                self._futures[number] = Future()
            threads = [
                threading.Thread(
                    target=self._stage_thread, args=(stage,), name=f"stage-{number}", daemon=True
                )
                for number, stage in evaluated.stages.items()
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stages = self._results()
            self._sources.save_digests()
        self._cache.remember(self._explain_name, self._ingredients)
        return BuildResult(evaluated=evaluated, stages=stages, request=request)

    @property
    def _explain_name(self) -> str:
        request = self._request
        return f"{request.context}\0{request.dockerfile_name}\0{request.target}"

    def _results(self) -> dict[int, StageResult]:
        """Return all results; the failure that came first is raised, not those that came of it."""
        failures = [exc for future in self._futures.values() if (exc := future.exception()) is not None]
        own = [exc for exc in failures if not isinstance(exc, AbandonedError)]
        if own or failures:
            raise (own or failures)[0]
        return {number: future.result() for number, future in self._futures.items()}

    def _number(self, evaluated: Evaluated) -> None:
        count = 0
        for number, stage in sorted(evaluated.stages.items()):
            for index, step in enumerate(stage.steps):
                if step.action is not None:
                    count += 1
                    self._numbers[number, index] = count

    def _tell(self, event: BuildEvent) -> None:
        self._on_event(event)

    # Stages

    def _stage_thread(self, stage: StageSteps) -> None:
        future = self._futures[stage.number]
        try:
            future.set_result(self._stage(stage))
        except BaseException as exc:  # noqa: BLE001 - raised by whoever waits for the stage
            self._failed.set()
            self._runner.cancel()
            future.set_exception(exc)

    def _wait(self, number: int) -> StageResult:
        exc = self._futures[number].exception()
        if exc is not None:
            raise AbandonedError("an earlier stage has failed") from exc
        return self._futures[number].result()

    def _snapshot(self, number: int) -> Snapshot:
        return self._wait(number).snapshot

    def _stage(self, stage: StageSteps) -> StageResult:
        base: Base | None = None
        if stage.base_stage is not None:
            snapshot = self._wait(stage.base_stage).snapshot
        elif stage.base == SCRATCH:
            snapshot = Snapshot()
        else:
            base = self._sources.base(stage.base, stage.platform)
            snapshot = base.snapshot
        layers: list[Layer | None] = []
        for index, step in enumerate(stage.steps):
            for number in step.needs:
                self._wait(number)
            if self._failed.is_set():
                raise AbandonedError("another stage has failed")
            if step.action is None:
                layers.append(None)
                continue
            layer = self._step(stage, index, step, snapshot)
            layers.append(layer)
            snapshot = snapshot.above(layer)
        return StageResult(stage=stage, snapshot=snapshot, base=base, layers=tuple(layers))

    # Steps

    def _step(self, stage: StageSteps, index: int, step: Step, parent: Snapshot) -> Layer:
        number = self._numbers[stage.number, index]
        started = time.monotonic()
        event: dict[str, Any] = {"step": number, "title": self._title(stage, step)}
        try:
            with self._store.layout.scratch("build") as scratch:
                parts = self._work.key_parts(step, parent, scratch)
                key = key_of(parts)
                self._ingredients[f"{stage.number}.{index}"] = parts
                use_cache = self._uses_cache(stage)
                if use_cache and (layer := self._cache.find(key, parent)) is not None:
                    self._tell(BuildEvent(kind=CACHED, **event, size_bytes=layer.size_bytes))
                    return layer
                return self._once(
                    key, lambda: self._make(step, parent, scratch, key, event, started), parent, event
                )
        except AbandonedError:
            self._tell(BuildEvent(kind=CANCELED, **event))
            raise
        except (PycomposeError, OSError) as exc:
            canceled = self._failed.is_set()
            self._tell(
                BuildEvent(kind=CANCELED if canceled else FAILED, **event, took_s=time.monotonic() - started)
            )
            if canceled:
                raise AbandonedError("another stage has failed") from exc
            if isinstance(exc, DockerfileError):
                raise
            raise self._placed(step, exc) from exc

    def _placed(self, step: Step, exc: PycomposeError | OSError) -> DockerfileError:
        if isinstance(exc, PycomposeError):
            return error(self._file, step.instruction, str(exc), hint=exc.hint)
        place = f"{exc.filename}: " if exc.filename else ""
        return error(self._file, step.instruction, f"{place}{exc.strerror}")

    def _output(self, event: Mapping[str, Any], data: bytes) -> None:
        self._tell(BuildEvent(kind=OUTPUT, **event, data=data.decode("utf-8", "replace")))

    def _title(self, stage: StageSteps, step: Step) -> str:
        counted = [one for one in stage.steps if one.action is not None]
        name = stage.name or (f"stage-{stage.number}" if len(self._futures) > 1 else "")
        place = f"{counted.index(step) + 1}/{len(counted)}"
        return f"[{name} {place}] {step.title}" if name else f"[{place}] {step.title}"

    def _uses_cache(self, stage: StageSteps) -> bool:
        spared = self._request.no_cache
        return spared is None or (bool(spared) and stage.name not in spared)

    def _once(self, key: str, make: Callable[[], Layer], parent: Snapshot, event: Mapping[str, Any]) -> Layer:
        """Make a step unless another build is just making it: then wait for that one."""
        with self._shared.lock:
            future = self._shared.steps.get(key)
            mine = future is None
            if future is None:
                future = self._shared.steps[key] = Future()
        if not mine:
            try:
                layer = future.result()
            except PycomposeError:
                return make()  # its failure has its own place and output
            found = self._cache.find(key, parent) or layer
            self._tell(BuildEvent(kind=CACHED, **event, size_bytes=found.size_bytes))
            return found
        try:
            layer = make()
        except BaseException as exc:
            future.set_exception(exc)
            raise
        else:
            future.set_result(layer)
            return layer
        finally:
            with self._shared.lock:
                del self._shared.steps[key]

    def _make(
        self, step: Step, parent: Snapshot, scratch: Path, key: str, event: Mapping[str, Any], started: float
    ) -> Layer:
        with self._shared.processors:
            if self._failed.is_set():
                raise AbandonedError("another stage has failed")
            self._tell(BuildEvent(kind=STARTED, **event))
            layer = self._work.make(step, parent, scratch, lambda data: self._output(event, data))
        took_s = time.monotonic() - started
        self._cache.put(key, layer, title=step.title, made_in_s=took_s)
        self._tell(BuildEvent(kind=DONE, **event, took_s=took_s, size_bytes=layer.size_bytes))
        return layer


class AbandonedError(BuildError):
    """A stage that wasn't built because another one has failed."""
