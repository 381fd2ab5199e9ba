"""How Compose splits a `command:` string: shell words, no shell.

Text after an unquoted `;` `|` `&` `<` `>` is dropped, as Docker Compose does; `dropped` tells. Backticks and `$(…)`
hold words together and stay in them.
"""

from __future__ import annotations

_OPERATORS = frozenset(";|&<>")


def split(text: str) -> list[str]:
    """Return the words. Raises ValueError for what is opened and not closed."""
    return _Scanner(text).words


def dropped(text: str) -> str:
    """Return the part of a command that Compose ignores, "" if there is none."""
    return text[_Scanner(text).end :]


class _Scanner:
    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        self.end = len(text)
        self._current: list[str] = []
        self._in_word = False
        self._quote = ""  # one of ' " ` and ) for $(…)
        escaped = False
        for position, character in enumerate(text):
            if escaped:
                self._take(character)
                escaped = False
            elif character == "\\" and self._quote != "'":
                escaped = True
            elif not self._quote and character in _OPERATORS:
                self.end = position
                break
            else:
                self._one(character)
        if self._quote or escaped:
            what = "a trailing backslash" if escaped else f"{self._quote} is missing"
            raise ValueError(f"invalid command line string: {what}")
        self._finish()

    def _one(self, character: str) -> None:
        quote = self._quote
        if quote:
            if character == quote:
                self._quote = ""
                if quote in "`)":
                    self._take(character)
            else:
                self._take(character)
        elif character in " \t\r\n":
            self._finish()
        elif character in "\"'":
            self._quote = character
            self._in_word = True
        elif character == "`":
            self._quote = character
            self._take(character)
        elif character == "(":
            if self._current[-1:] != ["$"]:
                raise ValueError("invalid command line string: ( outside of quotes")
            self._quote = ")"
            self._take(character)
        elif character == ")":
            raise ValueError("invalid command line string: ) outside of quotes")
        else:
            self._take(character)

    def _take(self, character: str) -> None:
        self._current.append(character)
        self._in_word = True

    def _finish(self) -> None:
        if self._in_word:
            self.words.append("".join(self._current))
            self._current, self._in_word = [], False
