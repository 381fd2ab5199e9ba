"""`Limits` as the names and texts of cgroup files, for v1 and v2. Nothing is written here.

Formulas and checks are those of Docker and runc (kernel: Documentation/admin-guide/cgroup-v{1,2}).
A text of several lines is several writes: the kernel takes one device per write. The order of the entries is
the order of writing.
"""

from __future__ import annotations

import math
import os
import stat
from typing import TYPE_CHECKING, NoReturn

from pycompose.engine.errors import CgroupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.engine.config import DeviceRate, Limits

CPU_PERIOD_US = 100_000
MEMORY_MIN_BYTES = 6 * 1024 * 1024
WEIGHT_DEFAULT = "default"


def v2_files(
    limits: Limits,
    *,
    cpus: frozenset[int] | None = None,
    bfq: bool = False,
    number: Callable[[str], str] | None = None,
) -> dict[str, str]:
    """Return cgroup v2 file name → text for `limits`.

    `cpus` are the processors that are online; `bfq` tells that `io.bfq.weight` exists; `number` gives
    "major:minor" of a block device's path. Raises CgroupError that names compose key, value and reason.
    """
    _check(limits, cpus)
    for key, value in (
        ("cpu_rt_runtime", limits.cpu_rt_runtime_us),
        ("cpu_rt_period", limits.cpu_rt_period_us),
    ):
        if value:
            _refuse(key, value, "cgroup v2 has no real-time limits", hint=f"remove {key}")
    files = _v2_memory(limits)
    quota, period = cpu_bandwidth(limits)
    if quota or period:
        files["cpu.max"] = f"{quota if quota > 0 else 'max'} {period or CPU_PERIOD_US}"
    if limits.cpu_shares:
        files["cpu.weight"] = str(cpu_weight(limits.cpu_shares))
    if limits.cpuset:
        files["cpuset.cpus"] = limits.cpuset
    if limits.cpuset_mems:
        files["cpuset.mems"] = limits.cpuset_mems
    if limits.pids is not None:
        files["pids.max"] = str(limits.pids) if limits.pids > 0 else "max"
    files.update(_v2_io(limits, bfq=bfq, number=number or block_device))
    return files


def v1_files(
    limits: Limits,
    *,
    cpus: frozenset[int] | None = None,
    bfq: bool = False,
    number: Callable[[str], str] | None = None,
) -> dict[str, dict[str, str]]:
    """Return controller → cgroup v1 file name → text for `limits`; arguments and errors as `v2_files`."""
    _check(limits, cpus)
    files = {
        "memory": _v1_memory(limits),
        "cpu": _v1_cpu(limits),
        "cpuset": {
            name: value
            for name, value in (("cpuset.cpus", limits.cpuset), ("cpuset.mems", limits.cpuset_mems))
            if value
        },
        "pids": {},
        "blkio": _v1_blkio(limits, bfq=bfq, number=number or block_device),
    }
    if limits.pids is not None:
        files["pids"] = {"pids.max": str(limits.pids) if limits.pids > 0 else "max"}
    return {controller: entries for controller, entries in files.items() if entries}


# File → the compose key that is behind it, for messages.
KEYS = {
    "memory.max": "mem_limit",
    "memory.limit_in_bytes": "mem_limit",
    "memory.swap.max": "memswap_limit",
    "memory.memsw.limit_in_bytes": "memswap_limit",
    "memory.low": "mem_reservation",
    "memory.soft_limit_in_bytes": "mem_reservation",
    "memory.swappiness": "mem_swappiness",
    "memory.oom_control": "oom_kill_disable",
    "cpu.max": "cpus",
    "cpu.cfs_period_us": "cpus",
    "cpu.cfs_quota_us": "cpus",
    "cpu.weight": "cpu_shares",
    "cpu.shares": "cpu_shares",
    "cpu.rt_period_us": "cpu_rt_period",
    "cpu.rt_runtime_us": "cpu_rt_runtime",
    "cpuset.cpus": "cpuset",
    "cpuset.mems": "cpuset_mems",
    "pids.max": "pids_limit",
}


