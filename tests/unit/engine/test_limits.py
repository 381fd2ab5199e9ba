"""The table of compose keys and cgroup files: every formula, check and order, for both versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.cgroups.limits import (
    cpu_weight,
    ignored_on_v2,
    io_weight,
    key_of,
    optional_files,
    parse_cpus,
    v1_files,
    v2_files,
)
from pycompose.engine.config import DeviceRate, Limits
from pycompose.engine.errors import CgroupError

MIB = 1024 * 1024
CPUS = frozenset(range(4))


def number(path: str) -> str:
    return {"/dev/vda": "254:0", "/dev/vdb": "254:16"}[path]


def v2(limits: Limits, *, bfq: bool = False) -> dict[str, str]:
    return v2_files(limits, cpus=CPUS, bfq=bfq, number=number)


def v1(limits: Limits, *, bfq: bool = False) -> dict[str, dict[str, str]]:
    return v1_files(limits, cpus=CPUS, bfq=bfq, number=number)


def test_no_limits_write_nothing() -> None:
    assert v2(Limits()) == {}
    assert v1(Limits()) == {}


@pytest.mark.parametrize(
    ("limits", "files"),
    (
        (Limits(memory_bytes=64 * MIB), {"memory.max": "67108864", "memory.swap.max": "67108864"}),
        (
            Limits(memory_bytes=64 * MIB, memory_swap_bytes=100 * MIB),
            {"memory.max": "67108864", "memory.swap.max": "37748736"},
        ),
        (
            Limits(memory_bytes=64 * MIB, memory_swap_bytes=64 * MIB),
            {"memory.max": "67108864", "memory.swap.max": "0"},
        ),
        (
            Limits(memory_bytes=64 * MIB, memory_swap_bytes=-1),
            {"memory.max": "67108864", "memory.swap.max": "max"},
        ),
        (Limits(memory_bytes=-1), {"memory.max": "max", "memory.swap.max": "max"}),
        (Limits(memory_bytes=0), {}),
        (Limits(memory_reservation_bytes=8 * MIB), {"memory.low": "8388608"}),
        (Limits(memory_swappiness=10, oom_kill_disable=True), {}),
        (Limits(cpus=0.5), {"cpu.max": "50000 100000"}),
        (Limits(cpus=0.01), {"cpu.max": "1000 100000"}),
        (Limits(cpus=1.005), {"cpu.max": "100500 100000"}),
        (Limits(cpus=0.0), {}),
        (Limits(cpu_quota_us=20000), {"cpu.max": "20000 100000"}),
        (Limits(cpu_quota_us=-1, cpu_period_us=50000), {"cpu.max": "max 50000"}),
        (Limits(cpu_period_us=50000), {"cpu.max": "max 50000"}),
        (Limits(cpu_shares=512), {"cpu.weight": "59"}),
        (Limits(cpu_shares=0), {}),
        (Limits(cpuset="0-2,3"), {"cpuset.cpus": "0-2,3"}),
        (Limits(cpuset_mems="0"), {"cpuset.mems": "0"}),
        (Limits(pids=20), {"pids.max": "20"}),
        (Limits(pids=0), {"pids.max": "max"}),
        (Limits(pids=-1), {"pids.max": "max"}),
        (Limits(blkio_weight=500), {"io.weight": "default 4950"}),
        (
            Limits(
                blkio_weight_device=(
                    DeviceRate(path="/dev/vda", rate=10),
                    DeviceRate(path="/dev/vdb", rate=1000),
                )
            ),
            {"io.weight": "254:0 1\n254:16 10000"},
        ),
        (
            Limits(
                device_read_bps=(DeviceRate(path="/dev/vda", rate=1000),),
                device_write_iops=(DeviceRate(path="/dev/vda", rate=7), DeviceRate(path="/dev/vdb", rate=0)),
            ),
            {"io.max": "254:0 rbps=1000\n254:0 wiops=7\n254:16 wiops=max"},
        ),
        (
            Limits(
                device_write_bps=(DeviceRate(path="/dev/vda", rate=1),),
                device_read_iops=(DeviceRate(path="/dev/vda", rate=2),),
            ),
            {"io.max": "254:0 wbps=1\n254:0 riops=2"},
        ),
    ),
)
def test_v2_files(limits: Limits, files: dict[str, str]) -> None:
    """The cgroup v2 column of the table."""
    assert v2(limits) == files


@pytest.mark.parametrize(
    ("limits", "files"),
    (
        (
            Limits(memory_bytes=64 * MIB),
            {"memory": {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "134217728"}},
        ),
        (
            Limits(memory_bytes=64 * MIB, memory_swap_bytes=64 * MIB),
            {"memory": {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"}},
        ),
        (
            Limits(memory_bytes=64 * MIB, memory_swap_bytes=-1),
            {"memory": {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "-1"}},
        ),
        (
            Limits(memory_reservation_bytes=8 * MIB, memory_swappiness=0, oom_kill_disable=True),
            {
                "memory": {
                    "memory.soft_limit_in_bytes": "8388608",
                    "memory.swappiness": "0",
                    "memory.oom_control": "1",
                }
            },
        ),
        (Limits(memory_swappiness=-1), {}),
        (Limits(cpus=1.5), {"cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"}}),
        (Limits(cpu_quota_us=-1), {"cpu": {"cpu.cfs_quota_us": "-1"}}),
        (Limits(cpu_shares=512), {"cpu": {"cpu.shares": "512"}}),
        (
            Limits(cpu_rt_runtime_us=9500, cpu_rt_period_us=10000),
            {"cpu": {"cpu.rt_period_us": "10000", "cpu.rt_runtime_us": "9500"}},
        ),
        (Limits(cpuset="1", pids=-1), {"cpuset": {"cpuset.cpus": "1"}, "pids": {"pids.max": "max"}}),
        (
            Limits(blkio_weight=300, blkio_weight_device=(DeviceRate(path="/dev/vda", rate=10),)),
            {"blkio": {"blkio.weight": "300", "blkio.weight_device": "254:0 10"}},
        ),
        (
            Limits(device_read_bps=(DeviceRate(path="/dev/vda", rate=9),)),
            {"blkio": {"blkio.throttle.read_bps_device": "254:0 9"}},
        ),
        (
            Limits(device_write_iops=(DeviceRate(path="/dev/vdb", rate=9),)),
            {"blkio": {"blkio.throttle.write_iops_device": "254:16 9"}},
        ),
    ),
)
def test_v1_files(limits: Limits, files: dict[str, dict[str, str]]) -> None:
    """The cgroup v1 column of the table; memory before memory plus swap, period before quota."""
    got = v1(limits)

    assert got == files
    assert [list(entries) for entries in got.values()] == [list(entries) for entries in files.values()]


def test_bfq_has_files_of_its_own() -> None:
    """With the BFQ scheduler the weight is taken as it is, on both versions."""
    limits = Limits(blkio_weight=300, blkio_weight_device=(DeviceRate(path="/dev/vda", rate=20),))

    assert v2(limits, bfq=True) == {"io.bfq.weight": "default 300\n254:0 20"}
    assert v1(limits, bfq=True) == {
        "blkio": {"blkio.bfq.weight": "300", "blkio.bfq.weight_device": "254:0 20"}
    }


@pytest.mark.parametrize(
    ("limits", "message"),
    (
        (Limits(memory_bytes=6 * MIB - 1), "mem_limit: cannot set 6291455: the least is 6291456 bytes"),
        (Limits(memory_bytes=-2), "mem_limit: cannot set -2"),
        (Limits(memory_swap_bytes=64 * MIB), "memswap_limit: cannot set 67108864: mem_limit is not set"),
        (
            Limits(memory_bytes=64 * MIB, memory_swap_bytes=63 * MIB),
            "memswap_limit: cannot set 66060288: below mem_limit 67108864",
        ),
        (Limits(memory_reservation_bytes=1), "mem_reservation: cannot set 1: the least is"),
        (
            Limits(memory_bytes=8 * MIB, memory_reservation_bytes=9 * MIB),
            "mem_reservation: cannot set 9437184: above mem_limit 8388608",
        ),
        (Limits(memory_swappiness=101), "mem_swappiness: cannot set 101: not in 0..100"),
        (
            Limits(cpus=4.01),
            "cpus: cannot set 4.01: range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs",
        ),
        (Limits(cpus=0.001), "cpus: cannot set 0.001: range of CPUs"),
        (Limits(cpus=-1), "cpus: cannot set -1: range of CPUs"),
        (Limits(cpus=1, cpu_quota_us=1000), "cpus: cannot set 1: conflicts with cpu_quota 1000"),
        (Limits(cpus=1, cpu_period_us=1000), "cpus: cannot set 1: conflicts with cpu_period 1000"),
        (Limits(cpu_period_us=999), "cpu_period: cannot set 999: not in 1000..1000000"),
        (Limits(cpu_period_us=1_000_001), "cpu_period: cannot set 1000001"),
        (Limits(cpu_quota_us=999), "cpu_quota: cannot set 999: the least is 1000"),
        (Limits(cpu_quota_us=-2), "cpu_quota: cannot set -2"),
        (Limits(cpu_shares=-1), "cpu_shares: cannot set -1"),
        (
            Limits(cpu_rt_runtime_us=11, cpu_rt_period_us=10),
            "cpu_rt_runtime: cannot set 11: above cpu_rt_period 10",
        ),
        (Limits(cpuset="0-9"), "cpuset: cannot set 0-9: no processor 4-9 here"),
        (Limits(cpuset="0,5,7-8"), "cpuset: cannot set 0,5,7-8: no processor 5,7-8 here"),
        (Limits(cpuset_mems="0,4000"), "cpuset_mems: cannot set 0,4000: no memory node 4000 here"),
        (Limits(cpuset="a"), "cpuset: cannot set a: 'a' is not a processor"),
        (Limits(pids=-2), "pids_limit: cannot set -2: below -1"),
        (Limits(blkio_weight=9), "blkio_config.weight: cannot set 9: not in 10..1000"),
        (
            Limits(blkio_weight_device=(DeviceRate(path="/dev/vda", rate=1001),)),
            "blkio_config.weight_device /dev/vda: cannot set 1001: not in 10..1000",
        ),
        (
            Limits(device_read_bps=(DeviceRate(path="/dev/vda", rate=-1),)),
            "blkio_config.device_read_bps /dev/vda: cannot set -1: below 0",
        ),
    ),
)
def test_impossible_limits_are_refused(limits: Limits, message: str) -> None:
    """The message names the compose key, the value and the reason; on both versions."""
    for translate in (v1, v2):
        with pytest.raises(CgroupError) as caught:
            translate(limits)
        assert message in str(caught.value)


@pytest.mark.parametrize("limits", (Limits(cpu_rt_runtime_us=10), Limits(cpu_rt_period_us=10)))
def test_v2_has_no_real_time_limits(limits: Limits) -> None:
    with pytest.raises(CgroupError, match=r"cpu_rt_\w+: cannot set 10: cgroup v2 has no real-time limits"):
        v2(limits)


def test_a_throttle_needs_a_block_device() -> None:
    """Neither a missing path nor a character device will do."""
    for path, reason in (("/dev/null", "not a block device"), ("/nowhere", "No such file")):
        limits = Limits(device_read_bps=(DeviceRate(path=path, rate=1),))
        with pytest.raises(CgroupError, match=rf"blkio_config: cannot .* {path}: {reason}"):
            v2_files(limits)


@pytest.mark.parametrize(
    ("shares", "weight"),
    (
        (1, 1),
        (2, 1),
        (100, 17),
        (256, 35),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (4096, 303),
        (262_144, 10_000),
    ),
)
def test_cpu_weight(shares: int, weight: int) -> None:
    """Runc's check values."""
    assert cpu_weight(shares) == weight


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_more_shares_are_never_less_weight(one: int, other: int) -> None:
    assert 1 <= cpu_weight(min(one, other)) <= cpu_weight(max(one, other)) <= 10_000


