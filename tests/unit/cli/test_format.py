"""`--format`, the tables, and what they do with hostile text."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.cli import table
from pycompose.cli.format import Layout, parse, show
from pycompose.cli.style import clean, paint
from pycompose.engine.errors import PycomposeError

ROW = {"Name": "web-1", "Service": "web", "Labels": "a=1,com.x/y=2", "Publishers": [{"URL": "::"}], "Code": 3}
LAYOUT = Layout(
    columns=("Name", "Service"), titles={"Name": "NAME", "Service": "SERVICE", "Code": "EXIT CODE"}
)


def test_a_table_pads_all_but_the_last_column() -> None:
    assert show([ROW], "table", LAYOUT) == "NAME      SERVICE\nweb-1     web\n"


def test_a_table_without_rows_has_its_header() -> None:
    assert show([], "", LAYOUT) == "NAME      SERVICE\n"


def test_cells_of_a_minimum_width() -> None:
    assert table.render([["NAME", "STATUS"], ["demo", "running(2)"]], minimum=20).splitlines() == [
        "NAME                STATUS",
        "demo                running(2)",
    ]


def test_wide_characters_count_twice() -> None:
    assert table.render([["界", "x"], ["abc", "y"]], minimum=0) == "界    x\nabc   y\n"


def test_json_is_one_object_per_line_with_sorted_keys() -> None:
    text = show([ROW, ROW], "json", LAYOUT)

    assert [list(json.loads(line)) for line in text.splitlines()] == [sorted(ROW)] * 2


def test_json_as_an_array_and_as_lines() -> None:
    layout = Layout(columns=(), titles={}, array=True)

    assert json.loads(show([ROW], "json", layout)) == [ROW]
    assert json.loads(show([ROW], "jsonl", layout)) == ROW
    assert show([], "json", layout) == "[]\n"


@pytest.mark.parametrize(
    ("template", "text"),
    (
        ("{{.Name}}", "web-1"),
        ("{{ .Name }}\\t{{.Code}}", "web-1\t3"),
        ("{{json .Labels}}", '"a=1,com.x/y=2"'),
        ('{{.Label "com.x/y"}}', "2"),
        ('{{.Label "none"}}', ""),
        ("{{.Name | upper}}", "WEB-1"),
        ("{{upper .Name | lower | len}}", "5"),
        ('{{join .Publishers ", "}}', '{"URL":"::"}'),
        ("{{truncate .Name 3}}", "web"),
        ("a {{- .Name -}} b", "aweb-1b"),
        ("plain", "plain"),
        ('{{print .Name "!"}}', "web-1!"),
    ),
)
def test_templates(template: str, text: str) -> None:
    assert parse(template).render(ROW) == text


def test_json_of_everything() -> None:
    assert json.loads(parse("{{json .}}").render(ROW)) == ROW


@pytest.mark.parametrize(
    ("template", "message"),
    (
        ("{{.Nmae}}", "no field .Nmae"),
        ("{{if .Name}}x{{end}}", "cannot use 'if'"),
        ("{{.Name", "unclosed action"),
        ("{{}}", "empty action"),
        ("{{.Name | }}", "empty action"),
        ("{{$x}}", "cannot use '\\$x'"),
        ("{{truncate .Name}}", "cannot call truncate"),
    ),
)
def test_what_goes_beyond_the_subset_is_refused(template: str, message: str) -> None:
    with pytest.raises(PycomposeError, match=message):
        parse(template).render(ROW)


def test_a_misspelt_field_gets_a_suggestion() -> None:
    with pytest.raises(PycomposeError) as caught:
        show([ROW], "{{.Servce}}", LAYOUT)

    assert caught.value.hint == "did you mean .Service?"


def test_a_table_template_has_titles() -> None:
    assert show([ROW], "table {{.Name}}\\t{{.Code}}", LAYOUT) == "NAME      EXIT CODE\nweb-1     3\n"


def test_a_table_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in table.render([["\x1b]0;gotcha\x07", "x"]])


@given(st.text())
def test_clean_leaves_no_control_characters(text: str) -> None:
    assert all(char.isprintable() or char == "\t" or ord(char) >= 0xA0 for char in clean(text) if char != " ")


@given(st.text())
def test_any_template_renders_or_is_refused(text: str) -> None:
    with contextlib.suppress(PycomposeError):
        parse("{{" + text + "}}").render(ROW)


def test_paint() -> None:
    assert paint("x", 1, 31) == "\x1b[1;31mx\x1b[0m"
    assert paint("x", 31, on=False) == "x"
