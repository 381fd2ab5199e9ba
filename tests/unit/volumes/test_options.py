"""What `type`, `o` and `device` of a volume mean to mount(2)."""

from __future__ import annotations

import pytest
from pycompose.engine.errors import VolumeError
from pycompose.engine.linux import mounts
from pycompose.volumes.options import MountRequest, check_options, masked, mount_request


@pytest.mark.parametrize(
    ("options", "request_"),
    (
        ({}, None),
        ({"type": "tmpfs", "device": "tmpfs"}, MountRequest(fstype="tmpfs", device="tmpfs")),
        (
            {"type": "none", "o": "rbind,ro,shared", "device": "/srv"},
            MountRequest(
                fstype="none",
                device="/srv",
                bind=True,
                recursive=True,
                attributes=mounts.MOUNT_ATTR_RDONLY,
                propagation=mounts.MS_SHARED,
            ),
        ),
        (
            {"type": "nfs", "o": "defaults,addr=10.0.0.1,nolock,ro,noexec", "device": ":/export"},
            MountRequest(
                fstype="nfs",
                device=":/export",
                attributes=mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOEXEC,
                data=(("addr", "10.0.0.1"), ("nolock", None), ("ro", None)),
            ),
        ),
        (
            {"type": "ext4", "o": "ro,rw,noatime,relatime", "device": "/dev/sdz"},
            MountRequest(fstype="ext4", device="/dev/sdz"),
        ),
    ),
)
def test_what_is_to_be_mounted(options: dict[str, str], request_: MountRequest | None) -> None:
    """Flags of the mount are apart from the filesystem's own options, and the last of a pair wins."""
    assert mount_request(options) == request_


def test_options_that_docker_takes() -> None:
    """All of them, `o` left out, none at all."""
    for options in ({}, {"type": "none", "device": "/a"}, {"type": "none", "device": "/a", "o": "bind"}):
        check_options("v", options)


def test_one_needs_the_other() -> None:
    """In Docker's words."""
    with pytest.raises(VolumeError, match='volume v: create: missing required option: "type"'):
        check_options("v", {"device": "/a"})


@pytest.mark.parametrize("kind", ("none", ""))
def test_a_device_that_is_empty_is_no_directory_of_ours(kind: str) -> None:
    """`device: ${DATA_DIR}` without a value; Docker says so when it mounts."""
    with pytest.raises(VolumeError, match="volume v: missing device in volume options") as caught:
        check_options("v", {"type": kind, "o": "bind", "device": ""})
    assert "variable" in (caught.value.hint or "")


def test_passwords_are_not_shown() -> None:
    """Neither those of options nor those that a kernel repeats."""
    assert masked("user=me,password=a=b,vers=3") == "user=me,password=********,vers=3"
