"""What an ordinary user's containers may make of the machine's mounts and folders: no more than he."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.host import PASSED
from tests.support.namespaces import mount
from tests.support.ordinary import OrdinaryHost
from tests.support.requires import requires

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = requires("newuidmap")
TIGHT = 2 | 4 | 8  # MS_NOSUID, MS_NODEV, MS_NOEXEC of mount(2)
SOMEBODY = 1002
COMPOSE = "services: {{web: {{image: box, command: {command}, volumes: {volumes}}}}}"


@pytest.fixture
def user(tmp_path: Path, busybox_tar: Path, request: pytest.FixtureRequest) -> Iterator[OrdinaryHost]:
    """Return a machine with a tight file system at `tight` in the home of its user, made before his private host."""
    home = tmp_path / "home"
    (home / "tight").mkdir(parents=True)
    with tarfile.open(busybox_tar) as old, tarfile.open(home / "box.tar", "w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    machine = OrdinaryHost(home)
    machine.inside(lambda: mount("tight", home / "tight", "tmpfs", flags=TIGHT, data="mode=0777"))
    machine.run("image", "import", home / "box.tar", "box").ok()
    yield machine
    if not request.node.stash.get(PASSED, False):
        print(machine.logs())
    machine.close()


def test_a_bind_keeps_what_the_machine_forbids(user: OrdinaryHost) -> None:
    """Flags of a mount stay, read-only or not (mount_namespaces(7): locked)."""
    command = '["sh", "-c", "grep \' /t/\' /proc/self/mountinfo | cut -d\' \' -f5,6; touch /t/r/x"]'
    volumes = f'["{user.folder}/tight:/t/r:ro", "{user.folder}/tight:/t/w"]'
    folder = user.project({"compose.yaml": COMPOSE.format(command=command, volumes=volumes)})

    ran = user.run("run", "--rm", "-T", "web", cwd=folder).exited(1)

    shown = {line.split()[0]: set(line.split()[1].split(",")) for line in ran.stdout.splitlines()}
    assert shown["/t/w"] >= {"rw", "nosuid", "nodev", "noexec"}
    assert shown["/t/r"] >= {"ro", "nosuid", "nodev", "noexec"}
    assert "Read-only file system" in ran.stderr
    user.run("down", cwd=folder).ok()


def test_a_bind_of_what_the_user_cannot_enter(user: OrdinaryHost) -> None:
    """It is an error that names it: his containers don't get further than he."""
    (user.folder / "shut/inside").mkdir(parents=True)
    (user.folder / "shut").chmod(0o700)
    os.chown(user.folder / "shut", SOMEBODY, SOMEBODY)
    volumes = f'["{user.folder}/shut/inside:/t"]'
    folder = user.project({"compose.yaml": COMPOSE.format(command="[ls]", volumes=volumes)})

    refused = user.run("up", "-d", cwd=folder).exited(1)

    assert f"bind mount {user.folder}/shut/inside -> /t: " in refused.stderr
    assert "Permission denied" in refused.stderr
    user.run("down", cwd=folder).ok()
