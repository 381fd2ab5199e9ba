"""`--format`, the tables, and what they do with hostile text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.cli.display import table
from pycompose.cli.display.format import Layout, show
from pycompose.cli.display.style import clean, paint
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
        ("{{ .Name }}\\t{{.Code}}", "web-1\t3"),
        ("  {{json .Labels}}  ", '"a=1,com.x/y=2"'),
        ('{{.Label "com.x/y"}}{{.Label "none"}}', "2"),
        ("{{if eq .Code 3}}{{.Name | upper}}{{end}}", "WEB-1"),
        ("{{range .Publishers}}{{.URL}}{{end}}", "::"),
        ("tables", "tables"),
    ),
)
def test_templates(template: str, text: str) -> None:
    """A row is filled in, with the escapes that docker knows, and white space around it cut off."""
    assert show([ROW], template, LAYOUT) == f"{text}\n"


def test_json_of_everything() -> None:
    assert json.loads(show([ROW], "{{json .}}", LAYOUT)) == ROW


def test_hidden_fields_are_for_templates_only() -> None:
    layout = Layout(columns=(), titles={}, hidden=frozenset({"Labels", "Publishers"}))

    assert show([ROW], "{{json .}} {{.Labels}}", layout) == (
        '{"Code":3,"Name":"web-1","Service":"web"} a=1,com.x/y=2\n'
    )


def test_a_template_is_read_without_rows_too() -> None:
    with pytest.raises(PycomposeError, match="1:0: unclosed action"):
        show([], "{{.Name", LAYOUT)


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


def test_paint() -> None:
    assert paint("x", 1, 31) == "\x1b[1;31mx\x1b[0m"
    assert paint("x", 31, on=False) == "x"
