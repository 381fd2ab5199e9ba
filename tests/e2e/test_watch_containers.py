"""Live reload and what containers may be: without any program, not there yet or any more, with memory, with mounts."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

from watchfiles._rust_notify import RustNotify

from tests.e2e.test_watch import RULE, end, eventually, inside, project, watch
from tests.e2e.test_watch_truth import converges, roots

if TYPE_CHECKING:
    from tests.support.scenario import Host


def test_an_image_without_programs(busy: Host) -> None:
    """No shell, no tar, no rm: files come and go, directories and links, too."""
    text = """
services:
  web:
    build: image
    user: "1234"
    command: ["/busybox", "sleep", "1000"]
    develop: {watch: [{path: src, action: sync, target: /app}]}
"""
    dockerfile = "FROM scratch\nCOPY --from=busybox /bin/busybox /busybox\n"
    folder = project(busy, text, {"image/Dockerfile": dockerfile, "src/a": "one", "src/deep/b": "two"})
    running = watch(busy, folder, "--quiet")
    converges(busy, folder)
    (folder / "src/a").unlink()
    (folder / "src/link").symlink_to("deep")
    (folder / "src/deep/c").touch()
    converges(busy, folder)
    shutil.rmtree(folder / "src/deep")
    converges(busy, folder)
    end(busy, folder, running)


def test_a_container_that_was_only_created(busy: Host) -> None:
    """It has the files before anybody starts it."""
    folder = project(busy)
    busy.run("up", "--no-start", cwd=folder).ok()
    running = watch(busy, folder, "--no-up")
    (folder / "src/b.txt").write_text("new")
    eventually(lambda: busy.run("cp", "web:/app/b.txt", folder / "out", cwd=folder).code, 0)
    assert (folder / "out").read_text() == "new"
    busy.run("start", cwd=folder).ok()
    converges(busy, folder)
    end(busy, folder, running)


def test_no_container(busy: Host) -> None:
    """It is said once that there is none, the watch goes on, and the next one has what has changed."""
    folder = project(busy)
    running = watch(busy, folder)
    said = 'Service "web" has no container: the next one has the changes before it starts'

    def told() -> int:
        (folder / "src/b.txt").write_text(str(time.monotonic()))
        running.sleep(0.1)
        return running.output.count(said)

    for times in (1, 2):
        busy.run("rm", "-sf", cwd=folder).ok()
        eventually(told, times)
        told()
        busy.run("up", "-d", cwd=folder).ok()
        converges(busy, folder)
    assert running.output.count(said) == 2
    end(busy, folder, running)


def test_memory_in_a_container_that_is_read_only(busy: Host) -> None:
    """It isn't there before the start: nobody complains of that, and it has the files after each start."""
    text = RULE.replace(
        "image: busybox", "image: busybox\n    read_only: true\n    tmpfs: ['/app:mode=1777', '/other']"
    )
    folder = project(busy, text)
    running = watch(busy, folder)
    converges(busy, folder)
    busy.run("restart", "-t", "0", cwd=folder).ok()
    converges(busy, folder)
    (folder / "src/b.txt").write_text("new")
    converges(busy, folder)
    assert "cannot write" not in running.errors
    end(busy, folder, running)


def test_a_bind_mount_tells_who_watches(busy: Host) -> None:
    """Whoever looks at the directory in the container is told of a save outside: the rule has nothing to do there."""
    text = RULE.replace("image: busybox", "image: busybox\n    volumes: ['./src:/app']")
    folder = project(busy, text)
    running = watch(busy, folder)
    (root,) = roots(busy, folder)
    directory = busy.inside(lambda: os.open(f"{root}/app", os.O_PATH | os.O_DIRECTORY))
    notify = RustNotify([f"/proc/self/fd/{directory}"], False, False, 0, False, True)
    (folder / "src/a.txt").write_text("two")
    found = notify.watch(100, 4, 20_000, None)
    assert isinstance(found, set), found
    assert {os.path.basename(path) for _, path in found} == {"a.txt"}
    notify.close()
    os.close(directory)
    end(busy, folder, running)


def test_a_bind_mount_below_a_rule(busy: Host) -> None:
    """A directory of the rule that the container has anyway isn't copied onto itself, nor taken over, for ever."""
    text = RULE.replace("image: busybox", "image: busybox\n    volumes: ['./src/own:/app/own']").replace(
        "target: /app}", "target: /app, x-chown: '7:8'}"
    )
    folder = project(busy, text, {"src/a.txt": "one", "src/own/b": "one"})
    running = watch(busy, folder)
    inode = (folder / "src/own/b").stat().st_ino
    (folder / "src/own/b").write_text("two")
    (folder / "src/own/c").write_text("new")
    (folder / "src/a.txt").write_text("two")
    converges(busy, folder)
    (folder / "src/own/c").unlink()
    converges(busy, folder)
    found = (folder / "src/own/b").stat()
    assert (found.st_ino, found.st_uid) == (inode, os.getuid())
    assert sorted(os.listdir(folder / "src/own")) == ["b"]
    end(busy, folder, running)


def test_a_path_outside_the_project(busy: Host) -> None:
    """A rule may be about a directory beside it, as in Compose."""
    folder = project(busy, RULE.replace("path: src", "path: ../shared"))
    (folder.parent / "shared").mkdir()
    running = watch(busy, folder)
    (folder.parent / "shared/a").write_text("one")
    converges(busy, folder, "../shared")
    end(busy, folder, running)


def test_both_have_changed(busy: Host) -> None:
    """Of a file that comes back the one outside wins; where it has never been copied, that is said, and both stay."""
    text = RULE.replace("target: /app}", "target: /app, x-sync-back: '*.lock'}")
    folder = project(busy, text, {"src/a.lock": "one"})
    running = watch(busy, folder)
    running.process.send_signal(signal.SIGSTOP)
    inside(busy, folder, "echo theirs >/app/a.lock")
    (folder / "src/a.lock").write_text("mine")
    running.process.send_signal(signal.SIGCONT)
    eventually(lambda: inside(busy, folder, "cat /app/a.lock"), "mine")
    running.sleep(1.5)
    assert (folder / "src/a.lock").read_text() == "mine"
    end(busy, folder, running)
    text = text.replace("'*.lock'", "'*.lock', initial_sync: false")
    folder = project(busy, text, {"src/a.lock": "mine"})
    running = watch(busy, folder)
    inside(busy, folder, "mkdir -p /app; echo theirs >/app/a.lock")
    running.sleep(1.5)
    inside(busy, folder, "echo theirs again >/app/a.lock")
    running.expect("a.lock: has changed here and in container demo-web-1: this one stays")
    assert (folder / "src/a.lock").read_text() == "mine"
    assert inside(busy, folder, "cat /app/a.lock") == "theirs again"
    end(busy, folder, running)
