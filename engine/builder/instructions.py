"""Instructions with their meaning: flags read and checked, words in their roles, nothing expanded yet.

Words that are expanded later (Dockerfile reference, "Environment replacement") stay as they stand in the file.
"""

from __future__ import annotations

import difflib
import re

from pycompose.engine.builder.dockerfile import FORMS, Dockerfile, Instruction
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import DockerfileError

# instruction → flag → how it is given: "value" once, "values" any number of times, "bool" with or without =true.
FLAGS: dict[str, dict[str, str]] = {
    "ADD": {
        "chmod": "value", "chown": "value", "checksum": "value", "exclude": "values", "keep-git-dir": "bool",
        "link": "bool", "unpack": "bool",
    },
    "COPY": {
        "chmod": "value", "chown": "value", "exclude": "values", "from": "value", "link": "bool", "parents": "bool",
    },
    "FROM": {"platform": "value"},
    "HEALTHCHECK": {
        "interval": "value", "retries": "value", "start-interval": "value", "start-period": "value",
        "timeout": "value",
    },
    "RUN": {"device": "values", "mount": "values", "network": "value", "security": "value"},
}  # fmt: skip
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_TRUE = ("", "1", "t", "true")
_FALSE = ("0", "f", "false")
_NOT_IN_ONBUILD = ("FROM", "MAINTAINER", "ONBUILD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of one instruction by name; those that may repeat keep their order. `off`: given, as false."""

    single: dict[str, str]
    several: dict[str, tuple[str, ...]]
    on: frozenset[str]
    off: frozenset[str]

    def get(self, name: str) -> str | None:
        """Return the value of a flag that is given at most once."""
        return self.single.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One FROM and what follows it. `base` is not expanded yet; `number` counts from 0."""

    number: int
    name: str
    base: str
    platform: str
    start: Instruction
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDockerfile:
    """A checked Dockerfile: the global ARGs, and its stages in order."""

    file: Dockerfile
    arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage | None:
        """Return the stage of a name (any case; the last one of that name) or number."""
        for stage in reversed(self.stages):
            if stage.name and stage.name == name.lower():
                return stage
        if name.isdecimal() and int(name) < len(self.stages):
            return self.stages[int(name)]
        return None


def checked(file: Dockerfile) -> CheckedDockerfile:
    """Return the stages of `file`; raises DockerfileError at the first instruction that can't be meant."""
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    if not file.instructions:
        raise DockerfileError("the file has no instructions", file=file.name)
    for instruction in file.instructions:
        _check(file, instruction)
        if instruction.keyword == "FROM":
            stages.append(_stage(file, instruction, len(stages)))
        elif stages:
            last = stages[-1]
            stages[-1] = replace(last, instructions=(*last.instructions, instruction))
        elif instruction.keyword == "ARG":
            arguments.append(instruction)
        else:
            raise error(
                file, instruction, f"no build stage in current context: {instruction.keyword} before FROM"
            )
    if not stages:
        raise DockerfileError("no build stage: the file has no FROM", file=file.name)
    return CheckedDockerfile(file=file, arguments=tuple(arguments), stages=tuple(stages))


def error(
    file: Dockerfile, instruction: Instruction, message: str, *, word: str = "", hint: str | None = None
) -> DockerfileError:
    """Return the error of one instruction; `word` tells the column."""
    text = file.lines[instruction.first_line - 1] if instruction.first_line <= len(file.lines) else ""
    line = instruction.first_line
    column = 0
    if word:
        for number in range(instruction.first_line, instruction.last_line + 1):
            at = file.lines[number - 1].find(word)
            if at >= 0:
                line, column, text = number, at + 1, file.lines[number - 1]
                break
    return DockerfileError(message, file=file.name, line=line, column=column, text=text, hint=hint)


def suggestion(word: str, known: list[str]) -> str | None:
    """Return "did you mean …?" for the nearest of `known`, None when nothing is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else None


def _check(file: Dockerfile, instruction: Instruction) -> None:
    keyword = instruction.keyword
    if keyword not in FORMS:
        raise error(
            file,
            instruction,
            f"unknown instruction: {keyword}",
            word=next(iter(instruction.raw.split()), ""),
            hint=suggestion(keyword, list(FORMS)),
        )
    if keyword == "ONBUILD":
        inner = instruction.nested
        if inner is None:
            raise error(file, instruction, "ONBUILD requires an instruction")
        if inner.keyword in _NOT_IN_ONBUILD:
            raise error(
                file, instruction, f"{inner.keyword} isn't allowed as an ONBUILD trigger", word=inner.keyword
            )
        _check(file, inner)
        return
    flags_of(file, instruction)
    _check_words(file, instruction)


# keyword → (least, most) number of words; None is any number.
_COUNTS: dict[str, tuple[int, int | None]] = {
    "ADD": (2, None),
    "ARG": (1, None),
    "COPY": (2, None),
    "ENV": (2, None),
    "EXPOSE": (1, None),
    "LABEL": (2, None),
    "MAINTAINER": (1, 1),
    "SHELL": (1, None),
    "STOPSIGNAL": (1, 1),
    "USER": (1, 1),
    "VOLUME": (1, None),
    "WORKDIR": (1, 1),
}


def _check_words(file: Dockerfile, instruction: Instruction) -> None:
    keyword, words = instruction.keyword, instruction.words
    if keyword == "FROM":
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
            raise error(
                file, instruction, "FROM requires either one or three arguments", hint="FROM image AS name"
            )
        return
    least, most = _COUNTS.get(keyword, (0, None))
    if len(words) < least or (most is not None and len(words) > most):
        amount = f"exactly {least}" if least == most else f"at least {least}"
        plural = "argument" if least == 1 else "arguments"
        raise error(file, instruction, f"{keyword} requires {amount} {plural}")
    if keyword == "SHELL" and not instruction.is_json:
        raise error(
            file, instruction, 'SHELL requires the arguments to be in JSON form: SHELL ["/bin/sh", "-c"]'
        )
    if keyword == "HEALTHCHECK":
        _check_health(file, instruction)
    elif keyword == "RUN" and not words and not instruction.heredocs:
        raise error(file, instruction, "RUN requires at least one argument")
    elif keyword in ("ENV", "LABEL") and "" in words[::2]:
        raise error(file, instruction, f"{keyword} names can not be blank")
    elif keyword == "ARG" and any(word.startswith("=") for word in words):
        raise error(file, instruction, "ARG names can not be blank")
    elif keyword == "VOLUME" and "" in words:
        raise error(file, instruction, "VOLUME specified can not be an empty string")


def _check_health(file: Dockerfile, instruction: Instruction) -> None:
    words = instruction.words
    if not words:
        raise error(
            file, instruction, "HEALTHCHECK requires at least one argument", hint="HEALTHCHECK CMD … or NONE"
        )
    kind = words[0].upper()
    if kind == "NONE":
        if len(words) > 1:
            raise error(file, instruction, "HEALTHCHECK NONE takes no arguments")
    elif kind != "CMD":
        raise error(
            file,
            instruction,
            f"unknown type {words[0]!r} in HEALTHCHECK",
            word=words[0],
            hint=suggestion(kind, ["CMD", "NONE"]) or "it takes CMD or NONE",
        )
    elif len(words) == 1:
        raise error(file, instruction, "missing command after HEALTHCHECK CMD")


def _stage(file: Dockerfile, instruction: Instruction, number: int) -> Stage:
    words = instruction.words
    name = words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name):
        raise error(
            file,
            instruction,
            f"invalid name for build stage: {words[2]!r}, name can't start with a number or contain symbols",
            word=words[2],
        )
    return Stage(
        number=number,
        name=name,
        base=words[0],
        platform=flags_of(file, instruction).get("platform") or "",
        start=instruction,
        instructions=(),
    )


def flags_of(file: Dockerfile, instruction: Instruction) -> Flags:
    """Return the flags of an instruction; raises DockerfileError for one it doesn't have."""
    known = FLAGS.get(instruction.keyword, {})
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    on: set[str] = set()
    off: set[str] = set()
    for flag in instruction.flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        kind = known.get(name)
        if kind is None:
            raise error(
                file,
                instruction,
                f"unknown flag: --{name}",
                word=f"--{name}",
                hint=suggestion(name, list(known)) if known else f"{instruction.keyword} takes no flags",
            )
        if kind != "values" and name in {*single, *on, *off}:
            raise error(file, instruction, f"duplicate flag specified: --{name}", word=f"--{name}")
        if kind == "bool":
            if value.lower() not in (*_TRUE, *_FALSE):
                raise error(
                    file, instruction, f"expecting boolean value for flag --{name}, not: {value}", word=flag
                )
            (on if value.lower() in _TRUE else off).add(name)
        elif not equals:
            raise error(file, instruction, f"missing a value on flag: --{name}", word=f"--{name}")
        elif kind == "value":
            single[name] = value
        else:
            several.setdefault(name, []).append(value)
    return Flags(
        single=single,
        several={name: tuple(values) for name, values in several.items()},
        on=frozenset(on),
        off=frozenset(off),
    )
