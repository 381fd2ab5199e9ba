"""Looks through a Dockerfile for what BuildKit warns of (rules.py): in its text, and in its stages worked out."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pycompose.engine.builder.dockerfile import Dockerfile, Instruction, split_words
from pycompose.engine.builder.instructions import CheckedDockerfile, Stage, flags_of
from pycompose.engine.builder.metadata import split_port
from pycompose.engine.builder.remotes import is_remote
from pycompose.engine.builder.rules import Finding, finding
from pycompose.engine.builder.words import WordError, expand
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ImageError
from pycompose.engine.images.reference import parse as parse_reference
from pycompose.engine.images.spec import Platform

if TYPE_CHECKING:
    from pycompose.engine.builder.ignore import Ignore
    from pycompose.engine.builder.steps import BaseImage, Evaluated

_RESERVED = ("scratch", "context")
_DIRECTIVE = re.compile(r"(?:syntax|escape|check)\s*=")
_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)
_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


def text_findings(file: Dockerfile) -> Iterator[Finding]:
    """Yield what can be seen without understanding the file."""
    names: set[str] = set()
    for one in file.instructions:
        if one.empty_lines:
            end = one.last_line - sum(doc.content.count("\n") + 1 for doc in one.heredocs)
            yield finding("NoEmptyContinuation", (end, end))
        if one.keyword == "MAINTAINER":
            yield finding("MaintainerDeprecated", _lines(one))
        elif one.keyword == "FROM" and len(one.words) == 3:
            yield from _stage_name(one, names)
        yield from _description(one)
    yield from _casing(file)


def _stage_name(one: Instruction, names: set[str]) -> Iterator[Finding]:
    _base, as_word, name = one.words
    from_word = _command(one)
    if name != name.lower():
        yield finding("StageNameCasing", _lines(one), name)
    wanted = {from_word.lower(): as_word.lower(), from_word.upper(): as_word.upper()}.get(from_word, as_word)
    if as_word != wanted:
        yield finding("FromAsCasing", _lines(one), as_word, from_word)
    if name.lower() in names:
        yield finding("DuplicateStageName", _lines(one), name.lower())
    if name.lower() in _RESERVED:
        yield finding("ReservedStageName", _lines(one), name.lower())
    names.add(name.lower())


def _description(one: Instruction) -> Iterator[Finding]:
    if one.keyword == "ARG":
        keys = [word.partition("=")[0] for word in one.words]
    elif one.keyword == "FROM" and len(one.words) == 3:
        keys = [one.words[2]]
    else:
        return
    comment = one.comments[-1] if one.comments else ""
    if comment and comment.split(" ")[0] not in keys and not _DIRECTIVE.match(comment):
        yield finding(
            "InvalidDefinitionDescription",
            _lines(one),
            one.keyword,
            keys[0] if len(keys) == 1 else "<arg_key>",
        )


def _casing(file: Dockerfile) -> Iterator[Finding]:
    start = next((at for at, one in enumerate(file.instructions) if one.keyword == "FROM"), 0)
    commands = [(one, _command(one)) for one in file.instructions[start:]]
    count = Counter("lower" if word.islower() else "upper" if word.isupper() else "" for _, word in commands)
    case = "lowercase" if count["lower"] > count["upper"] else "uppercase"
    for one, word in commands:
        if word != (word.lower() if case == "lowercase" else word.upper()):
            yield finding("ConsistentInstructionCasing", _lines(one), word, case)


def _command(one: Instruction) -> str:
    return next(iter(one.raw.split(maxsplit=1)), "")


def _lines(one: Instruction) -> tuple[int, int]:
    return one.first_line, one.last_line


# ---------------------------------------------------------------------- stages


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What is known besides the file: bases by name, the platform, values that FROM lines see, .dockerignore."""

    bases: Mapping[str, BaseImage]
    platform: str
    predefined: Mapping[str, str]
    ignore: Ignore | None = None


def stage_findings(plan: CheckedDockerfile, done: Evaluated, known: CheckContext) -> Iterator[Finding]:
    """Yield what is to be said about FROM lines, and about the stages that were worked out."""
    for stage in plan.stages:
        yield from _from(plan, stage, known)
    for one, name in done.undefined:
        if one.keyword == "FROM":
            names = [*known.predefined, *(_names(plan.arguments))]
            yield finding("UndefinedArgInFrom", _lines(one), name, _meant(name, names, ""))
    for number in done.stages:
        yield from _Stage(plan, number, done, known).findings()


def _from(plan: CheckedDockerfile, stage: Stage, known: CheckContext) -> Iterator[Finding]:
    start, platform = stage.start, stage.platform
    if platform in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
        yield finding("RedundantTargetPlatform", _lines(start), platform)
    elif platform and "$" not in platform:
        parts = Platform.parse(platform)
        if not any(part and part in stage.name for part in (parts.os, parts.architecture)):
            yield finding("FromPlatformFlagConstDisallowed", _lines(start), platform)
    if "$" in stage.base and not _names_an_image(_default_base(plan, stage, known)):
        declared = set(_names(plan.arguments))
        if declared & set(re.findall(r"\$\{?(\w+)", stage.base)):
            yield finding("InvalidDefaultArgInFrom", _lines(start), stage.base)


