"""Patterns of Go's path/filepath.Match, as regular expressions for one path component."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pycompose.engine.errors import BuildError


class PatternError(BuildError):
    """A pattern that Go would call malformed; `line` is where it stands, 0 when nobody knows."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(
            message, hint="a [ opens a class of characters, which a ] has to end; \\ takes it literally"
        )
        self.line = line


# `*` and `**` as they stand in a pattern's pieces.
STAR, STARS = "*", "**"
_NO_BORDER = "[^/]*?"


def pieces_of(pattern: str) -> list[str]:
    """Return a component's pieces: STAR, STARS, or the regular expression of one character. Raises PatternError."""
    found: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            stars = pattern[at : at + 1] == "*"
            at += stars
            found.append(STARS if stars else STAR)
        elif char == "?":
            found.append("[^/]")
        elif char == "[":
            piece, at = _class(pattern, at)
            found.append(piece)
        elif char == "\\":
            if at == len(pattern):
                raise PatternError(f"syntax error in pattern: {pattern}")
            found.append(re.escape(pattern[at]))
            at += 1
        else:
            found.append(re.escape(char))
    return found


def segment_regex(pattern: str) -> str:
    """Return the regular expression of one component: `*`, `**` and `?` stop at a slash. Raises PatternError.

    What stands between two stars is looked for from the left, and never again further on (an atomic group): if the
    first place doesn't lead to a match, no later one does. So no pattern takes longer than its length times the name's.
    """
    chunks = [""]
    for piece in pieces_of(pattern):
        if piece in (STAR, STARS):
            chunks.append("")
        else:
            chunks[-1] += piece
    first, *middle = chunks
    if not middle:
        return first
    *middle, last = middle
    groups = "".join(f"(?>{_NO_BORDER}{chunk})" for chunk in middle if chunk)
    # The name's end is the only place for the last one; what follows is a slash or the end.
    return f"{first}{groups}[^/]*{last}"


class SlowPattern:
    """A path's pattern whose components have `**` inside, which crosses borders there (moby/patternmatcher).

    All places that a match could have come to are kept at once (Thompson's construction), so it can't take long.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        """`parts` are the components. Raises PatternError."""
        # (expression or STAR or STARS, how many places further on one may go without a character)
        self._places: list[tuple[str | re.Pattern[str], int]] = []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if part == STARS:  # any components, none too
                self._places.append((STARS, 1 if last else 2))
                self._places += [] if last else [(re.compile("/"), 0)]
                continue
            for piece in pieces_of(part):
                stars = piece in (STAR, STARS)
                self._places.append((piece, 1) if stars else (re.compile(piece, re.DOTALL), 0))
            self._places += [] if last else [(re.compile("/"), 0)]

    def match(self, path: str) -> bool:
        """Tell whether the whole path fits."""
        at = self._closed({0})
        for char in path:
            following = set()
            for place in at:
                if place == len(self._places):
                    continue
                what, _skip = self._places[place]
                if what == STARS or (what == STAR and char != "/"):
                    following.add(place)
                elif isinstance(what, re.Pattern) and what.match(char):
                    following.add(place + 1)
            at = self._closed(following)
            if not at:
                return False
        return len(self._places) in at

    def _closed(self, places: set[int]) -> set[int]:
        found = set(places)
        todo = list(places)
        while todo:
            place = todo.pop()
            if place == len(self._places):
                continue
            what, skip = self._places[place]
            further = [place + skip] if skip else []
            if what == STARS and skip > 1:
                further.append(place + 1)  # the slash after components
            for one in further:
                if one not in found:
                    found.add(one)
                    todo.append(one)
        return found


def _class(pattern: str, at: int) -> tuple[str, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[str] = []
    while True:
        if at >= len(pattern):
            raise PatternError(f"syntax error in pattern: {pattern}")
        if pattern[at] == "]" and ranges:
            return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]", at + 1
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _member(pattern, at + 1)
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else r"\Z\A")


def _member(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise PatternError(f"syntax error in pattern: {pattern}")
    if pattern[at] == "\\":
        at += 1
        if at >= len(pattern):
            raise PatternError(f"syntax error in pattern: {pattern}")
    return pattern[at], at + 1


def has_glob(text: str) -> bool:
    """Tell whether `text` has a character with a meaning."""
    return any(char in text for char in "*?[\\")
