"""`volume snapshot`, `restore`, `clone`: what a volume held is there again, and of one moment."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host

COMPOSE = """
services:
  app:
    image: busybox
    command: [sleep, "1000"]
    init: true
    stop_signal: SIGKILL
    volumes: ["data:/data"]
volumes: {data: {}}
"""
LOOK = (
    "cd /data; find . | sort; find . -type f -exec sh -c 'stat -c \"%n %a %u %g\" $1; cat $1' x {} \\; | sort"
)
# Writes a number to one file after another, then the next number: at any moment at most two numbers are there.
COUNTS = """
i=0; while true; do i=$((i+1)); for n in $(seq 300); do echo $i >/data/$n; done; done
"""


@pytest.fixture
def project(busy: Host) -> Iterator[Path]:
    """Start a service on a volume with something in it."""
    folder = busy.project({"compose.yaml": COMPOSE})
    busy.run("up", "-d", cwd=folder).ok()
    inside(
        busy,
        "mkdir -p /data/d; echo one >/data/d/one; chmod 640 /data/d/one; chown 7:8 /data/d/one; ln -s d /data/l",
    )
    yield folder
    busy.run("down", "-v", cwd=folder).ok()


def inside(host: Host, text: str) -> str:
    """Return what a shell in the container prints."""
    return host.run("container", "exec", "demo-app-1", "sh", "-c", text).ok().stdout


def counted(host: Host) -> int:
    """Return the number in the first file, as soon as there is one: it may be open, and empty."""
    return int(eventually(lambda: inside(host, "cat /data/1").strip()))


def test_put_back(busy: Host, project: Path) -> None:
    """Content, owners, modes; what came later goes. Not while a container runs; also when the volume has gone."""
    before = inside(busy, LOOK)
    assert busy.run("volume", "snapshot", "demo_data", "first").ok().stdout == "first\n"
    inside(busy, "rm -r /data/d; echo two >/data/two; mkdir /data/more")
    changed = inside(busy, LOOK)
    refused = busy.run("volume", "restore", "demo_data", "first").exited(1).stderr
    assert inside(busy, LOOK) == changed
    busy.run("stop", cwd=project).ok()
    assert busy.run("volume", "restore", "demo_data", "first").ok().stdout == "demo_data\n"
    busy.run("start", cwd=project).ok()
    after = inside(busy, LOOK)
    busy.run("down", "-v", cwd=project).ok()
    busy.run("volume", "restore", "demo_data", "first").ok()
    busy.run("up", "-d", cwd=project).ok()
    again = inside(busy, LOOK)
    busy.run("volume", "snapshot", "--rm", "demo_data", "first").ok()

    assert "in use by demo-app-1" in refused
    assert before != changed
    assert after == before
    assert again == before


def test_snapshots_by_name(busy: Host, project: Path) -> None:
    """They are listed, replaced and removed by name, and nothing else is."""
    busy.run("volume", "snapshot", "demo_data", "a").ok()
    taken = busy.run("volume", "snapshot", "demo_data", "a").exited(1).stderr
    inside(busy, "echo new >/data/new")
    busy.run("volume", "snapshot", "--force", "demo_data", "a").ok()
    busy.run("volume", "snapshot", "demo_data", "b").ok()
    table = busy.run("volume", "snapshots").ok().stdout.splitlines()
    fields = busy.run("volume", "snapshots", "--format", "{{.Volume}} {{.Tag}}", "demo_data").ok().stdout
    quiet = busy.run("volume", "snapshots", "--quiet", "demo_data").ok().stdout
    busy.run("stop", cwd=project).ok()
    inside_a = busy.run("volume", "restore", "demo_data", "a").ok()
    busy.run("start", cwd=project).ok()
    seen = inside(busy, "cat /data/new")
    wrong = [
        busy.run("volume", *words).exited(1).stderr
        for words in (
            ("snapshot", "nothing", "a"),
            ("snapshot", "demo_data", "../a"),
            ("snapshot", "--rm", "demo_data", "c"),
            ("restore", "demo_data", "c"),
            ("clone", "nothing", "new"),
            ("clone", "demo_data", "demo_data"),
            ("clone", "demo_data", "a/b"),
        )
    ]
    for tag in "ab":
        busy.run("volume", "snapshot", "--rm", "demo_data", tag).ok()

    assert "has a snapshot a already" in taken
    assert table[0].split() == ["VOLUME", "TAG", "CREATED", "SIZE"]
    assert len(table) == 3
    assert fields == "demo_data a\ndemo_data b\n"
    assert quiet == "a\nb\n"
    assert inside_a.stdout == "demo_data\n"
    assert seen == "new\n"
    reasons = (
        "no such volume",
        "not a tag",
        "no snapshot c",
        "known: a, b",
        "no such volume",
        "already exists",
        "name",
    )
    assert all(reason in text for reason, text in zip(reasons, wrong, strict=True))
    assert busy.run("volume", "snapshots", "-q").ok().stdout == ""
    assert not (busy.inside(lambda: list(busy.paths.snapshots.iterdir())))


def test_of_a_container_that_is_paused_already(busy: Host, project: Path) -> None:
    """It stays so, and is nobody who has come meanwhile."""
    busy.run("pause", cwd=project).ok()
    busy.run("volume", "snapshot", "demo_data", "quiet").ok()
    busy.run("volume", "clone", "demo_data", "copy").ok()
    state = busy.run("ps", "--format", "{{.State}}", cwd=project).ok().stdout
    busy.run("unpause", cwd=project).ok()
    busy.run("volume", "rm", "copy").ok()
    busy.run("volume", "snapshot", "--rm", "demo_data", "quiet").ok()

    assert state == "paused\n"


@pytest.mark.parametrize("flag", ("--pause", "--no-pause"))
def test_a_snapshot_is_of_one_moment(busy: Host, project: Path, flag: str) -> None:
    """A container that writes all the time is frozen for as long as the copy takes, and writes on then."""
    busy.run("container", "exec", "-d", "demo-app-1", "sh", "-c", COUNTS).ok()
    eventually(lambda: inside(busy, "cat /data/300 2>/dev/null || true"))
    busy.run("volume", "snapshot", flag, "demo_data", "moving").ok()
    last = counted(busy)
    eventually(lambda: counted(busy) > last)
    frozen = busy.logs().count("demo-app-1: pause")
    busy.run("stop", cwd=project).ok()
    busy.run("volume", "restore", "demo_data", "moving").ok()
    busy.run("start", cwd=project).ok()
    found = inside(busy, "cd /data; for n in $(seq 300); do cat $n; done").split()
    busy.run("volume", "snapshot", "--rm", "demo_data", "moving").ok()

    assert frozen == (1 if flag == "--pause" else 0)
    if flag == "--pause":
        numbers = [int(text) for text in found]
        assert len(numbers) in (299, 300)  # one may have been open, and empty
        assert numbers == sorted(numbers, reverse=True)
        assert numbers[0] - numbers[-1] <= 1


def test_a_snapshot_that_is_killed(busy: Host, project: Path) -> None:
    """The container goes on, and nothing is left of it that anybody sees."""
    inside(busy, "mkdir /data/many; cd /data/many; for n in $(seq 30000); do echo $n >$n; done")
    command = busy.spawn("volume", "snapshot", "demo_data", "cut")
    state = ("container", "ls", "-a", "--format", "{{.State}}")
    eventually(lambda: busy.run(*state).ok().stdout == "paused\n")
    command.process.send_signal(signal.SIGKILL)
    command.process.wait()
    eventually(lambda: busy.run(*state).ok().stdout == "running\n")
    listed = busy.run("volume", "snapshots", "-q").ok().stdout
    busy.run("volume", "snapshot", "demo_data", "whole").ok()
    left = busy.inside(lambda: sorted(path.name for path in (busy.paths.snapshots / "demo_data").iterdir()))
    busy.run("volume", "snapshot", "--rm", "demo_data", "whole").ok()

    assert listed == ""
    assert left == ["whole"]


def test_a_restore_that_was_killed(busy: Host, project: Path) -> None:
    """No container starts on half of it, nothing is made of it; doing it again mends it."""
    busy.run("volume", "snapshot", "demo_data", "good").ok()
    before = inside(busy, LOOK)
    busy.run("stop", cwd=project).ok()
    meta = busy.paths.volume("demo_data") / "meta.json"

    def cut_off() -> None:
        value = json.loads(meta.read_text()) | {"restoring": "good"}
        meta.write_text(json.dumps(value))
        (meta.parent / "_data/d/one").write_text("half")

    busy.inside(cut_off)
    starts = busy.run("start", cwd=project).exited(1).stderr
    others = [
        busy.run("volume", *words).exited(1).stderr
        for words in (("snapshot", "demo_data", "x"), ("clone", "demo_data", "x"))
    ]
    busy.run("volume", "restore", "demo_data", "good").ok()
    busy.run("start", cwd=project).ok()
    after = inside(busy, LOOK)
    busy.run("volume", "snapshot", "--rm", "demo_data", "good").ok()

    assert "it is being restored to good, or that was cut off" in starts
    assert "pycompose volume restore demo_data good" in starts
    assert all("restoring good was cut off" in text for text in others)
    assert after == before


@pytest.mark.parametrize("flag", ("--pause", "--no-pause"))
def test_a_clone(busy: Host, project: Path, flag: str) -> None:
    """A volume of its own, which stays when the project goes; neither sees what is done to the other."""
    before = inside(busy, LOOK)
    made = busy.run("volume", "clone", flag, "--label", "kind=copy", "demo_data", "copied").ok().stdout
    inside(busy, "echo changed >/data/d/one")
    run = ("container", "run", "--rm", "-v", "copied:/data", "busybox", "sh", "-c")
    seen = busy.run(*run, LOOK).ok().stdout
    busy.run(*run, "echo own >/data/own").ok()
    other = inside(busy, "ls /data")
    listed = busy.run("volume", "ls", "-q", "--filter", "label=kind=copy").ok().stdout
    frozen = busy.logs().count("demo-app-1: pause")
    busy.run("down", "-v", cwd=project).ok()
    left = busy.run("volume", "ls", "-q").ok().stdout
    busy.run("volume", "rm", "copied").ok()

    assert made == listed == "copied\n"
    assert seen == before
    assert "own" not in other.split()
    assert frozen == (1 if flag == "--pause" else 0)
    assert left == "copied\n"


def test_volumes_that_are_mounts(busy: Host, tmp_path: Path) -> None:
    """What a `device` holds is remembered, put back and cloned; a tmpfs is cloned while somebody uses it."""
    device = tmp_path / "device"
    device.mkdir()
    (device / "file").write_text("first\n")
    bind = ("--opt", "type=none", "--opt", "o=bind", "--opt", f"device={device}")
    busy.run("volume", "create", *bind, "bound").ok()
    busy.run("volume", "snapshot", "bound", "a").ok()
    (device / "file").write_text("second\n")
    (device / "more").write_text("more\n")
    busy.run("volume", "clone", "bound", "copied").ok()
    busy.run("volume", "restore", "bound", "a").ok()
    busy.run("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "memory").ok()
    held = ("container", "run", "-d", "--init", "--name", "it-t", "-v", "memory:/m", "busybox", "sh", "-c")
    busy.run(*held, "echo kept >/m/file; sleep 1000").ok()
    eventually(lambda: busy.run("container", "exec", "it-t", "cat", "/m/file").stdout == "kept\n")
    busy.run("volume", "clone", "memory", "kept").ok()
    busy.run("volume", "snapshot", "memory", "t").ok()
    busy.run("container", "rm", "-f", "it-t").ok()
    refused = busy.run("volume", "restore", "memory", "t").exited(1).stderr
    run = ("container", "run", "--rm", "-v", "copied:/c", "-v", "kept:/k", "busybox", "sh", "-c")
    seen = busy.run(*run, "cat /c/file /c/more /k/file").ok().stdout
    busy.run("volume", "snapshot", "--rm", "bound", "a").ok()
    busy.run("volume", "snapshot", "--rm", "memory", "t").ok()
    busy.run("volume", "rm", "bound", "copied", "memory", "kept").ok()

    assert seen == "second\nmore\nkept\n"
    assert (device / "file").read_text() == "first\n"
    assert [path.name for path in device.iterdir()] == ["file"]
    assert "it is a tmpfs" in refused
