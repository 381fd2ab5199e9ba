"""Directories of the state are for their owner only."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pycompose.engine.paths import StatePaths
from pycompose.engine.statedirs import IN_ROOT, IN_RUN, close_to_others, make_directory


def mode(path: Path) -> int:
    """Return the permissions of `path`."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", (0, 0o022, 0o077))
def test_directories_in_between_are_closed_too(tmp_path: Path, umask: int) -> None:
    """Path.mkdir(parents=True) leaves them to the umask."""
    before = os.umask(umask)
    try:
        made = make_directory(tmp_path / "a/b/c")
        assert make_directory(made) == made
    finally:
        os.umask(before)

    assert [mode(path) for path in (made, made.parent, made.parent.parent)] == [0o700] * 3


def test_open_directories_are_closed(tmp_path: Path) -> None:
    """Both roots and the rooms below; a file system's own lost+found doesn't make it somebody else's."""
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    for path in (paths.volumes, paths.projects_run, paths.init, paths.relay, paths.root / "lost+found"):
        path.mkdir(parents=True)
        path.chmod(0o755)

    close_to_others(paths)

    assert [mode(path) for path in (paths.root, paths.run, paths.volumes, paths.projects_run)] == [0o700] * 4


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Whoever only looks leaves nothing behind."""
    close_to_others(StatePaths(root=tmp_path / "lib", run=tmp_path / "run"))

    assert list(tmp_path.iterdir()) == []


def test_every_room_is_known(tmp_path: Path) -> None:
    """One that isn't would be taken for somebody else's, and the root be left open."""
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    places = [getattr(paths, name) for name, item in vars(StatePaths).items() if isinstance(item, property)]

    known = {paths.root / name for name in IN_ROOT} | {paths.run / name for name in IN_RUN}
    unknown = {path for path in places if path.parent in (paths.root, paths.run)} - known
    assert unknown == {paths.init, paths.relay, paths.base, paths.subnets}
