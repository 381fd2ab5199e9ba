"""The dependency graph as SVG."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from pycompose.cli.commands.graph import svg
from pycompose.model import Condition, Dependency, Service
from pycompose.page.picture import GraphArrow, GraphBox, draw

SVG = "{http://www.w3.org/2000/svg}"
PROJECT = {
    "web": Service(
        name="web",
        depends_on=(
            Dependency(service="db", condition=Condition.HEALTHY),
            Dependency(service="debug", required=False),
        ),
    ),
    "db": Service(name="db"),
}


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def texts(root: ET.Element, kind: str) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text") if element.get("class") == kind]


def test_services_states_and_conditions() -> None:
    root = parsed(svg(PROJECT, "demo", {"web": ("bad", "exited (1)"), "db": ("good", "healthy")}))

    assert texts(root, "name") == ["db", "web", "debug"]
    assert texts(root, "note") == ["healthy", "exited (1)", "not enabled"]
    assert texts(root, "label") == ["healthy", "optional"]
    assert [group.get("class") for group in root.iter(f"{SVG}g")] == ["good", "bad", "absent"]
    assert root.findtext(f"{SVG}title") == "demo: what depends on what"
    assert root.findtext(f"{SVG}desc") == (
        "db, healthy. web, exited (1), needs db (healthy), debug (optional). debug, not enabled"
    )


def test_without_states_nothing_is_said_of_them() -> None:
    root = parsed(svg({"db": PROJECT["db"]}, "demo"))

    assert texts(root, "note") == []


@pytest.mark.parametrize(
    "name", ('</title><script>alert(1)</script>"', "a&b<c>'d'", "\x1b[31mred\x00\ud800", "]]>")
)
def test_hostile_names_are_text(name: str) -> None:
    text = draw(
        name,
        [GraphBox(name=name, note=name, tone=name), GraphBox(name="b")],
        [GraphArrow(source=name, target="b", label=name)],
    )

    root = parsed(text.encode("utf-8").decode("utf-8"))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text",
    }  # fmt: skip
    assert not any(key.startswith("on") for element in root.iter() for key in element.attrib)


def test_long_names_are_cut_and_told_whole() -> None:
    name = "x" * 200
    root = parsed(draw("t", [GraphBox(name=name)], []))

    (shown,) = texts(root, "name")
    assert shown.endswith("…")
    assert len(shown) < 50
    assert [title.text for group in root.iter(f"{SVG}g") for title in group.iter(f"{SVG}title")] == [name]


def test_it_is_readable_dark_and_light_and_needs_nothing_from_elsewhere() -> None:
    text = svg(PROJECT, "demo")

    assert "prefers-color-scheme:dark" in text
    assert text.count("http") == 1  # the name of the language
    assert "@import" not in text
    assert "url(#head)" in text
