"""`.dockerignore` (cases after the Dockerfile reference and what moby/patternmatcher documents)."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.globs import PatternError
from pycompose.engine.builder.ignore import parse_ignore


@pytest.mark.parametrize(
    ("patterns", "out", "stays"),
    (
        ("*/temp*", ("a/temp", "a/temporary.txt"), ("temp", "a/b/temp")),
        ("*/*/temp*", ("a/b/temp",), ("a/temp",)),
        ("temp?", ("tempa",), ("temp", "tempab", "a/tempa")),
        ("*.md\n!README.md", ("x.md",), ("README.md", "a/x.md")),
        ("*.md\n!README*.md\nREADME-secret.md", ("README-secret.md",), ("README.md",)),
        ("**/*.go", ("a.go", "a/b/c.go"), ("a.c",)),
        ("**", ("a", "a/b"), ()),
        ("docs", ("docs", "docs/a", "docs/a/b"), ("docs2", "a/docs")),
        ("/docs/", ("docs", "docs/a"), ("a/docs",)),
        ("docs\n!docs/keep", ("docs/a",), ("docs/keep", "docs/keep/x")),
        ("a/**/b", ("a/b", "a/x/b", "a/x/y/b"), ("a/bb", "ab")),
        ("# no\n\n  x  ", ("x",), ("# no",)),
        ("[a-c]x", ("ax", "cx"), ("dx",)),
        ("[^a]x", ("bx",), ("ax",)),
        (r"\*", ("*",), ("a",)),
        ("./x/../y", ("y",), ("x",)),
        ("../z", (), ("z",)),
        ("a**b*c", ("a/x/b.c", "ab.c"), ("a/x/b/c",)),
        ("*\n!a\na/b", ("b", "a/b"), ("a", "a/c")),
    ),
)
def test_patterns(patterns: str, out: tuple[str, ...], stays: tuple[str, ...]) -> None:
    """The last pattern that fits decides; a directory takes what is below it along."""
    ignore = parse_ignore(patterns)

    assert [path for path in out if not ignore.ignored(path)] == []
    assert [path for path in stays if ignore.ignored(path)] == []
    assert [path for path in out if not ignore.left_out(path)] == []
    assert [path for path in stays if ignore.left_out(path)] == []


@pytest.mark.parametrize(
    ("patterns", "out"),
    (
        ("**/*.md\n!docs\n", ("docs/r.md", "r.md")),
        ("**/*.md\n!docs/**\n", ("r.md",)),
        ("**/*.md\n**/docs\n!docs\n", ("r.md",)),
        ("docs\n!docs/r.md\n", ("docs", "docs/k", "docs/d", "docs/d/k")),
        ("docs\n!docs\n", ()),
        ("*\n!docs\ndocs/d\n", ("docs/d", "docs/d/k", "r.md", "k")),
    ),
)
def test_what_a_context_is_without(patterns: str, out: tuple[str, ...]) -> None:
    """A line that takes back is asked only for what is left out at its place (as Docker 26.1 answers)."""
    paths = ("docs", "docs/r.md", "docs/k", "docs/d", "docs/d/k", "r.md", "k")
    ignore = parse_ignore(patterns)

    assert tuple(sorted(path for path in paths if ignore.left_out(path))) == tuple(sorted(out))
    assert ignore.left_out("docs/d/k") == parse_ignore(patterns).left_out("docs/d/k")


def test_an_ignored_directory_is_entered_only_for_exceptions() -> None:
    """node_modules is not walked through for nothing."""
    assert not parse_ignore("node_modules").may_contain_exceptions("node_modules")
    ignore = parse_ignore("node_modules\n!node_modules/keep")

    assert ignore.may_contain_exceptions("node_modules")
    assert not ignore.may_contain_exceptions("other")


@pytest.mark.parametrize("pattern", ("[", "[a", "a\\", "[]", "!"))
def test_malformed_patterns(pattern: str) -> None:
    """They name their line."""
    with pytest.raises(PatternError) as caught:
        parse_ignore(f"fine\n{pattern}")
    assert caught.value.line == 2
