"""Live reload in the background: a process of its own, as long as there is the project."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.e2e.test_watch import RULE, eventually, inside, logs, project, watch

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

ECHO = RULE.replace('[sleep, "1000"]', "[sh, -c, 'echo $$(cat /app/a.txt); exec sleep 1000']")
# `watch --background` and its arguments are in the environment, which is not for everybody to read.
WATCHER = "PYCOMPOSE_WATCH"


def begun(host: Host, folder: Path) -> None:
    """Start to watch in the background."""
    said = host.run("watch", "-d", cwd=folder).ok().stdout
    assert "Watching in the background, process " in said


def test_background(busy: Host) -> None:
    """It watches, is shown, keeps others away, and goes with the project."""
    folder = project(busy, ECHO)
    begun(busy, folder)
    assert logs(busy, folder) == ["one"]
    (folder / "src/a.txt").write_text("two")
    eventually(lambda: inside(busy, folder, "cat /app/a.txt"), "two")
    assert busy.run("ls").ok().stdout.splitlines()[1].split()[1:3] == ["running(1),", "watched"]
    assert "watched in the background by process" in busy.run("ps", cwd=folder).ok().stderr
    assert "watch --stop" in busy.run("watch", cwd=folder).exited(1).stderr
    busy.process(WATCHER)
    busy.run("down", "-t", "0", cwd=folder).ok()
    eventually(lambda: busy.processes(WATCHER), [])


def test_stop(busy: Host) -> None:
    """`--stop` ends it, and nobody else; a second time there is nothing to end."""
    folder = project(busy)
    begun(busy, folder)
    begun(busy, folder)
    busy.run("watch", "--stop", cwd=folder).ok()
    assert busy.processes(WATCHER) == []
    assert "is not watched" in busy.run("watch", "--stop", cwd=folder).exited(1).stderr
    (folder / "src/a.txt").write_text("two")
    running = watch(busy, folder, "--no-up")
    assert inside(busy, folder, "cat /app/a.txt") == "two"
    running.interrupt()
    assert running.wait() == 130
    busy.run("down", "-t", "0", cwd=folder).ok()


def test_stopped_and_started(busy: Host) -> None:
    """It rests with the containers, and is there before they start again."""
    folder = project(busy, ECHO)
    begun(busy, folder)
    busy.run("stop", "-t", "0", cwd=folder).ok()
    eventually(lambda: busy.processes(WATCHER), [])
    (folder / "src/a.txt").write_text("two")
    busy.run("start", cwd=folder).ok()
    eventually(lambda: logs(busy, folder), ["one", "two"])
    busy.process(WATCHER)
    busy.run("down", "-t", "0", cwd=folder).ok()


def test_killed(busy: Host) -> None:
    """Killed, it is started again; it outlives the supervisor; after both have died the next one starts both."""
    folder = project(busy)
    begun(busy, folder)
    first = busy.process(WATCHER)
    os.kill(first, signal.SIGKILL)
    (folder / "src/a.txt").write_text("two")
    eventually(lambda: inside(busy, folder, "cat /app/a.txt"), "two")
    second = busy.process(WATCHER, first)
    supervisor = busy.process("pycompose.supervisor")
    os.kill(supervisor, signal.SIGKILL)
    (folder / "src/a.txt").write_text("three")
    eventually(lambda: inside(busy, folder, "cat /app/a.txt"), "three")
    supervisor = busy.process("pycompose.supervisor", supervisor)
    assert busy.process(WATCHER) == second
    os.kill(second, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    (folder / "src/a.txt").unlink()
    eventually(lambda: inside(busy, folder, "ls /app"), "")
    busy.process(WATCHER)
    busy.run("down", "-t", "0", cwd=folder).ok()


def test_refused(busy: Host) -> None:
    """A compose file that can't be read again, and one that is broken by now."""
    folder = project(busy)
    text = (folder / "compose.yaml").read_text()
    result = busy.run("-f", "-", "watch", "-d", cwd=folder, stdin=text).exited(1)
    assert "on standard input" in result.stderr
    running = watch(busy, folder)
    assert "process with PID" in busy.run("watch", "-d", cwd=folder).exited(1).stderr
    running.interrupt()
    running.wait()
    busy.run("down", "-t", "0", cwd=folder).ok()
