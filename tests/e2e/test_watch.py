"""Live reload: `watch` and `up --watch`, as people use them."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

from tests.support.leftovers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.scenario import Host
    from tests.support.terminal import Running

RULE = """
services:
  web:
    image: busybox
    command: [sleep, "1000"]
    develop:
      watch:
        - {path: src, action: sync, target: /app}
"""


def project(host: Host, text: str = RULE, files: dict[str, str] | None = None) -> Path:
    """Make a project whose sources are in `src`."""
    return host.project({"compose.yaml": text, **(files if files is not None else {"src/a.txt": "one"})})


def inside(host: Host, folder: Path, script: str, service: str = "web", *options: str) -> str:
    """Return what a shell script prints in a container."""
    return host.run("exec", "-T", *options, service, "sh", "-c", script, cwd=folder).stdout.strip()


def logs(host: Host, folder: Path, service: str = "web") -> list[str]:
    """Return what a service has printed."""
    return host.run("logs", "--no-log-prefix", service, cwd=folder).ok().stdout.split()


def watch(host: Host, folder: Path, *arguments: str) -> Running:
    """Start `watch`, and return when it has begun."""
    running = host.spawn("watch", *arguments, cwd=folder)
    running.expect("^Watch enabled")
    return running


def end(host: Host, folder: Path, running: Running) -> None:
    """End a watcher by Ctrl+C, and take the project down."""
    running.interrupt()
    assert running.wait() == 130
    host.run("down", "-t", "0", cwd=folder).ok()


def eventually(call: Callable[[], object], wanted: object, seconds: float = 20) -> None:
    """Wait until `call` returns what is wanted."""
    deadline = time.monotonic() + seconds * PATIENCE
    while (found := call()) != wanted:
        assert time.monotonic() < deadline, f"{found!r} is not {wanted!r}"
        time.sleep(0.05)


def test_sync(busy: Host) -> None:
    """Files come, change, and go; the messages are Compose's, and so is the exit code."""
    folder = project(busy)
    running = watch(busy, folder)
    assert inside(busy, folder, "cat /app/a.txt") == "one"
    (folder / "src/a.txt").write_text("two")
    running.expect(r'^Syncing service "web" after 1 changes were detected')
    assert inside(busy, folder, "cat /app/a.txt") == "two"
    (folder / "src/deep/er").mkdir(parents=True)
    (folder / "src/deep/er/b").write_text("three")
    eventually(lambda: inside(busy, folder, "cat /app/deep/er/b"), "three")
    (folder / "src/a.txt").unlink()
    eventually(lambda: inside(busy, folder, "ls /app"), "deep")
    # One that `run` makes has what its image has.
    assert "No such file" in busy.run("run", "--rm", "-T", "web", "ls", "/app", cwd=folder).exited(1).stderr
    end(busy, folder, running)


def test_files_are_there_before_the_entrypoint(busy: Host) -> None:
    """A container that is made, recreated or restarted finds the current files at its first look."""
    text = RULE.replace('[sleep, "1000"]', '[sh, -c, "cat /app/a.txt; exec sleep 1000"]')
    folder = project(busy, text)
    running = watch(busy, folder)
    assert logs(busy, folder) == ["one"]
    (folder / "src/a.txt").write_text("two")
    running.expect("^Syncing service")
    busy.run("up", "-d", "--force-recreate", cwd=folder).ok()
    assert logs(busy, folder) == ["two"]
    busy.run("stop", cwd=folder).ok()
    (folder / "src/a.txt").write_text("three")
    busy.run("start", cwd=folder).ok()
    eventually(lambda: logs(busy, folder), ["two", "three"])
    end(busy, folder, running)
    assert not {"one", "two", "three"} & set(running.output.splitlines()), "output of services is for `logs`"


def test_a_container_that_crashes(busy: Host) -> None:
    """Whoever starts it again, each start finds the files of the moment."""
    text = RULE.replace('[sleep, "1000"]', '[sh, -c, "cat /app/a.txt; exit 1"]\n    restart: always')
    folder = project(busy, text)
    running = watch(busy, folder)
    (folder / "src/a.txt").write_text("two")
    eventually(lambda: logs(busy, folder)[-1:], ["two"])
    found = logs(busy, folder)
    assert found == sorted(found), "nobody sees an old file after a new one"
    end(busy, folder, running)


