"""`--chmod`: a mode in octal, or what is to be changed of one as in chmod(1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pycompose.engine.errors import BuildError

_SYMBOLIC = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_CHANGE = re.compile(r"([-+=])([rwxXst]*)")


def parse_mode(text: str) -> Callable[[int, bool], int]:
    """Return what `--chmod=TEXT` does to (mode, is a directory): octal, or symbolic as chmod(1). Raises BuildError."""
    if re.fullmatch(r"[0-7]{1,4}", text):
        value = int(text, 8)
        return lambda _mode, _directory: value
    clauses = []
    for clause in text.split(","):
        match = _SYMBOLIC.fullmatch(clause)
        if match is None:
            raise BuildError(
                f"invalid chmod parameter: {text!r}: it is an octal number or symbolic as in chmod(1)",
                hint="for example --chmod=755 or --chmod=u=rwX,go=rX",
            )
        clauses.append((match[1] or "a", _CHANGE.findall(match[2])))
    return lambda mode, directory: _changed(mode, directory, clauses)


def _changed(mode: int, directory: bool, clauses: Sequence[tuple[str, list[tuple[str, str]]]]) -> int:  # noqa: FBT001
    for who, changes in clauses:
        for operator, letters in changes:
            bits = 0
            executable = directory or bool(mode & 0o111)
            for letter in letters:
                if letter in "rwx" or (letter == "X" and executable):
                    one = {"r": 4, "w": 2, "x": 1, "X": 1}[letter]
                    for name, shift in (("u", 6), ("g", 3), ("o", 0)):
                        if name in who or "a" in who:
                            bits |= one << shift
                elif letter == "s":
                    bits |= (0o4000 if "u" in who or "a" in who else 0) | (
                        0o2000 if "g" in who or "a" in who else 0
                    )
                elif letter == "t":
                    bits |= 0o1000
            if operator == "+":
                mode |= bits
            elif operator == "-":
                mode &= ~bits
            else:
                mask = sum(
                    7 << shift for name, shift in (("u", 6), ("g", 3), ("o", 0)) if name in who or "a" in who
                )
                mode = (mode & ~mask) | bits
    return mode
