"""The `${…}` grammar."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.config.syntax.template import TemplateError, Variable, substitute, variables

SET = {"A": "a", "EMPTY": "", "B": "b"}


def fill(text: str) -> str:
    return substitute(text, SET.get, lambda _name: "")


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("$A-${A}_$B", "a-a_b"),
        ("$$A $$$A $", "$A $a $"),
        ("$1 $- $", "$1 $- $"),
        ("${X:-d}${EMPTY:-d}${A:-d}", "dda"),
        ("${X-d}${EMPTY-d}${A-d}", "da"),
        ("${A:+y}${EMPTY:+y}${X:+y}", "y"),
        ("${A+y}${EMPTY+y}${X+y}", "yy"),
        ("${X:-${Y:-${A}}}", "a"),
        ("${X-{}}", "{}"),
        ("${A?}${EMPTY?m}", "a"),
        ("${X:-a:-b-c?d}", "a:-b-c?d"),
    ),
)
def test_forms(text: str, value: str) -> None:
    """Every operator, alone and nested."""
    assert fill(text) == value


@pytest.mark.parametrize(
    "text", ("${}", "${1}", "${V/x/y}", "${V", "${V:}", "a${V-x${W}", "${V V}", "${V-\n}")
)
def test_malformed_ones_are_refused(text: str) -> None:
    """The same texts that Compose refuses."""
    with pytest.raises(TemplateError, match="invalid interpolation format"):
        fill(text)


def test_a_required_variable_tells_why() -> None:
    """The message of `:?` is interpolated too."""
    with pytest.raises(TemplateError, match=r"^required variable X is missing a value: set a$"):
        fill("${X:?set $A}")
    with pytest.raises(TemplateError, match=r"^required variable EMPTY is missing a value$"):
        fill("${EMPTY:?}")


def test_unset_variables_are_told() -> None:
    """Only a use without an operator is worth a warning."""
    told: list[str] = []

    def stands_for(name: str) -> str:
        told.append(name)
        return f"<{name}>"

    assert substitute("$X ${Y} ${Z:-1} $EMPTY", SET.get, stands_for) == "<X> <Y> 1 "
    assert told == ["X", "Y"]


def test_variables_of_a_text() -> None:
    """What `config --variables` lists."""
    assert list(variables("$A ${B:-${C:?m}} ${D+e} $$F")) == [
        Variable("A"),
        Variable("B", default="${C:?m}"),
        Variable("C", required=True),
        Variable("D", alternate="e"),
    ]


@given(st.text(alphabet="$${}:-?+AB\n ", max_size=60))
def test_any_text_gives_text_or_our_error(text: str) -> None:
    """Nothing else is raised."""
    with suppress(TemplateError):
        fill(text)


def test_deep_nesting_ends_early() -> None:
    """20,000 levels are refused without scanning them again and again."""
    with pytest.raises(TemplateError, match="nested deeper"):
        fill("${X:-" * 20_000)
