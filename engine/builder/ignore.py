"""`.dockerignore`: patterns of Go's filepath.Match with `**`, the last one that fits decides, `!` takes back.

Dockerfile reference, ".dockerignore file". A directory that is left out takes all below it along, unless a later `!`
pattern names something inside.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

from pycompose.engine.builder.globs import PatternError, segment_regex
from pycompose.engine.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: `regex` matches whole paths, relative and without a leading slash."""

    text: str
    regex: re.Pattern[str]
    negated: bool

    @property
    def depth(self) -> int:
        """How many path components the pattern has."""
        return self.text.count("/") + 1


class Ignore:
    """All patterns of a file; `ignored` is asked for paths from the root downwards."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.patterns = tuple(patterns)
        self.has_exceptions = any(pattern.negated for pattern in patterns)

    def ignored(self, path: str) -> bool:
        """Tell whether `path` (relative, `/` between components) stays out of the context."""
        out = False
        parents = _parents(path)
        for pattern in self.patterns:
            if out != pattern.negated:
                continue  # it could only say what holds already
            if pattern.regex.match(path) or any(pattern.regex.match(parent) for parent in parents):
                out = not out
        return out

    def may_contain_exceptions(self, directory: str) -> bool:
        """Tell whether something below the ignored `directory` could be wanted all the same."""
        if not self.has_exceptions:
            return False
        return any(pattern.negated and _may_be_below(pattern.text, directory) for pattern in self.patterns)


def _may_be_below(pattern: str, directory: str) -> bool:
    for wanted, part in zip(pattern.split("/"), directory.split("/"), strict=False):
        if wanted == "**":
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
            regex = re.compile(path_regex(cleaned), re.DOTALL)
        except PatternError as exc:
            raise PatternError(str(exc), line=number) from exc
        patterns.append(Pattern(cleaned, regex, negated))
    return Ignore(patterns)


def exclude_patterns(patterns: Iterable[str]) -> Ignore:
    """Return the patterns of `--exclude` flags."""
    return parse_ignore("\n".join(patterns))


def path_regex(pattern: str) -> str:
    """Return the regular expression (for whole paths) of a pattern with `**`."""
    pieces: list[str] = []
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            pieces.append(".*" if last else "(?:.*/)?")
        else:
            pieces.append(segment_regex(part))
            if not last:
                pieces.append("/")
    return "".join(pieces) + r"\Z"
