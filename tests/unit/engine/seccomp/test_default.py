"""The default policy beside what the real Docker decided, call by call (tests/support/docker_seccomp.py)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.seccomp.assembler import assemble
from pycompose.engine.seccomp.default import ALLOWED, ALLOWED_ON, BY_CAPABILITY, CONDITIONAL, default_policy
from pycompose.engine.seccomp.machines import MACHINES, X32_BIT, Abi, numbers
from pycompose.engine.seccomp.policy import ALLOW, ERRNO

from tests.support import bpf

DOCKER: dict[str, Any] = json.loads(Path(__file__).with_name("docker.json").read_text(encoding="utf-8"))
ABIS = dict(zip(("x86_64", "x86", "x32"), MACHINES["x86_64"].abis, strict=True))
DEFAULT = 0xA80425FB  # Docker's fourteen
SETS = {"none": 0, "default": DEFAULT} | {
    name: 1 << CAPABILITIES.index(name) for name in DOCKER["capabilities"]
}
AF_ALG, AF_VSOCK = 38, 40

# Where a container of ours may do less: (way and call, first argument) → why.
STRICTER = {
    **{
        (
            f"{way} socket",
            AF_ALG,
        ): "Docker 29 refuses it too: it has been a way to root, and hardly a program uses it"
        for way in ABIS
    },
    **{
        (
            "x86_64 socket",
            1 << 32 | family,
        ): "the kernel reads 32 bits of a family, and so it is AF_VSOCK or AF_ALG"
        for family in (AF_ALG, AF_VSOCK)
    },
}


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


def rows(name: str) -> dict[tuple[str, int], int]:
    """Return what Docker decided for a set of capabilities: (way, number) or (way and call, argument) → answer."""
    sections = [DOCKER["none"]]
    if name != "none":
        sections.append(DOCKER["default"] if name == "default" else DOCKER["capabilities"][name])
    return {
        (key, at): answer
        for section in sections
        for key, runs in section.items()
        for first, last, answer in runs
        for at in range(first, last + 1)
    }


@pytest.mark.parametrize("name", SETS)
def test_every_decision_is_dockers(name: str) -> None:
    """All numbers and all arguments that count, for each capability alone, Docker's default set and none."""
    different = {}
    calls = {
        "clone": "clone",
        "personality": "personality",
        "socket": "socket",
        "socketcall": "socketcall",
        "ipc": "ipc",
    }
    for (key, at), answer in rows(name).items():
        way, _, call = key.partition(" ")
        abi = ABIS[way]
        ours = (
            decided(SETS[name], abi, numbers(abi)[calls[call]] & ~abi.bit, at)
            if call
            else decided(SETS[name], abi, at)
        )
        if ours != answer:
            different[key, at] = (ours, answer)

    assert {where for where, answers in different.items() if answers != (1, 0)} == set()
    assert set(different) == set(STRICTER)


def test_what_docker_allows_nobody_is_allowed_by_no_capability() -> None:
    """Capabilities only add: with all of them, and with each, everything is allowed that is without."""
    for abi in ABIS.values():
        base = {number for number in range(600) if decided(0, abi, number) == 0}
        for mask in (*SETS.values(), (1 << len(CAPABILITIES)) - 1):
            assert base <= {number for number in range(600) if decided(mask, abi, number) == 0}


def test_aarch64_decides_as_x86_64_does() -> None:
    """By name: Docker's profile is one for all machines, but for a few calls that only one has."""
    abi, other = MACHINES["aarch64"].native, ABIS["x86_64"]
    only_here = set(ALLOWED_ON["arm64"].split())

    for mask in SETS.values():
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


def test_x32_numbers_are_those_of_x86_64_with_a_bit() -> None:
    """And the calls that look different to 32-bit programs have numbers of their own from 512 on."""
    plain, marked = numbers(ABIS["x86_64"]), numbers(ABIS["x32"])

    assert marked["read"] == plain["read"] | X32_BIT
    assert marked["rt_sigaction"] == 512 | X32_BIT
    assert all(number & X32_BIT for number in marked.values())