def _default_base(plan: CheckedDockerfile, stage: Stage, known: CheckContext) -> str:
    """Return the base of a stage when no build argument is given."""
    values = dict(known.predefined)
    try:
        for instruction in plan.arguments:
            for word in instruction.words:
                name, equals, default = word.partition("=")
                if equals:
                    values[name] = expand(default, values, plan.file.escape).text
        return expand(stage.base, values, plan.file.escape).text
    except WordError:
        return ""


def _names_an_image(text: str) -> bool:
    try:
        parse_reference(text)
    except ImageError:
        return False
    return bool(text)


def _names(instructions: tuple[Instruction, ...] | list[Instruction]) -> list[str]:
    """Return the names that ARG and ENV instructions declare."""
    found = []
    for one in instructions:
        if one.keyword == "ARG":
            found += [word.partition("=")[0] for word in one.words]
        elif one.keyword == "ENV":
            found += one.words[::2]
    return found


def _meant(name: str, names: list[str], prefix: str) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {prefix}{near[0]}?)" if near else ""


class _Stage:
    """One stage that was worked out."""

    def __init__(self, plan: CheckedDockerfile, number: int, done: Evaluated, known: CheckContext) -> None:
        self._file = plan.file
        self._known = known
        self._undefined = done.undefined
        self._stage = plan.stages[number]
        self._steps = done.stages[number]
        below = self._steps
        # What the stage stands on, lowest first, this one last.
        self._chain = [self._stage]
        while below.base_stage is not None:
            below = done.stages[below.base_stage]
            self._chain.insert(0, plan.stages[below.number])
        self._base = known.bases.get(below.base)

    def findings(self) -> Iterator[Finding]:
        last: dict[str, Instruction] = {}
        has_shell = bool(self._base and self._base.config.shell) or self._below("SHELL")
        has_workdir = self._below("WORKDIR")
        yield from self._platform()
        for one in self._stage.instructions:
            if one.keyword in _ONCE:
                if one.keyword in last:
                    yield finding("MultipleInstructionsDisallowed", _lines(last[one.keyword]), one.keyword)
                last[one.keyword] = one
            if one.keyword in ("CMD", "ENTRYPOINT") and one.words and not one.is_json and not has_shell:
                yield finding("JSONArgsRecommended", _lines(one), one.keyword)
            elif one.keyword == "WORKDIR" and not has_workdir:
                path = one.words[0].strip("\"'")
                if not path.startswith(("/", "$")):
                    yield finding("WorkdirRelativePath", _lines(one), path)
            has_shell |= one.keyword == "SHELL"
            has_workdir |= one.keyword == "WORKDIR"
            yield from self._words(one)
            yield from self._variables(one)

    def _below(self, keyword: str) -> bool:
        return any(one.keyword == keyword for stage in self._chain[:-1] for one in stage.instructions)

    def _platform(self) -> Iterator[Finding]:
        own = self._known.bases.get(self._steps.base)
        expected = self._steps.platform or self._known.platform
        if own and own.platform and Platform.parse(own.platform) != Platform.parse(expected):
            yield finding(
                "InvalidBaseImagePlatform",
                _lines(self._stage.start),
                self._steps.base,
                own.platform,
                expected,
            )

    def _words(self, one: Instruction) -> Iterator[Finding]:
        """Yield what single words of an instruction ask for."""
        if one.keyword in ("ENV", "LABEL") and "=" not in self._first_word(one):
            yield finding("LegacyKeyValueFormat", _lines(one), one.keyword)
        if one.keyword in ("ENV", "ARG"):
            for name in _names([one]):
                if _SECRET.search(name) and not _PUBLIC.search(name):
                    yield finding("SecretsUsedInArgOrEnv", _lines(one), one.keyword, name)
        elif one.keyword == "EXPOSE":
            for word in one.words:
                host, _port, protocol = split_port(word)
                if host:
                    yield finding("ExposeInvalidFormat", _lines(one), word)
                if protocol != protocol.lower():
                    yield finding("ExposeProtoCasing", _lines(one), word)
        elif one.keyword in ("COPY", "ADD") and flags_of(self._file, one).get("from") is None:
            for source in one.words[:-1]:
                path = source.strip("/")
                if source.startswith("<<") or is_remote(source) or path in ("", "."):
                    continue
                if self._known.ignore is not None and self._known.ignore.left_out(path):
                    yield finding("CopyIgnoredFile", _lines(one), one.keyword.capitalize(), source)

    def _first_word(self, one: Instruction) -> str:
        rest = one.raw.split(maxsplit=1)[1]
        return next(split_words(rest, self._file.escape), "")

    def _variables(self, one: Instruction) -> Iterator[Finding]:
        asked = [name for instruction, name in self._undefined if instruction is one]
        if not asked or (self._base is None and self._chain[0].base.lower() != "scratch"):
            return  # what an image that isn't here has, nobody knows
        before = [item for stage in self._chain[:-1] for item in stage.instructions]
        before += [item for item in self._stage.instructions if item.first_line < one.first_line]
        image = [item.partition("=")[0] for item in (self._base.config.env if self._base else ())]
        declared = [*_names(before), *image, "PATH"]
        for name in asked:
            if name not in declared and (name[0].isalpha() or name[0] == "_"):
                yield finding("UndefinedVar", _lines(one), name, _meant(name, declared, "$"))
