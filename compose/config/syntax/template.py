"""The `${VAR:-word}` grammar for values of compose files and of env files (Compose specification, 12-interpolation.md).

    text  := (literal | "$$" | "$" NAME | "${" NAME [op word] "}")*
    op    := ":-" | "-" | ":?" | "?" | ":+" | "+"
    word  := text                          (nested to any depth)

`$` before anything else stays as it is; a malformed `${…}` is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pycompose.engine.dataclass import dataclass

MAX_NESTING = 100

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_BRACE = re.compile(r"[{}]")
_OPERATOR = re.compile(r":?[-?+]")

Lookup = Callable[[str], str | None]


class TemplateError(ValueError):
    """A `${…}` that isn't well formed, or a required variable without a value."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One use of a variable: what `config --variables` prints."""

    name: str
    required: bool = False
    default: str = ""
    alternate: str = ""


def substitute(text: str, lookup: Lookup, on_unset: Callable[[str], str], depth: int = 0) -> str:
    """Return `text` with its variables replaced.

    `lookup` gives None for a variable that isn't set; `on_unset` is told the name of each one that is used without
    an operator, and says what stands in its place. Raises TemplateError.
    """
    if "$" not in text:
        return text
    parts: list[str] = []
    for piece in _pieces(text, depth):
        if isinstance(piece, str):
            parts.append(piece)
            continue
        name, operator, word = piece
        value = lookup(name)
        if not operator:
            parts.append(on_unset(name) if value is None else value)
            continue
        present = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            parts.append(substitute(word, lookup, on_unset, depth + 1) if present else "")
        elif present:
            parts.append(value or "")
        elif operator[-1] == "-":
            parts.append(substitute(word, lookup, on_unset, depth + 1))
        else:
            reason = substitute(word, lookup, on_unset, depth + 1)
            raise TemplateError(
                f"required variable {name} is missing a value" + (f": {reason}" if reason else "")
            )
    return "".join(parts)


def variables(text: str, depth: int = 0) -> Iterator[Variable]:
    """Yield the variables that `text` uses, also those inside of defaults."""
    if "$" not in text:
        return
    for piece in _pieces(text, depth):
        if isinstance(piece, str):
            continue
        name, operator, word = piece
        kind = operator[-1:]
        yield Variable(name, kind == "?", word if kind == "-" else "", word if kind == "+" else "")
        if kind in ("-", "+"):
            yield from variables(word, depth + 1)


def _pieces(text: str, depth: int) -> Iterator[str | tuple[str, str, str]]:
    """Yield literals and (name, operator, word)."""
    if depth > MAX_NESTING:
        raise TemplateError(f"variables are nested deeper than {MAX_NESTING} levels")
    position = 0
    while True:
        dollar = text.find("$", position)
        if dollar < 0:
            yield text[position:]
            return
        yield text[position:dollar]
        following = text[dollar + 1 : dollar + 2]
        if following == "$":
            yield "$"
            position = dollar + 2
        elif following == "{":
            end = _closing(text, dollar)
            yield _braced(text[dollar : end + 1])
            position = end + 1
        elif name := _NAME.match(text, dollar + 1):
            yield name[0], "", ""
            position = name.end()
        else:
            yield "$"
            position = dollar + 1


def _closing(text: str, start: int) -> int:
    """Return the index of the brace that closes the `${` at `start`; all braces count, also those without `$`.

    As in Compose the character after an opening brace is passed over, a line break ends the search, and the last
    brace closes where too many are open (`${A:-{}}`, or an escaped one: `${A:-$${B}`).
    """
    stop = text.find("\n", start)
    stop = len(text) if stop < 0 else stop
    opened, passed = 0, -1
    for found in _BRACE.finditer(text, start, stop):
        at = found.start()
        if at == passed:
            continue
        if found[0] == "{":
            opened += 1
            passed = at + 1
            if opened > MAX_NESTING:
                raise TemplateError(f"variables are nested deeper than {MAX_NESTING} levels")
        else:
            opened -= 1
            if not opened:
                return at
    last = text.rfind("}", start, stop)
    if last >= 0:
        return last
    raise TemplateError(f"invalid interpolation format {text[start:]!r}: no closing brace")


def _braced(text: str) -> tuple[str, str, str]:
    """Take `${NAME}` or `${NAME<op>word}` apart."""
    name = _NAME.match(text, 2)
    if not name:
        raise TemplateError(f"invalid interpolation format {text!r}: no variable name after ${{")
    rest = text[name.end() : -1]
    if not rest:
        return name[0], "", ""
    operator = _OPERATOR.match(rest)
    if not operator:
        raise TemplateError(
            f"invalid interpolation format {text!r}: after the name comes }} or one of :- - :? ? :+ +"
        )
    return name[0], operator[0], rest[operator.end() :]
