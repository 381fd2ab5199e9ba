"""The numbers of `stats`: what is taken out of which file, and Docker's formulas."""

from __future__ import annotations

import pytest
from pycompose.engine.cgroups.stats import (
    Sample,
    cpu_percent,
    parse_blkio,
    parse_io_stat,
    parse_keyed,
    parse_net,
    parse_system,
)


def test_cpu_percent_counts_processors() -> None:
    """Half of all of four processors is 200 percent."""
    before = Sample(cpu_ns=1_000, system_ns=10_000, online_cpus=4)
    after = Sample(cpu_ns=3_000, system_ns=14_000, online_cpus=4)

    assert cpu_percent(before, after) == 200.0


@pytest.mark.parametrize("after", (Sample(cpu_ns=1, system_ns=5), Sample(cpu_ns=9, system_ns=4)))
def test_cpu_percent_of_nothing_is_zero(after: Sample) -> None:
    """No time used, or none passed."""
    assert cpu_percent(Sample(cpu_ns=1, system_ns=4), after) == 0.0


def test_memory_percent() -> None:
    assert Sample(memory_bytes=25, memory_limit_bytes=100).memory_percent == 25.0
    assert Sample(memory_bytes=25).memory_percent == 0.0


def test_system_time_is_the_first_seven_fields() -> None:
    """Steal and guest times are left out, as Docker does; ticks are 10 ms."""
    text = "cpu  1 2 3 4 5 6 7 800 900 1000\ncpu0 1 1 1 1\ncpu1 0 1 2 3\nintr 5 6\n"

    assert parse_system(text) == (28 * 10_000_000, 2)


def test_traffic_is_that_of_all_interfaces_but_loopback() -> None:
    text = """\
Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier
    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0
  eth0:1000 9 0 0 0 0 0 0 2000 9 0 0 0 0 0 0
  eth1: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0
"""

    assert parse_net(text) == (1001, 2002)
    assert parse_net("") == (0, 0)


def test_block_traffic_is_that_of_all_devices() -> None:
    """Both versions; lines of sums and of devices without traffic count nothing."""
    v1 = "254:0 Read 10\n254:0 Write 20\n254:0 Total 30\n7:0 Read 1\nTotal 31\n"
    v2 = "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n7:0 rbytes=1 wbytes=0\n8:0 \n"

    assert parse_blkio(v1) == (11, 20)
    assert parse_io_stat(v2) == (11, 20)


def test_keyed_lines() -> None:
    """Such as memory.stat and /proc/meminfo."""
    assert parse_keyed("anon 12\nMemTotal:   77 kB\nodd\nneg -1\n\n") == {"anon": 12, "MemTotal:": 77}
