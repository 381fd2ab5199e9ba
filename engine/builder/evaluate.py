"""Stages → steps: variables expanded, scopes of ARG and ENV applied, the image's configuration worked out.

Nothing runs here. What an instruction means to configuration and history is decided; what a step does to the
file system is described by its action, for others to do. Rules: the Dockerfile reference; texts as BuildKit's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pycompose.engine.builder import files, metadata
from pycompose.engine.builder.dockerfile import Instruction, parse
from pycompose.engine.builder.instructions import CheckedDockerfile, Stage, error, suggestion
from pycompose.engine.builder.platforms import PROXIES, SETTINGS
from pycompose.engine.builder.scope import DEFAULT_PATH, Scope
from pycompose.engine.builder.steps import BaseImage, Evaluated, Inputs, StageSteps
from pycompose.engine.builder.words import WordError, expand
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import DockerfileError
from pycompose.engine.images.spec import ImageConfig

SCRATCH = "scratch"
Resolve = Callable[[str, str, Instruction], BaseImage]


def evaluate(
    plan: CheckedDockerfile, target: str, inputs: Inputs, resolve: Resolve, *, everything: bool = False
) -> Evaluated:
    """Return the steps of all stages that `target` ("" is the last stage) needs, or `everything`.

    `resolve(image, platform, from)` is asked once per base image. Raises DockerfileError with the place.
    """
    return _Evaluation(plan, inputs, resolve).run(target, everything=everything)


def changed(plan: CheckedDockerfile, config: ImageConfig) -> tuple[ImageConfig, tuple[str, ...]]:
    """Return what a single stage's instructions make of `config`, and its ONBUILD; nothing is added that none says.

    Raises DockerfileError.
    """
    (stage,) = plan.stages
    scope = Scope(_Evaluation(plan, Inputs(), lambda *_: BaseImage(config=config)), stage)
    scope.config = config
    scope.env.update(item.partition("=")[::2] for item in config.env)
    scope.values = dict(scope.env)
    for instruction in stage.instructions:
        _instruction(scope, instruction)
    return scope.config, tuple(scope.on_build)


class _Evaluation:
    """Works stages out as they turn out to be needed."""

    def __init__(self, plan: CheckedDockerfile, inputs: Inputs, resolve: Resolve) -> None:
        self.plan = plan
        self.inputs = inputs
        self._resolve = resolve
        self.done: dict[int, StageSteps] = {}
        self._under_way: list[int] = []
        self.taken: set[str] = set()
        self.undefined: list[tuple[Instruction, str]] = []
        self.globals = self._globals()

    def _globals(self) -> dict[str, str]:
        values = dict(self.inputs.platform)
        found: dict[str, str] = {}
        for instruction in self.plan.arguments:
            for word in instruction.words:
                name, equals, default = word.partition("=")
                name = self.expand(instruction, name, {**values, **found})
                if name in self.inputs.arguments:
                    found[name] = self.inputs.arguments[name]
                    self.taken.add(name)
                elif equals:
                    found[name] = self.expand(instruction, default, {**values, **found})
                elif name in values:
                    found[name] = values[name]
        return {**values, **found}

    def expand(self, instruction: Instruction, word: str, values: Mapping[str, str]) -> str:
        """Return `word` expanded; raises DockerfileError."""
        try:
            done = expand(word, values, self.plan.file.escape)
        except WordError as exc:
            raise error(self.plan.file, instruction, f"failed to process {word!r}: {exc}", word=word) from exc
        self.undefined += [(instruction, name) for name in done.unset]
        return done.text

    def run(self, target: str, *, everything: bool) -> Evaluated:
        """Return the target and what it needs."""
        stages = self.plan.stages
        if target:
            wanted = next((stage for stage in reversed(stages) if stage.name == target.lower()), None)
            if wanted is None:
                names = [stage.name for stage in stages if stage.name]
                raise DockerfileError(
                    f"target stage {target!r} could not be found",
                    file=self.plan.file.name,
                    hint=suggestion(target, names) or (f"stages: {', '.join(names)}" if names else None),
                )
        else:
            wanted = stages[-1]
        for stage in stages if everything else (wanted,):
            self.stage(stage)
        known = {*PROXIES, *SETTINGS, *self.taken}
        unused = tuple(name for name in self.inputs.arguments if name not in known)
        return Evaluated(
            stages=self.done,
            target=wanted.number,
            unused_arguments=unused,
            undefined=tuple(self.undefined),
            arguments=self.globals,
        )

    def resolve(self, image: str, platform: str, instruction: Instruction, /) -> BaseImage:
        """Return what FROM an image starts with."""
        return self._resolve(image, platform, instruction)

    def stage(self, stage: Stage) -> StageSteps:
        """Return the stage's steps, working them out first if need be."""
        if stage.number in self.done:
            return self.done[stage.number]
        if stage.number in self._under_way:
            raise error(
                self.plan.file,
                stage.start,
                f"circular dependency detected on stage: {stage.name or stage.number}",
            )
        self._under_way.append(stage.number)
        made = _work_out(Scope(self, stage))
        self._under_way.pop()
        self.done[stage.number] = made
        return made

    def origin(self, name: str, before: Stage, instruction: Instruction) -> tuple[str, int | None]:
        """Return what `--from=NAME` means in stage `before`: (name, stage number or None)."""
        if name.isdecimal() and int(name) >= before.number and int(name) < len(self.plan.stages):
            raise error(
                self.plan.file,
                instruction,
                f"invalid from flag value {name}: refers to a stage that comes later or itself",
                word=name,
            )
        if name.lower() in self.inputs.contexts:
            return name, None
        for stage in reversed(self.plan.stages[: before.number]):
            if stage.name and stage.name == name.lower():
                return name, stage.number
        if name.isdecimal() and int(name) < before.number:
            return name, int(name)
        later = self.plan.stage(name)
        if later is not None and later.name == name.lower():
            raise error(
                self.plan.file,
                instruction,
                f"circular dependency detected on stage: {name}"
                if later.number == before.number
                else f"stage {name!r} comes later (line {later.start.first_line}): a stage can use earlier ones only",
                word=name,
            )
        return name, None


