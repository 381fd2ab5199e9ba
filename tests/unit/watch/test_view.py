"""What the rules of a service make of a tree: two rules for one place, and what a container doesn't get."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pycompose.watch.manifest import SourceManifest
from pycompose.watch.matching import Matcher
from pycompose.watch.rules import FileRule
from pycompose.watch.view import View

if TYPE_CHECKING:
    from pathlib import Path


class Seen:
    """Rules over a tree: each (path, target)."""

    def __init__(self, top: Path, *rules: tuple[str, str]) -> None:
        self._top = top
        made = [
            FileRule(
                service="web",
                index=index,
                action="sync",
                path=str(top / path),
                target=target,
                matcher=Matcher((), (), "", None),
            )
            for index, (path, target) in enumerate(rules)
        ]
        self._manifest = SourceManifest([rule.path for rule in made], lambda _: True)
        self._manifest.scan()
        self._view = View(made)
        self._view.fill(self._manifest)

    def items(self) -> dict[str, str]:
        """Look anew; return what belongs where."""
        self._view.update(self._manifest.scan(), self._manifest)
        items = self._view.items.items()
        return {place: os.path.relpath(item.source(place), self._top) for place, item in items}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Make two trees."""
    for name in ("src/a", "src/sub/b", "lib/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_two_rules_for_one_place(top: Path) -> None:
    """The last one wins; when its file goes, the other one's is back."""
    seen = Seen(top, ("src", "/app"), ("lib", "/app"))
    assert seen.items()["/app/a"] == "lib/a"
    (top / "lib/a").unlink()
    assert seen.items()["/app/a"] == "src/a"
    (top / "src/a").unlink()
    assert "/app/a" not in seen.items()


def test_a_rule_below_another(top: Path) -> None:
    """The directory that is one's path is in the other, and goes with it."""
    seen = Seen(top, ("src", "/app"), ("src/sub", "/app/sub"))
    assert seen.items() == {"/app/a": "src/a", "/app/sub": "src/sub", "/app/sub/b": "src/sub/b"}
    (top / "src/sub/b").unlink()
    (top / "src/sub").rmdir()
    assert seen.items() == {"/app/a": "src/a"}


def test_a_file_that_becomes_a_fifo(top: Path) -> None:
    """A container doesn't get it, nor does it keep the file."""
    seen = Seen(top, ("src", "/app"))
    (top / "src/a").unlink()
    os.mkfifo(top / "src/a")
    assert "/app/a" not in seen.items()
    (top / "src/a").unlink()
    (top / "src/a").write_text("")
    assert seen.items()["/app/a"] == "src/a"
