"""Builds an image: stages beside each other, steps one after the other, what has been made before not again."""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.cache import BuildCache, key_of
from pycompose.engine.builder.check import advice, inputs_of
from pycompose.engine.builder.dockerfile import parse
from pycompose.engine.builder.evaluate import SCRATCH, evaluate
from pycompose.engine.builder.held import Held, Room
from pycompose.engine.builder.instructions import checked, error
from pycompose.engine.builder.preparations import Preparations
from pycompose.engine.builder.recorder import Recorder
from pycompose.engine.builder.request import (
    ADVICE,
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
    OnFailure,
)
from pycompose.engine.builder.snapshot import Layer, Snapshot
from pycompose.engine.builder.sources import Sources
from pycompose.engine.builder.stepkeys import StepKeys
from pycompose.engine.builder.steps import (
    Evaluated,
    Run,
    StageSteps,
    Step,
)
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError, DockerfileError, PycomposeError
from pycompose.engine.images.manifest import MAX_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.builder.bases import Base
    from pycompose.engine.builder.fetching import Fetcher
    from pycompose.engine.builder.remotecache import RemoteCaches
    from pycompose.engine.builder.running import StepRunner
    from pycompose.engine.builder.stepwork import StepWork
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
    # Their keys in the cache, "" for those without a layer.
    keys: tuple[str, ...]


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
    # Set when all of them are to end: what fails from then on was ended.
    canceled: threading.Event = field(default_factory=threading.Event)
    room: Room = field(default_factory=Room)
    processors: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(max(2, os.cpu_count() or 2))
    )


# The index of what a stage starts from, among its steps.
_BASE = -1
_DECODER = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A step among all of the build: its number, its title, and its number among those of its stage."""

    step: int
    title: str
    number: int

    def event(self, key: str) -> dict[str, Any]:
        """Return what every event of the step has."""
        return {"step": self.step, "title": self.title, "key": key}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A step that isn't in the cache."""

    stage: StageSteps
    step: Step
    parent: Snapshot
    key: str
    place: _Place
    started_s: float
    # What was read for the key.
    held: Held

    @property
    def event(self) -> dict[str, Any]:
        """What every event of the step has."""
        return self.place.event(self.key)


