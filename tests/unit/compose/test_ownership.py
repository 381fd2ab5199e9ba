"""Whose a project is: taking the lock, and only looking at it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.paths import StatePaths
from pycompose.state.abandoned import clear_abandoned
from pycompose.state.ownership import is_held, lock

if TYPE_CHECKING:
    from pathlib import Path


def test_who_only_looks_leaves_nothing(tmp_path: Path) -> None:
    """A lock made by looking would keep the directory of a project that is being removed."""
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    run = paths.project_run("demo")
    assert not is_held(paths, "demo")
    run.mkdir(parents=True)
    assert not is_held(paths, "demo")
    assert os.listdir(run) == []
    fd = lock(paths, "demo")
    assert fd is not None
    assert is_held(paths, "demo")
    os.close(fd)
    assert not is_held(paths, "demo")


def test_a_directory_that_never_got_a_lock_is_cleared_away(tmp_path: Path) -> None:
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    paths.project_run("demo").mkdir(parents=True)
    clear_abandoned(paths)
    assert not paths.project_run("demo").exists()
