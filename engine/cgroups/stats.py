"""What a container uses: one sample from its control groups and its network namespace.

The files stay open and are read again with pread(2): a sample costs some ten system calls. Sources and
formulas are those of Docker and its command line.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import CgroupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.cgroups.group import Cgroup

_SYSTEM_FIELDS = 7  # user nice system idle iowait irq softirq: what Docker sums
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_V1_FILES: dict[str, tuple[str, ...]] = {
    "cpuacct": ("cpuacct.usage",),
    "cpu": ("cpu.stat",),
    "memory": ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat"),
    "blkio": ("blkio.throttle.io_service_bytes_recursive",),
    "pids": ("pids.current",),
}
_V2_FILES = ("cpu.stat", "memory.current", "memory.max", "memory.stat", "io.stat", "pids.current")
_COUNTED_BY = {
    "memory": ("memory.usage_in_bytes", "memory.current"),
    "block": ("blkio.throttle.io_service_bytes_recursive", "io.stat"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Counters since the start, and what is in use now.

    `system_ns` is the time of all processors together, idle time too. `memory_bytes` is without file pages
    that the kernel can drop at once. `memory_limit_bytes` is the machine's memory where there is no limit.
    """

    cpu_ns: int = 0
    system_ns: int = 0
    online_cpus: int = 1
    throttled_periods: int = 0
    throttled_ns: int = 0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    net_rx_bytes: int = 0
    net_tx_bytes: int = 0
    block_read_bytes: int = 0
    block_write_bytes: int = 0
    pids: int = 0

    @property
    def memory_percent(self) -> float:
        """Use of the limit in percent."""
        return self.memory_bytes / self.memory_limit_bytes * 100 if self.memory_limit_bytes else 0.0


def cpu_percent(before: Sample, after: Sample) -> float:
    """Return the processor time between two samples in percent of one processor (two busy ones are 200)."""
    used, passed = after.cpu_ns - before.cpu_ns, after.system_ns - before.system_ns
    return used / passed * after.online_cpus * 100 if used > 0 and passed > 0 else 0.0


