"""What follows a sync, and builds: each once per silence, in its order, and with what the rule says."""

from __future__ import annotations

import os
import queue
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pycompose.client import build, changes, sessions
from pycompose.client.context import Context
from pycompose.client.options import RestartOptions, UpOptions
from pycompose.engine.errors import PycomposeError
from pycompose.engine.paths import StatePaths
from pycompose.model import Hook
from pycompose.watch import silence
from pycompose.watch.errands import Errands
from pycompose.watch.matching import Matcher
from pycompose.watch.rules import FileRule

from tests.unit.policy.examples import container

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.client.options import ExecOptions
    from pycompose.watch.reports import WatchReport


class Command:
    """A command that has printed a line and ended."""

    def __init__(self, code: int) -> None:
        self.stdout, self.stderr = _printed(b"out\n"), _printed(b"")
        self._code = code

    def wait(self) -> int:
        """Return the exit code."""
        return self._code

    def close(self) -> None:
        """Let go of the streams."""
        os.close(self.stdout)
        os.close(self.stderr)


def _printed(data: bytes) -> int:
    """Return the end of a pipe that `data` can be read from."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


class Desk:
    """Errands of a service with two replicas; `done` has what came of them, in order, `told` what was said."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[WatchReport] = queue.SimpleQueue()
        self.code = 0
        self.together: threading.Barrier | None = None
        self.failure: PycomposeError | None = None
        # All that a test asks for comes within it, however slow the machine is.
        patch.setattr(silence, "QUIET_S", 0.3)
        patch.setattr(changes, "restart", lambda _context, _name, _loaded, options: self.done.put(options))
        patch.setattr(changes, "up", lambda _context, _loaded, options: self.done.put(options))
        patch.setattr(sessions, "exec_", lambda _context, _name, options: self._exec(options))
        patch.setattr(build, "build_images", lambda _context, _project, services, **_: self._build(services))
        paths = StatePaths(root=folder / "root", run=folder / "run")
        self.errands = Errands(
            Context(paths=paths, sink=lambda _event: None),
            cast("Any", SimpleNamespace(name="demo", runnable=None)),
            self.told.put,
            lambda service: [container(service, 1), container(service, 2)],
            lambda services: self.done.put(("over", services)),
            quiet=True,
            prune=False,
        )

    def next(self) -> Any:
        """Return what is done next."""
        return self.done.get(timeout=20)

    def said(self, kind: str) -> WatchReport:
        """Return the next report of a kind."""
        while (report := self.told.get(timeout=20)).kind != kind:
            pass
        return report

    def _exec(self, options: ExecOptions) -> Command:
        if self.together is not None:
            self.together.wait(20)
        self.done.put(options)
        return Command(self.code)

    def _build(self, services: tuple[str, ...]) -> None:
        self.done.put(("build", services))
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Make one, and wait until nothing is done any more: a slow machine may do the last thing twice."""
    before = set(threading.enumerate())
    yield Desk(tmp_path, monkeypatch)
    deadline_s = time.monotonic() + 20
    while set(threading.enumerate()) - before and time.monotonic() < deadline_s:
        time.sleep(0.01)


def rule(action: str, index: int = 0, **more: Any) -> FileRule:
    """Return a rule of the service `web`."""
    matcher = Matcher((), (), "", None)
    return FileRule(
        service="web", index=index, action=action, path="/p", target="/app", matcher=matcher, **more
    )


def test_a_command_is_run_as_its_rule_says(desk: Desk) -> None:
    """Command, user, privileges, directory and environment are the rule's; what has changed is told beside it."""
    hook = Hook(
        command=("make", "all"), user="7", privileged=True, working_dir="/srv", environment=("A=1", "B=2")
    )
    desk.errands.after_sync(rule("sync+exec", exec=hook), ["/app/x", "/app/y"])
    options = desk.next()
    assert (options.service, options.command) == ("web", ("make", "all"))
    assert (options.user, options.privileged, options.workdir) == ("7", True, "/srv")
    assert options.env == ("A=1", "B=2", "PYCOMPOSE_CHANGED=/app/x\n/app/y")
    assert desk.said("output").text == "out"


def test_a_command_is_run_in_every_replica_at_once(desk: Desk) -> None:
    """Neither waits for the other one's end."""
    desk.together = threading.Barrier(2)
    desk.errands.after_sync(rule("sync+exec", exec=Hook(command=("true",))), ["/app/x"])
    assert {desk.next().container, desk.next().container} == {
        container("web", 1).id,
        container("web", 2).id,
    }


def test_a_code_that_is_not_0_is_said_and_no_more(desk: Desk) -> None:
    """The next change runs the command once more."""
    desk.code = 3
    failing = rule("sync+exec", exec=Hook(command=("false",)))
    for _ in range(2):
        desk.errands.after_sync(failing, ["/app/x"])
        report = desk.said("exec")
        assert (report.error, report.facts["code"]) == (True, 3)
        assert "exited with 3" in report.text
        assert {desk.next().container, desk.next().container} == {
            container("web", 1).id,
            container("web", 2).id,
        }
        desk.said("exec")


def test_one_restart_and_then_the_commands(desk: Desk) -> None:
    """Whatever asks for it, and however often: a service is restarted once, a command finds the new process."""
    command = rule("sync+exec", 0, exec=Hook(command=("true",)))
    for _ in range(3):
        desk.errands.after_sync(command, ["/app/x"])
        desk.errands.after_sync(rule("sync+restart", 1), ["/app/x"])
        desk.errands.after_sync(rule("restart", 2), ())
    assert desk.next() == RestartOptions(services=("web",))
    assert [desk.next().command, desk.next().command] == [("true",), ("true",)]
    assert desk.said("restart").text == 'service(s) ["web"] restarted'
    desk.errands.after_sync(rule("restart", 2), ())
    assert desk.next() == RestartOptions(services=("web",))


def test_a_sync_asks_for_nothing_more(desk: Desk) -> None:
    """What comes next is what the next rule asks for."""
    desk.errands.after_sync(rule("sync", 0), ["/app/x"])
    desk.errands.after_sync(rule("restart", 1), ())
    assert desk.next() == RestartOptions(services=("web",))


def test_a_build_replaces_those_that_asked_for_it(desk: Desk) -> None:
    """All that are waiting for one together, without their dependencies, with their anonymous volumes."""
    desk.errands.rebuild(["web"])
    desk.errands.rebuild(["api"])
    assert desk.next() == ("build", ("web", "api"))
    replaced = desk.next()
    assert replaced == UpOptions(services=("web", "api"), no_deps=True, force_recreate=True, no_build=True)
    assert not replaced.renew_anon_volumes
    assert desk.next() == ("over", ("web", "api"))
    assert desk.said("built").text == 'service(s) ["web" "api"] successfully built'


def test_a_build_that_fails_replaces_nothing(desk: Desk) -> None:
    """It is said, whoever waits for its end is told, and the next one is tried."""
    desk.failure = PycomposeError("no such file")
    for _ in range(2):
        desk.errands.rebuild(["web"])
        assert desk.next() == ("build", ("web",))
        assert desk.next() == ("over", ("web",))
        assert desk.said("build-failed").text == "Build failed. Error: no such file"