def test_io_weight_keeps_both_ends() -> None:
    assert (io_weight(10), io_weight(1000)) == (1, 10_000)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_cpu_lists_come_back(cpus: set[int]) -> None:
    """Single numbers and ranges, in any mix."""
    assert parse_cpus(",".join(map(str, cpus))) == cpus
    assert parse_cpus(f"{min(cpus)}-{max(cpus)}\n") == set(range(min(cpus), max(cpus) + 1))


@pytest.mark.parametrize("text", ("", "-1", "3-1", "1,", "1-", "0-99999999", "x", "1 2", "٣"))
def test_bad_cpu_lists_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cpus(text)


def test_swap_files_may_be_missing_when_nothing_is_asked_of_them() -> None:
    """A kernel without swap accounting is an error only for who asked for a swap limit."""
    assert "memory.swap.max" in optional_files(Limits(memory_bytes=8 * MIB))
    assert "memory.swap.max" in optional_files(Limits(memory_bytes=8 * MIB, memory_swap_bytes=-1))
    assert "memory.memsw.limit_in_bytes" in optional_files(
        Limits(memory_bytes=8 * MIB, memory_swap_bytes=8 * MIB)
    )
    assert not optional_files(Limits(memory_bytes=8 * MIB, memory_swap_bytes=9 * MIB))


def test_keys_without_effect_on_v2_are_named() -> None:
    assert ignored_on_v2(Limits(memory_swappiness=-1)) == ()
    assert ignored_on_v2(Limits(memory_swappiness=0, oom_kill_disable=True)) == (
        "mem_swappiness",
        "oom_kill_disable",
    )


def test_every_file_has_a_key() -> None:
    """An error about a file can say which key to change."""
    limits = Limits(memory_bytes=8 * MIB, cpus=1, pids=1, cpuset="0", blkio_weight=10)

    assert {key_of(name) for name in v2(limits)} == {
        "mem_limit", "memswap_limit", "cpus", "cpuset", "pids_limit", "blkio_config"
    }  # fmt: skip
