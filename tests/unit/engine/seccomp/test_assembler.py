"""Programs: what the kernel would run decides what the rules say, for random policies."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.errors import SeccompError
from pycompose.engine.seccomp.assembler import assemble
from pycompose.engine.seccomp.default import default_policy
from pycompose.engine.seccomp.machines import MACHINES, X32_BIT, Abi, Machine, multiplexed, numbers
from pycompose.engine.seccomp.policy import (
    ALLOW,
    ERRNO,
    INT,
    KILL_PROCESS,
    LOG,
    MISSING,
    REFUSE,
    TRAP,
    WHOLE,
    ArgumentCondition,
    Policy,
    Rule,
)

from tests.support import bpf

COMPARE = {
    "EQ": int.__eq__,
    "NE": int.__ne__,
    "LT": int.__lt__,
    "LE": int.__le__,
    "GT": int.__gt__,
    "GE": int.__ge__,
}
X86_64, AARCH64 = MACHINES["x86_64"], MACHINES["aarch64"]
# Few calls, so that rules meet; some that 32-bit x86 has twice, and private ones of ARM.
NAMES = (
    "read",
    "openat",
    "socket",
    "semop",
    "shmget",
    "socketcall",
    "ipc",
    "set_tls",
    "mseal",
    "brk",
    "futex",
)

values = st.sampled_from([0, 1, 2, 7, INT - 1, INT, INT + 1, INT << 32, (1 << 63) + 1, WHOLE]) | st.integers(
    0, WHOLE
)
conditions = st.builds(
    ArgumentCondition,
    st.integers(0, 5),
    st.sampled_from(sorted(COMPARE)),
    values,
    st.sampled_from([WHOLE, INT, 0, 0x7E020000, INT << 32]) | values,
)
actions = st.sampled_from([ALLOW, REFUSE, MISSING, LOG, TRAP, KILL_PROCESS, ERRNO | 13])
rules = st.builds(
    Rule,
    st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
    actions,
    st.lists(conditions, max_size=3).map(tuple),
)
machines = st.sampled_from([X86_64, AARCH64])


@st.composite
def policies(draw: st.DrawFn) -> tuple[Machine, Policy]:
    """Return a machine and a policy for some of its ways in."""
    machine = draw(machines)
    others = draw(st.lists(st.sampled_from(machine.others), unique=True))
    return machine, Policy(
        default=draw(actions),
        rules=tuple(draw(st.lists(rules, max_size=8))),
        abis=(machine.native, *others),
    )


STRICTEST_FIRST = (KILL_PROCESS, TRAP, ERRNO, LOG, ALLOW)


def strictness(action: int) -> int:
    """Return the rank of an action, 0 for the strictest."""
    return STRICTEST_FIRST.index(action & 0xFFFF0000)


def expected(policy: Policy, abi: Abi, number: int, arguments: tuple[int, ...]) -> int:
    """Return what the rules say, as policy.py promises it."""
    known = numbers(abi)
    width = INT if abi.narrow else WHOLE
    first: int | None = None
    holding: list[int] = []
    for rule in policy.rules:
        for name in rule.names if rule.action != policy.default else ():
            if known.get(name) == number and not rule.conditions and first is None:
                first = rule.action
            if known.get(name) == number and all(
                COMPARE[one.operator](arguments[one.argument] & one.mask & width, one.value & width)
                for one in rule.conditions
            ):
                holding.append(rule.action)
            blind = not rule.conditions or strictness(rule.action) < strictness(policy.default)
            if blind and multiplexed(abi, name) == (number, arguments[0] & INT):
                holding.append(rule.action)
    if first is not None:
        return first
    if holding:
        return min(holding, key=strictness)
    acting = [rule for rule in policy.rules if rule.action != policy.default]
    named = {known[name] for rule in policy.rules for name in rule.names if name in known}
    decided = {known[name] for rule in acting for name in rule.names if name in known}
    shared = {found[0] for rule in acting for name in rule.names if (found := multiplexed(abi, name))}
    last = max((one for one in named if one & ~abi.bit < 0xF0000), default=-1)
    permissive = policy.default in (ALLOW, LOG)
    return policy.default if permissive or number <= last or number in decided | shared else MISSING


@given(policies(), st.data())
def test_a_program_decides_what_the_rules_say(made: tuple[Machine, Policy], data: st.DataObject) -> None:
    """Every way in, numbers at and beside those that rules name, arguments at and beside those they compare."""
    _machine, policy = made
    program = assemble(policy)
    compared = [one.value for rule in policy.rules for one in rule.conditions]
    near = values | st.sampled_from([0, *compared, *((value + 1) & WHOLE for value in compared)])

    for abi in policy.abis:
        known = [numbers(abi)[name] for name in NAMES if name in numbers(abi)]
        edges = [number + step for number in known for step in (-1, 0, 1)]
        for number in {abi.bit, abi.bit | 500, abi.bit | X32_BIT - 1, *edges} - {-1, X32_BIT - 1 & ~abi.bit}:
            arguments = tuple(data.draw(near) for _ in range(6))
            assert bpf.run(program, abi.audit, number, arguments) == expected(policy, abi, number, arguments)


@given(policies(), st.integers(0, INT))
def test_other_ways_in_end_the_process(made: tuple[Machine, Policy], number: int) -> None:
    """An architecture that the policy doesn't know, and x32 where only x86_64 is allowed, but not a tracer's -1."""
    machine, policy = made
    program = assemble(policy)

    missing = {abi.audit for abi in machine.abis} - {abi.audit for abi in policy.abis}
    for audit in (*missing, 0x80000016):
        assert bpf.run(program, audit, number) == KILL_PROCESS
    if machine is X86_64 and machine.others[1] not in policy.abis:
        assert bpf.run(program, 0xC000003E, number | X32_BIT) == (
            KILL_PROCESS if number | X32_BIT != INT else bpf.run(program, 0xC000003E, X32_BIT - 1)
        )


def test_jumps_reach_as_far_as_they_have_to() -> None:
    """A conditional jump reaches 255 instructions; here the search has to jump over thousands."""
    known = numbers(X86_64.native)
    rules = [
        Rule((name,), ALLOW, (ArgumentCondition(0, "EQ", number << 32),)) for name, number in known.items()
    ]
    program = assemble(Policy(default=REFUSE, rules=tuple(rules), abis=(X86_64.native,)))

    for number in known.values():
        assert bpf.run(program, X86_64.native.audit, number, (number << 32,)) == ALLOW
        assert bpf.run(program, X86_64.native.audit, number, ((number << 32) + 1,)) == REFUSE


def test_a_program_has_no_more_instructions_than_the_kernel_takes() -> None:
    """A policy that needs more is refused by us, with what to do, not by the kernel with EINVAL."""
    many = tuple(
        Rule(("read",), ALLOW, (ArgumentCondition(0, "GT", (number << 33) + 1),)) for number in range(900)
    )
    policy = Policy(default=REFUSE, rules=many, abis=X86_64.abis)

    with pytest.raises(
        SeccompError, match=r"cannot be used: \d+ instructions are more than the kernel's 4096"
    ):
        assemble(policy)


def test_the_kernel_takes_what_we_assemble() -> None:
    """Each jump lands inside, each instruction is one of seccomp's: the kernel checks that, in a child that ends."""
    if os.uname().machine not in MACHINES:
        pytest.skip("no tables for this machine")
    program = assemble(default_policy(MACHINES[os.uname().machine], 0))
    assert Path("/proc/sys/kernel/seccomp/actions_avail").exists()

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        code = ctypes.create_string_buffer(program, len(program))
        header = (ctypes.c_uint64 * 2)(len(program) // 8, ctypes.addressof(code))
        libc.prctl(38, 1, 0, 0, 0)
        taken = libc.prctl(22, 2, ctypes.byref(header), 0, 0) and ctypes.get_errno()
        refused = libc.unshare(0x10000000) and ctypes.get_errno()
        os.write(writer, f"{taken} {refused}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        assert file.read() == "0 1"
    os.waitpid(pid, 0)
