"""Live reload beyond Compose's: what follows a sync, files that come back, rules by themselves, the file itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.e2e.test_watch import RULE, end, eventually, inside, logs, project, watch

if TYPE_CHECKING:
    from tests.support.scenario import Host


def rule(text: str) -> str:
    """Return the project with another rule."""
    return RULE.replace("{path: src, action: sync, target: /app}", text)


def test_signal(busy: Host) -> None:
    """`x-signal` tells process 1, which goes on; only for what `x-trigger` names."""
    text = rule("{path: src, action: sync+restart, target: /app, x-signal: SIGHUP, x-trigger: '*.conf'}")
    script = "trap 'echo reread $$(cat /app/a.conf)' HUP; while :; do sleep 0.1; done"
    folder = project(busy, text.replace('[sleep, "1000"]', f'[sh, -c, "{script}"]'), {"src/a.conf": "one"})
    running = watch(busy, folder)
    (folder / "src/b.txt").write_text("none of its business")
    running.expect("after 1 changes")
    (folder / "src/a.conf").write_text("two")
    running.expect('^service "web" told by SIGHUP')
    eventually(lambda: logs(busy, folder), ["reread", "two"])
    assert inside(busy, folder, "cat /app/b.txt") == "none of its business"
    end(busy, folder, running)


def test_owner(busy: Host) -> None:
    """`x-chown` names who owns the files, as the container knows them; else it is the directory's owner."""
    folder = project(busy, rule("{path: src, action: sync, target: /app, x-chown: '7:8'}"))
    running = watch(busy, folder)
    assert inside(busy, folder, "stat -c %u:%g /app /app/a.txt") == "7:8\n7:8"
    end(busy, folder, running)
    folder = project(busy, rule("{path: src, action: sync, target: /home}"))
    busy.run("up", "-d", cwd=folder).ok()
    inside(busy, folder, "mkdir -p /home && chown 9:9 /home")
    running = watch(busy, folder, "--no-up")
    assert inside(busy, folder, "stat -c %u:%g /home/a.txt") == "9:9"
    end(busy, folder, running)


def test_back(busy: Host) -> None:
    """What the container makes comes out once; both changed: the one outside stays."""
    folder = project(
        busy, rule("{path: src, action: sync+restart, target: /app, x-sync-back: ['*.lock', 'gen/']}")
    )
    running = watch(busy, folder)
    inside(
        busy, folder, "echo locked > /app/a.lock; mkdir /app/gen; echo code > /app/gen/x; echo no > /app/no"
    )
    running.expect("^Syncing back")
    eventually(lambda: (folder / "src/gen/x").exists() and (folder / "src/a.lock").read_text(), "locked\n")
    assert not (folder / "src/no").exists()
    running.sleep(2.5)
    assert running.output.count("Syncing back") <= 2
    assert "restarted" not in running.output, "what comes out is no change that goes in"
    (folder / "src/a.lock").write_text("mine")
    eventually(lambda: inside(busy, folder, "cat /app/a.lock"), "mine")
    running.expect("restarted")  # nothing can be executed in it before
    inside(busy, folder, "echo theirs > /app/a.lock")
    eventually((folder / "src/a.lock").read_text, "theirs\n")
    end(busy, folder, running)


def test_back_writes_nowhere_else(busy: Host) -> None:
    """A link in the tree outside isn't followed out of it, nor one in the container."""
    folder = project(busy, rule("{path: src, action: sync, target: /app, x-sync-back: 'out/**'}"))
    (folder / "elsewhere").mkdir()
    running = watch(busy, folder)
    inside(busy, folder, "mkdir /app/out; ln -s /etc /app/out/etc; echo x > /app/out/a")
    eventually((folder / "src/out/a").exists, True)
    assert os.listdir(folder / "src/out") == ["a"]
    assert os.listdir(folder / "elsewhere") == []
    end(busy, folder, running)


def test_infer(busy: Host) -> None:
    """Rules out of the Dockerfile, printed, and followed."""
    text = "services: {web: {build: ., command: [sleep, '1000']}}"
    files = {
        "Dockerfile": "FROM busybox\nCOPY list /\nRUN cat /list\nCOPY src /app\n",
        "list": "1",
        "src/a": "one",
    }
    folder = project(busy, text, files)
    printed = busy.run("watch", "--infer", "--dry-run", cwd=folder).ok().stdout
    assert "- path: ./src\n          action: sync\n          target: /app\n" in printed
    running = watch(busy, folder, "--infer", "--quiet")
    (folder / "src/a").write_text("two")
    running.expect("^Syncing service")
    assert inside(busy, folder, "cat /app/a") == "two"
    (folder / "list").write_text("2")
    running.expect("successfully built")
    eventually(lambda: inside(busy, folder, "cat /list"), "2")
    explained = busy.run("watch", "--infer", "--explain", "src/a", cwd=folder).ok().stdout
    assert "(sync): to /app/a: below the rule's path" in explained
    end(busy, folder, running)


