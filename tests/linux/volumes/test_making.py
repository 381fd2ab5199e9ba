"""A volume that is made of something comes into being whole, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import AlreadyExists, VolumeError
from pycompose.volumes.store import VolumeSpec, VolumeStore

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths


def test_nobody_sees_it_before_it_is_whole(host_paths: StatePaths) -> None:
    """Who clears away what others have left leaves it alone, and it survives them."""
    store = VolumeStore(host_paths)
    with store.making(VolumeSpec(name="new", labels={"a": "b"})) as data:
        (data / "file").write_text("half", encoding="ascii")
        store.sweep()
        assert store.get("new") is None
        assert store.all() == []
        (data / "file").write_text("whole", encoding="ascii")
    state = store.get("new")

    assert state is not None
    assert (state.name, state.labels, state.options) == ("new", {"a": "b"}, {})
    assert (store.data("new") / "file").read_text(encoding="ascii") == "whole"
    assert os.listdir(host_paths.volumes) == ["new"]
    store.remove("new")


def test_nothing_is_left_of_one_that_fails(host_paths: StatePaths) -> None:
    """Nor of one whose name somebody else took meanwhile, who keeps it."""
    store = VolumeStore(host_paths)
    with pytest.raises(OSError, match="nowhere"), store.making(VolumeSpec(name="new")) as data:
        (data / "nowhere/file").touch()
    assert os.listdir(host_paths.volumes) == []
    with pytest.raises(AlreadyExists), store.making(VolumeSpec(name="new")):
        store.ensure(VolumeSpec(name="new", labels={"whose": "others"}))
    for wrong, error in (("new", AlreadyExists), ("a/b", VolumeError)):
        with pytest.raises(error), store.making(VolumeSpec(name=wrong)):
            pass
    state = store.get("new")

    assert state is not None
    assert state.labels == {"whose": "others"}
    assert os.listdir(host_paths.volumes) == ["new"]
    store.remove("new")


def test_what_a_killed_one_has_left_is_cleared_away(host_paths: StatePaths) -> None:
    """Its lock is gone with it."""
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="other"))
    (host_paths.volumes / ".new.0000/_data").mkdir(parents=True)
    store.sweep()

    assert os.listdir(host_paths.volumes) == ["other"]
    store.remove("other")
