"""Which hierarchies a machine has, and where a container's group goes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycompose.engine.cgroups.base import place_of, slice_path
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


NAMES = ("cpu", "cpuacct", "memory", "name=systemd")


def anywhere(_mount: Path, _device: str) -> bool:
    return True


def test_a_v2_machine() -> None:
    found = parse_mountinfo(V2, anywhere, NAMES)

    assert (found.kind, found.unified, found.v1) == (Kind.V2, Path("/sys/fs/cgroup"), {})


def test_a_v1_machine() -> None:
    """Controllers that share a mount share a directory; a named hierarchy is one, too."""
    found = parse_mountinfo(V1, anywhere, NAMES)

    assert found.kind is Kind.V1
    assert found.v1_mounts() == {
        Path("/sys/fs/cgroup/cpu,cpuacct"): ("cpu", "cpuacct"),
        Path("/sys/fs/cgroup/memory"): ("memory",),
        Path("/sys/fs/cgroup/systemd"): ("name=systemd",),
    }


def test_a_hybrid_machine() -> None:
    found = parse_mountinfo(V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/uni\\040fied"), anywhere, NAMES)

    assert (found.kind, found.unified) == (Kind.HYBRID, Path("/sys/fs/cgroup/uni fied"))


def test_a_mount_that_another_one_hides_does_not_count() -> None:
    """The path must lead to the filesystem that the line is about."""
    found = parse_mountinfo(V1, lambda _mount, device: device != "0:24", NAMES)

    assert "memory" not in found.v1
    assert found.v1["cpu"] == found.v1["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert visible(Path("/proc"), "0:0") is False
    assert visible(Path("/no/where"), "0:0") is False


@pytest.mark.parametrize("text", ("", "garbage\n", V2.replace(" rw,nosuid", " ro,nosuid")))
def test_a_machine_without(text: str) -> None:
    """None mounted, or only read-only as in an ordinary container."""
    assert parse_mountinfo(text, anywhere, NAMES).kind is Kind.NONE


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
    """A relative `cgroup_parent` is below our own root."""
    place = place_of(StatePaths(), "id", parent)

    assert (place.parts, place.ours) == (path, True)


def test_an_absolute_parent_is_where_it_says() -> None:
    """And not ours: what somebody else has made there stays."""
    place = place_of(StatePaths(), "id", "/machine/web")

    assert (place.parts, place.ours) == (("machine", "web", "id"), False)


@pytest.mark.parametrize("parent", ("..", "a/../b", "/other/..", "/pycompose/..", "/pycompose/../x"))
def test_a_parent_outside_is_refused(parent: str) -> None:
    with pytest.raises(CgroupError, match=r"cgroup_parent: cannot use"):
        place_of(StatePaths(), "id", parent)


def test_slices_are_where_systemd_has_them() -> None:
    """systemd.slice(5): a dash makes a level."""
    assert slice_path("web.slice") == "/web.slice"
    assert slice_path("shop-web-1.slice") == "/shop.slice/shop-web.slice/shop-web-1.slice"
    assert slice_path("-.slice") == "/"
    with pytest.raises(CgroupError, match=r"cannot use a--b\.slice: no name of a slice"):
        slice_path("a--b.slice")
