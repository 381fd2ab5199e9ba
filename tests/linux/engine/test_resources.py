"""Every key for resources, from inside a container: it shows, it holds, and it can be changed while the container runs.

tests/support/resources.py has the table of the keys.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.cgroups.group import Cgroup
from pycompose.engine.cgroups.hosts import Kind
from pycompose.engine.config import Device, DeviceRate, Limits, Mount, MountKind

from tests.support.lab import WAIT_S, Lab
from tests.support.leftovers import PATIENCE

MIB = 1024 * 1024
SLEEP = "exec sleep 1000"
TOOLS = tuple(
    Mount(kind=MountKind.BIND, source=os.path.realpath(path), target=path, read_only=True)
    for path in ("/usr", "/lib", "/lib64")
    if os.path.exists(path)
)


@dataclass(frozen=True)
class Shown:
    """Limits, and what a container then reads below /sys/fs/cgroup: files → words, for v2 and for v1."""

    limits: Limits
    v2: dict[str, str]
    v1: dict[str, str]


SHOWN = {
    "mem_limit": Shown(
        Limits(memory_bytes=64 * MIB),
        {"memory.max": str(64 * MIB), "memory.oom.group": "0"},
        {"memory/memory.limit_in_bytes": str(64 * MIB)},
    ),
    "memswap_limit": Shown(
        Limits(memory_bytes=64 * MIB, memory_swap_bytes=96 * MIB),
        {"memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB)},
        {"memory/memory.memsw.limit_in_bytes": str(96 * MIB)},
    ),
    "mem_reservation": Shown(
        Limits(memory_reservation_bytes=32 * MIB),
        {"memory.low": str(32 * MIB)},
        {"memory/memory.soft_limit_in_bytes": str(32 * MIB)},
    ),
    "mem_swappiness": Shown(Limits(memory_swappiness=13), {}, {"memory/memory.swappiness": "13"}),
    "oom_kill_disable": Shown(
        Limits(memory_bytes=64 * MIB, oom_kill_disable=True), {}, {"memory/memory.oom_control": "oom_kill_disable 1"}
    ),
    "cpus": Shown(
        Limits(cpus=0.5),
        {"cpu.max": "50000 100000"},
        {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"},
    ),
    "cpu_quota and cpu_period": Shown(
        Limits(cpu_quota_us=20_000, cpu_period_us=50_000),
        {"cpu.max": "20000 50000"},
        {"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "50000"},
    ),
    "cpu_shares": Shown(Limits(cpu_shares=512), {"cpu.weight": "59"}, {"cpu/cpu.shares": "512"}),
    "cpuset": Shown(Limits(cpuset="0"), {"cpuset.cpus": "0"}, {"cpuset/cpuset.cpus": "0"}),
    "cpuset_mems": Shown(Limits(cpuset_mems="0"), {"cpuset.mems": "0"}, {"cpuset/cpuset.mems": "0"}),
    "pids_limit": Shown(Limits(pids=33), {"pids.max": "33"}, {"pids/pids.max": "33"}),
}  # fmt: skip


def check_shown(lab: Lab, kind: Kind, container: str, wanted: Shown) -> None:
    """Read the files in the container."""
    for name, words in (wanted.v2 if kind is Kind.V2 else wanted.v1).items():
        code, text = lab.exec(container, ["cat", f"/sys/fs/cgroup/{name}"])
        assert code == 0, text
        assert text.splitlines()[0] == words, name


def group_of(lab: Lab, container: str) -> Cgroup:
    """Return the control group, as whoever updates it finds it."""
    return open_existing(lab.paths, container)


def until(true: Callable[[], bool]) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_container_sees_its_limits(kind: Kind, lab: Lab) -> None:
    """So that programs can choose their sizes by them; what v2 doesn't have is said."""
    for key, wanted in SHOWN.items():
        container = lab.make(SLEEP, limits=wanted.limits)
        lab.keeper.start_container(container)

        check_shown(lab, kind, container, wanted)
        said = [f"{key} has no effect on cgroup v2"] if kind is Kind.V2 and not wanted.v2 else []
        assert list(lab.state(container).warnings) == said
        lab.keeper.discard(container)


def test_an_update_is_seen(kind: Kind, lab: Lab) -> None:
    """In a container that was started without any limit, one after the other."""
    container = lab.make(SLEEP)
    lab.keeper.start_container(container)
    group = group_of(lab, container)
    for key, wanted in SHOWN.items():
        if key == "oom_kill_disable":  # for good, in Docker too
            continue
        group.update(wanted.limits)
        check_shown(lab, kind, container, wanted)


def test_memory_that_is_used_up_kills(kind: Kind, lab: Lab) -> None:
    """The container ends with 137 and OOMKilled, also by a limit that came later."""
    eat = "x=x; while :; do x=$x$x; done"
    early = lab.make(eat, limits=Limits(memory_bytes=16 * MIB))
    late = lab.make(f"trap '{eat}' USR1; echo ready; while :; do sleep 0.05; done")
    lab.keeper.start_container(late)
    lab.wait_for_output(late, "ready\n")
    group_of(lab, late).update(Limits(memory_bytes=16 * MIB))
    lab.keeper.start_container(early)
    lab.keeper.signal(late, 10)

    for container in (early, late):
        assert lab.exit_code(container) == 137
        assert lab.state(container).oom_killed


