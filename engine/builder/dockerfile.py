"""The text of a Dockerfile → instructions with their places; nothing is expanded and nothing judged but the form.

Rules: the Dockerfile reference ("Format", "Parser directives", "Here-documents"), and what BuildKit's parser does where
the reference is silent; the tests compare with the Go parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pycompose.engine.builder.words import MOST_NESTED, WordError, words_of
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import DockerfileError

# How the rest of an instruction is divided into `words`.
STRINGS = "strings"  # at white space
ONE = "one"  # not at all
PAIRS = "pairs"  # name=value …, or name and the rest
NAMES = "names"  # name or name=value …
JSON_OR_ONE = "json or one"  # ["a", "b"], else not at all
JSON_OR_STRINGS = "json or strings"
HEALTH = "health"  # NONE, or CMD and JSON_OR_ONE
NESTED = "nested"  # another instruction

FORMS = {
    "ADD": JSON_OR_STRINGS,
    "ARG": NAMES,
    "CMD": JSON_OR_ONE,
    "COPY": JSON_OR_STRINGS,
    "ENTRYPOINT": JSON_OR_ONE,
    "ENV": PAIRS,
    "EXPOSE": STRINGS,
    "FROM": STRINGS,
    "HEALTHCHECK": HEALTH,
    "LABEL": PAIRS,
    "MAINTAINER": ONE,
    "ONBUILD": NESTED,
    "RUN": JSON_OR_ONE,
    "SHELL": JSON_OR_ONE,
    "STOPSIGNAL": ONE,
    "USER": ONE,
    "VOLUME": JSON_OR_STRINGS,
    "WORKDIR": ONE,
}
_HEREDOC_TAKERS = ("ADD", "COPY", "RUN")
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_DESCRIPTOR_DIGITS = 9
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """One here-document: `expands` unless its delimiter was quoted; `content` without tabs stripped (`chomp`)."""

    name: str
    descriptor: int
    content: str
    expands: bool
    chomp: bool

    @property
    def text(self) -> str:
        """The content as the command gets it: leading tabs removed after `<<-`."""
        return re.sub(r"(?m)^\t+", "", self.content) if self.chomp else self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction. Lines count from 1; `raw` is its text with continued lines joined.

    `words` are as they stand in the file, quotes and all; for PAIRS they are name, value, name, value …
    `nested`: the instruction behind ONBUILD.
    """

    keyword: str
    raw: str
    first_line: int
    last_line: int
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    nested: Instruction | None = None
    # Columns and lines that a diagnosis may want: where continued lines were empty (NoEmptyContinuation).
    empty_lines: tuple[int, ...] = ()
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A whole file: its directives (`syntax`, `escape`, `check`; lower case) and instructions in order."""

    name: str
    lines: tuple[str, ...]
    directives: dict[str, str]
    escape: str
    instructions: tuple[Instruction, ...] = ()


def parse(text: str, name: str = "Dockerfile") -> Dockerfile:
    """Return the Dockerfile in `text`; raises DockerfileError with file, line and the line's text."""
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        lines.pop()
    source = _Source(name, tuple(lines))
    directives = _directives(source)
    escape = directives.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise source.error(1, f"invalid escape token {escape!r}", 'the directive takes "\\" or "`"')
    reader = _Reader(source, escape)
    return Dockerfile(
        name=name,
        lines=source.lines,
        directives=directives,
        escape=escape,
        instructions=tuple(reader.instructions()),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    lines: tuple[str, ...]

    def error(self, line: int, message: str, hint: str | None = None) -> DockerfileError:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return DockerfileError(message, file=self.name, line=line, text=text, hint=hint)


def _directives(source: _Source) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(source.lines, 1):
        match = _DIRECTIVE.match(line.rstrip("\r"))
        if match is None:
            break
        key = match[1].lower()
        if key in found:
            raise source.error(number, f"only one {key} parser directive can be used")
        found[key] = match[2]
    return found


class _Reader:
    """Walks over the lines; one instruction at a time."""

    def __init__(self, source: _Source, escape: str) -> None:
        self._source = source
        self._escape = escape
        self._at = 0
        mark = re.escape(escape)
        self._continued = re.compile(rf"(?P<before>[^{mark}]|^){mark}[ \t]*$")

    def instructions(self) -> Iterator[Instruction]:
        comments: list[str] = []
        while self._at < len(self._source.lines):
            line = _without_end(self._source.lines[self._at]).lstrip()
            self._at += 1
            if line.startswith("#"):
                comments.append(line[1:].strip())
                continue
            line, ends = self._continuation(line)
            if ends and not line:
                comments = []
                continue
            yield self._instruction(line, ends=ends, comments=tuple(comments))
            comments = []

    def _continuation(self, line: str) -> tuple[str, bool]:
        """Return the line without its continuation mark, and whether the instruction ends with it."""
        match = self._continued.search(line)
        if match is None:
            return line, True
        return line[: match.start()] + (match["before"] or ""), False

    def _instruction(self, line: str, *, ends: bool, comments: tuple[str, ...]) -> Instruction:
        first = self._at
        empty: list[int] = []
        while not ends and self._at < len(self._source.lines):
            more = _without_end(self._source.lines[self._at])
            self._at += 1
            if more.lstrip().startswith("#"):
                continue
            if not more.strip():
                empty.append(self._at)
                continue
            more, ends = self._continuation(more)
            line += more
        try:
            made = _divide(line, self._escape)
        except ValueError as exc:
            raise self._source.error(first, str(exc)) from exc
        heredocs = self._heredocs(made, line, first)
        return Instruction(
            keyword=made.keyword,
            raw=line,
            first_line=first,
            last_line=self._at,
            flags=made.flags,
            words=made.words,
            is_json=made.is_json,
            heredocs=heredocs,
            nested=_nested(made, line, first, self._at, heredocs),
            empty_lines=tuple(empty),
            comments=comments,
        )

    def _heredocs(self, made: _Divided, line: str, first: int) -> tuple[Heredoc, ...]:
        inner = made.nested or made
        if "<<" not in line or inner.keyword not in _HEREDOC_TAKERS or inner.is_json:
            return ()
        found = []
        for opened in heredocs_in(line, self._escape):
            content = []
            while True:
                if self._at >= len(self._source.lines):
                    raise self._source.error(
                        first, "unterminated heredoc", f"a line with {opened.name} alone ends it"
                    )
                text = self._source.lines[self._at]
                self._at += 1
                candidate = _without_end(text)
                if opened.chomp:
                    candidate = candidate.lstrip("\t")
                if candidate == opened.name:
                    break
                content.append(text + "\n")
            found.append(
                Heredoc(
                    name=opened.name,
                    descriptor=opened.descriptor,
                    content="".join(content),
                    expands=opened.expands,
                    chomp=opened.chomp,
                )
            )
        return tuple(found)


def _without_end(line: str) -> str:
    return line.rstrip("\r\n")


def heredocs_in(line: str, escape: str = "\\") -> list[Heredoc]:
    """Return the here-documents that `line` opens, their content still empty."""
    try:
        words = words_of(line, escape)
    except WordError:
        return []
    found = []
    for word in words:
        match = _HEREDOC.match(word)
        if match is None or not match[3] or len(match[1]) > _DESCRIPTOR_DIGITS:
            continue
        try:
            plain = words_of(match[3], escape, unquote=True)
        except WordError:
            continue
        if len(plain) != 1:
            continue
        quoted = any(mark in match[3] for mark in "'\"")
        found.append(
            Heredoc(
                name=plain[0],
                descriptor=int(match[1] or 0),
                content="",
                expands=not quoted,
                chomp=match[2] == "-",
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Divided:
    keyword: str
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_json: bool = False
    nested: _Divided | None = None


def _nested(
    made: _Divided, line: str, first: int, last: int, heredocs: tuple[Heredoc, ...]
) -> Instruction | None:
    inner = made.nested
    if inner is None:
        return None
    return Instruction(
        keyword=inner.keyword,
        raw=_BLANKS.split(line.strip(), maxsplit=1)[1],
        first_line=first,
        last_line=last,
        flags=inner.flags,
        words=inner.words,
        is_json=inner.is_json,
        heredocs=heredocs,
    )


def _divide(line: str, escape: str, depth: int = 0) -> _Divided:
    """Divide one instruction's joined text; raises ValueError."""
    if depth > MOST_NESTED:
        raise ValueError("instructions are nested too deeply")
    keyword, rest = _first_word(line)
    keyword = keyword.upper()
    flags, rest = _flags(rest.strip(), escape)
    form = FORMS.get(keyword, ONE)
    if form == NESTED:
        return _Divided(
            keyword=keyword, flags=flags, nested=_divide(rest, escape, depth + 1) if rest else None
        )
    words, is_json = _words(keyword, form, rest, escape)
    return _Divided(keyword=keyword, flags=flags, words=words, is_json=is_json)


def _first_word(line: str) -> tuple[str, str]:
    parts = _BLANKS.split(line.strip(), maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def _words(keyword: str, form: str, rest: str, escape: str) -> tuple[tuple[str, ...], bool]:
    if not rest:
        return (), False
    if form == HEALTH:
        kind, command = _first_word(rest)
        if not command:
            return (kind,), False
        words, is_json = _words(keyword, JSON_OR_ONE, command, escape)
        return (kind, *words), is_json
    if form in (JSON_OR_ONE, JSON_OR_STRINGS):
        listed = _json_strings(rest)
        if listed is not None:
            return listed, True
        form = ONE if form == JSON_OR_ONE else STRINGS
    if form == ONE:
        return (rest,), False
    if form == STRINGS:
        return tuple(word for word in _BLANKS.split(rest) if word), False
    words = tuple(split_words(rest, escape))
    return (words if form == NAMES else _pairs(keyword, words, rest)), False


def _pairs(keyword: str, words: tuple[str, ...], rest: str) -> tuple[str, ...]:
    if not words:
        return ()
    if "=" not in words[0]:
        parts = _BLANKS.split(rest, maxsplit=1)
        if len(parts) < 2:
            raise ValueError(f"{keyword} must have two arguments")
        return tuple(parts)
    found: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"can't find = in {word!r}: {keyword} takes name=value")
        found += (name, value)
    return tuple(found)


def _json_strings(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(
            text
        )  # Go's decoder, too, leaves what follows the array unread
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in value):
        raise ValueError("an array in JSON syntax has strings only")
    return tuple(value)


def split_words(text: str, escape: str) -> Iterator[str]:
    """Yield the words of `text`, divided at white space outside quotes; quotes and escapes stay in them."""
    word: list[str] = []
    quote = ""
    started = False  # a quote makes an empty word a word
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if not quote and char.isspace():
            if word or started:
                yield "".join(word)
            word, started = [], False
            continue
        if char == escape and quote != "'":
            if at == len(text):
                break  # an escape at the very end escapes nothing
            word += (char, text[at])
            at += 1
            continue
        if quote:
            if char == quote:
                quote = ""
        elif char in "'\"":
            quote, started = char, True
        word.append(char)
    if word or started:
        yield "".join(word)


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Return the leading `--name[=value]` words, quotes and escapes resolved, and what follows them."""
    flags: list[str] = []
    while text.startswith("--"):
        word: list[str] = []
        quote = ""
        at = 0
        while at < len(text):
            char = text[at]
            if not quote and char.isspace():
                break
            at += 1
            if char == escape and quote != "'":
                if at < len(text):
                    word.append(text[at])
                    at += 1
                continue
            if quote:
                if char == quote:
                    quote = ""
                    continue
            elif char in "'\"":
                quote = char
                continue
            word.append(char)
        flag = "".join(word)
        text = text[at:].lstrip()
        if flag == "--":
            break
        flags.append(flag)
    return tuple(flags), text
