"""Which mounts a container gets, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.config import (
    ContainerConfig,
    Mount,
    MountKind,
    Namespaces,
    Process,
    RootfsTree,
    Security,
)
from pycompose.engine.container.rootfs import (
    INIT_TARGET,
    MASKED,
    QUIET,
    Bind,
    Filesystem,
    SharedMemory,
    clean,
    parse_options,
    plan,
    protections,
    user_mount,
)
from pycompose.engine.errors import MountError
from pycompose.engine.linux import mounts

DIRECTORY = Path("/state/containers/1")
DEFAULTS = ["/proc", "/dev", "/sys", "/dev/pts", "/dev/mqueue", "/dev/shm"]


def config(**fields: Any) -> ContainerConfig:
    """Return a configuration with one tree."""
    return ContainerConfig(
        id="1" * 64,
        name="web",
        project="p",
        rootfs=(RootfsTree(lowers=("/layer",)),),
        process=Process(args=("true",)),
        **fields,
    )


def targets(made: ContainerConfig) -> list[str]:
    """Return the targets in the order of mounting."""
    return [step.target for step in plan(made, DIRECTORY)]


def test_every_container_has_the_default_filesystems() -> None:
    """In an order in which each has its parent."""
    assert targets(config()) == DEFAULTS


def test_user_mounts_come_parents_first_and_replace_defaults() -> None:
    """Sorting is stable; /dev/shm of the user takes the default's place."""
    mounts = tuple(Mount(kind=MountKind.TMPFS, target=t) for t in ("/a/b/c", "/dev/shm", "/a", "/a/b"))

    assert targets(config(mounts=mounts)) == [
        "/proc", "/dev", "/sys", "/a", "/dev/pts", "/dev/mqueue", "/dev/shm", "/a/b", "/a/b/c",
    ]  # fmt: skip


def test_a_dev_of_the_user_drops_all_that_is_below() -> None:
    """Mounting defaults into a directory that the user chose would change it."""
    mounts = (Mount(kind=MountKind.BIND, source="/dev", target="/dev"),)

    assert targets(config(mounts=mounts)) == ["/proc", "/sys", "/dev"]


def test_generated_files_follow_read_only_and_give_way_to_the_user() -> None:
    """They are binds of files in the container's directory."""
    files = {"/etc/hosts": "hosts", "/etc/hostname": "hostname"}
    own = Mount(kind=MountKind.BIND, source="/my/hosts", target="/etc/hosts")
    made = config(files=files, mounts=(own,), security=Security(read_only_rootfs=True))

    binds = [step for step in plan(made, DIRECTORY) if isinstance(step, Bind)]

    assert binds == [
        Bind(
            target="/etc/hostname", source="/state/containers/1/hostname", attributes=mounts.MOUNT_ATTR_RDONLY
        ),
        Bind(target="/etc/hosts", source="/my/hosts"),
    ]


def test_shared_memory_follows_the_ipc_namespace() -> None:
    """Private: own tmpfs; joined or host's: theirs; none: nothing."""
    for ipc, kind in (("private", Filesystem), ("shareable", Filesystem), ("host", SharedMemory)):
        steps = plan(config(namespaces=Namespaces(ipc=ipc)), DIRECTORY)
        assert [type(step) for step in steps if step.target == "/dev/shm"] == [kind]
    assert "/dev/shm" not in targets(config(namespaces=Namespaces(ipc="none")))


def test_the_reaper_is_read_only() -> None:
    """What pid 1 runs is not for the container to change."""
    (bind,) = [step for step in plan(config(), DIRECTORY, "/usr/bin/tini") if isinstance(step, Bind)]

    assert (bind.target, bind.source, bind.attributes) == (
        INIT_TARGET,
        "/usr/bin/tini",
        mounts.MOUNT_ATTR_RDONLY,
    )


def test_privileged_and_unconfined_containers_have_nothing_masked() -> None:
    """Both switches clear both lists; the default has all."""
    assert set(protections(config())[0]) >= set(MASKED)
    for security in (Security(privileged=True), Security(system_paths_unconfined=True)):
        assert protections(config(security=security)) == ((), ())


@pytest.mark.parametrize("target", ("relative", "/", "/..", "/proc", "/proc/1/root", "/a/../proc/sys", "//"))
def test_forbidden_targets(target: str) -> None:
    """The root, /proc, and what isn't absolute."""
    with pytest.raises(MountError, match="cannot mount"):
        user_mount(Mount(kind=MountKind.TMPFS, target=target))


@pytest.mark.parametrize("name", ("cpuinfo", "meminfo", "sys/kernel/ns_last_pid"))
def test_files_of_lxcfs_are_allowed(name: str) -> None:
    """Exactly the files runc excepts."""
    step = user_mount(Mount(kind=MountKind.BIND, source="/lxcfs", target=f"/proc/{name}"))
    assert step.target == f"/proc/{name}"


def test_tmpfs_options_are_merged_with_the_defaults() -> None:
    """The last of a pair wins, the user's come last; read-only is set when everything is in place."""
    step = user_mount(
        Mount(kind=MountKind.TMPFS, target="/t", options=("exec", "size=1m", "size=2m", "ro", "mode=700"))
    )

    assert step == Filesystem(
        target="/t",
        fstype="tmpfs",
        options=(("size", "2m"), ("mode", "700")),
        attributes=mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV,
        read_only=True,
    )


@pytest.mark.parametrize(
    ("mount", "reason"),
    (
        (Mount(kind=MountKind.BIND, source="/x", target="/y", options=("size=1",)), "unknown option size"),
        (Mount(kind=MountKind.BIND, source="/x", target="/y", propagation="odd"), "unknown propagation odd"),
    ),
)
def test_bad_binds(mount: Mount, reason: str) -> None:
    """What a bind mount can't have is an error before anything is done."""
    with pytest.raises(MountError, match=reason):
        user_mount(mount)


@given(st.lists(st.sampled_from(["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec"])))
def test_the_last_flag_of_a_pair_decides(options: list[str]) -> None:
    """For every sequence of flags."""
    attributes, data = parse_options(tuple(options))

    assert data == []
    for on, off, flag in (
        ("ro", "rw", mounts.MOUNT_ATTR_RDONLY),
        ("nosuid", "suid", mounts.MOUNT_ATTR_NOSUID),
        ("nodev", "dev", mounts.MOUNT_ATTR_NODEV),
        ("noexec", "exec", mounts.MOUNT_ATTR_NOEXEC),
    ):
        last = next((option for option in reversed(options) if option in (on, off)), off)
        assert bool(attributes & flag) == (last == on)
    assert attributes & ~(QUIET | mounts.MOUNT_ATTR_RDONLY) == 0


@given(st.text(alphabet="/.ab", max_size=20))
def test_clean_targets_are_absolute_and_stay_so(text: str) -> None:
    """No `.`, `..` or empty component is left, and cleaning again changes nothing."""
    cleaned = clean(text)

    assert cleaned.startswith("/")
    assert not {".", ".."} & set(cleaned.split("/"))
    assert clean(cleaned) == cleaned
