"""Rules of a project: checked, completed, and what they make of a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pycompose.config.bind_parts import watch_rules
from pycompose.config.tree import Map
from pycompose.engine.errors import PycomposeError
from pycompose.errors import ConfigError, Location
from pycompose.model import Build, Hook, Project, Service, ServiceVolume, WatchRule
from pycompose.watch.errands import changed_text
from pycompose.watch.manifest import SourceManifest
from pycompose.watch.rules import FileRule, rules_of
from pycompose.watch.view import View

from tests.unit.config import ours

if TYPE_CHECKING:
    from pathlib import Path


def project(*rules: WatchRule, **service: Any) -> Project:
    """Return a project with one service."""
    return Project(name="demo", directory="/p", services={"web": Service(name="web", watch=rules, **service)})


def one(**rule: Any) -> FileRule:
    """Return one rule made of its keys."""
    given = {"path": "/p/src", "action": "sync", "target": "/app", **rule}
    (made,) = rules_of(project(WatchRule(**given)), ()).rules
    return made


def test_places() -> None:
    """A path below the rule's, or that itself, has a place in the container."""
    rule = one()
    assert rule.place("/p/src/a/b") == "/app/a/b"
    assert rule.place("/p/src") == "/app"
    assert rule.relative("/p/srcs") is None
    assert one(path="/").relative("/x") == "x"
    assert one(path="src/../lib").path == "/p/lib"
    assert one(target="/app/").target == "/app"


def test_triggers() -> None:
    """Without patterns everything is one."""
    assert one().triggered(["/p/src/a"])
    some = one(extensions={"x-trigger": ["*.conf"]})
    assert some.triggered(["/p/src/a", "/p/src/b.conf"])
    assert not some.triggered(["/p/src/a"])


@pytest.mark.parametrize(
    ("rule", "message"),
    (
        ({"action": "fly"}, "unknown action 'fly'"),
        ({"path": ""}, "a path is missing"),
        ({"target": ""}, "action sync needs a target"),
        ({"target": "app"}, "not an absolute path"),
        ({"action": "rebuild", "target": ""}, "without a build context"),
        ({"action": "sync+exec"}, "needs a command"),
        ({"action": "sync+exec", "exec": Hook(command=())}, "needs a command"),
        ({"extensions": {"x-on-unmatched": "rebuild"}}, "has no meaning for action sync"),
        ({"extensions": {"x-signal": "SIGWAVE"}}, "is no signal"),
        ({"extensions": {"x-signal": 99}}, "is no signal"),
        ({"extensions": {"x-signal": ["HUP"]}}, "x-signal: found a list, expected a string"),
        ({"extensions": {"x-chown": {"user": 1}}}, "x-chown: found a mapping, expected a string"),
        ({"extensions": {"x-sync-back": 3}}, "x-sync-back: expected a pattern or a list of them"),
        ({"extensions": {"x-trigger": ["*.conf", 3]}}, "x-trigger: expected a pattern"),
        ({"ignore": ("[a-",)}, "syntax error in pattern"),
    ),
)
def test_refused(rule: dict[str, Any], message: str) -> None:
    """What can't be followed, with its place."""
    with pytest.raises(PycomposeError, match=message) as caught:
        one(**rule)
    assert "services.web.develop.watch[0]" in str(caught.value)


def test_refused_with_its_place() -> None:
    """File, line and column of the rule."""
    rule = WatchRule(
        path="/p/src", action="sync", target="app", at=Location(file="compose.yaml", line=8, column=11)
    )
    with pytest.raises(
        ConfigError, match=r"^compose\.yaml:8:11: services\.web\.develop\.watch\[0\]: target 'app' is"
    ):
        rules_of(project(rule), ())


def test_the_whole_root_is_a_target() -> None:
    """As in Compose: nothing is taken away but what has been put there."""
    rule = one(target="/")
    assert rule.place("/p/src/etc/a") == "/etc/a"
    assert rule.source("/etc/a") == "/p/src/etc/a"
    assert one().source("/app/a") == "/p/src/a"
    assert one().source("/apple") is None


def test_refused_builds() -> None:
    """`--no-build` and a rebuild rule; words of x-on-unmatched."""
    build = Build(context="/p")
    rule = WatchRule(path="/p/src", action="rebuild")
    with pytest.raises(PycomposeError, match="--no-build"):
        rules_of(project(rule, build=build), (), no_build=True)
    wrong = WatchRule(path="/p/src", action="rebuild", extensions={"x-on-unmatched": "maybe"})
    with pytest.raises(PycomposeError, match="write rebuild or ignore"):
        rules_of(project(wrong, build=build), ())


def test_selected_services() -> None:
    """Rules of those that are named, else of all; nobody named who has any is an error."""
    rule = WatchRule(path="/p/src", action="sync", target="/app")
    services = {name: Service(name=name, watch=(rule,)) for name in ("web", "api")}
    found = Project(name="demo", directory="/p", services={**services, "db": Service(name="db")})
    assert rules_of(found, ("api",)).services == ("api",)
    assert rules_of(found, ()).services == ("web", "api")
    assert rules_of(found, ("db", "web")).services == ("web",)
    with pytest.raises(PycomposeError, match="none of the selected services is configured for watch"):
        rules_of(found, ("db",))


