"""What the real Docker's default profile decides, and the questions it was asked (docker_seccomp.py asks them)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.seccomp.machines import MACHINES, numbers

RECORD = Path(__file__).parents[1] / "unit/engine/seccomp/docker.json"
PROBE = Path(__file__).with_name("syscall_probe.py")
# The probe's word for each way into the kernel.
ABIS: dict[str, Any] = dict(zip(("x86_64", "x86", "x32"), MACHINES["x86_64"].abis, strict=True))
# Docker's fourteen.
DEFAULT_CAPABILITIES = 0xA80425FB

LAST = 600
# Beyond every table: what is there, and where the number could be taken for something else.
FAR = (1023, 0xF0001, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# The kernel doesn't ask filters about these two, which are its own way back from a probed function.
UPROBES = (335, 336)
NAMESPACE_FLAGS = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
AF_ALG, AF_VSOCK = 38, 40
INT = 1 << 32
# Calls whose first argument counts.
ARGUMENTS = {
    "clone": (0, 17, 0x80, 0x3D0F00, 0x1200011, *NAMESPACE_FLAGS, INT - 1, INT | 17, INT | 0x10000000),
    "personality": (
        *(0, 1, 8, 9, 0x20000, 0x20008, 0x20009, 0x40000, 0x400000, 0x100000),
        *(INT - 1, INT, INT | 8, INT * INT - 1),
    ),
    "socket": (*range(50), 255, INT - 1, INT | 1, INT | AF_ALG, INT | AF_VSOCK),
    "socketcall": tuple(range(22)),
    "ipc": tuple(range(26)),
}

# Where a container of ours may do less: (way and call, first argument) → why.
STRICTER = {
    **{(f"{way} socket", AF_ALG): "current Docker refuses it too: it has been a way to root" for way in ABIS},
    ("x86_64 socket", INT | AF_ALG): "the kernel reads 32 bits of a family: it is AF_ALG",
    ("x86_64 socket", INT | AF_VSOCK): "the kernel reads 32 bits of a family: it is AF_VSOCK",
}

Rows = dict[tuple[str, int], int]


def questions() -> list[tuple[str, list[Any]]]:
    """Return all that is asked, as syscall_probe.py takes it, with the name under which the answer is kept."""
    found: list[tuple[str, list[Any]]] = [(way, [way, 0, LAST]) for way in ("x86", "x32")]
    found += [("x86_64", ["x86_64", 0, UPROBES[0] - 1]), ("x86_64", ["x86_64", UPROBES[1] + 1, LAST])]
    found += [(way, [way, far, far]) for way in ABIS for far in FAR if way != "x32" or far < 1 << 30]
    for call, values in ARGUMENTS.items():
        for way, abi in ABIS.items():
            number = numbers(abi).get(call, 0) & ~abi.bit
            if number:
                wide = way == "x86_64"
                found += [
                    (f"{way} {call}", [way, number, number, one]) for one in values if wide or one < INT
                ]
    return found


def answers(said: list[list[Any]]) -> dict[tuple[str, int], Any]:
    """Return what the probe said: (way, number) or (way and call, first argument) → 0, errno or "killed"."""
    return {
        (name, (arguments[0] if arguments else first) + step): answer
        for (name, (_way, first, _last, *arguments)), row in zip(questions(), said, strict=True)
        for step, answer in enumerate(row)
    }


def capability_sets() -> dict[str, int]:
    """Return the masks that Docker was asked with: none, its default, each that changes something."""
    alone = json.loads(RECORD.read_text(encoding="utf-8"))["capabilities"]
    return {"none": 0, "default": DEFAULT_CAPABILITIES} | {
        name: 1 << CAPABILITIES.index(name) for name in alone
    }


def docker_rows(name: str) -> Rows:
    """Return Docker's answers for a set of capabilities, in the form of `answers`."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    changes = {"none": {}, "default": record["default"], **record["capabilities"]}
    return {
        (key, at): answer
        for section in (record["none"], changes[name])
        for key, runs in section.items()
        for first, last, answer in runs
        for at in range(first, last + 1)
    }
