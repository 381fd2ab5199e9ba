"""Whatever stands in a Dockerfile or an ignore file: an answer or an error that says where, within a moment."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pycompose.engine.builder.dockerfile import FORMS, parse
from pycompose.engine.builder.evaluate import evaluate
from pycompose.engine.builder.globs import PatternError
from pycompose.engine.builder.ignore import parse_ignore
from pycompose.engine.builder.instructions import checked
from pycompose.engine.builder.steps import BaseImage, Inputs
from pycompose.engine.builder.words import WordError, expand, expand_document, glob_regex
from pycompose.engine.errors import DockerfileError
from pycompose.engine.images.spec import ImageConfig

EXAMPLES = int(os.environ.get("PYCOMPOSE_EXAMPLES", "60"))
fuzz = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
pytestmark = pytest.mark.timeout(0 if EXAMPLES > 60 else 60)
# Nobody waits longer for a line: 1,000 times what such a thing takes.
LONG_S = 20.0

PIECES = (
    "a", "A=1", "${A}", "${A:-${B}}", "${A#*a}", "${A//a/b}", "${", "}", "$", '"', "'", "\\", "\n", " ", "\t", "=",
    "[", "]", '["a"]', "--from=x", "--from=0", "--mount=type=cache,target=/a", "--mount=type=", "--chmod=u+x", "--link",
    "AS", "x", "scratch", "/", "../..", "<<E", "\nE\n", "# syntax=x", "# escape=`", "`", "\x00", "ä", "\ud800", "NONE",
    ",", "--platform=", "--interval=1s", "80/tcp", "*", "?", "[a-", "FROM x", "\r\n", "CMD", "--", "-", "0" * 30,
    "--exclude=**/**a",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
SPACED = st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join)
LINES = st.tuples(st.sampled_from(sorted(FORMS)), st.one_of(WORDS, SPACED)).map(" ".join)
FILES = st.lists(LINES, max_size=6).map(lambda lines: "\n".join(["ARG A=b", "FROM scratch AS x", *lines]))
NASTY = st.one_of(FILES, st.text(max_size=60), WORDS)


@fuzz
@given(NASTY)
@example("\\")
def test_dockerfiles(text: str) -> None:
    """Parsed, checked, worked out; or a DockerfileError."""
    base = BaseImage(config=ImageConfig(env=("PATH=/bin",)))
    with contextlib.suppress(DockerfileError):
        evaluate(checked(parse(text)), "", Inputs(arguments={"A": "given"}), lambda *_: base)


@fuzz
@given(WORDS, st.sampled_from(("", "a", "aba", "a b")))
def test_words(text: str, value: str) -> None:
    """Expanded, or a WordError."""
    for expands in (expand, expand_document):
        with contextlib.suppress(WordError):
            expands(text, {"A": value})


PATTERNS = st.lists(st.sampled_from(("a", "b", "/", "*", "**", "?", "[ab]", "[^a]")), max_size=8).map("".join)
PATHS = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@fuzz
@given(PATTERNS, PATHS)
def test_ignore_patterns_mean_what_they_say(pattern: str, path: str) -> None:
    """Quick expressions match what a plain search through all possibilities finds."""
    try:
        ignore = parse_ignore(pattern)
    except PatternError:
        return
    (clean,) = [one.text for one in ignore.patterns] or [None]
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    expected = clean is not None and any(plainly(clean, one) for one in above)

    assert ignore.ignored(path) == expected


def plainly(pattern: str, path: str) -> bool:
    """Match by trying everything: `**` as a component is any components, inside of one anything, `*` no slash."""

    @functools.cache
    def at(p: int, s: int) -> bool:
        if p == len(pattern):
            return s == len(path)
        starts = p == 0 or pattern[p - 1] == "/"
        if pattern.startswith("**", p):
            if starts and pattern.startswith("**/", p):
                return at(p + 3, s) or any(at(p + 3, i + 1) for i in range(s, len(path)) if path[i] == "/")
            return any(at(p + 2, i) for i in range(s, len(path) + 1))
        if pattern[p] == "*":
            end = path.find("/", s)
            return any(at(p + 1, i) for i in range(s, (end if end >= 0 else len(path)) + 1))
        if s == len(path):
            return False
        if pattern[p] == "[":
            end = pattern.index("]", p)
            inner = pattern[p + 1 : end]
            fits = path[s] in inner if not inner.startswith("^") else path[s] not in f"{inner}/"
            return fits and at(end + 1, s + 1)
        fits = path[s] != "/" if pattern[p] == "?" else path[s] == pattern[p]
        return fits and at(p + 1, s + 1)

    return at(0, 0)


@pytest.mark.parametrize(
    ("pattern", "path"),
    (
        ("*a" * 40 + "!", "a" * 250),
        ("**/" * 50 + "x", "a/" * 200 + "y"),
        ("**/a/" * 30 + "x", "a/" * 300 + "y"),
        ("**a" * 30 + "*b", "a" * 400),
        ("**a*" * 20 + "b", "a/" * 40),
        ("[a-z]*" * 40, "a" * 200 + "!"),
        ("*?" * 60 + "!", "a" * 250),
    ),
)
def test_patterns_that_would_take_for_ever(pattern: str, path: str) -> None:
    """As regular expressions of the obvious kind they would outlive the machine."""
    began = time.monotonic()
    parse_ignore(pattern).ignored(path)
    assert time.monotonic() - began < LONG_S


def test_a_hundred_thousand_patterns() -> None:
    """An ignore file that is long costs a look per path, not per line."""
    text = "\n".join(f"name{number}/part{number}" for number in range(100_000))
    ignore = parse_ignore(text)
    began = time.monotonic()
    out = [ignore.ignored(f"src/{number}/file.c") for number in range(10_000)]
    assert time.monotonic() - began < LONG_S
    assert not any(out)
    assert ignore.ignored("name99999/part99999/x")


@pytest.mark.parametrize(
    "word",
    (
        "${A:-" * 5000 + "}" * 5000,
        "${A#" + "*a" * 50 + "!}",
        "${A%" + "*a" * 50 + "!}",
        "${A//" + "*a" * 50 + "!/x}",
        "$" * 100_000,
        "'" * 99_999,
    ),
)
def test_words_that_would_take_for_ever(word: str) -> None:
    """Nested, or with patterns that go back and back."""
    began = time.monotonic()
    with contextlib.suppress(WordError):
        expand(word, {"A": "a" * 300})
    assert time.monotonic() - began < LONG_S


@pytest.mark.parametrize(
    "text",
    (
        "FROM scratch\nRUN " + "[" * 100_000,
        "FROM scratch\nENV A=" + "${A:-" * 5000,
        "FROM scratch\n" + "ONBUILD " * 5000 + "RUN x",
        "FROM scratch\nRUN " + "<<E " * 2000,
        "FROM scratch\nRUN " + "9" * 6000 + "<<E\nE\n",
        "FROM scratch\nRUN --mount=" + "a=b," * 50_000,
        "FROM scratch\nRUN a" + "\\\n" * 50_000,
        "FROM scratch\nCOPY " + "a " * 50_000,
        "FROM scratch\nEXPOSE 1-99999999999999999999",
        "FROM scratch\nHEALTHCHECK --interval=" + "9" * 5000 + "s CMD x",
        "FROM scratch\n" + "RUN --x\n" * 3,
    ),
)
def test_files_that_are_too_much(text: str) -> None:
    """Deep, long, or beyond any number."""
    began = time.monotonic()
    with contextlib.suppress(DockerfileError):
        evaluate(checked(parse(text)), "", Inputs(), lambda *_: BaseImage())
    assert time.monotonic() - began < LONG_S


@pytest.mark.parametrize(
    ("pattern", "greedy", "value", "found"),
    (
        ("*a*a", False, "xaya", "xaya"),
        ("*a", True, "aba", "aba"),
        ("*a", False, "aba", "a"),
        ("a*b?", True, "abcbd", "abcbd"),
    ),
)
def test_shell_patterns(pattern: str, value: str, found: str, *, greedy: bool) -> None:
    """The shortest and the longest beginning that fits."""
    match = re.match(glob_regex(pattern, greedy=greedy), value)
    assert match is not None
    assert match[0] == found
