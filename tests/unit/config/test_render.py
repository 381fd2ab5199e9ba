"""YAML as go-yaml writes it, JSON as Go's encoder does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.config.json_text import go_json
from pycompose.config.render import natural, render_yaml
from pycompose.config.source import parse_yaml

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@pytest.mark.parametrize(
    ("value", "text"),
    (
        ("a b", "a b"), ("", '""'), ("5", '"5"'), ("1e3", '"1e3"'), ("yes", '"yes"'), ("n", '"n"'),
        ("22:22", '"22:22"'),
        ("null", '"null"'), ("a: b", "'a: b'"), ("a:b", "a:b"), ("a #b", "'a #b'"), ("- a", "'- a'"), ("-a", "-a"),
        ("*.py", "'*.py'"), ("it's", "it's"), ("'x'", "'''x'''"), (" a", "' a'"), ("a\tb", '"a\\tb"'),
        ("é", "é"), ("\U0001f433", '"\\U0001F433"'), ("2020-01-01", '"2020-01-01"'), ("[a]", "'[a]'"), ("%a", "'%a'"),
        (True, "true"), (None, "null"), (1.5, "1.5"), ([], "[]"), ({}, "{}"),
    ),
)  # fmt: skip
def test_scalars(value: object, text: str) -> None:
    """Quotes where the text would mean something else, single ones where they suffice."""
    assert render_yaml({"k": value}) == f"k: {text}\n"


def test_blocks() -> None:
    """Lists are indented, long texts are literal, dollars are doubled."""
    tree = {"a": [{"b": 1, "c": [2]}, "x"], "d": "one\ntwo $X\n"}

    assert render_yaml(tree) == "a:\n  - b: 1\n    c:\n      - 2\n  - x\nd: |\n  one\n  two $$X\n"


def test_keys_are_in_natural_order() -> None:
    """Numbers inside of names count as numbers."""
    assert natural(["a10", "a9", "A", "_x", "a", "b1"]) == ["_x", "A", "a", "a9", "a10", "b1"]


@given(TEXT)
def test_any_text_is_read_back(text: str) -> None:
    """What is printed means the same again; YAML turns odd line breaks into plain ones."""
    printed = render_yaml({"k": text}, escape=False)

    if not set(text) & set("\r\x85\u2028\u2029"):
        assert parse_yaml(printed.encode(), "f")[0].root == {"k": text}


def test_json_looks_like_gos() -> None:
    """HTML characters are escaped, whole floats have no fraction, extensions' empty lists are null."""
    assert go_json({"a": "<&>", "b": 2.0, "c": [], "d": 1e-7}) == (
        '{\n  "a": "\\u003c\\u0026\\u003e",\n  "b": 2,\n  "c": [],\n  "d": 1e-7\n}'
    )


def test_keys_that_are_not_simple_stand_alone() -> None:
    """Long keys and keys of several lines take the explicit form."""
    assert render_yaml({"a\nb": {"c": 1}, "k" * 129: [2]}) == (
        f"? |-\n  a\n  b\n: c: 1\n? {'k' * 129}\n: - 2\n"
    )
