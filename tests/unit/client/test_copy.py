"""Names of `cp`: which belong to a container, what asks for a directory, what a copy is called."""

from __future__ import annotations

import pytest
from pycompose.cli.commands.cp import split_path
from pycompose.client.copy import clean, source_name, wants_directory


@pytest.mark.parametrize(
    ("text", "service", "path"),
    (
        ("web:/etc", "web", "/etc"),
        ("web:etc", "web", "etc"),
        ("/a:b", "", "/a:b"),
        ("./a:b", "", "./a:b"),
        ("file", "", "file"),
        ("-", "", "-"),
        ("web:", "web", ""),
    ),
)
def test_a_colon_makes_a_service(text: str, service: str, path: str) -> None:
    """But not in a name that begins with a slash or a dot."""
    assert split_path(text) == (service, path)


@pytest.mark.parametrize(
    ("path", "wants"),
    (("/a", False), ("/a/", True), ("/a/.", True), (".", True), ("..", True), ("/a.", False)),
)
def test_what_asks_for_a_directory(path: str, wants: bool) -> None:  # noqa: FBT001 - a table
    """A final slash or dot does."""
    assert wants_directory(path) is wants


@pytest.mark.parametrize(
    ("path", "name"),
    (("/a/b", "b"), ("/a/b/", "b"), ("/a/b/.", "."), ("b", "b"), (".", "."), ("/", "."), ("", ".")),
)
def test_what_a_copy_is_called(path: str, name: str) -> None:
    """As its source, unless only what is in the source was asked for."""
    assert source_name(path) == name


@pytest.mark.parametrize(
    ("path", "absolute"),
    (("c", "/c"), ("/a/../../b", "/b"), ("//a//b/", "/a/b"), ("", "/"), ("../..", "/")),
)
def test_paths_of_containers_are_absolute(path: str, absolute: str) -> None:
    """And `..` is taken by its letters, as docker does."""
    assert clean(path) == absolute
