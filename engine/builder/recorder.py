"""What a build has done so far and what the last one did: for why a step isn't in the cache (explain.py)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.steps import Run
from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from pycompose.engine.builder.cache import BuildCache
    from pycompose.engine.builder.listing import Listing
    from pycompose.engine.builder.request import BuildRequest
    from pycompose.engine.builder.steps import StageSteps, Step


@dataclass(slots=True)
class _Stage:
    titles: tuple[str, ...]
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)


class Recorder:
    """One build's; used by all of its threads."""

    def __init__(self, cache: BuildCache, request: BuildRequest) -> None:
        self._cache = cache
        self._request = request
        place = (request.context_name or str(request.context), request.dockerfile_name, request.target)
        self._names = ["\0".join((*place, name)) for name in request.names or ("",)]
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}
        self._last: Mapping[str, Any] | None = None
        # All stages, by number.
        self.stages: Mapping[int, StageSteps] = {}
        # The listings of the steps of this build, by their names.
        self.listings: dict[str, Listing] = {}

    def note(self, stage: StageSteps, number: int, key: str, parts: Mapping[str, Any]) -> None:
        """Take down what the `number`th step of a stage (of those that change files) is made of."""
        with self._lock:
            own = self._own(stage)
            own.steps[number] = {"title": own.titles[number], "key": key, "parts": parts}

    def failed(self, stage: StageSteps, number: int) -> None:
        """Take down that the step has failed."""
        with self._lock:
            if (step := self._own(stage).steps.get(number)) is not None:
                step["failed"] = True

    def made(self, stage: StageSteps, number: int) -> None:
        """Take down that the step was made anew, by another build at the same time."""
        with self._lock:
            own = self._own(stage)
            own.made.append(own.titles[number])

    def reason(self, stage: StageSteps, number: int, step: Step) -> str:
        """Return why a noted step has to be made, as one line, and take down that it is."""
        from pycompose.engine.builder import explain  # noqa: PLC0415 - when all is cached nothing is explained

        with self._lock:
            own = self._own(stage)
            before = tuple(own.made)
            own.made.append(own.titles[number])
            if self._last is None:
                last = self._cache.ingredients(self._names[0])
                self._last = last if "stages" in last else {}
            noted = own.steps[number]
        if self._request.no_cache is not None and not self.uses_cache(stage):
            flag = "--no-cache-filter" if self._request.no_cache else "--no-cache"
            return f"{explain.NO_CACHE} ({flag})"
        if stage.base_stage is None:
            base = f"base image {stage.base}"
        else:
            base = f"stage {_key(self.stages[stage.base_stage])}"
        made = explain.Made(
            title=own.titles[number],
            index=number,
            key=noted["key"],
            parts=noted["parts"],
            titles=own.titles,
            before=before,
            base=base,
            arguments=step.action.arguments if isinstance(step.action, Run) else frozenset(),
            listing=self._listing,
        )
        return explain.reason(made, self._last, _key(stage))

    def _listing(self, name: str) -> bytes:
        own = self.listings.get(name)
        return own.text if own is not None else self._cache.listing(name)

    def uses_cache(self, stage: StageSteps) -> bool:
        """Tell whether the stage's steps may come from the cache."""
        spared = self._request.no_cache
        return spared is None or (bool(spared) and stage.name not in spared)

    def save(self, *, whole: bool) -> None:
        """Remember this build in place of the last one; what it didn't get to (`whole` false) stays as it was."""
        with self._lock:
            stages = {
                key: [own.steps[number] for number in sorted(own.steps)] for key, own in self._stages.items()
            }
        if not whole:
            last = self._cache.ingredients(self._names[0]).get("stages") or {}
            stages = {key: steps + last.get(key, [])[len(steps) :] for key, steps in stages.items()}
            stages = {**last, **stages}
        for name in self._names:
            self._cache.remember(name, {"stages": stages}, self.listings)

    def _own(self, stage: StageSteps) -> _Stage:
        key = _key(stage)
        if key not in self._stages:
            self._stages[key] = _Stage(tuple(step.title for step in stage.steps if step.action is not None))
        return self._stages[key]


def _key(stage: StageSteps) -> str:
    return stage.name or f"stage-{stage.number}"
