"""YAML text → trees with places."""

from __future__ import annotations

import pytest
from pycompose.config.source import MAX_DEPTH, parse_yaml
from pycompose.config.tree import clone, locate, path_at, render_path
from pycompose.errors import ConfigErrors, Location, YamlError


def root(text: str):
    (document,) = parse_yaml(text.encode(), "compose.yaml")
    return document.root


def test_every_node_knows_its_place() -> None:
    """Keys and values are found by path, items of lists too."""
    tree = root("services:\n  web:\n    ports:\n      - '80'\n      - {target: 1}\n")

    assert str(locate(tree, ("services", "web"))) == "compose.yaml:3:5"
    assert str(locate(tree, ("services", "web"), of_key=True)) == "compose.yaml:2:3"
    assert str(locate(tree, ("services", "web", "ports", 1, "target"))) == "compose.yaml:5:18"
    assert render_path(("services", "web", "ports", 1)) == "services.web.ports[1]"


def test_the_place_of_what_is_missing_is_that_of_its_parent() -> None:
    """An error about a key that isn't there can still point somewhere."""
    tree = root("services:\n  web: {}\n")

    assert str(locate(tree, ("services", "web", "image"))) == "compose.yaml:2:8"


def test_a_place_leads_back_to_its_path() -> None:
    """`path_at` is the inverse of `locate`."""
    tree = root("a:\n  b: [x, y]\n")

    assert path_at(tree, Location("compose.yaml", 2, 10)) == ("a", "b", 1)
    assert path_at(tree, Location("compose.yaml", 9, 9)) is None


def test_all_duplicate_and_unusable_keys_are_reported_together() -> None:
    """One load shows every key that is wrong, with both places of a duplicate."""
    with pytest.raises(ConfigErrors) as caught:
        root("a: 1\nb: {1: x}\na: 2\n")

    assert [str(error) for error in caught.value.errors] == [
        'compose.yaml:2:5: b: key "1" is not a string',
        'compose.yaml:3:1: a: key "a" is already defined at line 1',
    ]


def test_merge_keys_give_way_to_written_keys_and_earlier_sources() -> None:
    """`<<` with one mapping or a list of them."""
    tree = root("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 0}\n")

    assert tree["z"] == {"a": 0, "b": 1, "c": 2}


def test_a_quoted_merge_key_is_a_key() -> None:
    """Only a plain `<<` merges."""
    assert root("a: {'<<': 1}") == {"a": {"<<": 1}}


def test_reset_and_override_are_taken_out_as_paths() -> None:
    """The paths apply to earlier documents, the tree has no trace of the tags; items of lists have no path."""
    (document,) = parse_yaml(b"a: {b: !reset null, c: !override [1]}\nd: [!reset 1, 2]\n", "f")

    assert document.root == {"a": {"c": [1]}, "d": [2]}
    assert sorted(map(render_path, document.resets)) == ["a.b", "a.c"]


def test_a_reset_key_lets_the_merged_one_through() -> None:
    """As in Compose: the key isn't there, so `<<` fills it, and its path is reset."""
    (document,) = parse_yaml(b"x: &x {c: [1]}\ny: {<<: *x, c: !reset null}\n", "f")

    assert document.root["y"] == {"c": [1]}
    assert ("y", "c") in document.resets


def test_aliases_are_copies() -> None:
    """Changing what one alias stands for changes nothing else."""
    tree = root("a: &a {b: [1]}\nc: *a\n")
    tree["c"]["b"].append(2)

    assert tree["a"] == {"b": [1]}
    assert clone(tree) == tree


def test_several_documents_come_in_order() -> None:
    """A file may hold documents that override each other."""
    assert [document.root for document in parse_yaml(b"a: 1\n---\nb: 2\n", "f")] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("a: &a [*a]", "f:1:8: anchor 'a' contains itself"),
        ("a: *b", "f:1:4: unknown anchor 'b'"),
        ("\ta: 1", "f:1:1: not YAML: while scanning for the next token"),
        ("a: b: c", "f:1:5: not YAML: mapping values are not allowed"),
        ("a: !!int x", "f:1:4: cannot read 'x' as !!int"),
        ("[" * (MAX_DEPTH + 1), f"f:1:{MAX_DEPTH + 1}: nested deeper"),
        ("a: \0", "f: not YAML: control characters are not allowed at byte 3"),
    ),
)
def test_what_is_not_yaml_says_where(text: str, message: str) -> None:
    """Line and column, in words of this program."""
    with pytest.raises(YamlError) as caught:
        parse_yaml(text.encode(), "f")

    assert str(caught.value).startswith(message)


def test_an_alias_bomb_is_stopped() -> None:
    """Nine levels of nine aliases would be 400 million nodes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    with pytest.raises(YamlError, match="aliases expand to more than"):
        parse_yaml("\n".join(lines).encode(), "f")


def test_unknown_tags_are_ignored() -> None:
    """`!env x` is the text x; a number under such a tag is text too."""
    assert root("a: !env x\nb: !vault 5\nc: !!str 5\nd: ! 5\n") == {"a": "x", "b": "5", "c": "5", "d": 5}
