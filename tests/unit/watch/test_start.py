"""The project before it is watched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pycompose.client import build, changes
from pycompose.client.options import BuildOptions, UpOptions
from pycompose.model import Build, Project, Service, WatchRule
from pycompose.watch.rules import rules_of
from pycompose.watch.start import bring_up

if TYPE_CHECKING:
    import pytest


def test_what_has_a_rebuild_rule_is_built_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is an image or not; others are built when they have none. Then those that are named come up."""
    done: list[object] = []
    monkeypatch.setattr(build, "build", lambda _context, _project, options: done.append(options))
    monkeypatch.setattr(changes, "up", lambda _context, _loaded, options: done.append(options))
    again = WatchRule(path="/p", action="rebuild")
    only = WatchRule(path="/p", action="sync", target="/app")
    services = {
        name: Service(name=name, build=Build(context="/p"), watch=rules)
        for name, rules in {"a": (only, again), "b": (only,), "c": (again, again)}.items()
    }
    rules = rules_of(Project(name="demo", directory="/p", services=services), ("a", "b"))
    loaded = cast("Any", SimpleNamespace(name="demo", runnable=None))

    bring_up(cast("Any", None), loaded, rules, ("a", "b"), quiet=True)

    assert done == [
        BuildOptions(services=("a",), quiet=True),
        UpOptions(services=("a", "b"), quiet_build=True),
    ]