def test_actions(busy: Host) -> None:
    """Restart, a restart after a sync, and a command after a sync, which is told what has changed."""
    text = """
services:
  r:
    image: busybox
    command: [sleep, "1000"]  # which has no handler: nobody waits for it
    stop_grace_period: 100s
    post_start: [{command: [sh, -c, "echo hook >>/hooks"]}]
    develop: {watch: [{path: src, action: restart}]}
  s:
    image: busybox
    command: [sh, -c, "cat /app/a.txt; exec sleep 1000"]
    develop: {watch: [{path: src, action: sync+restart, target: /app}]}
  x:
    image: busybox
    command: [sleep, "1000"]
    develop:
      watch:
        - path: src
          action: sync+exec
          target: /app
          exec: {command: [sh, -c, 'echo "ran $$PYCOMPOSE_CHANGED as $$(id -u)"; exit 3'], user: "7"}
"""
    folder = project(busy, text)
    running = watch(busy, folder)
    running.expect("^ran /app/a.txt as 7")
    before = busy.run("ps", "--format", "json", cwd=folder).ok().json()
    (folder / "src/a.txt").write_text("two")
    running.expect(r'^service\(s\) \["r"\] restarted')
    running.expect(r'^service\(s\) \["s"\] restarted')
    running.expect("exited with 3")
    eventually(lambda: logs(busy, folder, "s"), ["one", "two"])
    eventually(lambda: inside(busy, folder, "cat /hooks", "r"), "hook\nhook")
    assert len(before) == 3
    end(busy, folder, running)


def test_rebuild(busy: Host) -> None:
    """A build replaces the container; one that fails leaves it, and says so; other services go on."""
    text = """
services:
  b:
    build: {context: src}
    command: [sleep, "1000"]
    volumes: [/kept]
    develop: {watch: [{path: src, action: rebuild}, {path: src, action: sync, target: /app}]}
  web:
    image: busybox
    command: [sleep, "1000"]
    develop: {watch: [{path: src, action: sync, target: /app}]}
"""
    folder = project(busy, text, {"src/Dockerfile": "FROM busybox\nCOPY a.txt /a.txt\n", "src/a.txt": "one"})
    running = watch(busy, folder, "--quiet")
    assert inside(busy, folder, "touch /kept/here; cat /a.txt", "b") == "one"
    (folder / "src/a.txt").write_text("two")
    running.expect(r'^Rebuilding service\(s\) \["b"\] after changes were detected\.\.\.')
    running.expect(r'^service\(s\) \["b"\] successfully built')
    eventually(lambda: inside(busy, folder, "cat /a.txt", "b"), "two")
    assert inside(busy, folder, "ls /kept; cat /app/a.txt", "b") == "here\ntwo"
    assert 'Syncing service "b"' not in running.output, "its build has taken the place of that"
    images = busy.run("image", "ls", cwd=folder).ok().stdout
    assert "<none>" not in images
    (folder / "src/Dockerfile").write_text("FROM busybox\nRUN false\n")
    running.expect(r"^Build failed\. Error: ")
    assert "\\x0a" not in running.output
    eventually(lambda: inside(busy, folder, "cat /app/Dockerfile"), "FROM busybox\nRUN false")
    assert inside(busy, folder, "cat /a.txt", "b") == "two"
    end(busy, folder, running)


def test_only_one_watcher(busy: Host) -> None:
    """The second one is told who is the first; SIGTERM ends it as Ctrl+C does, SIGHUP by itself (129)."""
    folder = project(busy)
    running = watch(busy, folder)
    second = busy.run("watch", cwd=folder).exited(1)
    assert 'cannot take exclusive lock for project "demo": process with PID ' in second.stderr
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == 130
    busy.run("stop", "-t", "0", cwd=folder).ok()
    third = watch(busy, folder, "--no-up")
    assert busy.run("ps", "-q", cwd=folder).ok().stdout == "", "nobody has asked for containers"
    third.process.send_signal(signal.SIGHUP)
    assert third.wait() == -signal.SIGHUP
    end(busy, folder, watch(busy, folder, "--no-up"))


def test_json(busy: Host) -> None:
    """Every line is an object."""
    folder = project(busy)
    running = busy.spawn("watch", "--json", cwd=folder)
    running.expect('"event":"enabled"')
    (folder / "src/b.txt").write_text("new")
    running.expect('"changes":1,.*b.txt')
    end(busy, folder, running)
    lines = [json.loads(line) for line in running.output.splitlines()]
    assert {line["event"] for line in lines} == {"enabled", "sync"}
    assert os.path.basename(lines[-1]["files"][0]) == "b.txt"