def key_of(name: str) -> str:
    """Return the compose key that the cgroup file `name` is written for."""
    return KEYS.get(name, "blkio_config")


def optional_files(limits: Limits) -> frozenset[str]:
    """Return the files that a kernel without swap accounting may lack without an error.

    Nobody loses anything there: either no swap limit was asked for, or there is no swap to limit.
    """
    if limits.memory_swap_bytes in (None, 0, -1, limits.memory_bytes):
        return frozenset({"memory.swap.max", "memory.memsw.limit_in_bytes"})
    return frozenset()


def ignored_on_v2(limits: Limits) -> tuple[str, ...]:
    """Return the compose keys that were set and mean nothing on cgroup v2; Docker warns and goes on."""
    keys = []
    if limits.memory_swappiness not in (None, -1):
        keys.append("mem_swappiness")
    if limits.oom_kill_disable:
        keys.append("oom_kill_disable")
    return tuple(keys)


def cpu_weight(shares: int) -> int:
    """Return the v2 weight (1..10000) of v1 `shares`: runc's curve through 2→1, 1024→100, 262144→10000."""
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """Return the `io.weight` (1..10000) of a blkio weight (10..1000)."""
    return 1 + (weight - 10) * 9999 // 990


def cpu_bandwidth(limits: Limits) -> tuple[int, int]:
    """Return CFS quota and period in µs; 0 is unset, quota -1 unlimited."""
    if limits.cpus:
        return max(round(limits.cpus * CPU_PERIOD_US), 1000), CPU_PERIOD_US
    return limits.cpu_quota_us or 0, limits.cpu_period_us or 0


def parse_cpus(text: str) -> frozenset[int]:
    """Return the processors of a list such as "0-3,7" (cpuset(7) "List format"); raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not text.isascii() or not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part!r} is not a processor or a range")
        low, high = int(first), int(last or first)
        if low > high or high > 65_535:
            raise ValueError(f"{part!r} is not a range of processors")
        found.update(range(low, high + 1))
    return frozenset(found)


def online_cpus() -> frozenset[int]:
    """Return the processors that are online (sysfs-devices-system-cpu)."""
    try:
        with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
            return parse_cpus(file.read())
    except (OSError, ValueError):
        return frozenset(os.sched_getaffinity(0))


def _listed(numbers: frozenset[int]) -> str:
    """Return the numbers as a list such as "0-3,7", the form that they came in."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def online_nodes() -> frozenset[int]:
    """Return the memory nodes that are online (sysfs-devices-node); a machine without any calls its memory node 0."""
    try:
        with open("/sys/devices/system/node/online", encoding="ascii") as file:
            return parse_cpus(file.read())
    except (OSError, ValueError):
        return frozenset({0})


def block_device(path: str) -> str:
    """Return "major:minor" of the block device at `path`; raises CgroupError."""
    if not stat.S_ISBLK(_status(path).st_mode):
        raise CgroupError(f"blkio_config: cannot limit {path}: not a block device")
    return device_number(path)


def device_number(path: str) -> str:
    """Return "major:minor" of the device at `path`, of whatever kind; raises CgroupError when there is nothing."""
    number = _status(path).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as exc:
        raise CgroupError(f"blkio_config: cannot find device {path}: {exc.strerror}") from exc


def check(limits: Limits) -> None:
    """Raise CgroupError, which begins with the compose key, for what can't be a limit on this machine."""
    _check(limits, None)


def _refuse(key: str, value: object, reason: str, *, hint: str | None = None) -> NoReturn:
    raise CgroupError(f"{key}: cannot set {value}: {reason}", hint=hint)


