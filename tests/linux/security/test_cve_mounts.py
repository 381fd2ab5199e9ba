"""Attacks on the mounts of a start: names that change meanwhile, and images with links for directories."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.config import Mount, MountKind, Namespaces, RootfsTree
from pycompose.engine.errors import EngineError

from tests.support.attack import OUT, PYTHON, SECRET, SWAP, TOOLS, precious
from tests.support.lab import Lab
from tests.support.layers import snapshot
from tests.support.requires import requires
from tests.support.rootfs import build_rootfs

STARTS = int(os.environ.get("PYCOMPOSE_TEST_STARTS", "300"))
PRIVATE = Namespaces(network="private")


@pytest.fixture
def shared(lab: Lab) -> Iterator[Path]:
    """Make a directory that containers share."""
    place = lab.paths.root / "shared"
    place.mkdir()
    yield place
    lab.remove(place)


@contextlib.contextmanager
def swapped(lab: Lab, shared: Path, one: str, other: str) -> Iterator[None]:
    """Let a container swap two names of `shared` for the time of the block."""
    attacker = lab.make(
        [*PYTHON, SWAP, f"/shared/{one}", f"/shared/{other}"],
        mounts=(*TOOLS, Mount(kind=MountKind.BIND, source=str(shared), target="/shared")),
    )
    lab.keeper.start_container(attacker)
    lab.wait_for_output(attacker, "swapping")
    try:
        yield
    finally:
        assert "over" not in lab.output(attacker)
        lab.keeper.kill(attacker)
        lab.exit_code(attacker)


def tried(lab: Lab, script: str, **fields: Any) -> str | None:
    """Return what a container prints, None when it isn't started."""
    container = lab.make(script, **fields)
    try:
        lab.keeper.start_container(container)
    except EngineError:
        return None
    lab.exit_code(container)
    return lab.output(container)


@pytest.mark.timeout(240)
@requires("host-python")
def test_cve_2021_30465_cve_2024_45310_a_racing_symlink_swapper(lab: Lab, shared: Path) -> None:
    """While 300 containers start, a part of their targets and of a source becomes a link to the machine's directory.

    Nothing is made there (the mount's directory would be), and no container sees what is in it.
    """
    with precious(lab.paths.root / "precious") as prey:
        (shared / "a/etc").mkdir(parents=True)
        (shared / "a/etc/passwd").write_text("the volume's own\n", encoding="ascii")
        (shared / "b").symlink_to(f"{OUT}{prey}")
        volume = Mount(kind=MountKind.BIND, source=str(shared), target="/shared")
        came: dict[str | None, int] = {}
        with swapped(lab, shared, "a", "b"):
            for number in range(STARTS):
                said = tried(
                    lab,
                    "cat /stolen",
                    mounts=(
                        volume,
                        Mount(kind=MountKind.TMPFS, target=f"/shared/a/etc/new{number}/deep"),
                        Mount(
                            kind=MountKind.BIND, source=str(shared), subpath="a/etc/passwd", target="/stolen"
                        ),
                    ),
                )
                came[said] = came.get(said, 0) + 1
        assert not any(said and SECRET in said for said in came)
        # Both sides of the race were met, or it was none.
        assert came.get(None, 0) > STARTS // 50
        assert came["the volume's own\n"] > STARTS // 50


@requires("host-python")
def test_cve_2025_31133_a_null_device_that_becomes_a_link(lab: Lab, shared: Path) -> None:
    """A mask is the null device, or there is no start: never what a racing /dev/null points to."""
    os.mknod(shared / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (shared / "link").symlink_to("/proc/sys/kernel/core_pattern")
    dev = Mount(kind=MountKind.BIND, source=str(shared), target="/dev")
    with swapped(lab, shared, "null", "link"):
        said = {tried(lab, "stat -c %t:%T /proc/keys", mounts=(dev,), namespaces=PRIVATE) for _ in range(60)}

    assert said == {None, "1:3\n"}


def test_cve_2025_52565_a_console_that_is_a_link(lab: Lab, shared: Path) -> None:
    """The terminal lands inside the container, where its link leads to, never on a file of the machine."""
    with precious(lab.paths.root / "precious") as prey:
        os.mknod(shared / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (shared / "pts").mkdir()
        dev = Mount(kind=MountKind.BIND, source=str(shared), target="/dev")
        for target in (f"{OUT}{prey}/secret", "/proc/sysrq-trigger", "pts/ptmx"):
            (shared / "console").symlink_to(target)
            said = tried(lab, "cat /proc/mounts", mounts=(dev,), process={"tty": True})
            assert said is None or "devpts /proc/sys" not in said
            (shared / "console").unlink()


@pytest.mark.parametrize("name", ("dev", "dev/pts", "dev/shm", "dev/mqueue"))
def test_cve_2026_41579_cve_2026_47766_an_image_whose_dev_is_a_link(lab: Lab, name: str) -> None:
    """No node is made, no mode or owner changed, nothing mounted where it leads."""
    image = build_rootfs(lab.paths.root / "image")
    with precious(lab.paths.root / "precious") as prey:
        if name == "dev":
            (image / "dev").rmdir()
        (image / name).symlink_to(f"{OUT}{prey}/dev")
        before = snapshot(image)

        said = tried(lab, "stat -c %F /dev/null", rootfs=(RootfsTree(lowers=(str(image),)),))

        # What lies in the image's own /dev is covered by ours.
        assert said == (None if name == "dev" else "character special file\n")
        assert snapshot(image) == before
    lab.remove(image)


@pytest.mark.parametrize("target", ("/proc", "/proc/self/attr", "/proc/self", "/a/../proc/1", "/proc/sys"))
def test_cve_2019_16884_cve_2019_19921_a_volume_over_proc(lab: Lab, shared: Path, target: str) -> None:
    """A fake /proc would swallow the label and the filter that are written there."""
    volume = Mount(kind=MountKind.BIND, source=str(shared), target=target)

    assert tried(lab, "true", mounts=(volume,)) is None


@pytest.mark.parametrize("name", ("proc", "sys"))
@pytest.mark.parametrize("target", ("/a/proc", f"{OUT}/proc", "a"))
def test_cve_2023_27561_cve_2019_19921_an_image_whose_proc_is_a_link(
    lab: Lab, name: str, target: str
) -> None:
    """Masks and limits would be put on something else, which a second container swaps."""
    image = build_rootfs(lab.paths.root / "image")
    (image / "a/proc").mkdir(parents=True)
    (image / name).rmdir()
    (image / name).symlink_to(target)

    assert tried(lab, "true", rootfs=(RootfsTree(lowers=(str(image),)),)) is None
    lab.remove(image)


@requires("host-python")
def test_cve_2025_52881_a_parameter_goes_to_the_kernel_only(lab: Lab, shared: Path) -> None:
    """Decoys in the image and a racing volume below /proc's name get nothing of what is written."""
    image = build_rootfs(lab.paths.root / "image")
    decoy = image / "proc/sys/net/ipv4/ip_forward"
    decoy.parent.mkdir(parents=True)
    decoy.write_text("decoy\n", encoding="ascii")
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii")

    said = tried(
        lab,
        "cat /proc/sys/net/ipv4/ip_forward; stat -fc %T /proc/self/attr",
        rootfs=(RootfsTree(lowers=(str(image),)),),
        sysctls={"net.ipv4.ip_forward": "1"},
        namespaces=PRIVATE,
    )

    assert said == "1\nproc\n"
    assert decoy.read_text(encoding="ascii") == "decoy\n"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii") == before
    lab.remove(image)