def test_attached_up(busy: Host) -> None:
    """`up --watch` does the same beside the output; Ctrl+C stops the containers."""
    folder = project(
        busy, RULE.replace('[sleep, "1000"]', "[sh, -c, 'echo $$(cat /app/a.txt); exec sleep 1000']")
    )
    running = busy.spawn("up", "--watch", cwd=folder)
    running.expect(r"^web-1  \| one")
    running.expect("^⦿ Watch enabled")
    (folder / "src/a.txt").write_text("two")
    running.expect('^⦿ Syncing service "web" after 1 changes were detected')
    assert inside(busy, folder, "cat /app/a.txt") == "two"
    running.interrupt()
    assert running.wait() == 130
    assert busy.run("ps", "-q", cwd=folder).ok().stdout == ""
    busy.run("down", cwd=folder).ok()


def test_key(busy: Host) -> None:
    """`w` begins, pauses and goes on; what has changed meanwhile comes then."""
    folder = project(busy)
    running = busy.spawn("up", cwd=folder, tty=True)
    running.expect("w Enable Watch")
    (folder / "src/a.txt").write_text("two")
    running.send("w")
    running.expect("⦿ Watch enabled")
    running.expect("⦿ Syncing service")
    running.expect("w Disable Watch")
    running.send("w")
    running.expect("⦿ Watch disabled")
    (folder / "src/a.txt").write_text("three")
    (folder / "src/b.txt").write_text("new")
    running.sleep(0.3)
    assert inside(busy, folder, "cat /app/*") == "two"
    running.send("w")
    running.expect("⦿ Syncing service .* after 2 changes")
    assert inside(busy, folder, "cat /app/*") == "threenew"
    running.interrupt()
    assert running.wait() == 0
    busy.run("down", cwd=folder).ok()


def test_refused(busy: Host) -> None:
    """What can't be followed is refused before anything is made."""
    for rule, message in {
        "{path: src, action: rebuild}": "without a build context",
        "{path: src, action: sync, target: app}": "target 'app' is not an absolute path",
        "{path: src, action: sync}": "action sync needs a target",
        "{path: src, action: sync+exec, target: /app}": "needs a command",
        "{path: src, action: fly}": "action",
        "{path: src, action: sync, target: /app, colour: red}": "colour",
        "{path: src, action: restart, x-chown: '1'}": "x-chown has no meaning for action restart",
        "{path: src, action: restart, x-signal: SIGWAVE}": "'SIGWAVE' is no signal",
        "{path: src, action: sync, target: /app, ignore: '[a-'}": "[a-",
    }.items():
        text = RULE.replace("{path: src, action: sync, target: /app}", rule)
        folder = busy.project({"compose.yaml": text})
        result = busy.run("watch", cwd=folder).exited(1)
        assert message in result.stderr, rule
    folder = busy.project({"compose.yaml": "services: {web: {image: busybox}}"})
    said = "none of the selected services is configured for watch, consider setting a 'develop' section"
    assert said in busy.run("watch", cwd=folder).exited(1).stderr
    assert said in busy.run("up", "--watch", cwd=folder).exited(1).stderr
    assert "cannot be combined" in busy.run("up", "--watch", "-d", cwd=folder).exited(1).stderr
    assert "no such service: db" in busy.run("watch", "db", cwd=folder).exited(1).stderr


def test_a_save_in_place_is_one_change(busy: Host) -> None:
    """An editor that empties a file and then writes it has saved once: one restart, not with half of it."""
    text = RULE.replace('[sleep, "1000"]', '[sh, -c, "cat /app/a.txt; exec sleep 1000"]').replace(
        "sync,", "sync+restart,"
    )
    folder = project(busy, text)
    running = watch(busy, folder)
    for number in range(20):
        with (folder / "src/a.txt").open("w") as file:
            time.sleep(0.005)  # as long as such an editor takes
            file.write(f"save{number}\n")
    eventually(lambda: logs(busy, folder)[-1:], ["save19"])
    # As many as there are silences among the saves: on a machine under load there may be some.
    assert running.output.count("restarted") < 10
    end(busy, folder, running)