def _work_out(scope: Scope) -> StageSteps:
    """Work through the stage."""
    start = scope.stage.start
    base = scope.whole.expand(start, scope.stage.base, scope.whole.globals)
    if not base:
        raise error(scope.whole.plan.file, start, f"base name ({scope.stage.base}) should not be blank")
    platform = scope.whole.expand(start, scope.stage.platform, scope.whole.globals)
    number: int | None = None
    if base.lower() not in scope.whole.inputs.contexts:
        for earlier in reversed(scope.whole.plan.stages[: scope.stage.number]):
            if earlier.name and earlier.name == base.lower():
                number = earlier.number
                break
    below = _base(scope, base, number, platform)
    for name, value in (item.partition("=")[::2] for item in scope.config.env):
        scope.env[name] = value
    if not any(name == "PATH" for name in scope.env):
        scope.env["PATH"] = DEFAULT_PATH
        scope.store_env()
    # BuildKit sets them once more at a stage's start: an ARG of the stage below doesn't hide them any more.
    scope.values = {**scope.values, **scope.env}
    for text in below.on_build:
        _trigger(scope, text)
    for instruction in scope.stage.instructions:
        _instruction(scope, instruction)
    return StageSteps(
        number=scope.stage.number,
        name=scope.stage.name,
        base="" if number is not None else base,
        base_stage=number,
        platform=platform,
        steps=tuple(scope.steps),
        config=scope.config,
        on_build=tuple(scope.on_build),
        author=scope.author,
        args=scope.set_args(),
        values=scope.values,
    )


def _base(scope: Scope, base: str, number: int | None, platform: str) -> BaseImage:
    if number is not None:
        stage = scope.whole.stage(scope.whole.plan.stages[number])
        found = BaseImage(config=stage.config, on_build=stage.on_build, author=stage.author)
        scope.inherited, scope.values = stage.args, dict(stage.values)
    elif base == SCRATCH:
        found = BaseImage(config=ImageConfig(working_dir="/"))
    else:
        found = scope.whole.resolve(base, platform, scope.stage.start)
    scope.config = found.config
    scope.author = found.author
    return found


def _trigger(scope: Scope, text: str) -> None:
    file = parse(text, scope.whole.plan.file.name)
    for instruction in file.instructions:
        # Its place is the FROM that brought it.
        moved = replace(
            instruction, first_line=scope.stage.start.first_line, last_line=scope.stage.start.last_line
        )
        if moved.keyword in ("FROM", "ONBUILD", "MAINTAINER"):
            raise error(
                scope.whole.plan.file,
                scope.stage.start,
                f"{moved.keyword} isn't allowed as an ONBUILD trigger",
            )
        _instruction(scope, moved)


def _instruction(scope: Scope, instruction: Instruction) -> None:
    _HANDLERS[instruction.keyword](scope, instruction)


_HANDLERS: dict[str, Callable[[Scope, Instruction], None]] = {
    "ADD": files.copy,
    "ARG": metadata.arg,
    "CMD": metadata.cmd,
    "COPY": files.copy,
    "ENTRYPOINT": metadata.entrypoint,
    "ENV": metadata.env,
    "EXPOSE": metadata.expose,
    "HEALTHCHECK": metadata.healthcheck,
    "LABEL": metadata.label,
    "MAINTAINER": metadata.maintainer,
    "ONBUILD": metadata.onbuild,
    "RUN": files.run,
    "SHELL": metadata.shell,
    "STOPSIGNAL": metadata.stopsignal,
    "USER": metadata.user,
    "VOLUME": metadata.volume,
    "WORKDIR": metadata.workdir,
}
