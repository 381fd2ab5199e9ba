"""The program that relays connections: that it is what its source makes, and which machines have one."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest
from pycompose.networking.ports import relayprogram

from tests.support.requires import requires

if TYPE_CHECKING:
    from pathlib import Path

COMPILERS = ("x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc")
EM_NUMBERS = {"x86_64": 62, "aarch64": 183}  # elf.h
PT_INTERP, PT_GNU_STACK, EXECUTABLE = 3, 0x6474E551, 1


@pytest.mark.parametrize("machine", relayprogram.MACHINES)
def test_the_binary_is_static_and_small(machine: str) -> None:
    """No interpreter, a stack that can't be executed; two pages at most."""
    data = relayprogram.packaged(machine).read_bytes()
    assert data[:7] == b"\x7fELF\x02\x01\x01"
    kind, number = struct.unpack_from("<HH", data, 16)
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = dict(struct.unpack_from("<II", data, offset + i * size) for i in range(count))

    assert (kind, number) == (2, EM_NUMBERS[machine])
    assert PT_INTERP not in segments
    assert not segments[PT_GNU_STACK] & EXECUTABLE
    assert len(data) < 8192


@requires(*COMPILERS)
def test_the_binaries_are_what_the_source_makes(tmp_path: Path) -> None:
    """Byte for byte, by the compilers that build.sh names."""
    for compiler in COMPILERS:
        version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True)
        if version.stdout != "12.2.0\n":
            pytest.skip(f"needs Debian 12's {compiler}, not {version.stdout.strip()}")
    builder = relayprogram.packaged("x86_64").with_name("build.sh")
    subprocess.run([builder, tmp_path], check=True)

    for machine in relayprogram.MACHINES:
        name = f"{relayprogram.NAME}.{machine}"
        assert (tmp_path / name).read_bytes() == relayprogram.packaged(machine).read_bytes()


def test_a_machine_without_a_program_has_none() -> None:
    """Its relays are the loop's work (relay.py)."""
    with pytest.raises(OSError, match="Exec format error"):
        relayprogram.packaged("riscv64")
