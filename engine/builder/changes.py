"""Dockerfile instructions that change an image's configuration, for `import -c` and `commit -c`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.builder.dockerfile import Instruction, parse
from pycompose.engine.builder.evaluate import changed
from pycompose.engine.builder.instructions import checked
from pycompose.engine.builder.scope import DEFAULT_SHELL
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import DockerfileError, InvalidChange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.images.spec import ImageConfig

# moby builder/dockerfile/builder.go, validCommitCommands.
_POSSIBLE = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> tuple[ImageConfig, tuple[str, ...]]:
    """Return `config` after instructions such as `CMD ["sh"]` or `ENV A=1 B=$PATH`, and what ONBUILD among them adds.

    They are one text, as if each was a line or several of a Dockerfile. Raises InvalidChange naming the instruction.
    """
    if not changes:
        return config, ()
    text = "\n".join(changes)
    try:
        file = parse(f"FROM scratch\n{text}", "change")
        first, *rest = file.instructions
        if not rest:
            raise InvalidChange("change: file with no instructions", hint="for example CMD sh")
        for instruction in rest:
            if instruction.keyword not in _POSSIBLE:
                raise InvalidChange(
                    f"change {instruction.raw!r}: {instruction.keyword} is not a valid change command",
                    hint=f"possible: {', '.join(_POSSIBLE)}",
                )
        # Of what isn't in there, nothing is to be made of.
        meant = (first, *(_meant(config, instruction) for instruction in rest))
        made, on_build = changed(checked(replace(file, instructions=meant)), config)
    except DockerfileError as exc:
        raise InvalidChange(f"change {exc.text or text!r}: {exc.reason}", hint=exc.hint) from exc
    return replace(made, args_escaped=config.args_escaped), on_build


def _meant(config: ImageConfig, instruction: Instruction) -> Instruction:
    """Return what Docker takes a bare CMD for here, the shell, and a bare ENTRYPOINT, none."""
    if instruction.words or instruction.is_json or instruction.keyword not in ("CMD", "ENTRYPOINT"):
        return instruction
    words = (config.shell or DEFAULT_SHELL) if instruction.keyword == "CMD" else ()
    return replace(instruction, words=words, is_json=True)