def test_without_the_killer_a_container_waits(kind: Kind, lab: Lab) -> None:
    """`oom_kill_disable`: it is neither killed nor goes on, until it gets more."""
    if kind is Kind.V2:
        pytest.skip("v2 has no such thing, which is said")
    script = "x=0123456789abcdef; for i in `seq 20`; do x=$x$x; done; echo full"
    container = lab.make(
        script, limits=Limits(memory_bytes=16 * MIB, memory_swap_bytes=16 * MIB, oom_kill_disable=True)
    )
    lab.keeper.start_container(container)
    group = group_of(lab, container)
    until(
        lambda: "under_oom 1" in (group.leaves["memory"] / "memory.oom_control").read_text(encoding="ascii")
    )
    assert group.procs() != []

    group.update(Limits(memory_bytes=256 * MIB, memory_swap_bytes=256 * MIB))

    assert lab.exit_code(container) == 0
    assert lab.output(container) == "full\n"


def test_more_processes_are_refused(kind: Kind, lab: Lab) -> None:
    """As many as the limit says, also after an update in either direction."""
    fork = "for i in 1 2 3 4 5 6; do sleep 1000 >/dev/null 2>&1 & done; echo all"
    container = lab.make(SLEEP, limits=Limits(pids=5))
    lab.keeper.start_container(container)

    assert "can't fork" in lab.exec(container, fork)[1]
    group_of(lab, container).update(Limits(pids=-1))
    assert lab.exec(container, fork) == (0, "all\n")


def throttled(lab: Lab, container: str, kind: Kind) -> int:
    """Return how many periods the container has been stopped in, by its own file."""
    name = "cpu.stat" if kind is Kind.V2 else "cpu/cpu.stat"
    text = lab.exec(container, ["cat", f"/sys/fs/cgroup/{name}"])[1]
    found = re.search(r"^nr_throttled (\d+)$", text, re.MULTILINE)
    assert found, text
    return int(found[1])


def test_processor_time_is_rationed(kind: Kind, lab: Lab) -> None:
    """A busy container is stopped in each period, from the moment of an update on."""
    container = lab.make("echo ready; while :; do :; done")
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "ready\n")
    assert throttled(lab, container, kind) == 0

    group_of(lab, container).update(Limits(cpus=0.05))

    until(lambda: throttled(lab, container, kind) >= 3)


def used_s(group: Cgroup, kind: Kind) -> float:
    """Return the processor seconds of a group."""
    if kind is Kind.V2:
        assert group.unified
        return int((group.unified / "cpu.stat").read_text(encoding="ascii").split()[1]) / 1e6
    return int((group.leaves["cpuacct"] / "cpuacct.usage").read_text(encoding="ascii")) / 1e9


def test_shares_are_kept(kind: Kind, lab: Lab) -> None:
    """Of one processor that two want, who has sixteen times the shares gets a multiple; an update turns it round."""
    busy = "while :; do :; done"
    groups = []
    for shares in (4096, 256):
        container = lab.make(busy, limits=Limits(cpuset="0", cpu_shares=shares))
        lab.keeper.start_container(container)
        groups.append(group_of(lab, container))

    def rivals() -> list[float]:
        before = [used_s(group, kind) for group in groups]
        # An emulated processor that its machine takes away runs on, for whoever has it: it takes longer to even out.
        until(lambda: sum(used_s(group, kind) for group in groups) - sum(before) > 0.5 * PATIENCE)
        return [used_s(group, kind) - first for group, first in zip(groups, before, strict=True)]

    much, little = rivals()
    assert much > 2 * little
    for group, shares in zip(groups, (256, 4096), strict=True):
        group.update(Limits(cpu_shares=shares))
    little, much = rivals()
    assert much > 2 * little


def test_processors_are_those_named(kind: Kind, lab: Lab) -> None:
    """What runs already moves when they change."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    container = lab.make(SLEEP, limits=Limits(cpuset="0"))
    lab.keeper.start_container(container)
    script = "grep Cpus_allowed_list /proc/1/status; nproc"

    assert lab.exec(container, script)[1].split()[1:] == ["0", "1"]
    group_of(lab, container).update(Limits(cpuset="1"))
    assert lab.exec(container, script)[1].split()[1:] == ["1", "1"]
    group_of(lab, container).update(Limits(cpuset="0-1"))
    assert lab.exec(container, script)[1].split()[1:] == ["0-1", "2"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """Give a disk of 4 MiB."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(4 * MIB))
    done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_a_disk_is_read_as_fast_as_allowed(kind: Kind, lab: Lab, disk: str) -> None:
    """Two megabytes at one a second, and after an update at as many as there are."""

    def read_s() -> float:
        begin = time.monotonic()
        code, text = lab.exec(container, f"/usr/bin/dd if={disk} of=/dev/null bs=64k count=32 iflag=direct")
        assert code == 0, text
        return time.monotonic() - begin

    container = lab.make(
        SLEEP,
        mounts=TOOLS,
        devices=(Device(source=disk, target=disk, permissions="r"),),
        limits=Limits(device_read_bps=(DeviceRate(path=disk, rate=MIB),)),
    )
    lab.keeper.start_container(container)

    slow = read_s()
    group_of(lab, container).update(Limits(device_read_bps=(DeviceRate(path=disk, rate=0),)))

    assert slow > 1
    assert read_s() < slow