def test_unmatched(busy: Host) -> None:
    """What is part of the build and nobody's sync leads to a build; what is synced doesn't."""
    text = """
services:
  web:
    build: .
    command: [sleep, "1000"]
    develop:
      watch:
        - {path: src, action: sync, target: /app}
        - {path: ., action: rebuild, x-on-unmatched: rebuild, ignore: [compose.yaml]}
"""
    folder = project(busy, text, {"Dockerfile": "FROM busybox\nCOPY . /all\n", "src/a": "one", "other": "1"})
    running = watch(busy, folder, "--quiet")
    (folder / "src/a").write_text("two")
    running.expect("^Syncing service")
    (folder / "other").write_text("2")
    running.expect("successfully built")
    eventually(lambda: inside(busy, folder, "cat /all/other /app/a"), "2two")
    assert running.output.count("Rebuilding") == 1
    end(busy, folder, running)


def test_compose_file(busy: Host) -> None:
    """A change of the compose file is told of with what `up` would do; with `--apply` it is done, rules included."""
    folder = project(busy)
    running = watch(busy, folder)
    text = (folder / "compose.yaml").read_text()
    (folder / "compose.yaml").write_text(text.replace("1000", "2000"))
    running.expect(
        r"^compose.yaml has changed: `up` would do: Container demo-web-1 Recreated \(.* changed\)$"
    )
    (folder / "compose.yaml").write_text("services: [")
    running.expect("^compose.yaml has changed, and can't be used: ")
    running.interrupt()
    assert running.wait() == 130
    (folder / "compose.yaml").write_text(text)
    running = watch(busy, folder, "--apply")
    (folder / "compose.yaml").write_text(text.replace("target: /app", "target: /new"))
    running.expect("^compose.yaml has changed: doing: ")
    eventually(lambda: inside(busy, folder, "cat /new/a.txt"), "one")
    (folder / "src/a.txt").write_text("two")
    eventually(lambda: inside(busy, folder, "cat /new/a.txt"), "two")
    end(busy, folder, running)


def test_bind_mount(busy: Host) -> None:
    """A rule over a bind mount is said once; its events reach the container by themselves."""
    text = RULE.replace("image: busybox", "image: busybox\n    volumes: ['./src:/app']")
    folder = project(busy, text)
    running = busy.spawn("watch", cwd=folder)
    running.expect("src is mounted on /app: nothing has to be copied")
    running.expect("^Watch enabled")
    (folder / "src/a.txt").write_text("two")
    assert inside(busy, folder, "cat /app/a.txt") == "two"
    assert running.errors.count("is mounted on") == 1
    assert "Syncing" not in running.output
    end(busy, folder, running)


def test_any_image(busy: Host) -> None:
    """A user without rights, and a file that is mounted over: nothing in the container is asked."""
    text = RULE.replace("image: busybox", "image: busybox\n    user: '1234'\n    volumes: ['./one:/app/one']")
    folder = project(busy, text, {"src/a.txt": "one", "src/one": "in", "one": "out"})
    running = watch(busy, folder)
    assert inside(busy, folder, "cat /app/a.txt /app/one") == "onein"
    (folder / "src/one").write_text("again")
    running.expect("^Syncing service")
    eventually((folder / "one").read_text, "again")
    end(busy, folder, running)


def test_no_way_in(busy: Host) -> None:
    """A read-only root and a full disk are said once each, and it goes on: what fits is there when there is room."""
    folder = project(busy, RULE.replace("image: busybox", "image: busybox\n    read_only: true"))
    running = watch(busy, folder)
    running.expect("container demo-web-1: cannot write /app/a.txt.*: read-only in the container")
    running.expect("^hint: take `read_only` away")
    end(busy, folder, running)
    text = RULE.replace("image: busybox", "image: busybox\n    tmpfs: ['/app:size=64k']")
    folder = project(busy, text)
    running = watch(busy, folder)
    (folder / "src/big").write_bytes(bytes(200_000))
    running.expect("container demo-web-1: cannot write /app/big.*: no space left in the container")
    (folder / "src/a.txt").write_text("two")
    (folder / "src/z.txt").write_text("after it")
    eventually(lambda: inside(busy, folder, "cat /app/a.txt /app/z.txt"), "twoafter it")
    (folder / "src/big").write_text("small")
    eventually(lambda: inside(busy, folder, "cat /app/big"), "small")
    assert running.errors.count("no space left") == 1
    end(busy, folder, running)
