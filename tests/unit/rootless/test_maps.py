"""Which ids an ordinary user has, and where his state lies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pycompose.rootless import maps, places

SUBUID = """
root:65536:65536
ada:100000:65536
1000:300000:1000
ada:100000:65536
ada:junk:65536
ada:400000:0
other:200000:65536
"""


def test_ranges_are_the_users_by_name_and_by_number() -> None:
    """In the order of the file; what is there twice, empty or no number doesn't count (subuid(5))."""
    assert maps.parse(SUBUID, ("ada", "1000")) == ((100_000, 65_536), (300_000, 1_000))
    assert maps.parse(SUBUID, ("nobody",)) == ()


def test_root_inside_is_the_user_and_the_ranges_follow() -> None:
    """So uid 1 is the first of the first range: the form of newuidmap(1)."""
    words = maps.arguments(1001, ((100_000, 65_536), (300_000, 1_000)))

    assert " ".join(words) == "0 1001 1 1 100000 65536 65537 300000 1000"


def test_state_lies_in_the_users_own_directories(tmp_path: Path) -> None:
    """Those of the XDG specification; a runtime directory only counts when it is the user's own."""
    own = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": str(tmp_path)}
    places.settle(own)
    other = {"HOME": "/home/ada", "XDG_DATA_HOME": "/data", "XDG_RUNTIME_DIR": str(tmp_path / "nosuch")}
    places.settle(other)

    assert own["PYCOMPOSE_ROOT"] == "/home/ada/.local/share/pycompose"
    assert own["PYCOMPOSE_RUN"] == f"{tmp_path}/pycompose"
    assert other["PYCOMPOSE_ROOT"] == "/data/pycompose"
    assert other["PYCOMPOSE_RUN"] == f"/run/user/{os.geteuid()}/pycompose"


def test_places_that_are_named_stay() -> None:
    environment = {"PYCOMPOSE_ROOT": "/a", "PYCOMPOSE_RUN": "/b", "HOME": "/home/ada"}
    before = dict(environment)
    places.settle(environment)

    assert environment == before


@pytest.mark.parametrize("text", ("", "boot 1 2 3", "boot 1 2 3 4 x"))
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / places.RECORD).write_text(text)

    assert places.inside(str(tmp_path)) == {}


def test_a_record_says_which_namespaces_the_host_has(tmp_path: Path) -> None:
    (tmp_path / places.RECORD).write_text("boot 1 2 3 4 5")

    assert places.inside(str(tmp_path)) == {"user": 1, "mnt": 2, "net": 3, "ipc": 4, "uts": 5}
