r"""The grammar of `.env` and of `env_file`, and Docker's verbatim `format: raw`.

Compose specification, 05-services.md, "env_file":

    line   := [ "export" ] KEY [ ("=" | ":") value ] | "#" comment
    value  := unquoted (cut at " #", right-trimmed, interpolated)
            | '"' … '"' (lines, escapes, interpolated) | "'" … "'" (lines, verbatim but \')

A bare KEY takes its value from the surrounding environment and is left out when that has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pycompose.config.syntax.predefined import predefined
from pycompose.config.syntax.template import Lookup, TemplateError, substitute
from pycompose.config.warnings import Warnings
from pycompose.errors import ConfigError, Location

_EXPORT = re.compile(r"export[ \t]+")
_ESCAPE = re.compile(r'\\(?:[abcfnrtv$"\\]|0\d{0,3})', re.ASCII)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}
# Go's isSpace of compose-go: white space that doesn't end a line.
_BLANK = "\t\v\f\r \x85\xa0"


def parse(
    text: str,
    name: str,
    lookup: Lookup,
    weaker: Mapping[str, str] | None = None,
    warnings: Warnings | None = None,
) -> dict[str, str]:
    """Return the variables of an env file.

    `lookup` is the environment around it, which its `${…}` see first; `weaker` are variables (of earlier files)
    that they see last; those that have no value anywhere go to `warnings`. Raises ConfigError with the line.
    """
    body = text.removeprefix("\ufeff")
    return _Parser(body, name, lookup, weaker or {}, warnings or Warnings()).run()


def parse_raw(text: str, name: str, lookup: Lookup) -> dict[str, str]:
    """Return the variables of a `format: raw` file: KEY=VALUE verbatim, no quotes, no interpolation."""
    out: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        trimmed = line.lstrip().removesuffix("\r")
        if not trimmed or trimmed.startswith("#"):
            continue
        key, equals, value = trimmed.partition("=")
        if not key:
            raise _error(name, number, f"no variable name on line {trimmed!r}")
        if any(character in " \t\v\f" for character in key):
            raise _error(name, number, f"variable {key!r} contains whitespaces")
        if equals:
            out[key] = value
        elif (inherited := lookup(key)) is not None:
            out[key] = inherited
    return out


def _error(name: str, line: int, reason: str, hint: str | None = None) -> ConfigError:
    return ConfigError(reason, location=Location(name, line, 1), hint=hint)


class _Parser:
    def __init__(
        self, text: str, name: str, lookup: Lookup, weaker: Mapping[str, str], warnings: Warnings
    ) -> None:
        self._weaker = weaker
        self._warnings = warnings
        self._text = text
        self._name = name
        self._outer = lookup
        self._at = 0
        self._line = 1
        self._out: dict[str, str] = {}

    def run(self) -> dict[str, str]:
        """Return the variables."""
        while self._skip_blank():
            if found := _EXPORT.match(self._text, self._at):
                self._at = found.end()
            key, has_value = self._key()
            if has_value:
                self._out[key] = self._value()
            elif (inherited := self._outer(key)) is not None:
                self._out[key] = inherited
        return self._out

    def _skip_blank(self) -> bool:
        """Go to the next statement; False at the end."""
        text = self._text
        while self._at < len(text):
            character = text[self._at]
            if character == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif character.isspace():
                self._line += character == "\n"
                self._at += 1
            else:
                return True
        return False

    def _key(self) -> tuple[str, bool]:
        """Read a key; True when a value follows."""
        text, start = self._text, self._at
        end = start
        while end < len(text) and text[end] not in "=:\n":
            character = text[end]
            if character not in _BLANK and character not in "_.-[]" and not character.isalnum():
                line = text[start:].split("\n", 1)[0]
                raise _error(
                    self._name,
                    self._line,
                    f"unexpected character {character!r} in variable name {line!r}",
                    "names consist of letters, digits and _ . - [ ]",
                )
            end += 1
        key = text[start:end].rstrip()
        if " " in key:
            raise _error(self._name, self._line, f"key {key!r} cannot contain a space")
        has_value = end < len(text) and text[end] != "\n"
        self._at = end + 1 if has_value else end
        if has_value:
            while self._at < len(text) and text[self._at] in _BLANK:
                self._at += 1
        return key, has_value

    def _value(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote in ('"', "'") and quote:
            return self._quoted(quote)
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        value = self._text[self._at : end].split(" #", 1)[0].rstrip()
        self._at = end
        return self._expand(value)

    def _quoted(self, quote: str) -> str:
        text, first_line = self._text, self._line
        position, escaped = self._at + 1, False
        characters: list[str] = []
        while position < len(text):
            character = text[position]
            if character == quote and not escaped:
                self._at = position + 1
                value = "".join(characters)
                return self._expand(_ESCAPE.sub(_unescape, value)) if quote == '"' else value
            if character == "\n":
                self._line += 1
            if character == "\\" and not escaped:
                escaped = True
            else:
                if escaped and character != quote:
                    characters.append("\\")
                characters.append(character)
                escaped = False
            position += 1
        line = text[self._at :].split("\n", 1)[0]
        raise _error(self._name, first_line, f"unterminated quoted value {line}", f"close it with {quote}")

    def _expand(self, value: str) -> str:
        if "$" not in value:
            return value
        try:
            return substitute(value, self._lookup, self._unset)
        except TemplateError as error:
            raise _error(self._name, self._line, str(error)) from None

    def _unset(self, name: str) -> str:
        value = predefined(name, self._lookup)
        if value is None:
            self._warnings.unset(name, Location(self._name, self._line, 1))
        return value or ""

    def _lookup(self, name: str) -> str | None:
        outer = self._outer(name)
        return self._out.get(name, self._weaker.get(name)) if outer is None else outer


def _unescape(found: re.Match[str]) -> str:
    body = found[0][1:]
    if body == "$":
        return "$$"  # stays a literal dollar in the interpolation that follows
    if body[0] == "0":
        digits = body[1:]
        if len(digits) == 3 and digits <= "377" and not set(digits) & set("89"):
            return chr(int(digits, 8))
        return found[0]
    return _ESCAPES.get(body, found[0])
