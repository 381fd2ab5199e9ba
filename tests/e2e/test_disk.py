"""Full and read-only state directories: two clear lines instead of a traceback, nobody dies, nothing is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support.namespaces import MS_BIND, MS_REC, mount, umount
from tests.support.scenario import Host, Result, eventually

MS_RDONLY, MS_REMOUNT = 1, 32
OURS = ("pycompose.supervisor", "pycompose.engine.keeper")
SIZES = {"root": "16m", "run": "2m"}
COMPOSE = """
services:
  web:
    image: busybox
    init: true
    command: [sh, -c, "while sleep 0.05; do echo line; done"]
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, "true"], interval: 200ms}
    restart: always
volumes: {data: {}}
"""


@dataclass(kw_only=True)
class Disk:
    """A state directory on a small file system of its own, and what can become of it."""

    host: Host
    place: Path
    reason: str
    break_it: Callable[[], None]
    mend_it: Callable[[], None]

    def fails(self, *words: str | Path, cwd: Path) -> Result:
        """Run a command that has to fail for the disk, naming the place and what to do."""
        result = self.host.run(*words, cwd=cwd).exited(1)
        error, hint = result.stderr.splitlines()[-2:]
        assert error.startswith("error: ")
        assert error.endswith(self.reason)
        assert "/" in error, "no path"
        assert hint.startswith("hint: ")
        return result


def fill(place: Path) -> None:
    """Take all space there is, to the last bytes."""
    with (place / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def write_protect(place: Path) -> None:
    """Let nothing be opened for writing below `place` any more; what is open goes on."""
    mount(str(place), place, flags=MS_BIND | MS_REC)
    mount("none", place, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


@pytest.fixture(params=["root full", "root read-only", "run full", "run read-only"])
def disk(request: pytest.FixtureRequest, host: Host, busybox_tar: Path) -> Disk:
    """Put a state directory of the machine on a small file system."""
    which, problem = request.param.split()
    place = host.paths.root if which == "root" else host.paths.run
    host.inside(partial(mount, "small", place, "tmpfs", data=f"size={SIZES[which]},mode=0755"))
    host.watch.baseline()
    host.run("image", "import", busybox_tar, "busybox").ok()
    full = problem == "full"
    return Disk(
        host=host,
        place=place,
        reason="No space left on device" if full else "Read-only file system",
        break_it=partial(host.inside, partial(fill if full else write_protect, place)),
        mend_it=partial(host.inside, (place / "filler").unlink if full else partial(umount, place)),
    )


def test_everything_says_why_and_goes_on_afterwards(disk: Disk, busybox_tar: Path) -> None:
    """What only looks works, what writes says why it can't; once there is room again, everything works."""
    host = disk.host
    project = host.project({"compose.yaml": COMPOSE, "big": "x" * 300_000})
    other = host.project({"compose.yaml": COMPOSE}, "other")
    host.run("up", "-d", "--wait", cwd=project).ok()
    before = [host.process(text) for text in OURS]
    on_root = disk.place == host.paths.root

    disk.break_it()

    for words in (("ps", "-a"), ("logs", "--tail", "2"), ("exec", "-T", "web", "true"), ("ls",)):
        host.run(*words, cwd=project).ok()
    disk.fails("up", "-d", cwd=other)
    disk.fails("create", cwd=other)
    disk.fails("run", "--rm", "-T", "web", "true", cwd=project)
    if on_root:
        disk.fails("image", "import", busybox_tar, "again", cwd=project)
        disk.fails("volume", "create", "more", cwd=project)
        disk.fails("network", "create", "more", cwd=project)
        disk.fails("up", "-d", "--force-recreate", cwd=project)
    disk.fails("commit", "web", "again", cwd=project)
    if on_root and disk.reason.startswith("No space"):
        disk.fails("cp", "big", "web:/big", cwd=project)
    assert "again" not in host.run("image", "ls").ok().stdout
    assert "more" not in host.run("network", "ls").ok().stdout
    assert [host.process(text) for text in OURS] == before

    disk.mend_it()

    eventually(lambda: status(host, project) == ("running", "healthy"))
    host.run("up", "-d", "--force-recreate", "--wait", cwd=project).ok()
    host.run("up", "-d", "--wait", cwd=other).ok()
    host.run("image", "import", busybox_tar, "again").ok()
    host.run("cp", "big", "web:/big", cwd=project).ok()
    assert host.run("exec", "-T", "web", "wc", "-c", "/big", cwd=project).ok().stdout.split()[0] == "300000"
    assert host.run("exec", "-T", "web", "true", cwd=project).ok()
    assert set(host.run("logs", "--no-log-prefix", cwd=project).ok().stdout.splitlines()) == {"line"}
    for folder in (project, other):
        host.run("down", "-v", "-t", "1", cwd=folder).ok()
    assert "Traceback" not in host.logs()


def test_what_runs_is_looked_after(disk: Disk) -> None:
    """A container that dies meanwhile is restarted, at the latest when there is room again."""
    host = disk.host
    project = host.project({"compose.yaml": COMPOSE})
    host.run("up", "-d", "--wait", cwd=project).ok()

    disk.break_it()
    before = host.processes("while sleep")
    host.run("exec", "-T", "web", "kill", "1", cwd=project)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before))
    disk.mend_it()

    eventually(lambda: status(host, project) == ("running", "healthy"))
    host.run("down", "-v", "-t", "1", cwd=project).ok()


def test_a_restart_that_cannot_be_finished_is_not_begun(disk: Disk) -> None:
    """What runs goes on when nobody could start it again."""
    host = disk.host
    project = host.project({"compose.yaml": COMPOSE})
    host.run("up", "-d", "--wait", cwd=project).ok()
    started = host.run("container", "inspect", "-f", "{{.State.StartedAt}}", "demo-web-1").ok().stdout

    disk.break_it()
    disk.fails("restart", "-t", "1", cwd=project)
    disk.fails("container", "restart", "-t", "1", "demo-web-1", cwd=project)
    shown = host.run("container", "inspect", "-f", "{{.State.StartedAt}}", "demo-web-1").ok().stdout
    assert shown == started
    host.run("exec", "-T", "web", "true", cwd=project).ok()
    disk.mend_it()

    host.run("restart", "-t", "1", cwd=project).ok()
    eventually(lambda: status(host, project) == ("running", "healthy"))
    host.run("down", "-v", "-t", "1", cwd=project).ok()


@pytest.mark.parametrize("options", ([], ["-v"]))
def test_down_makes_room(disk: Disk, options: list[str]) -> None:
    """A full disk keeps nobody from stopping and removing; a read-only one from stopping."""
    host = disk.host
    project = host.project({"compose.yaml": COMPOSE})
    host.run("up", "-d", "--wait", cwd=project).ok()

    disk.break_it()
    host.run("stop", "-t", "1", cwd=project).ok()
    if disk.reason.startswith("No space"):
        host.run("down", *options, cwd=project).ok()
        disk.mend_it()
    else:
        disk.fails("down", *options, cwd=project)
        disk.mend_it()
        assert status(host, project)[0] in ("exited", "created")
        host.run("down", *options, cwd=project).ok()
    host.run("down", "-v", cwd=project).ok()


def status(host: Host, project: Path) -> tuple[str, str]:
    """Return state and health of the service's container."""
    found = host.run("ps", "-a", "--format", "json", cwd=project).ok().json()
    entries = found if isinstance(found, list) else [found]
    (entry,) = [entry for entry in entries if entry["Name"] == "demo-web-1"]
    return entry["State"], entry["Health"]
