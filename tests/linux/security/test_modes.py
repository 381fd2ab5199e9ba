"""Namespaces are the container's own unless somebody has said otherwise, in words that exist."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.config import DeviceRate, Limits, Namespaces, RootfsTree, User
from pycompose.engine.errors import EngineError, NamespaceError

from tests.support.lab import Lab

PRIVATE = Namespaces(network="private")


@pytest.mark.parametrize("ipc", ("Private", "foo", "hosts", "container:"))
def test_an_unknown_ipc_mode_shows_no_shared_memory_of_the_host(lab: Lab, ipc: str) -> None:
    """It used to mount the host's /dev/shm, writable."""
    container = lab.make("ls /dev/shm", namespaces=Namespaces(network="host", ipc=ipc))

    with pytest.raises(NamespaceError, match=rf"container lab-1: cannot start: unknown ipc mode '{ipc}'"):
        lab.keeper.start_container(container)


@pytest.mark.parametrize("ipc", ("private", "none", "host"))
def test_ipc_is_joined_only_with_consent(lab: Lab, ipc: str) -> None:
    """Docker's rule: the container that shares it must be `shareable`."""
    donor = lab.make("exec sleep 600", namespaces=Namespaces(network="host", ipc=ipc))
    lab.keeper.start_container(donor)
    thief = lab.make("ls /dev/shm", namespaces=Namespaces(network="host", ipc=f"container:{donor}"))

    with pytest.raises(
        NamespaceError, match=r"cannot join the ipc namespace of container lab-1: it is not shareable"
    ):
        lab.keeper.start_container(thief)


def test_whoever_has_joined_cannot_share_further(lab: Lab) -> None:
    """Consent is the owner's."""
    donor = lab.make("exec sleep 600", namespaces=Namespaces(network="host", ipc="shareable"))
    guest = lab.make("exec sleep 600", namespaces=Namespaces(network="host", ipc=f"container:{donor}"))
    lab.keeper.start_container(donor)
    lab.keeper.start_container(guest)
    third = lab.make("true", namespaces=Namespaces(network="host", ipc=f"container:{guest}"))

    with pytest.raises(NamespaceError, match=r"container lab-2: it is not shareable"):
        lab.keeper.start_container(third)


def test_the_root_is_everybodys_to_enter(lab: Lab) -> None:
    """Mode 0755, root:root, whatever the image's entry for it says: else nobody but root could execute anything."""
    image = lab.paths.root / "private-image"
    shutil.copytree(lab.rootfs, image, symlinks=True)
    image.chmod(0o700)
    shutil.chown(image, 1234, 1234)
    try:
        code, text = lab.run(
            "stat -c '%a %u %g' /",
            rootfs=(RootfsTree(lowers=(str(image),)),),
            process={"user": User(spec="1000:1000")},
        )
    finally:
        shutil.rmtree(image)

    assert (code, text) == (0, "755 0 0\n")


def test_sysctls_of_the_containers_own(lab: Lab) -> None:
    """`kernel.domainname` goes before `domainname`; both ways to write a key are taken."""
    code, text = lab.run(
        "cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/lo/forwarding",
        namespaces=PRIVATE,
        domainname="other",
        sysctls={"kernel.domainname": "mine", "net/ipv4/ip_forward": "0", "net.ipv4.conf.lo.forwarding": "1"},
    )

    assert (code, text.split()) == (0, ["mine", "0", "1"])


def test_a_sysctl_of_the_machine_is_not_reached_by_dots(lab: Lab) -> None:
    """net/../kernel would be the machine's."""
    container = lab.make("true", namespaces=PRIVATE, sysctls={"net/../kernel/panic": "1"})

    with pytest.raises(
        EngineError, match=r"sysctl net/\.\./kernel/panic: cannot set: it is not the container's own"
    ):
        lab.keeper.start_container(container)


@pytest.mark.parametrize(
    ("cwd", "shown"),
    (
        ("/proc/self/cwd", "/"),
        ("/proc/self/root", "/"),
        ("/proc/1/root/tmp", "/tmp"),
        ("/proc/thread-self/root/bin", "/bin"),
    ),
)
def test_a_working_directory_by_the_containers_own_links(lab: Lab, cwd: str, shown: str) -> None:
    """Docker follows them; they lead nowhere outside."""
    container = lab.make("pwd -P; exec sleep 600", process={"cwd": cwd})
    lab.keeper.start_container(container)

    lab.wait_for_output(container, f"{shown}\n")
    assert lab.exec(container, "pwd -P", cwd=cwd) == (0, f"{shown}\n")


@pytest.mark.parametrize(
    "cwd", ("/proc/self/root/proc/self/fd/3", "/proc/1/root/../proc/self/fd/7", "/proc/2/root")
)
def test_no_descriptor_is_reached_by_them(lab: Lab, cwd: str) -> None:
    """CVE-2024-21626: a directory of the host that was left open."""
    container = lab.make("pwd", process={"cwd": cwd})

    with pytest.raises(EngineError, match=r"cannot (change to|create) the working directory"):
        lab.keeper.start_container(container)


def test_host_processes_do_not_lead_out(lab: Lab) -> None:
    """With `pid: host`, /proc/1/root is the machine's."""
    container = lab.make(
        "pwd; ls", process={"cwd": "/proc/1/root"}, namespaces=Namespaces(network="host", pid="host")
    )

    with pytest.raises(EngineError, match=r"cannot change to the working directory"):
        lab.keeper.start_container(container)


@pytest.mark.parametrize("path", ("disk", "/dev/null", "/dev/nothing"))
def test_a_weight_for_a_device_is_a_wish(lab: Lab, path: str) -> None:
    """Kernel or scheduler may know no weights, and what is no disk, or isn't there, has none: Docker goes on."""
    if path == "disk":
        path = next((str(disk) for disk in disks_without_weights()), "")
        if not path:
            pytest.skip("needs a disk without bfq")
    limits = Limits(blkio_weight_device=(DeviceRate(path=path, rate=200),))

    (warning,) = lab.keeper.start_container(lab.make("exec sleep 600", limits=limits)).warnings

    assert warning.startswith("blkio_config.weight_device has no effect: ")


def disks_without_weights() -> Iterator[Path]:
    """Yield the disks whose scheduler isn't bfq."""
    for disk in Path("/sys/block").iterdir():
        scheduler = (disk / "queue/scheduler").read_text()
        if Path("/dev", disk.name).is_block_device() and "[bfq]" not in scheduler:
            yield Path("/dev", disk.name)
