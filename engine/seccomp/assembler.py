"""A policy as a program of the kernel's classic BPF (Documentation/userspace-api/seccomp_filter.rst).

```
load the architecture
per architecture:  another one? jump over this section
                   load the number, halve the ranges until one is left
                   return its action, or look at arguments first
return KILL_PROCESS
```
What depends on the number alone uses only instructions that the kernel can run ahead of time: from Linux 5.11 on it
remembers which numbers are always allowed, and these cost nothing then.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pycompose.engine.errors import SeccompError
from pycompose.engine.seccomp.policy import KILL_PROCESS, audits, ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.seccomp.policy import ArgumentCondition, Decision, Policy, Range

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
Code = list[Instruction]

MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
FARTHEST = 255  # what a conditional jump reaches

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_EQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_GT = 0x25
_GE = 0x35
_RETURN = 0x06

# struct seccomp_data, of which little-endian machines have the lower half of an argument first.
_NUMBER = 0
_AUDIT = 4
_ARGUMENTS = 16
_LOW = 0xFFFFFFFF

# Each operator as a jump, and whether it holds when the jump isn't taken.
_OPERATORS = {
    "EQ": (_EQ, False),
    "NE": (_EQ, True),
    "GT": (_GT, False),
    "LE": (_GT, True),
    "GE": (_GE, False),
    "LT": (_GE, True),
}


def assemble(policy: Policy) -> bytes:
    """Return the program, an array of struct sock_filter; raises SeccompError when the kernel's limit is too small."""
    code: Code = [(_LOAD, 0, 0, _AUDIT)]
    for audit in audits(policy):
        section = [(_LOAD, 0, 0, _NUMBER), *_search(ranges(policy, audit))]
        code += [(_EQ, 1, 0, audit), (_JUMP, 0, 0, len(section)), *section]
    code.append((_RETURN, 0, 0, KILL_PROCESS))
    if len(code) > MOST_INSTRUCTIONS:
        raise SeccompError(
            f"seccomp profile: cannot be used: {len(code)} instructions are more than the kernel's {MOST_INSTRUCTIONS}",
            hint="name fewer conditions on arguments",
        )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _search(found: Sequence[Range]) -> Code:
    """Return a binary search; the accumulator has the number."""
    if len(found) == 1:
        return _decide(found[0].decision, narrow=found[0].narrow)
    middle = len(found) // 2
    below, above = _search(found[:middle]), _search(found[middle:])
    pivot = found[middle].first
    if len(below) <= FARTHEST:
        return [(_GE, len(below), 0, pivot), *below, *above]
    return [(_GE, 0, 1, pivot), (_JUMP, 0, 0, len(below)), *below, *above]


def _decide(decision: Decision, *, narrow: bool) -> Code:
    code: Code = []
    for conditions, action in reversed(decision):
        step: Code = [(_RETURN, 0, 0, action)]
        for condition in reversed(conditions):
            step = [*_check(condition, len(step), narrow=narrow), *step]
        code = [*step, *code]
    return code


def _check(condition: ArgumentCondition, skip: int, *, narrow: bool) -> Code:
    """Return instructions that go on behind themselves when `condition` holds, and `skip` further when it doesn't."""
    jump, inverted = _OPERATORS[condition.operator]
    taken, missed = (skip, 0) if inverted else (0, skip)
    mask, value = condition.mask, condition.value
    low = [*_load(condition.argument, mask & _LOW), (jump, taken, missed, value & _LOW)]
    if narrow or (mask <= _LOW and value <= _LOW):
        return low
    high = _load(condition.argument, mask >> 32, upper=True)
    rest = len(low)
    if jump != _EQ:  # greater in the upper half is greater, equal there leaves it to the lower half
        high.append((_GT, rest + 1 + taken, 0, value >> 32))
    return [*high, (_EQ, 0, rest + missed, value >> 32), *low]


def _load(argument: int, mask: int, *, upper: bool = False) -> Code:
    load = (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4 * upper)
    return [load] if mask == _LOW else [load, (_AND, 0, 0, mask)]
