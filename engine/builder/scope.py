"""The scope of one stage while it is worked out: variables, configuration, steps so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pycompose.engine.builder.dockerfile import Instruction
from pycompose.engine.builder.instructions import CheckedDockerfile, Stage, error
from pycompose.engine.builder.steps import Action, BaseImage, Inputs, StageSteps, Step
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import DockerfileError
from pycompose.engine.images.spec import ImageConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class Surroundings(Protocol):
    """What a stage knows of the file around it."""

    plan: CheckedDockerfile
    inputs: Inputs
    globals: dict[str, str]
    # Build arguments that somebody has declared.
    taken: set[str]

    def expand(self, instruction: Instruction, word: str, values: Mapping[str, str]) -> str:
        """Return `word` expanded; raises DockerfileError."""
        ...

    def origin(self, name: str, before: Stage, instruction: Instruction) -> tuple[str, int | None]:
        """Return what `--from=NAME` means in stage `before`: (name, stage number or None)."""
        ...

    def stage(self, stage: Stage) -> StageSteps:
        """Return an earlier stage, worked out."""
        ...

    def resolve(self, image: str, platform: str, instruction: Instruction, /) -> BaseImage:
        """Return what FROM an image starts with."""
        ...


class Scope:
    """The scope of one stage: its variables, its configuration so far, its steps so far."""

    def __init__(self, whole: Surroundings, stage: Stage) -> None:
        self.whole = whole
        self.stage = stage
        self.config = ImageConfig()
        self.on_build: list[str] = []
        self.author = ""
        self.steps: list[Step] = []
        self.env: dict[str, str] = {}
        # Declared ARGs in order; None is one without a value.
        self.args: dict[str, str | None] = {}
        # Their names in the order of the declarations, each as often as it was declared.
        self.declared: list[str] = []
        # Those of the stage that this one is built upon; the history doesn't name them.
        self.inherited: Mapping[str, str] = {}
        # What words see: ENV and ARG, the later statement wins.
        self.values: dict[str, str] = {}
        self.cmd_set = False

    def expand(self, instruction: Instruction, word: str) -> str:
        """Return a word with this stage's variables in it."""
        return self.whole.expand(instruction, word, self.values)

    def fail(
        self, instruction: Instruction, message: str, *, word: str = "", hint: str | None = None
    ) -> DockerfileError:
        """Return an error with the place of `instruction`."""
        return error(self.whole.plan.file, instruction, message, word=word, hint=hint)

    def add(
        self,
        instruction: Instruction,
        history: str,
        action: Action | None = None,
        needs: Sequence[int] = (),
        title: str | None = None,
    ) -> None:
        """Append a step."""
        self.steps.append(
            Step(
                instruction=instruction,
                title=title or history.removesuffix(" # buildkit"),
                history=history,
                action=action,
                needs=tuple(needs),
            )
        )

    def set_args(self) -> dict[str, str]:
        """Return the ARGs with a value that a process sees, inherited ones too, as words see them now."""
        own = (name for name, value in self.args.items() if value is not None)
        return {name: self.values.get(name, "") for name in (*self.inherited, *own)}

    def store_env(self) -> None:
        """Write the variables into the configuration."""
        self.config = replace(self.config, env=tuple(f"{name}={value}" for name, value in self.env.items()))
