"""`.dockerignore`: patterns of Go's filepath.Match with `**`, the last one that fits decides, `!` takes back.

Dockerfile reference, ".dockerignore file". A directory that is left out takes all below it along, unless a later `!`
pattern names something inside.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from pycompose.engine.builder.globs import (
    STARS,
    PatternError,
    SlowPattern,
    has_glob,
    pieces_of,
    segment_regex,
)
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError

# Directories whose marks are kept.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: `matcher` matches whole paths, relative and without a leading slash; None compares with `text`."""

    text: str
    matcher: PathPattern | None
    negated: bool

    def fits(self, path: str) -> bool:
        """Tell whether the whole path fits."""
        return path == self.text if self.matcher is None else bool(self.matcher.match(path))


class PathPattern(Protocol):
    """A pattern with wildcards."""

    def match(self, path: str, /) -> object:
        """Return something true when the whole path fits."""
        ...


@dataclass(slots=True)
class _Run:
    """Lines one after the other that all leave out, or all take back: those without wildcards are looked up."""

    negated: bool
    texts: set[str] = field(default_factory=set)
    matchers: list[PathPattern] = field(default_factory=list)

    def matches(self, path: str) -> bool:
        """Tell whether one of them fits the path."""
        return path in self.texts or any(matcher.match(path) for matcher in self.matchers)


class Ignore:
    """All patterns of a file: `left_out` says what a context is without, `ignored` what they mean by themselves."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.patterns = tuple(patterns)
        self.has_exceptions = any(pattern.negated for pattern in patterns)
        self._runs: list[_Run] = []
        for pattern in patterns:
            if not self._runs or self._runs[-1].negated != pattern.negated:
                self._runs.append(_Run(negated=pattern.negated))
            if pattern.matcher is None:
                self._runs[-1].texts.add(pattern.text)
            else:
                self._runs[-1].matchers.append(pattern.matcher)
        # Directory → a bit for each run that has matched it.
        self._marks: dict[str, int] = {}

    def ignored(self, path: str) -> bool:
        """Tell whether `path` (relative, `/` between components) stays out of the context."""
        out = False
        parents = _parents(path)
        for run in self._runs:
            if out != run.negated:
                continue  # it could only say what holds already
            if run.matches(path) or any(run.matches(parent) for parent in parents):
                out = not out
        return out

    def left_out(self, path: str) -> bool:
        """Tell whether a context is without `path`, as BuildKit finds it when it walks down from the top.

        What matches a directory holds for all below it, but a line that could only say what held already isn't asked:
        `!docs` after `**/x` takes docs/x back neither for itself, nor for docs, which nothing had left out.
        (moby/patternmatcher, MatchesUsingParentResults.)
        """
        marks = 0
        above = path.rpartition("/")[0]
        if above and above not in self._marks:
            for parent in _parents(path):
                known = self._marks.get(parent)
                marks = self._matched(parent, marks)[0] if known is None else known
                if len(self._marks) >= _REMEMBERED:
                    self._marks.clear()
                self._marks[parent] = marks
        elif above:
            marks = self._marks[above]
        return self._matched(path, marks)[1]

    def _matched(self, path: str, inherited: int) -> tuple[int, bool]:
        """Return a bit for each run that matches `path`, and whether it is left out by them."""
        marks, out = 0, False
        for number, run in enumerate(self._runs):
            if inherited >> number & 1 or (out == run.negated and run.matches(path)):
                marks |= 1 << number
                out = not run.negated
        return marks, out

    def may_contain_exceptions(self, directory: str) -> bool:
        """Tell whether something below the ignored `directory` could be wanted all the same."""
        if not self.has_exceptions:
            return False
        return any(pattern.negated and _may_be_below(pattern.text, directory) for pattern in self.patterns)


def _may_be_below(pattern: str, directory: str) -> bool:
    for wanted, part in zip(pattern.split("/"), directory.split("/"), strict=False):
        if STARS in wanted:
            return True
        if not re.fullmatch(segment_regex(wanted), part, re.DOTALL):
            return False
    return True


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def parse_ignore(text: str) -> Ignore:
    """Return the patterns in `text`; raises PatternError with the line's number.

    Comments begin with `#` in the first column; white space around a pattern goes; paths are cleaned as Go cleans.
    """
    patterns = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        negated = pattern.startswith("!")
        if negated:
            pattern = pattern[1:].strip()
            if not pattern:
                raise PatternError('illegal exclusion pattern: "!"', line=number)
        cleaned = posixpath.normpath(pattern).lstrip("/") if pattern else ""
        if cleaned in ("", "."):
            cleaned = ""
        if not cleaned:
            continue
        try:
            matcher = _compiled(cleaned) if has_glob(cleaned) else None
        except PatternError as exc:
            raise PatternError(str(exc), line=number) from exc
        patterns.append(Pattern(cleaned, matcher, negated))
    return Ignore(patterns)


def context_ignore(text: str) -> Ignore | None:
    """Return the patterns of a context's file, None without one. Raises BuildError with the line."""
    try:
        return parse_ignore(text) if text else None
    except PatternError as exc:
        raise BuildError(f".dockerignore:{exc.line}: {exc.message}", hint=exc.hint) from exc


def exclude_patterns(patterns: Iterable[str]) -> Ignore:
    """Return the patterns of `--exclude` flags."""
    return parse_ignore("\n".join(patterns))


def _compiled(pattern: str) -> PathPattern:
    """Return what matches whole paths: `**` stands for any components where it is one. Raises PatternError."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part != STARS or parts[-1:] != [STARS]:  # one after the other mean what one means
            parts.append(part)
    if any(part != STARS and STARS in pieces_of(part) for part in parts):
        return SlowPattern(parts)
    return re.compile(_path_regex(parts), re.DOTALL)


def _path_regex(parts: Sequence[str]) -> str:
    """Return the expression: what stands between two `**` is looked for from the left, once (segment_regex)."""
    chunks: list[list[str]] = [[]]
    for part in parts:
        if part == STARS:
            chunks.append([])
        else:
            chunks[-1].append(segment_regex(part))
    first, *others = ["/".join(chunk) for chunk in chunks]
    if not others:
        return first + r"\Z"
    *middle, last = others
    start = f"{first}/" if first else ""
    groups = "".join(f"(?>(?:[^/]*/)*?{chunk}/)" for chunk in middle)
    return rf"{start}{groups}(?:[^/]*/)*?{last}\Z" if last else rf"{start}{groups}.*\Z"
