"""`x-idmap`: what may be written, and what it comes to."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.config.syntax.idmap import parse_idmap


@pytest.mark.parametrize(
    ("value", "users", "groups"),
    (
        ("1000:33", ((1000, 33, 1),), ((1000, 33, 1),)),
        (["1000:0", "2000:1:9"], ((1000, 0, 1), (2000, 1, 9)), ((1000, 0, 1), (2000, 1, 9))),
        ({"uid": "1000:33", "gid": ["100:33"]}, ((1000, 33, 1),), ((100, 33, 1),)),
        ({"gid": "100:33"}, (), ((100, 33, 1),)),
        ("0:4294967294", ((0, 4294967294, 1),), ((0, 4294967294, 1),)),
    ),
)
def test_forms(value: Any, users: tuple[Any, ...], groups: tuple[Any, ...]) -> None:
    assert parse_idmap(value) == (users, groups)


@pytest.mark.parametrize(
    ("value", "reason"),
    (
        ("1000", "not HOST:CONTAINER"),
        ("1000:app", "in numbers"),
        ("1000:-1", "in numbers"),
        ("1:2:3:4", "not HOST:CONTAINER"),
        ("1:2:0", "ids go from 0"),
        ("0:4294967295", "ids go from 0 to 4294967294"),
        (["1:2", "1:3"], "id 1 of the machine is mapped twice"),
        (["1:2", "5:1:2"], "id 2 of the container is mapped twice"),
        ({}, "expected uid and gid"),
        ({"user": "1:2"}, "expected uid and gid"),
        ([], "expected"),
        (1000, "expected"),
        (None, "expected"),
        ([1], "expected"),
    ),
)
def test_what_is_none(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_idmap(value)
