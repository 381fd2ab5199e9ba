"""The words of a template: text, and what stands between `{{` and `}}` (Go, text/template/parse/lex.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pycompose.cli.gotemplate.errors import GoTemplateSyntaxError

SPACE = " \t\r\n"
MAX_INT = 2**63 - 1

_WORD = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\[^\n])*")
      | (?P<raw>`[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\[^\n])+')
      | (?P<number>[+-]?(?:\d|\.\d)[\w.]*(?:(?<=[eE])[+-]\d+)?)
      | (?P<field>\.[^\W\d]\w*)
      | (?P<dot>\.)
      | (?P<variable>\$\w*)
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>:=|[=|(),])""",
    re.VERBOSE,
)
_UNCLOSED = {
    '"': "unterminated quoted string",
    "`": "unterminated raw quoted string",
    "'": "unterminated character constant",
}
_TERMINATORS = SPACE + ".,|:)("
_ESCAPE = re.compile(
    r"\\(?:(?P<byte>x[0-9a-fA-F]{2}|[0-7]{3})|(?P<rune>u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(?P<one>.))"
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


class Token(NamedTuple):
    """A word: its kind (text, action, close, string, raw, char, number, field, dot, variable, word, sign, end).

    `text` is as written, from `start` to `end` in the source; `spaced` tells whether white space stands before it.
    """

    kind: str
    text: str
    start: int
    end: int
    spaced: bool = False


def lex(source: str, literal: Callable[[str], str] = str) -> Iterator[Token]:
    """Yield the words, with `literal` applied to the text between actions. Raises GoTemplateSyntaxError."""
    position = 0
    trim = False
    while True:
        start = source.find("{{", position)
        text = literal(source[position:] if start < 0 else source[position:start])
        marked = start >= 0 and _is_trim_marker(source, start)
        text = text.lstrip(SPACE) if trim else text
        yield Token("text", text.rstrip(SPACE) if marked else text, position, max(start, position))
        if start < 0:
            yield Token("end", "", len(source), len(source))
            return
        body = start + len("{{- ") if marked else start + len("{{")
        if source.startswith("/*", body):
            position, trim = _comment(source, start, body)
            continue
        yield Token("action", "{{", start, body)
        close = None
        for close in _action(source, start, body):
            yield close
        position = close.end if close else body
        trim = close is not None and close.text == "-}}"


def _is_trim_marker(source: str, start: int) -> bool:
    return source.startswith("{{-", start) and source[start + 3 : start + 4] in tuple(SPACE)


def _comment(source: str, start: int, body: int) -> tuple[int, bool]:
    """Return where the comment's action ends, and whether the text behind it is trimmed."""
    end = source.find("*/", body)
    if end < 0:
        raise GoTemplateSyntaxError(source, start, "unclosed comment")
    end += len("*/")
    for delimiter in ("}}", *(f"{space}-}}}}" for space in SPACE)):
        if source.startswith(delimiter, end):
            return end + len(delimiter), len(delimiter) > len("}}")
    raise GoTemplateSyntaxError(source, end, "comment ends before closing delimiter")


def _action(source: str, start: int, position: int) -> Iterator[Token]:
    """Yield the words of one action, the last one its closing delimiter."""
    while True:
        begin = position
        while source[position : position + 1] in tuple(SPACE):
            position += 1
        spaced = position > begin
        if spaced and source.startswith("-}}", position):
            yield Token("close", "-}}", position, position + 3, spaced=True)
            return
        if source.startswith("}}", position):
            yield Token("close", "}}", position, position + 2)
            return
        if position == len(source):
            raise GoTemplateSyntaxError(source, start, "unclosed action")
        match = _WORD.match(source, position)
        if match is None or match.lastgroup is None:
            char = source[position]
            reason = _UNCLOSED.get(char, f"unexpected {_quoted(char)}")
            raise GoTemplateSyntaxError(source, position, reason)
        position = match.end()
        token = Token(match.lastgroup, match[0], match.start(), position, spaced)
        _check_end(source, token)
        yield token


def _check_end(source: str, token: Token) -> None:
    """Raise GoTemplateSyntaxError for a name that goes on with a character no name has."""
    after = source[token.end : token.end + 1]
    if token.kind not in ("field", "word", "variable") or not after or after in _TERMINATORS:
        return
    if not (source.startswith("}}", token.end) or (token.kind == "variable" and after == "=")):
        raise GoTemplateSyntaxError(source, token.end, f"bad character {_quoted(after)}")


def _quoted(text: str) -> str:
    return f'"{text}"' if text.isprintable() else f"U+{ord(text):04X}"


def constant(source: str, token: Token) -> str | int | float:
    """Return the value of a string, character or number. Raises GoTemplateSyntaxError."""
    if token.kind == "raw":
        return token.text[1:-1]
    try:
        if token.kind == "string":
            return unquote(token.text)
        if token.kind == "char":
            return ord(unquote(token.text))
        return _number(token.text)
    except (ValueError, OverflowError, TypeError):  # TypeError: more than one character
        what = {"string": "string", "char": "character constant"}.get(token.kind, "number syntax")
        raise GoTemplateSyntaxError(source, token.start, f"bad {what}: {token.text}") from None


def _number(text: str) -> int | float:
    """Return the number that Go's literal stands for; 010 is eight. Raises ValueError, OverflowError."""
    bare = text.lstrip("+-")
    try:
        value = int(text, 8) if re.fullmatch(r"0[0-7_]+", bare) else int(text, 0)
    except ValueError:
        found = float(text)  # "inf" and "nan" don't get here: a number begins with a digit or a dot
        if found in (float("inf"), float("-inf")):
            raise OverflowError(text) from None
        return found
    if not -MAX_INT - 1 <= value <= MAX_INT:
        raise OverflowError(text)
    return value


def unquote(text: str) -> str:
    """Return what a string or character in quotes stands for (Go, strconv.Unquote). Raises ValueError."""
    quote, body = text[0], text[1:-1]
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(body):
        out += body[position : match.start()].encode("utf-8", "surrogatepass")
        position = match.end()
        if match["byte"]:
            digits = match["byte"]
            out.append(int(digits[1:], 16) if digits[0] == "x" else int(digits, 8))  # ValueError above 255
        elif match["rune"]:
            out += chr(int(match["rune"][1:], 16)).encode()  # as above, for what is no character
        elif match["one"] == quote or match["one"] in _SIMPLE:
            out += _SIMPLE.get(match["one"], quote).encode()
        else:
            raise ValueError(text)
    out += body[position:].encode("utf-8", "surrogatepass")
    return out.decode("utf-8", "replace")
