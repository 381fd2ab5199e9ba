"""The numbers of system calls."""

from __future__ import annotations

import pytest
from pycompose.engine.linux import libc
from pycompose.engine.seccomp.machines import MACHINES, X32_BIT, Abi, multiplexed, numbers

X86_64, X86, X32 = MACHINES["x86_64"].abis


@pytest.mark.parametrize("machine", MACHINES)
def test_we_call_by_the_same_numbers_ourselves(machine: str) -> None:
    """The table of engine/linux/libc.py was written by hand, this one came out of the kernel's headers."""
    used = {**libc._NUMBERS, **libc._OLD_NUMBERS[machine]}

    assert {name: numbers(MACHINES[machine].native)[name] for name in used} == used


@pytest.mark.parametrize(
    "abi", [abi for machine in MACHINES.values() for abi in machine.abis], ids=lambda abi: abi.name
)
def test_no_number_has_two_names(abi: Abi) -> None:
    """A slip in the text would move everything behind it."""
    found = numbers(abi)

    assert len(set(found.values())) == len(found)
    assert found["listns"] == 470 | abi.bit
    assert {"read", "clone", "openat", "socketpair", "execve"} <= found.keys()


def test_what_32_bit_x86_multiplexes() -> None:
    """Calls of linux/net.h and linux/ipc.h; nobody else has these."""
    assert multiplexed(X86, "socket") == (102, 1)
    assert multiplexed(X86, "sendmmsg") == (102, 20)
    assert multiplexed(X86, "shmctl") == (117, 24)
    assert multiplexed(X86, "read") is None
    assert multiplexed(X86_64, "socket") is None


def test_x32_numbers_are_those_of_x86_64_with_a_bit() -> None:
    """And the calls that look different to 32-bit programs have numbers of their own from 512 on."""
    plain, marked = numbers(X86_64), numbers(X32)

    assert marked["read"] == plain["read"] | X32_BIT
    assert marked["rt_sigaction"] == 512 | X32_BIT
    assert all(number & X32_BIT for number in marked.values())
