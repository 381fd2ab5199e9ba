"""How Compose splits a `command:` string: shell words, no shell.

Text after an unquoted `;` `|` `&` `<` `>` is dropped, as Docker Compose does; `dropped` tells. Backticks and `$(…)`
hold words together and stay in them.
"""

from __future__ import annotations

_OPERATORS = frozenset(";|&<>")
# What opens or closes, and what keeps it from doing so while it is open.
_STOPPED_BY = {
    "'": frozenset({'"', ")"}),
    '"': frozenset({"'", ")"}),
    "`": frozenset({"'", '"', ")"}),
    ")": frozenset({"'", '"', "`"}),
    "(": frozenset({"'", '"', "`"}),
}


def split(text: str) -> list[str]:
    """Return the words. Raises ValueError for what is opened and not closed."""
    return _Scanner(text).words


def dropped(text: str) -> str:
    """Return the part of a command that Compose ignores, "" if there is none."""
    return text[_Scanner(text).end :]


class _Scanner:
    """The automaton of Compose's splitter: what is open is a set, because backticks don't stop other quotes."""

    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        self.end = len(text)
        self._current: list[str] = []
        self._in_word = False
        self._open: set[str] = set()  # of ' " ` and ) for $(…)
        escaped = False
        for position, character in enumerate(text):
            if escaped:
                self._take(character)
                escaped = False
            elif character == "\\" and "'" not in self._open:
                escaped = True
            elif character in _OPERATORS and not self._open:
                self.end = position
                if character == ">" and self._current and self._current[0] in "0123456789":
                    self._in_word = False  # a descriptor, as in 2>file
                break
            else:
                self._one(character)
        if self._open or escaped:
            what = "a trailing backslash" if escaped else f"{min(self._open)} is missing"
            raise ValueError(f"invalid command line string: {what}")
        self._finish()

    def _one(self, character: str) -> None:
        if character in " \t\r\n":
            if self._open:
                self._current.append(character)
            else:
                self._finish()
        elif character in _STOPPED_BY and not self._open & _STOPPED_BY[character]:
            self._quote(character)
        else:
            self._take(character)

    def _quote(self, character: str) -> None:
        """Open or close a quote; backticks and parentheses stay in the word, quotes don't."""
        if character == "(":
            if ")" in self._open or self._current[-1:] != ["$"]:
                raise ValueError("invalid command line string: ( outside of quotes")
            self._open.add(")")
            self._current.append(character)
            return
        self._open ^= {character}
        if character in "`)":
            self._take(character)
        elif character not in self._open:
            self._in_word = True

    def _take(self, character: str) -> None:
        self._current.append(character)
        self._in_word = True

    def _finish(self) -> None:
        if self._in_word:
            self.words.append("".join(self._current))
            self._current, self._in_word = [], False
