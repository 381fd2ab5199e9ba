"""Which hierarchies a machine has, and where a container's group goes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycompose.engine.cgroups.base import group_path
from pycompose.engine.cgroups.hosts import Kind, parse_mountinfo, visible
from pycompose.engine.errors import CgroupError
from pycompose.engine.paths import StatePaths

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = """\
25 23 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/memory rw shared:9 master:1 - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
"""


def anywhere(_mount: Path, _device: str) -> bool:
    return True


def test_a_v2_machine() -> None:
    found = parse_mountinfo(V2, anywhere)

    assert (found.kind, found.unified, found.v1) == (Kind.V2, Path("/sys/fs/cgroup"), {})


def test_a_v1_machine() -> None:
    """Controllers that share a mount share a directory; named hierarchies are none of ours."""
    found = parse_mountinfo(V1, anywhere)

    assert found.kind is Kind.V1
    assert found.v1_mounts() == {
        Path("/sys/fs/cgroup/cpu,cpuacct"): ("cpu", "cpuacct"),
        Path("/sys/fs/cgroup/memory"): ("memory",),
    }


def test_a_hybrid_machine() -> None:
    found = parse_mountinfo(V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/uni\\040fied"), anywhere)

    assert (found.kind, found.unified) == (Kind.HYBRID, Path("/sys/fs/cgroup/uni fied"))


def test_a_mount_that_another_one_hides_does_not_count() -> None:
    """The path must lead to the filesystem that the line is about."""
    found = parse_mountinfo(V1, lambda _mount, device: device != "0:24")

    assert found.v1 == dict.fromkeys(("cpu", "cpuacct"), Path("/sys/fs/cgroup/cpu,cpuacct"))
    assert visible(Path("/proc"), "0:0") is False
    assert visible(Path("/no/where"), "0:0") is False


@pytest.mark.parametrize("text", ("", "garbage\n", V2.replace(" rw,nosuid", " ro,nosuid")))
def test_a_machine_without(text: str) -> None:
    """None mounted, or only read-only as in an ordinary container."""
    assert parse_mountinfo(text, anywhere).kind is Kind.NONE


@pytest.mark.parametrize(
    ("parent", "path"),
    (
        ("", ("pycompose", "id")),
        ("web", ("pycompose", "web", "id")),
        ("a//b/", ("pycompose", "a", "b", "id")),
        ("/pycompose/a", ("pycompose", "a", "id")),
    ),
)
def test_where_a_group_goes(parent: str, path: tuple[str, ...]) -> None:
    """`cgroup_parent` is below our own root."""
    assert group_path(StatePaths(), "id", parent) == path


@pytest.mark.parametrize("parent", ("..", "a/../b", "/other", "/pycompose/..", "/pycompose/../x"))
def test_a_parent_outside_is_refused(parent: str) -> None:
    with pytest.raises(CgroupError, match=r"cgroup_parent: cannot use"):
        group_path(StatePaths(), "id", parent)
