"""Patterns of Go's path/filepath.Match, as regular expressions for one path component."""

from __future__ import annotations

import re


class PatternError(ValueError):
    """A pattern that Go would call malformed; `line` is where it stands, 0 when nobody knows."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def segment_regex(pattern: str) -> str:
    """Return the regular expression of one component: `*` and `?` stop at a slash. Raises PatternError."""
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            # `**` inside a component crosses no border in Match, but does in .dockerignore (moby/patternmatcher).
            if pattern[at : at + 1] == "*":
                at += 1
                pieces.append(".*")
            else:
                pieces.append("[^/]*")
        elif char == "?":
            pieces.append("[^/]")
        elif char == "[":
            piece, at = _class(pattern, at)
            pieces.append(piece)
        elif char == "\\":
            if at == len(pattern):
                raise PatternError(f"syntax error in pattern: {pattern}")
            pieces.append(re.escape(pattern[at]))
            at += 1
        else:
            pieces.append(re.escape(char))
    return "".join(pieces)


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