class Solver:
    """One build. `bases` finds (and gets) images; events come from several threads.

    `runner` returns who runs processes, and is asked for it when the first step is to be run; `cancel` ends what runs.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is somebody's own
        self,
        paths: StatePaths,
        store: ImageStore,
        cache: BuildCache,
        runner: Callable[[], StepRunner],
        cancel: Callable[[], None],
        bases: Callable[[str, str], Base],
        request: BuildRequest,
        on_event: OnEvent,
        fetcher: Fetcher,
        shared: Shared | None = None,
        on_failure: OnFailure | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._paths = paths
        self._runner = runner
        self._cancel = cancel
        self._request = request
        self._on_event = on_event
        self._on_failure = on_failure
        self._shared = shared or Shared()
        self._file = parse(request.dockerfile, request.dockerfile_name)
        self._futures: dict[int, Future[StageResult]] = {}
        self._failed = threading.Event()
        self._places: dict[tuple[int, int], _Place] = {}
        self._recorder = Recorder(cache, request)
        self._step_keys: dict[tuple[int, int], str] = {}
        self.preparations = Preparations(request, on_event)
        self._bases = bases
        self._sources = Sources(paths, store.layout, self._file, request, self._base, self._snapshot, fetcher)
        self._keys = StepKeys(request, self._sources, cache)
        self._lock = threading.Lock()
        self._work: StepWork | None = None
        self._remote: RemoteCaches | None = None
        if request.cache_from:
            from pycompose.engine.builder.remotecache import RemoteCaches  # noqa: PLC0415 - few have one

            self._remote = RemoteCaches(request.cache_from, store.layout, fetcher, on_event)

    # The whole

    def solve(self) -> BuildResult:
        """Build what the target needs; raises DockerfileError, StepFailed, BuildError, ImageError."""
        request = self._request
        for text in request.warnings:
            self._tell(BuildEvent(kind=WARNING, step=0, data=text))
        self.preparations.definition()
        plan = checked(self._file)
        evaluated = evaluate(plan, request.target, inputs_of(request), self._sources.base_image)
        for found in advice(request, plan, evaluated, self._sources.bases):
            self._tell(BuildEvent(kind=ADVICE, step=found.first_line, title=self._file.name, data=str(found)))
        for name in evaluated.unused_arguments:
            self._tell(BuildEvent(kind=WARNING, step=0, data=f"build argument {name} was not consumed"))
        self._check_depth(evaluated)
        self._number(evaluated, several=len(plan.stages) > 1)
        self._recorder.stages = evaluated.stages
        with contextlib.ExitStack() as stack:
            stack.callback(self._sources.close)
            if self._remote is not None:
                stack.callback(self._remote.close)
            if request.context is not None:
                self.preparations.ignore()
            self._tell_bases(evaluated)
            if request.context is not None and _reads_context(evaluated):
                with self.preparations.step("[internal] load build context"):
                    self._sources.open_context()
            for number in evaluated.stages:
                self._futures[number] = Future()
            self._run_stages(evaluated)
            self._recorder.save(whole=not self._failed.is_set())
            stages = self._results()
            self._sources.save_digests()
        return BuildResult(evaluated=evaluated, stages=stages, request=request)

    def _base(self, name: str, platform: str) -> Base:
        return self.preparations.metadata(self._bases, name, platform)

    def _results(self) -> dict[int, StageResult]:
        """Return all results; the failure that came first is raised, not those that came of it."""
        failures = [exc for future in self._futures.values() if (exc := future.exception()) is not None]
        own = [exc for exc in failures if not isinstance(exc, AbandonedError)]
        if own or failures:
            raise (own or failures)[0]
        return {number: future.result() for number, future in self._futures.items()}

    def _check_depth(self, evaluated: Evaluated) -> None:
        """Refuse a stage with more layers than an image can have, before its first step is made."""
        depths: dict[int, int] = {}
        for number, stage in sorted(evaluated.stages.items()):
            depth = depths.get(stage.base_stage, 0) if stage.base_stage is not None else 0
            if stage.base_stage is None and stage.base != SCRATCH:
                depth = len(self._sources.base(stage.base, stage.platform).layers)
            for step in stage.steps:
                depth += step.action is not None
                if depth > MAX_LAYERS:
                    raise error(
                        self._file,
                        step.instruction,
                        f"an image has at most {MAX_LAYERS} layers",
                        hint="join steps: RUN a && b, or a here-document",
                    )
            depths[number] = depth

    def _number(self, evaluated: Evaluated, *, several: bool) -> None:
        """Give each step its number and its title: `[STAGE 2/5] RUN …`; the image that a stage starts from is one.

        A stage without a name has one where there are `several`; images to copy from and mounts count, as in BuildKit.
        """
        actions = [step.action for stage in evaluated.stages.values() for step in stage.steps]
        several = several or any(action is not None and action.has_origins for action in actions)
        for number, stage in sorted(evaluated.stages.items()):
            titles = [
                (index, step.title) for index, step in enumerate(stage.steps) if step.action is not None
            ]
            if stage.base_stage is None and stage.base != SCRATCH:
                titles.insert(0, (_BASE, f"FROM {stage.base}"))
            name = stage.name or (f"stage-{number}" if several else "")
            for place, (index, title) in enumerate(titles, 1):
                where = f"{name} {place}/{len(titles)}".strip()
                self._places[number, index] = _Place(
                    step=len(self._places) + 1,
                    title=f"[{where}] {title}",
                    number=sum(before not in (_BASE, index) for before, _ in titles[:place]),
                )

    def _tell_bases(self, evaluated: Evaluated) -> None:
        """Tell of the images that stages start from; they are there."""
        for number, stage in sorted(evaluated.stages.items()):
            if (place := self._places.get((number, _BASE))) is not None:
                key = self._sources.base(stage.base, stage.platform).snapshot.chain_id
                for kind in (STARTED, DONE):
                    self._tell(BuildEvent(kind=kind, **place.event(key), base=stage.base))

    def _tell(self, event: BuildEvent) -> None:
        self._on_event(event)

    # Stages

    def _run_stages(self, evaluated: Evaluated) -> None:
        """Build all stages, each in a thread of its own."""
        stages = dict(evaluated.stages)
        # The target has this one; but where Ctrl+C raises an exception it would end a step halfway.
        own = None if threading.current_thread() is threading.main_thread() else stages.pop(evaluated.target)
        threads = [
            threading.Thread(target=self._stage_thread, args=(stage,), name=f"stage-{number}", daemon=True)
            for number, stage in stages.items()
        ]
        for thread in threads:
            thread.start()
        if own is not None:
            self._stage_thread(own)
        for thread in threads:
            thread.join()

    def _stage_thread(self, stage: StageSteps) -> None:
        future = self._futures[stage.number]
        try:
            future.set_result(self._stage(stage))
        except BaseException as exc:  # noqa: BLE001 - raised by whoever waits for the stage
            self._failed.set()
            self._cancel()
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
        keys = tuple(self._step_keys.get((stage.number, index), "") for index in range(len(layers)))
        return StageResult(stage=stage, snapshot=snapshot, base=base, layers=tuple(layers), keys=keys)

    # Steps

    def _scratch(self) -> contextlib.AbstractContextManager[Path]:
        from pycompose.engine.builder.scratch import step_scratch  # noqa: PLC0415 - see above

        return step_scratch(self._paths, self._store.layout)

    def _step(self, stage: StageSteps, index: int, step: Step, parent: Snapshot) -> Layer:
        place = self._places[stage.number, index]
        started = time.monotonic()
        event = place.event("")
        try:
            with contextlib.ExitStack() as stack:
                # Made when something needs it: a step that was made before seldom does.
                scratch = functools.cache(lambda: stack.enter_context(self._scratch()))
                held = Held(self._shared.room)
                stack.callback(held.close)
                parts = self._keys.parts(step, parent, scratch, self._recorder.listings, held)
                key = key_of(parts)
                event = place.event(key)
                self._step_keys[stage.number, index] = key
                self._recorder.note(stage, place.number, key, parts)
                work = _Work(
                    stage=stage,
                    step=step,
                    parent=parent,
                    key=key,
                    place=place,
                    started_s=started,
                    held=held,
                )
                if self._recorder.uses_cache(stage):
                    layer = self._find(key, step, parent)
                    if layer is not None:
                        self._tell(BuildEvent(kind=CACHED, **event, size_bytes=layer.size_bytes))
                        return layer
                self._expect_run(stage, index)
                return self._once(work, scratch)
        except AbandonedError:
            self._tell(BuildEvent(kind=CANCELED, **event))
            raise
        except (PycomposeError, OSError) as exc:
            took_s = time.monotonic() - started
            if self._failed.is_set() or self._shared.canceled.is_set():
                self._tell(BuildEvent(kind=CANCELED, **event, took_s=took_s))
                raise AbandonedError("canceled") from exc
            self._recorder.failed(stage, place.number)
            placed = exc if isinstance(exc, DockerfileError) else self._placed(step, exc)
            self._tell(BuildEvent(kind=FAILED, **event, took_s=took_s, data=placed.reason))
            if placed is exc:
                raise
            raise placed from exc

    def _expect_run(self, stage: StageSteps, index: int) -> None:
        """Where a step has to be made, those upon it have to be, too: get ready for the first that runs a process."""
        runs = (step.action for step in stage.steps[index:] if isinstance(step.action, Run))
        run = next(runs, None)
        if run is not None:
            self._runner().expect(self._request.network if run.network == "default" else run.network)

    def _find(self, key: str, step: Step, parent: Snapshot) -> Layer | None:
        """Return the layer that was made before, here or (`cache_from`) elsewhere."""
        layer = self._cache.find(key, parent)
        if (
            layer is None
            and self._remote is not None
            and (layer := self._remote.find(key, parent)) is not None
        ):
            self._cache.put(key, layer, title=step.title, made_in_s=0.0)
        return layer

    def _placed(self, step: Step, exc: PycomposeError | OSError) -> DockerfileError:
        if isinstance(exc, PycomposeError):
            return error(self._file, step.instruction, str(exc), hint=exc.hint)
        place = f"{exc.filename}: " if exc.filename else ""
        return error(self._file, step.instruction, f"{place}{exc.strerror}")

    def _once(self, work: _Work, scratch: Callable[[], Path]) -> Layer:
        """Make a step unless another build is just making it: then wait for that one."""
        key = work.key
        with self._shared.lock:
            future = self._shared.steps.get(key)
            mine = future is None
            if future is None:
                future = self._shared.steps[key] = Future()
        if not mine:
            try:
                layer = future.result()
            except PycomposeError:
                return self._make(work, scratch())  # its failure has its own place and output
            self._recorder.made(work.stage, work.place.number)
            found = self._cache.find(key, work.parent) or layer
            self._tell(BuildEvent(kind=CACHED, **work.event, size_bytes=found.size_bytes))
            return found
        try:
            layer = self._make(work, scratch())
        except BaseException as exc:
            future.set_exception(exc)
            raise
        else:
            future.set_result(layer)
            return layer
        finally:
            with self._shared.lock:
                del self._shared.steps[key]

    def _make(self, work: _Work, scratch: Path) -> Layer:
        decoders = {stream: _DECODER("replace") for stream in (1, 2)}

        def output(stream: int, data: bytes) -> None:
            text = decoders[stream].decode(data)
            took_s = time.monotonic() - started
            self._tell(BuildEvent(kind=OUTPUT, **work.event, data=text, stream=stream, took_s=took_s))

        with self._shared.processors:
            if self._failed.is_set():
                raise AbandonedError("another stage has failed")
            reason = self._recorder.reason(work.stage, work.place.number, work.step)
            started = time.monotonic()
            self._tell(BuildEvent(kind=STARTED, **work.event, reason=reason))
            layer = self._worker().make(work.step, work.parent, scratch, output, work.held)
        took_s = time.monotonic() - work.started_s
        self._cache.put(work.key, layer, title=work.step.title, made_in_s=took_s)
        self._tell(BuildEvent(kind=DONE, **work.event, took_s=took_s, size_bytes=layer.size_bytes))
        return layer

    def _worker(self) -> StepWork:
        """Return who makes layers: whatever a build needs that doesn't find everything done."""
        from pycompose.engine.builder.stepwork import StepWork  # noqa: PLC0415 - see above

        with self._lock:
            if self._work is None:
                self._work = StepWork(
                    self._paths,
                    self._store.layout,
                    self._file,
                    self._request,
                    self._sources,
                    self._runner,
                    self._on_failure,
                )
            return self._work


def _reads_context(evaluated: Evaluated) -> bool:
    actions = (step.action for stage in evaluated.stages.values() for step in stage.steps)
    return any(action is not None and action.reads_context for action in actions)


class AbandonedError(BuildError):
    """A stage that wasn't built because another one has failed."""