def test_a_relative_target_is_refused_by_who_follows_it(tmp_path: Path) -> None:
    """`config` prints it, as Compose does."""
    watch = "[{path: src, action: sync, target: app}]"
    (tmp_path / "compose.yaml").write_text(f"services: {{web: {{image: x, develop: {{watch: {watch}}}}}}}")
    said = ours.run(("config",), tmp_path, {})
    assert (said.code, "target: app" in said.out) == (0, True)
    loaded = ours.load_project(("config",), tmp_path, {})
    with pytest.raises(ConfigError, match="target 'app' is not an absolute path"):
        rules_of(loaded.runnable, ())


def test_what_a_build_leaves_out(tmp_path: Path) -> None:
    """The Dockerfile's own list, else the context's; nothing where there is no build, or the path lies elsewhere."""
    context = tmp_path / "context"
    (context / "src").mkdir(parents=True)
    (context / ".dockerignore").write_text("*.md\nsrc/a\n")
    build = Build(context=str(context), tree={"context": str(context)})
    inside = WatchRule(path=f"{context}/src", action="sync", target="/app")
    outside = WatchRule(path=str(tmp_path), action="sync", target="/all")

    def taken(*paths: str, **service: Any) -> list[bool]:
        rules = rules_of(project(inside, outside, **service), ()).rules
        return [rule.takes(f"{context}/src/{path}") for rule in rules for path in paths]

    assert taken("a", "b", build=build) == [False, True, True, True]
    assert taken("a", "b") == [True, True, True, True]
    (context / "Dockerfile.dockerignore").write_text("src/b\n")
    assert taken("a", "b", build=build) == [True, False, True, True]


def test_remarks() -> None:
    """Unknown extensions, the old spelling of initial_sync, and mounts are said."""
    rule = WatchRule(
        path="/p/src", action="sync", target="/app", extensions={"x-initialSync": False, "x-mine": 1}
    )
    found = rules_of(project(rule), ())
    assert found.warnings == (
        "services.web.develop.watch[0]: x-mine has no effect",
        "services.web.develop.watch[0]: x-initialSync is deprecated: write initial_sync",
    )
    assert not found.rules[0].initial
    vain = WatchRule(path="/p/src", action="restart", exec=Hook(command=("x",)))
    assert rules_of(project(vain), ()).warnings == (
        "services.web.develop.watch[0]: exec has no effect: action restart runs no command",
    )
    vain = WatchRule(path="/p/src", action="sync", target="/app", extensions={"x-trigger": "*.conf"})
    assert rules_of(project(vain), ()).warnings == (
        "services.web.develop.watch[0]: x-trigger has no effect: nothing follows action sync",
    )
    mount = ServiceVolume(kind="bind", source="/p", target="/all")
    found = rules_of(project(WatchRule(path="/p/src", action="sync", target="/app"), volumes=(mount,)), ())
    assert found.rules == ()
    assert found.warnings == (
        "services.web.develop.watch[0]: /p/src is mounted on /all: nothing has to be copied",
    )


def test_old_spelling() -> None:
    """`x-develop` is read; texts may be one or a list."""
    node = Map(
        {"x-develop": {"watch": [{"path": "src", "action": "sync", "target": "/app", "ignore": "*.md"}]}}
    )
    (rule,) = watch_rules(node)
    assert (rule.path, rule.ignore, rule.initial_sync) == ("src", ("*.md",), None)
    assert watch_rules(Map({"x-develop": "nothing"})) == ()


def test_initial_sync(tmp_path: Path) -> None:
    """Without it a file counts when it has changed."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    rule = one(path=str(tmp_path), initial_sync=False)
    manifest = SourceManifest([str(tmp_path)], lambda _: True)
    manifest.scan()
    view = View([rule])
    view.fill(manifest)
    assert {place: item.held for place, item in view.items.items()} == {"/app/a": True, "/app/b": True}
    (tmp_path / "b").write_text("22")
    assert view.update(manifest.scan(), manifest) >= {"/app/b"}
    assert not view.items["/app/b"].held
    assert view.origin("/app/c/d") == (rule, f"{tmp_path}/c/d")
    assert view.origin("/other") is None


def test_patterns_count_from_the_first_copy_on(tmp_path: Path) -> None:
    """What is there when the watcher starts is chosen as what changes later is: by its whole path."""
    for name in ("a.py", "a.txt", "deep/no/b.py", "deep/b.py", "no/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    rule = one(path=str(tmp_path), include=("**/*.py",), ignore=("deep/no",))
    manifest = SourceManifest([str(tmp_path)], lambda _: True)
    manifest.scan()
    view = View([rule])
    view.fill(manifest)
    assert sorted(view.items) == ["/app/a.py", "/app/deep/b.py", "/app/no/c.py"]


def test_single_file(tmp_path: Path) -> None:
    """The target is the file itself."""
    file = tmp_path / "a"
    rule = one(path=str(file), target="/etc/a.conf")
    manifest = SourceManifest([str(file)], lambda _: True)
    manifest.scan()
    view = View([rule])
    view.fill(manifest)
    assert view.items == {}
    file.write_text("1")
    assert view.update(manifest.scan(), manifest) == {"/etc/a.conf"}
    file.unlink()
    assert view.update(manifest.scan(), manifest) == {"/etc/a.conf"}
    assert view.items == {}


def test_what_a_variable_holds() -> None:
    """A path per line, as many as fit."""
    assert changed_text(["/a", "/b"]) == "/a\n/b"
    long = [f"/{'x' * 200}{number}" for number in range(1000)]
    assert 90_000 < len(changed_text(long)) < 100_000
