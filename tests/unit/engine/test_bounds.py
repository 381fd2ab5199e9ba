"""What bounds a process by its control groups, told from their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.engine.cgroups.bounds import bounds
from pycompose.engine.cgroups.hosts import Hierarchies

if TYPE_CHECKING:
    from pathlib import Path

NO_V1_LIMIT = "9223372036854771712"


def write(top: Path, files: dict[str, str]) -> None:
    """Write files, as the kernel shows them."""
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("files", "found"),
    (
        ({"a/memory.max": "max", "a/b/memory.max": "max", "a/b/cpu.max": "max 100000"}, {}),
        ({"a/b/memory.max": "1073741824"}, {"a/b/memory.max": "1073741824"}),
        ({"a/memory.high": "4096", "a/b/memory.high": "max"}, {"a/memory.high": "4096"}),
        ({"a/b/cpu.max": "50000 100000"}, {"a/b/cpu.max": "50000 100000"}),
        ({"a/c/memory.max": "1"}, {}),
        ({"a/b/pids.max": "100"}, {}),
    ),
    ids=("nothing", "memory", "one above", "processors", "a neighbour", "tasks"),
)
def test_v2(tmp_path: Path, files: dict[str, str], found: dict[str, str]) -> None:
    """Those above count as well; what is next to it doesn't, nor how many tasks there may be."""
    write(tmp_path, files)

    said = bounds("0::/a/b\n", Hierarchies(unified=tmp_path))

    assert said == {f"{tmp_path}/{name}": text for name, text in found.items()}


def test_v1(tmp_path: Path) -> None:
    """Each controller by the hierarchy that it has; the others have nothing to say."""
    mounted = Hierarchies(
        unified=tmp_path / "unified",
        v1={
            "cpu": tmp_path / "cpu,cpuacct",
            "cpuacct": tmp_path / "cpu,cpuacct",
            "memory": tmp_path / "memory",
        },
    )
    write(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": NO_V1_LIMIT,
            "memory/a/memory.limit_in_bytes": "4096",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/b/cpu.cfs_quota_us": "20000",
            "unified/cgroup.procs": "",
        },
    )

    said = bounds("9:memory:/a\n5:cpu,cpuacct:/b\n3:devices:/c\n1:name=systemd:/\n0::/d\n", mounted)

    assert said == {
        f"{tmp_path}/memory/a/memory.limit_in_bytes": "4096",
        f"{tmp_path}/cpu,cpuacct/b/cpu.cfs_quota_us": "20000",
    }
