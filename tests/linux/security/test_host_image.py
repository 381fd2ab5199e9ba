"""The image `host` shows of /usr and /opt what every user of the machine may read, and nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from pycompose.engine.config import RootfsTree
from pycompose.engine.images.host import HostMachine, host_image
from pycompose.engine.images.layout import ImageLayout
from pycompose.volumes.copyup import copy_up

from tests.support.lab import Lab

PRIVATE = {
    "opt/app/private.key": 0o600,
    "opt/app/group.key": 0o640,
    "usr/lib/deep/down/token": 0o400,
    "usr/bin/only-executable": 0o4711,
}
PUBLIC = {
    "opt/app/readme": 0o644,
    "usr/bin/tool": 0o755,
    "usr/bin/setuid": 0o4755,
    "usr/lib/deep/other": 0o644,
}
CLOSED = {"opt/closed": 0o700, "opt/listed": 0o751, "usr/lib/unlisted": 0o754}


@pytest.fixture
def machine(tmp_path: Path) -> HostMachine:
    """Return a small machine."""
    for name, mode in (PRIVATE | PUBLIC).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    for name, mode in CLOSED.items():
        path = tmp_path / name
        path.mkdir()
        (path / "readable").write_text("for those who get here")
        path.chmod(mode)
    (tmp_path / "etc").mkdir()
    (tmp_path / "opt/app/link").symlink_to("private.key")
    (tmp_path / "opt/app").chmod(0o2775)
    os.chown(tmp_path / "opt/app", 12, 34)
    return HostMachine(tmp_path)


def trees(lab: Lab, machine: HostMachine) -> tuple[RootfsTree, ...]:
    """Return what a container is made of: busybox with the machine's /usr and /opt."""
    image = host_image(ImageLayout(lab.paths.images), machine)
    return (RootfsTree(lowers=(str(lab.rootfs),)), *image.trees[1:])


def test_what_others_may_not_read_is_not_there(lab: Lab, machine: HostMachine) -> None:
    """Also to root with all capabilities of a container; what leads there looks as it did."""
    names = " ".join(f"/{name}" for name in (*PRIVATE, *CLOSED, *PUBLIC))
    script = f"for f in {names}; do [ -e $f ] && echo $f; done; cat /opt/app/link 2>&1; "
    script += "stat -c '%a %u %g' /opt/app /usr"
    code, text = lab.run(script, rootfs=trees(lab, machine))

    assert code == 0
    *seen, link, app, usr = text.splitlines()
    assert sorted(seen) == sorted(f"/{name}" for name in PUBLIC)
    assert "No such file" in link
    assert (app, usr) == ("2775 12 34", "755 0 0")


def test_the_places_are_free(lab: Lab, machine: HostMachine) -> None:
    """A container may have files of its own there; the machine's stay as they are."""
    script = (
        "echo own >/opt/app/private.key && mkdir /opt/closed && ls -A /opt/closed && cat /opt/app/private.key"
    )
    code, text = lab.run(script, rootfs=trees(lab, machine))

    assert (code, text) == (0, "own\n")
    assert (machine.root / "opt/app/private.key").read_text() == "opt/app/private.key"


def test_no_volume_gets_it_either(lab: Lab, machine: HostMachine) -> None:
    """A new volume is filled with what the image has at its place."""
    volume = lab.paths.volume("v")
    (volume / "_data").mkdir(parents=True)
    copy_up(volume, trees(lab, machine), "/opt/app", name="v")

    assert sorted(os.listdir(volume / "_data")) == ["link", "readme"]
    (volume / "_data/link").unlink()
    (volume / "_data/readme").unlink()


def test_it_is_decided_once(lab: Lab, machine: HostMachine) -> None:
    """And again when something is installed, or somebody writes into /opt or /usr/local."""
    layout = ImageLayout(lab.paths.images)
    before = host_image(layout, machine).trees
    assert host_image(ImageLayout(lab.paths.images), machine).trees == before

    (machine.root / "opt/app/late.key").write_text("late")
    (machine.root / "opt/app/late.key").chmod(0o600)

    after = host_image(layout, machine).trees
    assert after != before
    code, _text = lab.run(
        "[ -e /opt/app/late.key ]", rootfs=(RootfsTree(lowers=(str(lab.rootfs),)), *after[1:])
    )
    assert code == 1


def test_what_a_mount_covers_is_looked_at(lab: Lab, machine: HostMachine) -> None:
    """The layer below shows the directory under the mount, and nothing of what is mounted."""
    covered = machine.root / "opt/covered"
    covered.mkdir()
    (covered / "below.key").write_text("below")
    (covered / "below.key").chmod(0o600)
    subprocess.run(["mount", "-t", "tmpfs", "none", covered], check=True)
    try:
        code, text = lab.run("ls -A /opt/covered; ls /opt/app", rootfs=trees(lab, machine))
    finally:
        subprocess.run(["umount", covered], check=True)

    assert (code, text) == (0, "link\nreadme\n")


def test_a_closed_opt_is_left_out(lab: Lab, machine: HostMachine) -> None:
    """Nobody gets to what is in it, whatever its own mode."""
    (machine.root / "opt").chmod(0o750)

    assert [tree.target for tree in trees(lab, machine)[1:]] == ["/usr"]


def test_many_directories_are_shared_out(lab: Lab, machine: HostMachine) -> None:
    """More of them than a worker looks at before it answers, in a chain and beside each other."""
    deep = machine.root / "usr/share" / "/".join("d" * 40)
    wide = machine.root / "usr/share/wide"
    hidden = []
    for number in range(6000):
        directory = deep if number % 3000 == 0 else wide / f"{number % 60}" / f"{number}"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"f{number}"
        path.touch(0o600 if number % 100 == 0 else 0o644)
        if number % 100 == 0:
            hidden.append(path)
    image = host_image(ImageLayout(lab.paths.images), machine)
    (layer, _below) = next(tree for tree in image.trees if tree.target == "/usr").lowers
    found = {path for path in Path(layer).rglob("f*") if stat.S_ISCHR(path.lstat().st_mode)}

    assert found == {Path(layer) / path.relative_to(machine.root / "usr") for path in hidden}


def test_nothing_private_needs_no_layer(lab: Lab, tmp_path: Path) -> None:
    """The machine's directory alone, as it is."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "etc").mkdir()

    image = host_image(ImageLayout(lab.paths.images), HostMachine(tmp_path))
    assert [tree.lowers for tree in image.trees[1:]] == [(str(tmp_path / "usr"),)]
