"""What an older kernel lacks has a substitute, or an error that says what it is: the whole life of a container each.

tests/support/old_kernel.py makes the kernel of the keeper and its containers older than it is.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pycompose.engine.cgroups import v2
from pycompose.engine.cgroups.base import create, detect, open_existing
from pycompose.engine.config import Device, Limits
from pycompose.engine.errors import DOCTOR, EngineError, MountError
from pycompose.engine.linux.landlock import abi
from pycompose.engine.paths import StatePaths

from tests.support.lab import PROJECT, Lab, put_into
from tests.support.namespaces import full_of_mounts, umount
from tests.support.old_kernel import Lack, without

OldLab = Callable[..., Lab]

_CLONE_ARGS_WITH_CGROUP = 88
_FSCONFIG_SET_FD = 5
_PIDFD_GET_INFO = 0xC040FF0B
SUBSTITUTED = {
    "clone into a group (5.7)": Lack("clone3", argument=1, value=_CLONE_ARGS_WITH_CGROUP),
    "layers as descriptors (6.13)": Lack("fsconfig", errno.EINVAL, argument=1, value=_FSCONFIG_SET_FD),
    "the exit code of others' children (6.15)": Lack(
        "ioctl", errno.ENOTTY, argument=1, value=_PIDFD_GET_INFO
    ),
    "keyrings": Lack("keyctl"),
    # The copy of the interpreter is sealed: that one asks for more than to be closed.
    "memory for code of our own": Lack("memfd_create", errno.EACCES, argument=1, value=os.MFD_CLOEXEC),
}
NEEDED = (
    "openat2",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsmount",
    "mount_setattr",
    "seccomp",
)
SERVICE = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done"


@pytest.fixture
def old_lab(host_paths: StatePaths, busybox_rootfs: Path) -> Iterator[OldLab]:
    """Give what returns a lab whose keeper has a kernel that lacks something."""
    labs: list[Lab] = []

    def make(*lacks: Lack) -> Lab:
        host_paths.project(PROJECT).mkdir(parents=True)
        lab = Lab(paths=host_paths, rootfs=busybox_rootfs)
        without(lacks, lab.start)
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.close()


def live(lab: Lab) -> None:
    """Start, execute, limit, pause, stop and remove a container."""
    container = lab.make(SERVICE, limits=Limits(pids=20))
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "up\n")
    assert lab.exec(container, "echo hello; ls -d /sys/fs/cgroup /proc/1") == (
        0,
        "hello\n/proc/1\n/sys/fs/cgroup\n",
    )
    lab.keeper.pause(container)
    lab.keeper.unpause(container)
    group = open_existing(lab.paths, container)
    assert lab.state(container).pid in group.procs()
    lab.keeper.signal(container, signal.SIGTERM)
    assert lab.exit_code(container) == 7
    assert lab.output(container) == "up\nbye\n"

    other = lab.make("exec sleep 1000")
    lab.keeper.start_container(other)
    for one in (container, other):
        lab.keeper.discard(one)
    assert not group.populated()
    assert lab.keeper.list() == []


@pytest.mark.parametrize("lack", SUBSTITUTED)
def test_there_is_a_substitute(old_lab: OldLab, lack: str) -> None:
    """Nobody notices."""
    live(old_lab(SUBSTITUTED[lack]))


def test_all_of_it_together(old_lab: OldLab) -> None:
    """As on a kernel that is old in every way."""
    live(old_lab(*SUBSTITUTED.values()))


@pytest.mark.parametrize("call", NEEDED)
def test_what_is_needed_is_said(old_lab: OldLab, call: str) -> None:
    """The start fails with the name of the call and where to look; nothing is left, and the keeper goes on."""
    lab = old_lab(Lack(call))
    container = lab.make("true")

    with pytest.raises(EngineError) as caught:
        lab.keeper.start_container(container)

    assert call in f"{caught.value.message} {caught.value.hint}"
    assert os.strerror(errno.ENOSYS) in caught.value.message
    assert DOCTOR in (caught.value.hint or "")
    assert lab.keeper.list() == []
    assert open_existing(lab.paths, container).procs() == []
    lab.keeper.discard(container)


def test_devices_are_restricted_without_bpf(old_lab: OldLab) -> None:
    """By v1's controller where there is one; where there is none, root's containers aren't started."""
    lab = old_lab(Lack("bpf", errno.EPERM))
    script = "cat /dev/null && echo null; mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg"
    if "devices" not in detect().v1:
        with pytest.raises(EngineError, match="cannot restrict devices"):
            lab.run(script)
        return
    code, text = lab.run(script, devices=(Device(source="/dev/zero", target="/dev/zero", permissions="r"),))

    assert code != 0
    assert text.startswith("null\n")
    assert "Operation not permitted" in text


def test_a_group_is_killed_without_its_file(host_paths: StatePaths) -> None:
    """Before Linux 5.14 there was no cgroup.kill."""
    group = create(host_paths, "c" * 64, Limits())
    if group.unified is None:
        pytest.skip("no cgroup2 here")
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 600 & done; echo ready; wait"
    with subprocess.Popen(
        ["sh", "-c", f"read _; {script}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        put_into(group, process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        v2.freeze(group.unified, frozen=True)

        v2.kill_each(group.unified)

        assert process.wait() == -signal.SIGKILL
    assert group.wait_empty(20)
    group.remove()


@pytest.mark.skipif(not abi(), reason="this kernel has no Landlock")
def test_landlock_is_asked_for() -> None:
    """A kernel without says so by an error that isn't one."""
    lacks = (Lack("landlock_create_ruleset"),)

    assert without(lacks, abi) == 0


def test_no_more_mounts(old_lab: OldLab, tmp_path: Path) -> None:
    """mount(2) has one error for a full disk and for as many mounts as there may be: the hint says which it was."""
    lab = old_lab(SUBSTITUTED["layers as descriptors (6.13)"])
    container = lab.make("true")
    full_of_mounts(tmp_path / "mounts")
    try:
        with pytest.raises(MountError) as caught:
            lab.keeper.start_container(container)
    finally:
        umount(tmp_path / "mounts")

    assert "fs.mount-max" in (caught.value.hint or "")
    lab.keeper.start_container(container)
    assert lab.exit_code(container) == 0
    lab.keeper.discard(container)
