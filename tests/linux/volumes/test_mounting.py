"""Volumes that are mounts: never emptied, whatever is mounted where, whoever was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import VolumeError
from pycompose.engine.statedirs import make_directory
from pycompose.volumes.mounting import hold, release
from pycompose.volumes.removal import is_mount, remove_tree
from pycompose.volumes.store import VolumeSpec, VolumeState, VolumeStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Make a directory of the user's."""
    (tmp_path / "canary/deep").mkdir(parents=True)
    (tmp_path / "canary/deep/file").write_text("precious", encoding="ascii")
    return tmp_path / "canary"


@pytest.fixture
def volume(host_paths: StatePaths, canary: Path) -> Iterator[VolumeState]:
    """Make a volume that is a bind of the canary, and two containers."""
    for container_id in (ONE, TWO):
        make_directory(host_paths.container(container_id))
    options = {"type": "none", "o": "bind", "device": str(canary)}
    yield VolumeStore(host_paths).ensure(VolumeSpec(name="v", options=options))
    for container_id in (ONE, TWO):
        release(host_paths, container_id)
        shutil.rmtree(host_paths.container(container_id), ignore_errors=True)
    VolumeStore(host_paths).remove("v")


@contextlib.contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    """Mount a directory by hand, as an administrator does."""
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def test_it_is_mounted_from_the_first_user_to_the_last(host_paths: StatePaths, volume: VolumeState) -> None:
    """Two users, one mount; a second `hold` of one user counts once."""
    data = VolumeStore(host_paths).data("v")
    for container_id in (ONE, ONE, TWO):
        hold(host_paths, [volume], container_id)
    assert os.listdir(data) == ["deep"]
    release(host_paths, ONE)
    assert is_mount(data)
    release(host_paths, TWO)
    assert not is_mount(data)
    assert os.listdir(data) == []


def test_a_killed_user_does_not_keep_it(host_paths: StatePaths, volume: VolumeState) -> None:
    """Who was killed before it could let go counts no more when its container is gone."""
    hold(host_paths, [volume], ONE)
    hold(host_paths, [volume], TWO)
    host_paths.container(ONE).rmdir()
    release(host_paths, TWO)
    assert not is_mount(VolumeStore(host_paths).data("v"))


def test_removal_spares_what_is_mounted(host_paths: StatePaths, volume: VolumeState, canary: Path) -> None:
    """A volume that a crash has left mounted is unmounted, and only then removed."""
    hold(host_paths, [volume], ONE)
    VolumeStore(host_paths).remove("v")
    assert VolumeStore(host_paths).get("v") is None
    assert (canary / "deep/file").read_text(encoding="ascii") == "precious"
    assert not host_paths.volume_users("v").exists()


def test_removal_stops_at_mounts_of_others(host_paths: StatePaths, canary: Path) -> None:
    """What somebody has mounted inside a volume is left alone, and the volume with it."""
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="plain"))
    (store.data("plain") / "a/inside").mkdir(parents=True)
    (store.data("plain") / "z").write_text("z", encoding="ascii")
    with (
        mounted(canary, store.data("plain") / "a/inside"),
        pytest.raises(VolumeError, match=r"is mounted on .*inside"),
    ):
        store.remove("plain")
    assert (canary / "deep/file").read_text(encoding="ascii") == "precious"
    assert sorted(os.listdir(store.data("plain"))) == ["a", "z"]
    store.remove("plain")
    assert not host_paths.volume("plain").exists()


def test_deep_trees_are_removed(tmp_path: Path) -> None:
    """A container may nest directories deeper than paths and recursion go."""
    top = tmp_path / "tree"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    remove_tree(top)
    assert not top.exists()


def test_a_failed_mount_leaves_no_user(host_paths: StatePaths) -> None:
    """The error names the volume, the options without passwords, and what the kernel says."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "password=secret,size=1m"}
    volume = VolumeStore(host_paths).ensure(VolumeSpec(name="v", options=options))
    with pytest.raises(
        VolumeError, match=r"volume v: cannot mount it .*password=\*+,size=1m.*[Uu]nknown parameter"
    ) as info:
        hold(host_paths, [volume], ONE)
    assert "secret" not in str(info.value)
    assert os.listdir(host_paths.volume_users("v")) == []
    VolumeStore(host_paths).remove("v")
