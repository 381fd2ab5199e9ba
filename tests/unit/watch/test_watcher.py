"""The watcher's loop, without containers: which rules are followed for a change, and in which order."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pycompose.client.context import Context
from pycompose.engine.paths import StatePaths
from pycompose.model import Build, Hook, Project, Service, WatchRule
from pycompose.watch.mirror import SyncOutcome
from pycompose.watch.options import WatchOptions
from pycompose.watch.rules import rules_of
from pycompose.watch.watcher import MANY, Watcher

from tests.unit.policy.examples import container

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from pycompose.watch.reports import WatchReport
    from pycompose.watch.rules import FileRule
    from pycompose.watch.view import View


class Hands:
    """Containers, errands and what wakes the watcher: they do nothing, and `asked` is what they should have done."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.directories: set[str] = set()
        self.anew = 0

    def of(self, service: str) -> Iterator[Any]:
        """Yield the one running container of a service."""
        mirror = SimpleNamespace(behind=lambda _view: set())
        yield SimpleNamespace(
            container=container(service), running=True, starting=False, reasons={}, mirror=mirror
        )

    def refresh(self) -> None:
        """They are always the same."""

    def bring(self, replica: Any, view: View, places: set[str] | None) -> SyncOutcome:
        """Note the places, and say that all of them have been written."""
        service = replica.container.service
        outcome = SyncOutcome()
        if places is None:
            self.asked.append(("catch up", service))
            return outcome
        self.asked.append(("sync", service, *sorted(places)))
        for place in places:
            if found := view.origin(place):
                outcome.wrote(*found)
        return outcome

    def after_sync(self, rule: FileRule, places: Iterable[str]) -> None:
        """Note whose action is to follow."""
        self.asked.append(("follow", rule.service, rule.action))

    def rebuild(self, services: Iterable[str]) -> None:
        """Note who is to be built."""
        self.asked.append(("build", *services))

    def watch(self, directories: Collection[str], *, anew: bool = False) -> None:
        """Note what is to be watched, and how often that is to be begun anew."""
        self.directories = set(directories)
        self.anew += anew


class Desk:
    """A watcher whose hands are tied, and that is told of changes by hand."""

    def __init__(self, folder: Path, **services: tuple[WatchRule, ...]) -> None:
        self.source = folder / "src"
        self.source.mkdir()
        made = {
            name: Service(name=name, build=Build(context=str(folder)), watch=rules)
            for name, rules in services.items()
        }
        rules = rules_of(Project(name="demo", directory=str(folder), services=made), ())
        paths = StatePaths(root=folder / "root", run=folder / "run")
        context = Context(paths=paths, sink=lambda _event: None)
        loaded = cast("Any", SimpleNamespace(name="demo", runnable=None))
        self.told: list[WatchReport] = []
        self.watcher = Watcher(context, loaded, rules, WatchOptions(), self.told.append)
        self.hands = Hands()
        tied = cast("Any", self.watcher)
        tied._errands = tied._wakeup = tied._deliveries._errands = tied._deliveries._replicas = self.hands
        self.watcher._manifest.scan()
        for view in self.watcher._deliveries.views.values():
            view.fill(self.watcher._manifest)
        self.watcher._deliveries.enabled = True

    def write(self, name: str) -> list[tuple[str, ...]]:
        """Write a file and tell of it; return what that leads to."""
        path = self.source / name
        path.write_text("x")
        return self.hear([str(path)])

    def hear(self, paths: list[str]) -> list[tuple[str, ...]]:
        """Tell of paths; return what that leads to."""
        self.hands.asked = []
        self.watcher.touched(paths, paths)
        self.watcher._on_heard()
        return self.hands.asked


SYNC = WatchRule(path="src", action="sync", target="/app")


def test_a_build_takes_the_place_of_its_services_sync(tmp_path: Path) -> None:
    """Other services get their files; what changes during the build comes after it."""
    desk = Desk(
        tmp_path, web=(SYNC, WatchRule(path="src", action="rebuild", include=("Dockerfile",))), api=(SYNC,)
    )
    assert desk.write("Dockerfile") == [
        ("sync", "api", "/app/Dockerfile"), ("follow", "api", "sync"), ("build", "web"),
    ]  # fmt: skip
    assert desk.write("a") == [("sync", "api", "/app/a"), ("follow", "api", "sync")]
    desk.hands.asked = []
    desk.watcher._on_rebuilt(("web",))
    assert desk.hands.asked == [("catch up", "web")]
    assert ("sync", "web", "/app/b") in desk.write("b")


def test_builds_are_one_for_all(tmp_path: Path) -> None:
    """Those services whose rules fit, and no other."""
    rebuild = WatchRule(path="src", action="rebuild", include=("a",))
    desk = Desk(
        tmp_path, web=(rebuild,), api=(rebuild,), db=(WatchRule(path="src", action="rebuild", ignore=("a",)),)
    )
    assert desk.write("a") == [("build", "web", "api")]


def test_every_rule_that_fits_is_followed(tmp_path: Path) -> None:
    """Not only the first one; the files are there before anything follows."""
    rules = (
        SYNC,
        WatchRule(path="src", action="sync+exec", target="/other", exec=Hook(command=("true",))),
        WatchRule(path="src", action="sync+restart", target="/third"),
        WatchRule(path="src", action="restart"),
        WatchRule(path="src", action="sync", target="/none", ignore=("a",)),
    )
    assert Desk(tmp_path, web=rules).write("a") == [
        ("sync", "web", "/app/a", "/other/a", "/third/a"),
        ("follow", "web", "sync"),
        ("follow", "web", "sync+exec"),
        ("follow", "web", "sync+restart"),
        ("follow", "web", "restart"),
    ]


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    """It is said once, with the reason, and the rest goes on."""
    desk = Desk(tmp_path, web=(SYNC,))
    closed = str(desk.source / "closed")
    desk.watcher._manifest.unreadable[closed] = "Permission denied"
    assert desk.write("a")
    assert desk.write("b")
    assert [report.text for report in desk.told if report.kind == "warning"] == [
        f"{closed}: cannot be looked at: Permission denied"
    ]


