"""The ways into the kernel that a machine has, and the numbers that system calls have there.

An x86_64 processor enters by three tables: its own, that of the 32-bit instructions, and x32, which shares the
architecture that the filter sees (AUDIT_ARCH_X86_64) and marks its numbers with bit 30. Names are libseccomp's.
"""

from __future__ import annotations

from functools import cache

from pycompose.engine.dataclass import dataclass
from pycompose.engine.seccomp import syscalls

AUDIT_X86_64 = 0xC000003E
X32_BIT = 1 << 30
# From here on ARM has numbers of its own, far behind those that count up (__ARM_NR_BASE).
PRIVATE_NUMBERS = 0xF0000


@dataclass(frozen=True, slots=True, kw_only=True)
class Abi:
    """One table of numbers: `audit` is AUDIT_ARCH_* of linux/audit.h, `bit` is set in each of its numbers."""

    name: str
    table: str
    audit: int
    bit: int = 0
    narrow: bool = False  # arguments have 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`go` is what profiles call it (GOARCH)."""

    go: str
    native: Abi
    others: tuple[Abi, ...]

    @property
    def abis(self) -> tuple[Abi, ...]:
        """All ways in."""
        return (self.native, *self.others)


MACHINES = {
    "x86_64": Machine(
        go="amd64",
        native=Abi(name="SCMP_ARCH_X86_64", table="X86_64", audit=AUDIT_X86_64),
        others=(
            Abi(name="SCMP_ARCH_X86", table="X86", audit=0x40000003, narrow=True),
            Abi(name="SCMP_ARCH_X32", table="X32", audit=AUDIT_X86_64, bit=X32_BIT, narrow=True),
        ),
    ),
    "aarch64": Machine(
        go="arm64",
        native=Abi(name="SCMP_ARCH_AARCH64", table="AARCH64", audit=0xC00000B7),
        others=(Abi(name="SCMP_ARCH_ARM", table="ARM", audit=0x40000028, narrow=True),),
    ),
}

# What 32-bit x86 calls through one number, with the call as the first argument (linux/net.h, linux/ipc.h).
# Some have a number of their own besides.
_SOCKETCALL = (
    "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
    "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
    "sendmmsg",
)  # fmt: skip
_IPC = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
    "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}  # fmt: skip


@cache
def numbers(abi: Abi) -> dict[str, int]:
    """Return the number of each call that `abi` has."""
    found: dict[str, int] = {}
    for text in (getattr(syscalls, abi.table), syscalls.COMMON):
        number = 0
        for word in text.split():
            if word.isdigit():
                number = int(word)
            else:
                found[word] = number | abi.bit
                number += 1
    return found


def multiplexed(abi: Abi, name: str) -> tuple[int, int] | None:
    """Return the number that `name` shares with others and the first argument that tells it apart."""
    if abi.table != "X86":
        return None
    if name in _SOCKETCALL:
        return numbers(abi)["socketcall"], _SOCKETCALL.index(name) + 1
    return (numbers(abi)["ipc"], _IPC[name]) if name in _IPC else None
