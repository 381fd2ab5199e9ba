"""Variables, quotes and escapes in words (cases after the Dockerfile reference, "Environment replacement")."""

from __future__ import annotations

import pytest
from pycompose.engine.builder.words import WordError, expand, expand_words

VALUES = {"a": "A", "e": "", "p": "foo/bar/baz.tar.gz", "s": "x y", "_n": "under"}


@pytest.mark.parametrize(
    ("word", "expected"),
    (
        ("$a", "A"),
        ("${a}", "A"),
        ("$a$a", "AA"),
        ("$abc", ""),
        ("${a}bc", "Abc"),
        ("$_n", "under"),
        (r"\$a", "$a"),
        (r"\\$a", r"\A"),
        ("'$a'", "$a"),
        ('"$a"', "A"),
        (r'"\$a"', "$a"),
        (r'"a\b"', r"a\b"),
        (r"a\b", "ab"),
        ("a'b'c", "abc"),
        ("${x:-w}", "w"),
        ("${e:-w}", "w"),
        ("${e-w}", ""),
        ("${x-w}", "w"),
        ("${a:+w}", "w"),
        ("${e:+w}", ""),
        ("${e+w}", "w"),
        ("${x+w}", ""),
        ("${x:-$a}", "A"),
        ("${x:-${y:-deep}}", "deep"),
        ("${x:-'q q'}", "q q"),
        ("${a:?no}", "A"),
        ("${p#*/}", "bar/baz.tar.gz"),
        ("${p##*/}", "baz.tar.gz"),
        ("${p%.*}", "foo/bar/baz.tar"),
        ("${p%%.*}", "foo/bar/baz"),
        ("${p%nothing}", "foo/bar/baz.tar.gz"),
        ("${p/bar/X}", "foo/X/baz.tar.gz"),
        ("${p//a/_}", "foo/b_r/b_z.t_r.gz"),
        (r"${p//\//-}", "foo-bar-baz.tar.gz"),
        ("${p/?oo/}", "/bar/baz.tar.gz"),
        ("$", "$"),
        ("a$", "a$"),
        ("$1", ""),
        ("", ""),
    ),
)
def test_expansion(word: str, expected: str) -> None:
    """One word in, one out."""
    assert expand(word, VALUES).text == expected


@pytest.mark.parametrize(
    "word", ("${", "${a", "${}", "${a:", "${a:x}", "'a", '"a', "${x:?gone}", "${e:?}", "${a^}")
)
def test_what_is_no_word(word: str) -> None:
    """Open quotes and braces, unknown forms, and values that must be there."""
    with pytest.raises(WordError):
        expand(word, VALUES)


def test_the_message_of_a_required_value() -> None:
    """It names the variable and says the file's own words."""
    with pytest.raises(WordError, match=r"^x: give it with --build-arg$"):
        expand("${x:?give it with --build-arg}", VALUES)


def test_words_divide_after_expansion() -> None:
    """An unquoted value falls into words, a quoted one doesn't."""
    assert expand_words('a $s "$s" b\\ c', VALUES) == ["a", "x", "y", "x y", "b c"]


def test_the_other_escape() -> None:
    """`# escape=`` makes a backslash a plain character."""
    assert expand("c:\\$a`$a", VALUES, "`").text == "c:\\A$a"


def test_unset_names_are_told() -> None:
    """The lint rule UndefinedVar asks."""
    done = expand("$a $nope ${other:-x}", VALUES)

    assert done.unset == ("nope",)
    assert set(done.used) == {"a", "nope", "other"}