class StatsReader:
    """Takes samples of one running container."""

    def __init__(self, group: Cgroup, pid: int | None = None) -> None:
        """Open the files; `pid` is a process in the container's network namespace, None counts no traffic.

        A controller that this machine lacks counts as nothing used. Raises CgroupError.
        """
        self._group = group
        self._fds: dict[str, int] = {}
        self._machine_bytes = (
            parse_keyed(Path("/proc/meminfo").read_text(encoding="ascii")).get("MemTotal:", 0) * 1024
        )
        for controller, names in _V1_FILES.items():
            leaf = group.leaves.get(controller)
            if leaf:
                self._open_all(leaf, names)
        if group.unified:
            self._open_all(group.unified, tuple(n for n in _V2_FILES if n not in self._fds))
        self._open("/proc/stat")
        if pid is not None:
            self._open(f"/proc/{pid}/net/dev", "net")

    def uncounted(self) -> tuple[str, ...]:
        """Return what nothing here counts, and samples have as 0: "cpu", "memory", "block", "pids"."""
        found = []
        if "cpuacct.usage" not in self._fds and not (self._group.unified and "cpu.stat" in self._fds):
            found.append("cpu")
        found += [kind for kind, names in _COUNTED_BY.items() if self._fds.keys().isdisjoint(names)]
        if not self._group.unified and not self._group.leaves:
            found.append("pids")
        return tuple(found)

    def close(self) -> None:
        """Close the files."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def sample(self) -> Sample:
        """Return a sample; raises CgroupError when the container is gone."""
        system_ns, cpus = parse_system(self._read("/proc/stat"))
        throttling = parse_keyed(self._read("cpu.stat"))
        received, sent = parse_net(self._read("net"))
        block_read, block_written = self._block()
        return Sample(
            cpu_ns=self._cpu_ns(throttling),
            system_ns=system_ns,
            online_cpus=cpus,
            throttled_periods=throttling.get("nr_throttled", 0),
            throttled_ns=throttling.get("throttled_time", 0) or throttling.get("throttled_usec", 0) * 1000,
            memory_bytes=self._memory_bytes(),
            memory_limit_bytes=self._memory_limit_bytes(),
            net_rx_bytes=received,
            net_tx_bytes=sent,
            block_read_bytes=block_read,
            block_write_bytes=block_written,
            pids=self._number("pids.current") if "pids.current" in self._fds else len(self._group.procs()),
        )

    def memory(self) -> tuple[int, dict[str, int]]:
        """Return the bytes in use, file pages included, and the kernel's numbers of what they are (memory.stat)."""
        names = ("memory.usage_in_bytes", "memory.current")
        used = next((self._number(name) for name in names if name in self._fds), 0)
        return used, parse_keyed(self._read("memory.stat"))

    def _cpu_ns(self, cpu_stat: dict[str, int]) -> int:
        if "cpuacct.usage" in self._fds:
            return self._number("cpuacct.usage")
        return cpu_stat.get("usage_usec", 0) * 1000

    def _memory_bytes(self) -> int:
        statistics = parse_keyed(self._read("memory.stat"))
        if "memory.usage_in_bytes" in self._fds:
            used, droppable = self._number("memory.usage_in_bytes"), statistics.get("total_inactive_file", 0)
        else:
            used, droppable = self._number("memory.current"), statistics.get("inactive_file", 0)
        return used - droppable if droppable < used else used

    def _memory_limit_bytes(self) -> int:
        limit = self._number("memory.limit_in_bytes") or self._number("memory.max")
        return min(limit, self._machine_bytes) if limit else self._machine_bytes

    def _block(self) -> tuple[int, int]:
        if "blkio.throttle.io_service_bytes_recursive" in self._fds:
            return parse_blkio(self._read("blkio.throttle.io_service_bytes_recursive"))
        return parse_io_stat(self._read("io.stat"))

    def _number(self, name: str) -> int:
        text = self._read(name).strip()
        return int(text) if text.isdecimal() else 0

    def _read(self, name: str) -> str:
        fd = self._fds.get(name)
        if fd is None:
            return ""
        chunks: list[bytes] = []
        offset = 0
        try:
            while chunk := os.pread(fd, 1 << 16, offset):
                chunks.append(chunk)
                offset += len(chunk)
        except OSError as exc:
            place = self._group.unified or next(iter(self._group.leaves.values()), name)
            raise CgroupError(f"cgroup {place}: cannot read {name}: the container is gone") from exc
        return b"".join(chunks).decode("ascii", "replace")

    def _open_all(self, group: Path, names: tuple[str, ...]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                self._fds[name] = files.open_file(group, name)

    def _open(self, path: str, name: str = "") -> None:
        try:
            self._fds[name or path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            self.close()
            raise CgroupError(f"{path}: cannot read: {exc.strerror}") from exc


def parse_keyed(text: str) -> dict[str, int]:
    """Return "name number …" lines as a dictionary; other lines are passed over."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdecimal()}


def parse_system(text: str) -> tuple[int, int]:
    """Return the time of all processors in ns and their number, out of /proc/stat (proc_stat(5))."""
    total = cpus = 0
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["cpu"]:
            total = sum(map(int, fields[1 : _SYSTEM_FIELDS + 1])) * _TICK_NS
        cpus += fields[0].startswith("cpu") if fields else 0
    return total, max(cpus - 1, 1)


def parse_net(text: str) -> tuple[int, int]:
    """Return bytes received and sent of all interfaces but lo, out of /proc/PID/net/dev (proc_pid_net(5))."""
    received = sent = 0
    for line in text.splitlines():
        name, colon, counters = line.partition(":")
        fields = counters.split()
        if colon and name.strip() != "lo" and len(fields) > 8:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def parse_blkio(text: str) -> tuple[int, int]:
    """Return bytes read and written of all devices, out of blkio.throttle.io_service_bytes_recursive."""
    return _sum_lines(
        text, lambda fields: {fields[1]: fields[2]} if len(fields) == 3 else {}, ("Read", "Write")
    )


def parse_io_stat(text: str) -> tuple[int, int]:
    """Return bytes read and written of all devices, out of v2's io.stat."""

    def pairs(fields: list[str]) -> dict[str, str]:
        return dict(field.split("=", 1) for field in fields[1:] if "=" in field)

    return _sum_lines(text, pairs, ("rbytes", "wbytes"))


def _sum_lines(
    text: str, pairs: Callable[[list[str]], dict[str, str]], names: tuple[str, str]
) -> tuple[int, int]:
    sums = [0, 0]
    for line in text.splitlines():
        found = pairs(line.split())
        for index, name in enumerate(names):
            sums[index] += int(found.get(name, 0))
    return sums[0], sums[1]
