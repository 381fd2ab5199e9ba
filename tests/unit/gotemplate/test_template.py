"""Templates: nothing but an error of their own, tables of titles, and what is said about a mistake."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.cli.gotemplate.errors import GoTemplateError, GoTemplateSyntaxError
from pycompose.cli.gotemplate.lexer import lex, unquote
from pycompose.cli.gotemplate.printing import quoted, sprintf
from pycompose.cli.gotemplate.template import parse
from pycompose.cli.gotemplate.values import GoStruct

DATA: dict[str, Any] = {
    "Name": "web",
    "Size": 3,
    "Part": 0.5,
    "On": True,
    "Health": None,
    "Env": ["A=1", "B=2"],
    "Labels": {"a": "1", "b.c": ""},
    "Networks": {"default": {"IP": "192.0.2.1", "Aliases": None}},
    "Cmd": None,
}
WORDS = st.sampled_from(
    """{{ }} {{- -}} | ( ) , := = . $ $x $i .Name .Size .Env .Labels .Networks .Labels.a .Nope .Health .Cmd if else
    end range with break continue and or not eq lt index len slice print printf json join split pad truncate title
    "a" `b` 'c' 0 1 -1 2.5 1e9 99999999999999999999 true nil "%d%s%[2]*.3x" "%999999999d" /* */ \\ " ` ' é \0""".split()  # noqa: SIM905 - words in a row, not a column
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.text())
def test_any_text_is_rendered_or_refused(text: str) -> None:
    """Whatever somebody types, the only exception is the one that is shown as two lines."""
    for source in (text, "{{" + text + "}}"):
        with contextlib.suppress(GoTemplateError):
            parse(source).render(DATA)


@given(st.lists(WORDS, max_size=14), st.booleans())
def test_any_words_are_rendered_or_refused(words: list[str], spaced: bool) -> None:  # noqa: FBT001
    """The same for what looks like a template."""
    source = (" " if spaced else "").join(words)
    for template in (source, "{{ " + source + " }}"):
        with contextlib.suppress(GoTemplateError):
            read = parse(template)
            read.headers({})
            read.render(DATA)
            read.render(GoStruct(DATA, {"Label": str}))


@given(
    st.sampled_from(
        ("len", "index . 0 |", "slice . 1 2 |", "eq .", "lt .", "not", "title", "join . `,` |", "json")
    ),
    JSON,
)
def test_any_value_is_printed_or_refused(function: str, value: Any) -> None:
    """A function that doesn't take what it is given says so."""
    for template in (
        f"{{{{{function.removesuffix('|')} .}}}}",
        "{{range $k, $v := .}}{{$k}}{{$v}}{{end}}",
        "{{.}}",
        "{{.x.y}}",
    ):
        with contextlib.suppress(GoTemplateError):
            parse(template).render(value)


@given(st.text(), st.lists(JSON, max_size=3))
def test_printf_takes_anything(template: str, values: list[Any]) -> None:
    """A mistake in a format is shown in the text, as Go does."""
    sprintf(template, values)
    for letter in "vdsqxXobceEfFgGtTUp%!":
        sprintf(f"%{letter}%+8.3{letter}%-08{letter}%#{letter}", values)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_strings_come_back(text: str) -> None:
    """What `%q` writes is a literal that means the same."""
    assert unquote(quoted(text)) == text


@given(st.text())
def test_words_tile_the_template(text: str) -> None:
    """No word overlaps another, and none is lost but white space and comments."""
    with contextlib.suppress(GoTemplateSyntaxError):
        position = 0
        for token in lex(text):
            assert token.start >= position
            position = token.end
        assert position == len(text)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_is_printed_as_it_is(text: str) -> None:
    """Without an action there is nothing to do."""
    assert parse(text).render({}) == text


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    (
        ("{{.Nmae}}", '1:2: <.Nmae>: map has no entry for key "Nmae"', "did you mean .Name?"),
        ("{{foo}}", '1:2: function "foo" not defined', "there are: and eq"),
        ("a\n {{.Name", "2:1: unclosed action", ""),
        ("{{if .On}}x", "1:11: unexpected end of the template: {{if}} has no {{end}}", ""),
        ("{{range .Env}}{{else}}", "1:22: unexpected end of the template: {{range}} has no {{end}}", ""),
        ("{{.Health.Status}}", '1:9: <.Health.Status>: nil data; no entry for key "Status"', ""),
        ('{{template "x"}}', "1:2: template cannot be used here", "one template, without"),
        ("{{range 1000001}}{{end}}", "1:8: <1000001>: range can't iterate over 1000001", ""),
        ("{{" * 50, '1:2: unexpected "{"', ""),
        ("{{" + "(" * 50 + "1" + ")" * 50 + "}}", "1:42: nested more than 40 deep", ""),
    ),
)
def test_mistakes(template: str, message: str, hint: str) -> None:
    """The place, the words, and what to do."""
    with pytest.raises(GoTemplateError) as caught:
        parse(template).render(DATA)

    assert str(caught.value) == f"--format: template parsing error: {message}"
    assert (caught.value.hint or "").startswith(hint)


def test_a_row_has_methods_and_hidden_fields() -> None:
    """`{{.Label "x"}}` calls; JSON is sorted and leaves out what only templates see."""
    row = GoStruct({"B": "1", "A": "2", "Secret": "3"}, {"Label": str.upper}, frozenset({"Secret"}))

    assert (
        parse('{{.Label "x"}}{{"y" | .Label}} {{.Secret}} {{json .}}').render(row) == 'XY 3 {"A":"2","B":"1"}'
    )
    with pytest.raises(GoTemplateError, match="wrong number of args for Label: want 1 got 0"):
        parse("{{.Label}}").render(row)


@pytest.mark.parametrize(
    ("template", "header"),
    (
        ("{{.Names}}\t{{.ID}}", "NAMES\tCONTAINER ID"),
        ("{{.Names | upper}}|{{pad .ID 1 1}}|{{json .Names}}", "NAMES| CONTAINER ID |NAMES"),
        ('{{.Label "x"}}', "x"),
        ("{{if .Names}}{{.Names}}{{else}}{{.ID}}{{end}}", "NAMES"),
        ("{{slice .ID 0 99}} {{truncate .ID 3}}", "CONTAINER ID CONTAINER ID"),
        ("{{index .Names 99}}{{.Other}}", "NAMES OTHER"),
        ("{{json}}{{.Names}}", "NAMES"),
    ),
)
def test_headers(template: str, header: str) -> None:
    """A header has titles in the place of values, whatever is done with them."""
    assert parse(template).headers({"Names": "NAMES", "ID": "CONTAINER ID"}) == header


def test_escapes_between_actions() -> None:
    r"""Tables take \t and \n for what they are in strings; inspect prints them as they are."""
    assert parse("{{.Name}}\\t{{.Size}}\\n", escapes=True).render(DATA) == "web\t3\n"
    assert parse("{{.Name}}\\t", escapes=False).render(DATA) == "web\\t"
    assert json.loads(parse('{{json "\\t"}}', escapes=True).render(DATA)) == "\t"
