"""Live reload is never stale: whatever happens outside, afterwards the trees are the same, by hash."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_watch import RULE, end, eventually, logs, project, watch
from tests.support.leftovers import PATIENCE
from tests.support.trees import Vandal, difference, read_tree

if TYPE_CHECKING:
    from tests.support.scenario import Host

SECONDS = float(os.environ.get("PYCOMPOSE_WATCH_SECONDS", "4"))
SEED = int(os.environ.get("PYCOMPOSE_WATCH_SEED", "0")) or time.time_ns() % 1_000_000
FILES = int(os.environ.get("PYCOMPOSE_WATCH_FILES", "3000"))


def roots(host: Host, folder: Path) -> list[str]:
    """Return where the roots of the running containers are, for `host.inside`."""
    found = host.run("ps", "-q", cwd=folder).ok().stdout.split()
    pids = [host.run("inspect", "--format", "{{.State.Pid}}", name).ok().stdout.strip() for name in found]
    return [f"/proc/{pid}/root" for pid in pids]


def converges(
    host: Host, folder: Path, source: str = "src", target: str = "app", seconds: float = 30
) -> None:
    """Wait until every container has what is outside."""
    deadline = time.monotonic() + seconds * PATIENCE
    for root in roots(host, folder):
        while wrong := difference(
            read_tree(folder / source), host.inside(lambda root=root: read_tree(f"{root}/{target}"))
        ):
            assert time.monotonic() < deadline, f"{len(wrong)} wrong: {list(wrong.items())[:5]}"
            time.sleep(0.1)


@pytest.mark.timeout(180 + SECONDS)
def test_random_changes(busy: Host) -> None:
    """A program that does everything to a tree for a while, and two replicas that have it all in the end."""
    print(f"PYCOMPOSE_WATCH_SEED={SEED}")
    folder = project(busy, RULE.replace("image:", "scale: 2\n    image:"))
    running = watch(busy, folder)
    vandal = Vandal(folder / "src", SEED)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for _ in range(20):
            vandal.act()
        running.sleep(0.01)
    converges(busy, folder)
    end(busy, folder, running)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_checkout(busy: Host) -> None:
    """Thousands of files replaced by `git checkout`, back and forth: nothing wrong afterwards."""
    folder = project(busy, files={})
    source = folder / "src"

    def git(*arguments: str) -> None:
        options = ("-c", "user.name=x", "-c", "user.email=x", "-c", "gc.auto=0", "-c", "core.fsync=none")
        subprocess.run(["git", *options, *arguments], cwd=source, check=True, capture_output=True)

    for number in range(FILES):
        path = source / f"d{number % 200}" / f"s{number % 7}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"one {number}")
    git("init", "-q", "-b", "one")
    git("add", "-A")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "two")
    for number in range(FILES):
        path = source / f"d{number % 200}" / f"s{number % 7}" / f"f{number}"
        if number % 10 == 0:
            path.unlink()
        elif number % 10 == 1:
            path.rename(path.with_name(f"{path.name}-moved"))
        else:
            path.write_text(f"two {number}")
    git("add", "-A")
    git("commit", "-qm", "two")
    running = watch(busy, folder)
    running.sleep(0.1)
    for branch in ("one", "two", "one"):
        git("checkout", "-q", branch)
        running.sleep(0.05)
    wanted = {path: found for path, found in read_tree(source).items() if not path.startswith(".git")}
    (root,) = roots(busy, folder)
    deadline = time.monotonic() + 60
    while wrong := difference(wanted, busy.inside(lambda: read_tree(f"{root}/app"))):
        assert time.monotonic() < deadline, f"{len(wrong)} wrong: {list(wrong.items())[:5]}"
        running.sleep(0.2)
    end(busy, folder, running)


def test_killed(busy: Host) -> None:
    """What is killed in the middle of its work is mended by who comes next, deletions included."""
    folder = project(busy, files={f"src/d{number % 20}/f{number}": str(number) for number in range(2000)})
    running = watch(busy, folder)
    for number in range(2000):
        (folder / f"src/d{number % 20}/f{number}").write_text(f"other {number}")
    running.kill()
    for number in range(0, 2000, 3):
        (folder / f"src/d{number % 20}/f{number}").unlink()
    shutil.rmtree(folder / "src/d1")
    (folder / "src/d2/new").write_text("new")
    running = watch(busy, folder, "--no-up")
    converges(busy, folder)
    os.kill(busy.process("pycompose.supervisor"), signal.SIGKILL)
    (folder / "src/d2/new").write_text("newer")
    shutil.rmtree(folder / "src/d3")
    converges(busy, folder)
    busy.run("restart", cwd=folder).ok()
    converges(busy, folder)
    os.kill(running.process.pid, 9)
    os.kill(busy.process("pycompose.supervisor"), signal.SIGKILL)
    (folder / "src/d2/new").unlink()
    running.wait()
    running = watch(busy, folder)
    converges(busy, folder)
    end(busy, folder, running)


def test_changes_while_nothing_runs(busy: Host) -> None:
    """Stopped and created containers get files, too; a restart by policy finds those of the moment."""
    text = RULE.replace('[sleep, "1000"]', "[sh, -c, 'echo $$(cat /app/a.txt); exec sleep 1000']")
    folder = project(busy, text)
    running = watch(busy, folder)
    busy.run("stop", "-t", "0", cwd=folder).ok()
    (folder / "src/a.txt").write_text("two")
    (folder / "src/b.txt").write_text("two")
    eventually(lambda: busy.run("cp", "web:/app/b.txt", "-", cwd=folder).code, 0)
    running.interrupt()
    assert running.wait() == 130
    busy.run("start", cwd=folder).ok()
    eventually(lambda: logs(busy, folder), ["one", "two"])
    busy.run("down", "-t", "0", cwd=folder).ok()


def test_a_link_that_is_turned(busy: Host) -> None:
    """Releases: the container has what the link leads to, even if it looks as what it had; also above the path."""
    text = RULE.replace(
        "{path: src, action: sync, target: /app}",
        "{path: current, action: sync, target: /app}\n        - {path: current/deep, action: sync, target: /deep}",
    )
    folder = project(busy, text, {"releases/1/a": "one", "releases/2/a": "two", "releases/2/deep/b": "x"})
    (folder / "releases/1/deep").mkdir()
    for number in ("1", "2"):
        os.utime(folder / f"releases/{number}/a", ns=(1, 1))
    (folder / "current").symlink_to("releases/1")
    running = watch(busy, folder)
    for number in ("2", "1", "2", "3"):
        (folder / "beside").symlink_to(f"releases/{number}")
        (folder / "beside").replace(folder / "current")
        converges(busy, folder, "current", "app")
        converges(busy, folder, "current/deep", "deep")
    shutil.copytree(folder / "releases/1", folder / "releases/3")
    converges(busy, folder, "current", "app")
    explained = busy.run("watch", "--explain", "current/a", cwd=folder).ok().stdout
    assert "to /app/a" in explained
    end(busy, folder, running)


def test_a_queue_that_runs_over(busy: Host) -> None:
    """A watcher that is stopped while more happens than the kernel keeps for it: what it isn't told of comes, too."""
    folder = project(busy, files={"src/late/a": "one"})
    running = watch(busy, folder)
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    running.process.send_signal(signal.SIGSTOP)
    paths = [folder / "src/first", folder / "src/second"]
    for path in paths:
        path.touch()
    # Only events that follow the same one are put together: by turns, to two files, they are not.
    for _ in range(most // 2 + 100):
        for path in paths:
            path.chmod(0o600)
    # Nobody is told of these any more.
    (folder / "src/late/a").write_text("two")
    (folder / "src/late/b").write_text("three")
    (folder / "src/late/deep").mkdir()
    (folder / "src/late/deep/c").write_text("four")
    running.process.send_signal(signal.SIGCONT)
    converges(busy, folder)
    end(busy, folder, running)
