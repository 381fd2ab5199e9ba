"""Which paths a rule of `develop.watch` takes, and why not: Docker's patterns, relative to the rule's path.

The pipeline of Docker Compose: below the rule's path; `include`, if given, has to fit; then out goes what
`.dockerignore`, the editors' list, or `ignore` names. In each list the last pattern that fits decides, `!` takes back.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.builder.globs import PatternError
from pycompose.engine.builder.ignore import parse_ignore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.builder.ignore import Ignore

# docker/compose pkg/watch: what editors leave beside the files they save, and git's own.
TEMPORARY = (
    "**/.git", "**/.idea", "**/*___jb_old___", "**/*___jb_tmp___", "**/*~", "**/.#*", "**/#*#", "**/4913",
    "**/.*.sw[pxon]", "**/.*.kate-swp", "**/*-go-tmp-umask",
)  # fmt: skip
# Our own, while a file is written (writer.py): where a container's file is a host's by a bind mount.
SCRATCH = ".pycompose-writing"

# How many directories are remembered: paths are asked for one after the other.
MOST_REMEMBERED = 2000


class Verdict(NamedTuple):
    """Whether a path is taken, and the reason in words."""

    taken: bool
    reason: str


class PatternList:
    """One list of patterns; `fits` remembers directories, since paths are asked for one after the other."""

    def __init__(self, ignore: Ignore) -> None:
        self._ignore = ignore
        self._directories: dict[str, bool] = {"": False}

    def fits(self, path: str) -> bool:
        """Tell whether `path` (relative) or a directory above it fits, by the last pattern that says something."""
        if self._ignore.has_exceptions:
            return self._ignore.ignored(path)
        return self._below(path.rpartition("/")[0]) or self._itself(path)

    def _below(self, directory: str) -> bool:
        unknown = []
        while (known := self._directories.get(directory)) is None:
            unknown.append(directory)
            directory = directory.rpartition("/")[0]
        if len(self._directories) > MOST_REMEMBERED:
            self._directories = {"": False}
        for below in reversed(unknown):
            known = self._directories[below] = known or self._itself(below)
        return known

    def _itself(self, path: str) -> bool:
        return any(pattern.fits(path) for pattern in self._ignore.patterns)

    def whole(self, directory: str) -> bool:
        """Tell whether everything in `directory` fits."""
        return self.fits(directory) and not self._ignore.may_contain_exceptions(directory)

    def pattern(self, path: str) -> str:
        """Return the pattern by which `path` fits, for an explanation."""
        parts = path.split("/")
        paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        found = [p.text for p in self._ignore.patterns if not p.negated and any(map(p.fits, paths))]
        return found[-1] if found else ""


class Matcher:
    """The patterns of one rule.

    `docker_ignore` is the text of the build context's `.dockerignore`, and `beside` where the rule's path lies in that
    context ("" is the context itself); None: it doesn't, or there is none.
    """

    def __init__(
        self, include: Sequence[str], ignore: Sequence[str], docker_ignore: str, beside: str | None
    ) -> None:
        """Compile them; raises PatternError."""
        self._include = patterns(include) if include else None
        self._beside = f"{beside}/" if beside else ""
        self._lists = [("the editors' temporary files and .git", patterns(TEMPORARY), "")]
        if ignore:
            self._lists.append(("ignore", patterns(ignore), ""))
        if docker_ignore and beside is not None:
            self._lists.append((".dockerignore", PatternList(parse_ignore(docker_ignore)), self._beside))

    def takes(self, path: str) -> bool:
        """Tell whether the rule takes `path` (relative to its own, "" is that itself)."""
        if not path:
            return True
        if path.endswith(SCRATCH) or (self._include is not None and not self._include.fits(path)):
            return False
        return not any(found.fits(prefix + path) for _, found, prefix in self._lists)

    def verdict(self, path: str) -> Verdict:
        """Return the same with the reason."""
        if path and self._include is not None and not self._include.fits(path):
            return Verdict(taken=False, reason="no pattern of include fits")
        for name, found, prefix in self._lists:
            if path and found.fits(prefix + path):
                return Verdict(taken=False, reason=f"left out by {name}: {found.pattern(prefix + path)}")
        by = self._include.pattern(path) if path and self._include is not None else ""
        return Verdict(taken=True, reason=f"include: {by}" if by else "below the rule's path")

    def prunes(self, directory: str) -> bool:
        """Tell whether nothing below `directory` (relative) can be taken, so that nobody has to look there."""
        return bool(directory) and any(found.whole(prefix + directory) for _, found, prefix in self._lists)


def patterns(given: Sequence[str]) -> PatternList:
    """Return Docker's patterns; `./` in front and `/` at the end mean nothing. Raises PatternError with the pattern.

    A list has no comments, unlike a file, and `.` is the rule's path with everything in it.
    """
    try:
        return PatternList(parse_ignore("\n".join(map(_line, given))))
    except PatternError as exc:
        raise PatternError(f"{exc} in {', '.join(given)}") from exc


def _line(pattern: str) -> str:
    if pattern.startswith("#"):
        return f"\\{pattern}"
    return "**" if posixpath.normpath(pattern) == "." and pattern.strip() else pattern