def _check(limits: Limits, cpus: frozenset[int] | None) -> None:
    _check_memory(limits)
    if limits.cpus or limits.cpuset:
        _check_processors(limits, cpus or online_cpus())
    _check_nodes(limits)
    _check_cpu(limits)
    if limits.pids is not None and limits.pids < -1:
        _refuse("pids_limit", limits.pids, "below -1", hint="-1 and 0 are unlimited")
    weights = [("blkio_config.weight", limits.blkio_weight)] if limits.blkio_weight else []
    weights += [(f"blkio_config.weight_device {item.path}", item.rate) for item in limits.blkio_weight_device]
    for key, weight in weights:
        if weight is not None and not 10 <= weight <= 1000:
            _refuse(key, weight, "not in 10..1000")
    for key, rates in _throttles(limits).items():
        for item in rates:
            if item.rate < 0:
                _refuse(f"blkio_config.{key} {item.path}", item.rate, "below 0")


def _check_memory(limits: Limits) -> None:
    memory, swap = limits.memory_bytes or 0, limits.memory_swap_bytes or 0
    reservation, swappiness = limits.memory_reservation_bytes or 0, limits.memory_swappiness
    for key, value in (("mem_limit", memory), ("mem_reservation", reservation)):
        if value < -1 or 0 < value < MEMORY_MIN_BYTES:
            _refuse(key, value, f"the least is {MEMORY_MIN_BYTES} bytes (6 MiB)")
    if swap > 0 and memory <= 0:
        _refuse(
            "memswap_limit", swap, "mem_limit is not set", hint="memswap_limit is memory plus swap: set both"
        )
    if swap < -1 or 0 < swap < memory:
        _refuse("memswap_limit", swap, f"below mem_limit {memory}", hint="memswap_limit is memory plus swap")
    if 0 < memory < reservation:
        _refuse("mem_reservation", reservation, f"above mem_limit {memory}")
    if swappiness is not None and not -1 <= swappiness <= 100:
        _refuse("mem_swappiness", swappiness, "not in 0..100")


def _check_processors(limits: Limits, online: frozenset[int]) -> None:
    if limits.cpus:
        if not 0.01 <= limits.cpus <= len(online):
            most = f"{len(online)}.00, as there are only {len(online)} CPUs available"
            _refuse("cpus", limits.cpus, f"range of CPUs is from 0.01 to {most}")
        for key, value in (("cpu_quota", limits.cpu_quota_us), ("cpu_period", limits.cpu_period_us)):
            if value and value > 0:  # -1 is no quota
                reason = f"conflicts with {key} {value}"
                _refuse("cpus", limits.cpus, reason, hint=f"set cpus or {key}, not both")
    if limits.cpuset:
        try:
            absent = parse_cpus(limits.cpuset) - online
        except ValueError as exc:
            raise CgroupError(f"cpuset: cannot set {limits.cpuset}: {exc}", hint='such as "0-2,4"') from exc
        if absent:
            _refuse("cpuset", limits.cpuset, f"no processor {_listed(absent)} here")


def _check_nodes(limits: Limits) -> None:
    if not limits.cpuset_mems:
        return
    try:
        absent = parse_cpus(limits.cpuset_mems) - online_nodes()
    except ValueError as exc:
        raise CgroupError(
            f"cpuset_mems: cannot set {limits.cpuset_mems}: {exc}", hint='such as "0-1"'
        ) from exc
    if absent:
        _refuse("cpuset_mems", limits.cpuset_mems, f"no memory node {_listed(absent)} here")


def _check_cpu(limits: Limits) -> None:
    quota, period, shares = limits.cpu_quota_us or 0, limits.cpu_period_us or 0, limits.cpu_shares or 0
    if period and not 1000 <= period <= 1_000_000:
        _refuse("cpu_period", period, "not in 1000..1000000 µs")
    if quota and quota != -1 and quota < 1000:
        _refuse("cpu_quota", quota, "the least is 1000 µs", hint="-1 is unlimited")
    if shares < 0:
        _refuse("cpu_shares", shares, "below 0")
    runtime, rt_period = limits.cpu_rt_runtime_us or 0, limits.cpu_rt_period_us or 0
    if rt_period and runtime > rt_period:
        _refuse("cpu_rt_runtime", runtime, f"above cpu_rt_period {rt_period}")


