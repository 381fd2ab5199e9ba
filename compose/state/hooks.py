"""Which `pre_start` hooks have succeeded: `projects/NAME/hooks.json`, until `down`. The keys are startup.hook_key's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.statefiles import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths


def hooks_done(paths: StatePaths, project: str) -> frozenset[str]:
    """Return the keys of the hooks that have succeeded; raises StateError."""
    try:
        return frozenset(read_json(_file(paths, project))["done"])
    except FileNotFoundError:
        return frozenset()


def note_hook_done(paths: StatePaths, project: str, key: str) -> None:
    """Add a key; one caller at a time."""
    write_json(_file(paths, project), {"done": sorted({*hooks_done(paths, project), key})})


def _file(paths: StatePaths, project: str) -> Path:
    return paths.project(project) / "hooks.json"
