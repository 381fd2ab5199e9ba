"""The grammars of env files."""

from __future__ import annotations

import pytest
from pycompose.config.syntax.dotenv import parse, parse_raw
from pycompose.errors import ConfigError

OUTER = {"HOME": "/root", "SHELL": "sh"}


@pytest.mark.parametrize(
    ("text", "values"),
    (
        ("A=1\nB: 2\nexport C=3\n", {"A": "1", "B": "2", "C": "3"}),
        ("# c\n\n  A = x y  # z\n", {"A": "x y"}),
        ("A=x#y\nB= #z", {"A": "x#y", "B": "#z"}),
        ("A=${HOME}/x\nB=${A}${C:-d}\n", {"A": "/root/x", "B": "/root/xd"}),
        ("A='${HOME}\nx' # c\nB='it\\'s'", {"A": "${HOME}\nx", "B": "it's"}),
        ('A="a\\nb\\t\\"c\\" \\$HOME $HOME"', {"A": 'a\nb\t"c" $HOME /root'}),
        ("HOME\nNOPE\nX=1", {"HOME": "/root", "X": "1"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A.b-c[0]=1", {"A.b-c[0]": "1"}),
        ("A=\nB=1", {"A": "", "B": "1"}),
    ),
)
def test_values(text: str, values: dict[str, str]) -> None:
    """Quotes, comments, escapes, references, bare names."""
    assert parse(text, ".env", OUTER.get) == values


def test_the_environment_beats_the_file_in_references() -> None:
    """…and earlier files come last."""
    assert parse("SHELL=x\nA=$SHELL$W", ".env", OUTER.get, {"W": "w"})["A"] == "shw"


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("A=1\nB C=2", ".env:2:1: key 'B C' cannot contain a space"),
        ("A=1\n\n%=2", ".env:3:1: unexpected character '%' in variable name '%=2'"),
        ("A='x\ny", ".env:1:1: unterminated quoted value 'x"),
        ("\nA=${", ".env:2:1: invalid interpolation format"),
    ),
)
def test_errors_have_a_line(text: str, message: str) -> None:
    """The line is that of the statement."""
    with pytest.raises(ConfigError) as caught:
        parse(text, ".env", OUTER.get)

    assert str(caught.value).startswith(message)


def test_raw_files_are_verbatim() -> None:
    """`format: raw` knows comments and bare names, nothing else."""
    text = "# c\nA='x' # y\nB=$HOME\nHOME\nNOPE\n"

    assert parse_raw(text, "f", OUTER.get) == {"A": "'x' # y", "B": "$HOME", "HOME": "/root"}
    with pytest.raises(ConfigError, match="f:2:1: no variable name"):
        parse_raw("A=1\n=2", "f", OUTER.get)