def test_what_no_rule_is_about_is_not_watched(tmp_path: Path) -> None:
    """Directories that are ignored, and what is git's own, cost nothing, however many they are."""
    sync = WatchRule(path="src", action="sync", target="/app", ignore=("node_modules",))
    desk = Desk(tmp_path, web=(sync,))
    for name in ("node_modules/deep", ".git/objects", "mine"):
        (desk.source / name).mkdir(parents=True)
    desk.hear([str(desk.source / name) for name in ("node_modules", ".git", "mine")])
    assert desk.hands.directories == {str(tmp_path), str(desk.source), str(desk.source / "mine")}


@pytest.mark.parametrize("scan", (False, True))
def test_what_no_event_has_named(tmp_path: Path, *, scan: bool) -> None:
    """After very many events, and when it is asked for, everything is compared, and all watches are made anew."""
    desk = Desk(tmp_path, web=(SYNC,))
    (desk.source / "lost").write_text("x")
    if scan:
        desk.watcher.recheck(None)
        desk.watcher._on_heard()
    else:
        assert desk.hear([str(desk.source / "gone")]) == []
        desk.hear([str(desk.source / f"gone{number}") for number in range(MANY + 1)])
    assert ("sync", "web", "/app/lost") in desk.hands.asked
    assert desk.hands.anew == 1


def releases(folder: Path) -> None:
    """Make two releases, with a link to the first; a file of both looks the same."""
    for number, names in (("1", ("a", "b")), ("2", ("a", "c"))):
        (folder / "releases" / number).mkdir(parents=True)
        for name in names:
            (folder / "releases" / number / name).write_text(number)
            os.utime(folder / "releases" / number / name, ns=(1, 1))
    (folder / "current").symlink_to("releases/1")


def turn(link: Path, to: str) -> None:
    """Turn a link at once, as tools for releases do."""
    beside = link.with_name("beside")
    beside.symlink_to(to)
    beside.replace(link)


ALL_OF_BOTH = ("sync", "web", "/app/a", "/app/b", "/app/c")


def test_a_link_that_is_turned(tmp_path: Path) -> None:
    """What it has led to goes, what it leads to comes and is watched, and may come later."""
    releases(tmp_path)
    link = tmp_path / "current"
    desk = Desk(tmp_path, web=(WatchRule(path="current", action="sync", target="/app"),))
    assert str(tmp_path) in desk.watcher._manifest.directories
    turn(link, "releases/2")
    assert desk.hear([str(link)]) == [ALL_OF_BOTH, ("follow", "web", "sync")]
    assert desk.hands.directories >= {str(tmp_path), str(tmp_path / "releases/2")}
    assert desk.hear([str(link)]) == []
    (tmp_path / "releases/2/d").write_text("x")
    assert ("sync", "web", "/app/d") in desk.hear([str(tmp_path / "releases/2/d")])
    turn(link, "releases/3")
    assert ("sync", "web", "/app/a", "/app/c", "/app/d") in desk.hear([str(link)])
    (tmp_path / "releases/3").mkdir()
    (tmp_path / "releases/3/e").write_text("x")
    assert ("sync", "web", "/app/e") in desk.hear([str(tmp_path / "releases/3")])


def test_links_on_the_way(tmp_path: Path) -> None:
    """Above the path, in a row, and one that takes a directory's place; no event needs to tell of it."""
    releases(tmp_path)
    (tmp_path / "latest").symlink_to("current")
    (tmp_path / "up").symlink_to(".")
    desk = Desk(tmp_path, web=(WatchRule(path="up/latest", action="sync", target="/app"),))
    turn(tmp_path / "current", "releases/2")
    assert ALL_OF_BOTH in desk.hear([str(tmp_path / "current")])
    (tmp_path / "releases/2").rename(tmp_path / "releases/old")
    (tmp_path / "releases/2").symlink_to("1")
    desk.hands.asked = []
    desk.watcher.recheck(None)
    desk.watcher._on_heard()
    assert ALL_OF_BOTH in desk.hands.asked


def test_a_file_behind_links(tmp_path: Path) -> None:
    """As a mounted configuration is: both links lead to it, and the inner one is turned."""
    releases(tmp_path)
    (tmp_path / "conf").symlink_to("current/a")
    rules = (
        WatchRule(path="conf", action="sync+restart", target="/conf"),
        WatchRule(path="current", action="rebuild"),
    )
    desk = Desk(tmp_path, web=rules[:1], api=rules[1:])
    turn(tmp_path / "current", "releases/2")
    assert desk.hear([str(tmp_path / "current")]) == [
        ("sync", "web", "/conf"),
        ("follow", "web", "sync+restart"),
        ("build", "api"),
    ]


def test_what_was_left_alone_stays_so(tmp_path: Path) -> None:
    """With `initial_sync: false` a turn brings what it leads to; a rule beside it isn't concerned."""
    releases(tmp_path)
    rules = (
        WatchRule(path="current", action="sync", target="/app", initial_sync=False),
        WatchRule(path="releases/1", action="sync", target="/other", initial_sync=False),
    )
    desk = Desk(tmp_path, web=rules)
    turn(tmp_path / "current", "releases/2")
    assert ALL_OF_BOTH in desk.hear([str(tmp_path / "current")])
    assert desk.watcher._deliveries.views["web"].items["/other/a"].held
