"""Words of a Dockerfile: quotes, escapes and variables, as BuildKit's shell lexer reads them.

Variable forms (Dockerfile reference, "Environment replacement"): $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m}
${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pycompose.engine.dataclass import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?\-$!]")
# Substitutions within each other: more are an attack, not a Dockerfile.
MOST_NESTED = 100


class WordError(ValueError):
    """A word that is no word: an open quote, an open brace, a bad substitution."""


@dataclass(slots=True)
class Expansion:
    """A word after expansion, and which names it asked for that had no value."""

    text: str
    unset: tuple[str, ...] = ()
    used: tuple[str, ...] = ()


def expand(word: str, values: Mapping[str, str], escape: str = "\\") -> Expansion:
    """Return `word` with variables replaced, quotes and escapes resolved; raises WordError."""
    lexer = _Lexer(word, values, escape)
    text = "".join(lexer.run())
    return Expansion(text, tuple(dict.fromkeys(lexer.unset)), tuple(dict.fromkeys(lexer.used)))


def expand_words(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Return the words into which `text` falls after expansion, divided at unquoted white space."""
    lexer = _Lexer(text, values, escape)
    lexer.run()
    return lexer.words()


def expand_document(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """Return a here-document expanded: quotes mean nothing in it, an escape takes the next character literally."""
    return _Lexer(text, values, escape).document()


def words_of(text: str, escape: str = "\\", *, unquote: bool = False) -> list[str]:
    """Return the words of `text` without expanding anything; with `unquote` quotes and escapes are resolved."""
    lexer = _Lexer(text, {}, escape, raw=not unquote, keeps_variables=True)
    lexer.run()
    return lexer.words()


class _Lexer:
    """One pass over a text; pieces of it collect in the current word."""

    def __init__(
        self,
        text: str,
        values: Mapping[str, str],
        escape: str,
        *,
        raw: bool = False,
        keeps_variables: bool = False,
    ) -> None:
        self._text = text
        self._at = 0
        self._values = values
        self._escape = escape
        self._raw = raw
        self._keeps_variables = keeps_variables
        self.unset: list[str] = []
        self.used: list[str] = []
        self._words: list[str] = []
        self._word: list[str] = []
        self._started = False
        self._depth = 0

    def words(self) -> list[str]:
        """Return the words after `run`."""
        self._end_word()
        return self._words

    def run(self, stop: str = "") -> list[str]:
        """Read up to an unquoted `stop` character (left unread) or the end; return the pieces."""
        pieces: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if stop and char in stop:
                return pieces
            if char == "'":
                piece = self._single()
            elif char == '"':
                piece = self._double()
            elif char == "$":
                piece = self._dollar()
                if not self._keeps_variables:
                    self._split(piece)
                    pieces.append(piece)
                    continue
            elif char == self._escape:
                piece = self._escaped()
            else:
                self._at += 1
                piece = char
                if not stop and char.isspace():
                    self._end_word()
                    pieces.append(char)
                    continue
            self._word.append(piece)
            pieces.append(piece)
        if stop:
            raise WordError("unexpected end of the word: a } is missing")
        return pieces

    def _split(self, piece: str) -> None:
        """Divide the value of an unquoted variable at its white space."""
        first, *others = re.split(r"\s+", piece) if piece else [""]
        self._word.append(first)
        for other in others:
            self._end_word()
            self._word.append(other)

    def _end_word(self) -> None:
        if self._word and (self._started or any(self._word)):
            self._words.append("".join(self._word))
        self._word, self._started = [], False

    def _escaped(self) -> str:
        self._at += 1
        if self._at == len(self._text):
            return self._escape if self._raw else ""
        char = self._text[self._at]
        self._at += 1
        return self._escape + char if self._raw else char

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise WordError("unexpected end of the word: a ' is missing")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        self._started = True
        return f"'{inner}'" if self._raw else inner

    def document(self) -> str:
        """Read all of the text with quotes standing for themselves."""
        pieces: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "$":
                pieces.append(self._dollar())
            elif char == self._escape:
                pieces.append(self._escaped())
            else:
                pieces.append(char)
                self._at += 1
        return "".join(pieces)

    def _double(self) -> str:
        self._at += 1
        self._started = True
        pieces: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                inner = "".join(pieces)
                return f'"{inner}"' if self._raw else inner
            if char == "$":
                pieces.append(self._dollar())
            elif char == self._escape:
                pieces.append(self._escaped_in_double())
            else:
                pieces.append(char)
                self._at += 1
        raise WordError('unexpected end of the word: a " is missing')

    def _escaped_in_double(self) -> str:
        self._at += 1
        if self._at == len(self._text):
            return self._escape
        char = self._text[self._at]
        self._at += 1
        if self._raw or char not in ('"', "$", self._escape):
            return self._escape + char
        return char

    def _dollar(self) -> str:
        start = self._at
        self._at += 1
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            value = self._braced()
            return self._text[start : self._at] if self._keeps_variables else value
        match = _NAME.match(self._text, self._at)
        if match is None:
            return "$"
        self._at = match.end()
        return match[0].join(("$", "")) if self._keeps_variables else (self._value(match[0]) or "")

    def _value(self, name: str) -> str | None:
        self.used.append(name)
        value = self._values.get(name)
        if value is None:
            self.unset.append(name)
        return value

    def _braced(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise WordError("bad substitution: a name is missing after ${")
        name = match[0]
        self._at = match.end()
        if self._at >= len(self._text):
            raise WordError("bad substitution: a } is missing")
        char = self._text[self._at]
        self._at += 1
        if char == "}":
            return self._value(name) or ""
        if char == ":":
            char = self._text[self._at : self._at + 1]
            self._at += 1
            return self._conditional(name, char, empty_counts=True)
        if char in "-+?":
            return self._conditional(name, char, empty_counts=False)
        if char in "#%":
            return self._trimmed(name, char)
        if char == "/":
            return self._replaced(name)
        raise WordError(f"unsupported modifier ({char}) in substitution of {name}")

    def _conditional(self, name: str, operator: str, *, empty_counts: bool) -> str:
        word = self._operand("}")
        self._at += 1
        self.used.append(name)
        value = self._values.get(name)
        missing = value is None or (empty_counts and value == "")
        match operator:
            case "-":
                return word if missing else str(value)
            case "+":
                return "" if missing else word
            case "?":
                if missing:
                    raise WordError(
                        f"{name}: {word or 'not allowed to be ' + ('empty' if empty_counts else 'unset')}"
                    )
                return str(value)
            case _:
                raise WordError(f"unsupported modifier (:{operator}) in substitution of {name}")

    def _operand(self, stop: str) -> str:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise WordError("substitutions are nested too deeply")
        saved, self._word = self._word, []
        started = self._started
        text = "".join(self.run(stop))
        self._word, self._started = saved, started
        self._depth -= 1
        return text

    def _trimmed(self, name: str, operator: str) -> str:
        longest = self._text[self._at : self._at + 1] == operator
        self._at += longest
        pattern = self._pattern("}")
        self._at += 1
        value = self._value(name) or ""
        glob = glob_regex(pattern, greedy=longest)
        if operator == "#":
            match = re.match(glob, value, re.DOTALL)
            return value[match.end() :] if match else value
        found = [at for at in range(len(value) + 1) if re.fullmatch(glob, value[at:], re.DOTALL)]
        if not found:
            return value
        return value[: found[0] if longest else found[-1]]

    def _replaced(self, name: str) -> str:
        everywhere = self._text[self._at : self._at + 1] == "/"
        self._at += everywhere
        pattern = self._pattern("/}")
        replacement = ""
        if self._text[self._at] == "/":
            self._at += 1
            replacement = self._operand("}")
        self._at += 1
        value = self._value(name) or ""
        glob = glob_regex(pattern, greedy=True)
        return re.sub(glob, lambda _match: replacement, value, count=0 if everywhere else 1, flags=re.DOTALL)

    def _pattern(self, stop: str) -> str:
        """Read a glob up to an unescaped `stop`; escapes stay for the glob."""
        pieces: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in stop:
                return "".join(pieces)
            if char == self._escape:
                pieces.append("\\" + self._text[self._at + 1 : self._at + 2])
                self._at += 2
            elif char == "$":
                pieces.append(self._dollar())
            else:
                pieces.append(char)
                self._at += 1
        raise WordError("bad substitution: a } is missing")


def glob_regex(pattern: str, *, greedy: bool) -> str:
    """Return the regular expression of a shell pattern of `*` and `?`; a backslash takes the next one literally.

    What stands between two stars is looked for from the left, once (an atomic group): no later place would lead
    further. Only the last piece is looked for from the right when the match is to be `greedy`.
    """
    chunks = [""]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            chunks.append("")
        elif char == "?":
            chunks[-1] += "."
        elif char == "\\" and at < len(pattern):
            chunks[-1] += re.escape(pattern[at])
            at += 1
        else:
            chunks[-1] += re.escape(char)
    first, *others = chunks
    if not others:
        return first
    *middle, last = others
    star = ".*" if greedy else ".*?"
    return "".join([first, *(f"(?>.*?{chunk})" for chunk in middle if chunk), star, last])
