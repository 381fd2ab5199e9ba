"""What a policy is: rules by name, and what they mean for each number of a machine.

For one call the first rule without conditions decides; where there is none, the strictest of the rules whose
conditions hold, else the default. libseccomp decides so too, but for two rules that hold at once and want different
things: there it goes by an order of its own. A call that no rule names gets the default, up to the last number that
any rule names. Behind that are the calls that are younger than the policy, and these don't exist (ENOSYS): a libc
takes the older one then, where it would take EPERM for an answer (runc's libcontainer/seccomp/patchbpf).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.dataclass import dataclass
from pycompose.engine.seccomp.machines import (
    AUDIT_X86_64,
    PRIVATE_NUMBERS,
    X32_BIT,
    Abi,
    multiplexed,
    numbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/seccomp.h; the lower 16 bits are data.
KILL_THREAD = 0x00000000
KILL_PROCESS = 0x80000000
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000
REFUSE = ERRNO | errno.EPERM
MISSING = ERRNO | errno.ENOSYS
# Actions that let a call happen, with somebody watching or not.
_PERMISSIVE = (ALLOW, LOG, TRACE)
_ACTION_MASK = 0xFFFF0000

WHOLE = 0xFFFFFFFFFFFFFFFF
# The kernel reads 32 bits of an `int`: a condition that refuses a value must not be deceived by the upper ones.
INT = 0xFFFFFFFF
LAST_NUMBER = 0xFFFFFFFF


class ArgumentCondition(NamedTuple):
    """`argument` (0 to 5) AND `mask`, compared with `value`; operators are EQ, NE, LT, LE, GT, GE, unsigned."""

    argument: int
    operator: str
    value: int
    mask: int = WHOLE


class Rule(NamedTuple):
    """Calls by name, what happens, and the conditions that must all hold."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[ArgumentCondition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules for the ways into the kernel of one machine; any other way in ends the process.

    `flags` are SECCOMP_FILTER_FLAG_* of seccomp(2), none unless a profile asks: before Linux 5.16 the kernel protects
    filtered processes against speculation, which SPEC_ALLOW would take away, and since then that flag does nothing.
    """

    default: int
    rules: tuple[Rule, ...]
    abis: tuple[Abi, ...]
    flags: int = 0


class Choice(NamedTuple):
    """One step of a decision: `action` when all conditions hold, else the next one."""

    conditions: tuple[ArgumentCondition, ...]
    action: int


Decision = tuple[Choice, ...]  # the last one has no conditions


class Range(NamedTuple):
    """From this number on, up to the next range, the same is decided."""

    first: int
    decision: Decision
    narrow: bool = False


def always(action: int) -> Decision:
    """Return the decision that asks nothing."""
    return (Choice((), action),)


def audits(policy: Policy) -> list[int]:
    """Return the architectures that the filter tells apart."""
    return list(dict.fromkeys(abi.audit for abi in policy.abis))


def ranges(policy: Policy, audit: int) -> list[Range]:
    """Return what is decided for all 2³² numbers of an architecture, equal neighbours made one."""
    found: list[Range] = []
    for abi in sorted((abi for abi in policy.abis if abi.audit == audit), key=lambda abi: abi.bit):
        found += _ranges(policy, abi)
    if audit == AUDIT_X86_64 and not any(abi.bit for abi in policy.abis):
        # The last number is what a tracer writes to have a call left out; it is none of x32.
        found += [Range(X32_BIT, always(KILL_PROCESS)), Range(LAST_NUMBER, always(_beyond(policy)))]
    return [one for index, one in enumerate(found) if not index or one[1:] != found[index - 1][1:]]


def _ranges(policy: Policy, abi: Abi) -> Iterator[Range]:
    decided = decisions(policy, abi)
    known = numbers(abi)
    ordinary = [known[name] for rule in policy.rules for name in rule.names if name in known]
    last = max((number for number in ordinary if number & ~abi.bit < PRIVATE_NUMBERS), default=-1)
    free = abi.bit
    for number in sorted(decided):
        if number > free:
            yield from _gap(policy, free, number, last)
        yield Range(number, decided[number], abi.narrow)
        free = number + 1
    yield from _gap(policy, free, LAST_NUMBER, last)


def _gap(policy: Policy, first: int, end: int, last: int) -> Iterator[Range]:
    """Yield the ranges of numbers that no rule names."""
    if first <= last:
        yield Range(first, always(policy.default))
    if last + 1 < end:
        yield Range(max(first, last + 1), always(_beyond(policy)))


def _beyond(policy: Policy) -> int:
    return policy.default if policy.default & _ACTION_MASK in _PERMISSIVE else MISSING


def decisions(policy: Policy, abi: Abi) -> dict[int, Decision]:
    """Return what is decided for each number that a rule names."""
    known = numbers(abi)
    found: dict[int, list[Choice]] = {}
    for rule in policy.rules:
        if rule.action == policy.default:
            continue  # counts for what the policy knows, and says nothing
        for name in rule.names:
            if name in known:
                found.setdefault(known[name], []).append(Choice(rule.conditions, rule.action))
            shared = multiplexed(abi, name)
            # The call's own arguments stand in memory, where a filter can't look: what a rule allows to some of its
            # calls isn't allowed then, what it refuses to some is refused to all.
            if shared and (not rule.conditions or _leniency(rule.action) < _leniency(policy.default)):
                number, which = shared
                found.setdefault(number, []).append(Choice((ArgumentCondition(0, "EQ", which),), rule.action))
    return {number: _decision(choices, policy.default) for number, choices in found.items()}


def _decision(choices: list[Choice], default: int) -> Decision:
    for choice in choices:
        if not choice.conditions:
            return (choice,)
    return (*sorted(choices, key=lambda choice: _leniency(choice.action)), Choice((), default))


def _leniency(action: int) -> int:
    """Return the rank that the kernel gives to an action when several filters disagree: a signed number."""
    kind = action & _ACTION_MASK
    return kind - (1 << 32) if kind & KILL_PROCESS else kind
