"""`--call outline` and `--call targets`: what a Dockerfile can be given, and what can be built of it.

Nothing is built and nothing fetched. The JSON forms are those of BuildKit's subrequests (frontend/subrequests), which
buildx passes on. A description is the comment above a stage or an ARG that begins with its name.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.check import inputs_of
from pycompose.engine.builder.dockerfile import Instruction, parse
from pycompose.engine.builder.evaluate import evaluate
from pycompose.engine.builder.instructions import CheckedDockerfile, checked
from pycompose.engine.builder.mountflags import SECRET, SSH
from pycompose.engine.builder.rules import location_of
from pycompose.engine.builder.steps import BaseImage, Evaluated, Run
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ImageError

if TYPE_CHECKING:
    from pycompose.engine.builder.request import BuildRequest

_VARIABLE = re.compile(r"\$(?:\{(\w+)|(\w+))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Something that a build takes: an ARG with its `value`, a secret or an agent that may be `required`."""

    name: str
    instruction: Instruction
    value: str = ""
    description: str = ""
    required: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return BuildKit's outline.Arg, .Secret or .SSH."""
        found = {
            "name": self.name,
            "description": self.description,
            "value": self.value,
            "required": self.required,
        }
        return {key: value for key, value in found.items() if value} | location_of(
            self.instruction.first_line, self.instruction.last_line
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the target and the stages that it needs can be given, in the order of the file."""

    name: str
    description: str
    arguments: tuple[Parameter, ...]
    secrets: tuple[Parameter, ...]
    ssh: tuple[Parameter, ...]
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return BuildKit's outline.Outline."""
        found: dict[str, Any] = {"name": self.name, "description": self.description}
        for key, items in (("args", self.arguments), ("secrets", self.secrets), ("ssh", self.ssh)):
            found[key] = [item.to_json() for item in items]
        return {key: value for key, value in found.items() if value} | {"sources": [_encoded(self.source)]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A stage that can be asked for; `name` is "" for one that has none."""

    name: str
    default: bool
    description: str
    base: str
    platform: str
    instruction: Instruction

    def to_json(self) -> dict[str, Any]:
        """Return BuildKit's targets.Target."""
        found = {
            "name": self.name,
            "default": self.default,
            "description": self.description,
            "base": self.base,
            "platform": self.platform,
        }
        return {key: value for key, value in found.items() if value} | location_of(
            self.instruction.first_line, self.instruction.last_line
        )


def targets(request: BuildRequest) -> tuple[Target, ...]:
    """Return all stages. Raises DockerfileError."""
    stages = checked(parse(request.dockerfile, request.dockerfile_name)).stages
    return tuple(
        Target(
            name=stage.name,
            default=stage is stages[-1],
            description=_description(stage.start, stage.name),
            base=stage.base,
            platform=stage.platform,
            instruction=stage.start,
        )
        for stage in stages
    )


def targets_json(request: BuildRequest, found: Iterable[Target]) -> dict[str, Any]:
    """Return BuildKit's targets.List."""
    return {"targets": [target.to_json() for target in found], "sources": [_encoded(request.dockerfile)]}


def outline(request: BuildRequest, local: Callable[[str, str], BaseImage]) -> Outline:
    """Return what the build of `request` takes. Raises DockerfileError.

    `local(name, platform)` returns an image of the store or raises ImageError.
    """
    plan = checked(parse(request.dockerfile, request.dockerfile_name))

    def resolve(name: str, platform: str, _instruction: Instruction) -> BaseImage:
        with contextlib.suppress(ImageError):
            return local(name, platform or request.platform)
        return BaseImage()

    done = evaluate(plan, request.target, inputs_of(request), resolve)
    target = plan.stages[done.target]
    return Outline(
        name=target.name,
        description=_description(target.start, target.name),
        arguments=_in_order(_arguments(plan, done)),
        secrets=_in_order(_mounts(done, SECRET)),
        ssh=_in_order(_mounts(done, SSH)),
        source=request.dockerfile,
    )


def _arguments(plan: CheckedDockerfile, done: Evaluated) -> dict[str, Parameter]:
    """Return the ARGs of the stages, and those before the first stage that one of them uses."""
    general = {
        word.partition("=")[0]: (word.partition("=")[2], instruction)
        for instruction in plan.arguments
        for word in instruction.words
    }
    found: dict[str, Parameter] = {}

    def use(name: str) -> None:
        if name not in general or name in found:
            return
        default, instruction = general[name]
        found[name] = _argument(name, instruction, done.arguments.get(name, ""))
        for other in _names(default):
            use(other)

    for number in done.stages:
        stage = plan.stages[number]
        for name in (*_names(stage.base), *_names(stage.platform)):
            use(name)
    own: dict[str, Parameter] = {}
    for number, steps in done.stages.items():
        for instruction in plan.stages[number].instructions:
            for word in instruction.words if instruction.keyword == "ARG" else ():
                name, equals, _ = word.partition("=")
                if not equals and name in general:
                    use(name)
                elif equals or name not in done.arguments:
                    own.setdefault(name, _argument(name, instruction, steps.args.get(name, "")))
    return found | own


def _argument(name: str, instruction: Instruction, value: str) -> Parameter:
    return Parameter(
        name=name, instruction=instruction, value=value, description=_description(instruction, name)
    )


def _mounts(done: Evaluated, kind: str) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for steps in done.stages.values():
        for step in steps.steps:
            for mount in step.action.mounts if isinstance(step.action, Run) else ():
                if mount.kind == kind:
                    name = mount.id or ("default" if kind == SSH else mount.target.rpartition("/")[2])
                    found[name] = Parameter(name=name, instruction=step.instruction, required=mount.required)
    return found


def _in_order(found: dict[str, Parameter]) -> tuple[Parameter, ...]:
    return tuple(sorted(found.values(), key=lambda item: item.instruction.first_line))


def _names(text: str) -> list[str]:
    return [braced or plain for braced, plain in _VARIABLE.findall(text)]


def _description(instruction: Instruction, name: str) -> str:
    """Return what the comment above says after `name`."""
    if not name:
        return ""
    texts = (text.removeprefix(f"{name} ") for text in instruction.comments if text.startswith(f"{name} "))
    return next(texts, "")


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
