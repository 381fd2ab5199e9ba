"""Volumes whose `driver_opts` say what is mounted: a directory of the machine, a tmpfs, what isn't there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
BIND = f"""
services:
  one: {{image: busybox, command: {WAIT}, volumes: ["data:/data"]}}
  two: {{image: busybox, command: {WAIT}, volumes: ["data:/data:ro"]}}
volumes: {{data: {{driver_opts: {{type: none, o: bind, device: FOLDER/canary}}}}}}
"""
TMPFS = f"""
services:
  one: {{image: busybox, command: {WAIT}, volumes: ["mem:/mem"]}}
  two: {{image: busybox, command: {WAIT}, volumes: ["mem:/mem"]}}
volumes: {{mem: {{driver_opts: {{type: tmpfs, device: tmpfs, o: "size=3m,uid=1000,mode=700,noexec"}}}}}}
"""
SERVICE = f"services: {{one: {{image: busybox, command: {WAIT}, volumes: ['data:/data']}}}}\n"
CANARY = "precious"


def test_a_directory_of_the_machine(scene: Scene) -> None:
    """A bind must show the directory, write to it, and leave all that is in it when the volume is removed."""
    canary = scene.file("canary/deep/file", CANARY)
    scene.up(BIND)
    assert scene.compose("exec", "-T", "two", "cat", "/data/deep/file").stdout == CANARY
    scene.compose("exec", "-T", "one", "sh", "-c", "echo written > /data/new")
    assert scene.read("canary/new") == "written\n"
    scene.compose("restart", "-t", "0", "one")
    scene.compose("exec", "-T", "one", "test", "-e", "/data/new")
    scene.compose("down", "-v", "-t", "0")
    assert "data" not in scene.volumes()
    assert canary.read_text(encoding="ascii") == CANARY
    assert scene.read("canary/new") == "written\n"


def test_a_tmpfs_is_shared(scene: Scene) -> None:
    """A tmpfs must have its size, owner and mode, be one for all its users, and be empty for the next ones."""
    scene.up(TMPFS)
    shown = scene.compose(
        "exec", "-T", "one", "sh", "-c", "stat -c '%u %a' /mem; grep ' /mem ' /proc/mounts"
    ).stdout
    assert shown.startswith("1000 700\n")
    assert "size=3072k" in shown
    assert "noexec" in shown
    scene.compose("exec", "-T", "one", "touch", "/mem/socket")
    scene.compose("restart", "-t", "0", "one")
    scene.compose("exec", "-T", "two", "test", "-e", "/mem/socket")
    scene.compose("exec", "-T", "one", "test", "-e", "/mem/socket")
    scene.compose("stop", "-t", "0")
    scene.compose("start")
    assert scene.compose("exec", "-T", "one", "ls", "/mem").stdout == ""


def test_an_empty_directory_is_filled_from_the_image(scene: Scene) -> None:
    """An empty directory behind a volume must get what the image has there, and one with content must not."""
    text = (
        "services: {one: {image: busybox, volumes: ['data:/bin']}}\n"
        "volumes: {data: {driver_opts: {type: none, o: bind, device: FOLDER/given}}}\n"
    )
    (scene.folder / "given").mkdir()
    scene.file("compose.yaml", text)
    scene.compose("create")
    assert (scene.folder / "given/busybox").exists()
    (scene.folder / "given/busybox").write_text("mine", encoding="ascii")
    scene.compose("up", "--no-start", "--force-recreate")
    assert scene.read("given/busybox") == "mine"


@pytest.mark.parametrize(
    ("options", "reason"),
    (
        ("{foo: bar}", 'invalid option: "foo"'),
        ("{type: tmpfs}", 'missing required option: "device"'),
        ("{device: tmpfs}", 'missing required option: "type"'),
        ("{type: tmpfs, device: tmpfs, size: 3m}", "quota size requested but no quota support"),
        ("{type: none, o: bind, device: FOLDER/missing}", "no such file or directory"),
        ("{type: nosuchfs, device: x}", "no such device"),
        ("{type: tmpfs, device: tmpfs, o: 'nonsense=3'}", "nonsense=3|unknown parameter 'nonsense'"),
        ("{type: nfs, device: ':/x', o: 'addr=127.0.0.1,rw'}", "no such device|nfs"),
    ),
)
def test_what_cannot_be_mounted(scene: Scene, options: str, reason: str) -> None:
    """Options that can't be mounted must be an error that says so, and nothing must run on the disk instead."""
    result = scene.up(SERVICE + f"volumes: {{data: {{driver_opts: {options}}}}}", code=1)
    said = (result.stdout + result.stderr).lower().replace('\\"', '"')
    assert any(text in said for text in reason.lower().split("|")), said
    assert "running" not in scene.states().values()


def test_made_by_hand_and_spared_by_prune(scene: Scene) -> None:
    """`volume create -o` must mean the same, and `volume prune -a` must spare what has options."""
    canary = scene.file("canary/file", CANARY)
    name = f"{scene.project}_hand"
    options = ("type=none", "o=bind", f"device={canary.parent}")
    made = [word for option in options for word in ("-o", option)]
    label = f"of={scene.project}"
    scene.engine.run("volume", "create", "--label", label, *made, name, cwd=scene.folder).exited(0)
    try:
        prune = ("volume", "prune", "-a", "-f", "--filter", f"label={label}")
        scene.engine.run(*prune, cwd=scene.folder).exited(0)
        text = f"volumes: {{data: {{external: true, name: {name}}}}}"
        scene.up(SERVICE + text)
        assert scene.compose("exec", "-T", "one", "cat", "/data/file").stdout == CANARY
        scene.compose("down", "-t", "0")
    finally:
        scene.engine.run("volume", "rm", name, cwd=scene.folder).exited(0)
    assert canary.read_text(encoding="ascii") == CANARY
