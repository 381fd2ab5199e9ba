"""The default policy beside what the real Docker decided, call by call (tests/support/docker_seccomp.py)."""

from __future__ import annotations

from functools import cache

import pytest
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.seccomp.assembler import assemble
from pycompose.engine.seccomp.default import ALLOWED, ALLOWED_ON, BY_CAPABILITY, CONDITIONAL, default_policy
from pycompose.engine.seccomp.machines import MACHINES, Abi, numbers
from pycompose.engine.seccomp.policy import ALLOW, ERRNO

from tests.support import bpf
from tests.support.seccomp_record import ABIS, STRICTER, capability_sets, docker_rows


@cache
def program(machine: str, capabilities: int) -> bytes:
    """Return the filter for some capabilities."""
    return assemble(default_policy(MACHINES[machine], capabilities))


def decided(capabilities: int, abi: Abi, number: int, *arguments: int, machine: str = "x86_64") -> int | str:
    """Return 0 for a call that is allowed, else its errno, as docker.json has it."""
    found = bpf.run(program(machine, capabilities), abi.audit, number | abi.bit, arguments)
    if found == ALLOW:
        return 0
    return found & 0xFFFF if found & 0xFFFF0000 == ERRNO else hex(found)


@pytest.mark.parametrize("name", capability_sets())
def test_every_decision_is_dockers(name: str) -> None:
    """All numbers and all arguments that count, for each capability alone, Docker's default set and none."""
    mask = capability_sets()[name]
    different = {}
    for (key, at), answer in docker_rows(name).items():
        way, _, call = key.partition(" ")
        abi = ABIS[way]
        ours = decided(mask, abi, numbers(abi)[call], at) if call else decided(mask, abi, at)
        if ours != answer:
            different[key, at] = (ours, answer)

    assert {where for where, answers in different.items() if answers != (1, 0)} == set()
    assert set(different) == set(STRICTER)


def test_what_docker_allows_nobody_is_allowed_by_no_capability() -> None:
    """Capabilities only add: with all of them, and with each, everything is allowed that is without."""
    for abi in ABIS.values():
        base = {number for number in range(600) if decided(0, abi, number) == 0}
        for mask in (*capability_sets().values(), (1 << len(CAPABILITIES)) - 1):
            assert base <= {number for number in range(600) if decided(mask, abi, number) == 0}


def test_aarch64_decides_as_x86_64_does() -> None:
    """By name: Docker's profile is one for all machines, but for a few calls that only one has."""
    abi, other = MACHINES["aarch64"].native, ABIS["x86_64"]
    only_here = set(ALLOWED_ON["arm64"].split())

    for mask in capability_sets().values():
        for name in numbers(abi).keys() & numbers(other).keys():
            here = decided(mask, abi, numbers(abi)[name], machine="aarch64")
            assert here == decided(mask, other, numbers(other)[name]), name
    assert {name for name in numbers(abi) if decided(0, abi, numbers(abi)[name], machine="aarch64") == 0} >= {
        "read",
        "newfstatat",
        "ppoll",
        *(only_here & numbers(abi).keys()),
    }


def test_32_bit_arm_has_its_private_calls_and_nothing_between() -> None:
    """Thread-local storage and the cache are calls there, with numbers far behind the others."""
    arm = MACHINES["aarch64"].others[0]
    known = numbers(arm)

    assert {
        name: decided(0, arm, known[name], machine="aarch64") for name in ("set_tls", "cacheflush", "usr26")
    } == {
        "set_tls": 0,
        "cacheflush": 0,
        "usr26": 38,
    }
    assert {
        decided(0, arm, number, machine="aarch64") for number in (457, 1000, 0xEFFFF, 0xF0000, 0xF0010)
    } == {38}
    assert decided(0, arm, known["mount"], machine="aarch64") == 1
    assert decided(0, arm, known["clone"], 0x10000000, machine="aarch64") == 1


def test_every_name_in_the_policy_is_a_call() -> None:
    """A typo would refuse a call in silence."""
    known = {name for machine in MACHINES.values() for abi in machine.abis for name in numbers(abi)}
    named = " ".join([*ALLOWED.values(), *ALLOWED_ON.values(), *BY_CAPABILITY.values()]).split()
    conditional = [name for rule in CONDITIONAL for name in rule.names]

    assert {*named, *conditional} - known == set()
    texts = [name for text in ALLOWED.values() for name in text.split()]
    assert len(texts) == len(set(texts))