def _v2_memory(limits: Limits) -> dict[str, str]:
    memory, swap = limits.memory_bytes or 0, limits.memory_swap_bytes or 0
    files = {}
    if memory:
        files["memory.max"] = str(memory) if memory > 0 else "max"
    if memory > 0 and swap >= 0:
        files["memory.swap.max"] = str(swap - memory if swap else memory)
    elif memory or swap:
        files["memory.swap.max"] = "max"
    if limits.memory_reservation_bytes:
        files["memory.low"] = str(max(limits.memory_reservation_bytes, 0))
    return files


def _v1_memory(limits: Limits) -> dict[str, str]:
    memory, swap = limits.memory_bytes or 0, limits.memory_swap_bytes or 0
    files = {}
    if memory:
        files["memory.limit_in_bytes"] = str(memory)
    if memory > 0 and swap >= 0:
        files["memory.memsw.limit_in_bytes"] = str(swap or 2 * memory)
    elif memory or swap:
        files["memory.memsw.limit_in_bytes"] = "-1"
    if limits.memory_reservation_bytes:
        files["memory.soft_limit_in_bytes"] = str(limits.memory_reservation_bytes)
    if limits.memory_swappiness not in (None, -1):
        files["memory.swappiness"] = str(limits.memory_swappiness)
    if limits.oom_kill_disable:
        files["memory.oom_control"] = "1"
    return files


def _v1_cpu(limits: Limits) -> dict[str, str]:
    quota, period = cpu_bandwidth(limits)
    entries = {
        "cpu.cfs_period_us": period,
        "cpu.cfs_quota_us": quota,
        "cpu.shares": limits.cpu_shares,
        "cpu.rt_period_us": limits.cpu_rt_period_us,
        "cpu.rt_runtime_us": limits.cpu_rt_runtime_us,
    }
    return {name: str(value) for name, value in entries.items() if value}


def _throttles(limits: Limits) -> dict[str, tuple[DeviceRate, ...]]:
    return {
        "device_read_bps": limits.device_read_bps,
        "device_write_bps": limits.device_write_bps,
        "device_read_iops": limits.device_read_iops,
        "device_write_iops": limits.device_write_iops,
    }


def _lines(rates: Iterable[DeviceRate], number: Callable[[str], str], form: Callable[[int], str]) -> str:
    return "\n".join(f"{number(item.path)} {form(item.rate)}" for item in rates)


def _v2_io(limits: Limits, *, bfq: bool, number: Callable[[str], str]) -> dict[str, str]:
    name = "io.bfq.weight" if bfq else "io.weight"
    convert = (lambda weight: weight) if bfq else io_weight
    lines = []
    if limits.blkio_weight:
        lines.append(f"{WEIGHT_DEFAULT} {convert(limits.blkio_weight)}")
    if limits.blkio_weight_device:
        lines.append(_lines(limits.blkio_weight_device, number, lambda weight: str(convert(weight))))
    files = {name: "\n".join(lines)} if lines else {}
    maximums = [
        _lines(rates, number, lambda rate, name=name: f"{name}={rate or 'max'}")  # type: ignore[misc]
        for name, rates in zip(("rbps", "wbps", "riops", "wiops"), _throttles(limits).values(), strict=True)
        if rates
    ]
    if maximums:
        files["io.max"] = "\n".join(maximums)
    return files


def _v1_blkio(limits: Limits, *, bfq: bool, number: Callable[[str], str]) -> dict[str, str]:
    prefix = "blkio.bfq" if bfq else "blkio"
    files = {}
    if limits.blkio_weight:
        files[f"{prefix}.weight"] = str(limits.blkio_weight)
    if limits.blkio_weight_device:
        files[f"{prefix}.weight_device"] = _lines(limits.blkio_weight_device, number, str)
    for key, rates in _throttles(limits).items():
        if rates:
            _device, direction, unit = key.split("_")
            files[f"blkio.throttle.{direction}_{unit}_device"] = _lines(rates, number, str)
    return files
