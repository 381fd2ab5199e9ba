"""Profiles in Docker's JSON: what they mean, and what is wrong with those that Docker refuses too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pycompose.engine.errors import SeccompError
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.seccomp.assembler import assemble
from pycompose.engine.seccomp.machines import MACHINES, numbers
from pycompose.engine.seccomp.policy import (
    ALLOW,
    ERRNO,
    KILL_PROCESS,
    KILL_THREAD,
    LOG,
    MISSING,
    REFUSE,
    TRACE,
    TRAP,
)
from pycompose.engine.seccomp.profile import Host, profile_policy, this_kernel

from tests.support import bpf

X86_64, X86, X32 = MACHINES["x86_64"].abis
EACCES, ENOTTY = 13, 25
SYS_ADMIN, SYS_TIME = (1 << CAPABILITIES.index(name) for name in ("SYS_ADMIN", "SYS_TIME"))
HOST = Host(MACHINES["x86_64"], (6, 1), 0)


def rule(*names: str, action: str = "ERRNO", **fields: Any) -> dict[str, Any]:
    """Return an entry of `syscalls`."""
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **fields}


def argument(index: int, operator: str, value: int, second: int = 0) -> dict[str, Any]:
    """Return an entry of `args`."""
    return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}


def profile(*rules: dict[str, Any], default: str = "ALLOW", **fields: Any) -> dict[str, Any]:
    """Return a profile."""
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **fields}


def ask(made: dict[str, Any], name: str, *arguments: int, abi: Any = X86_64, host: Host = HOST) -> int:
    """Return what the profile's filter returns for a call."""
    program = assemble(profile_policy(json.dumps(made), host))
    return bpf.run(program, abi.audit, numbers(abi)[name], arguments)


@pytest.mark.parametrize(
    ("action", "fields", "returned"),
    (
        ("ALLOW", {}, ALLOW),
        ("ERRNO", {}, REFUSE),
        ("ERRNO", {"errnoRet": 13}, ERRNO | 13),
        ("ERRNO", {"errnoRet": 0}, ERRNO),
        ("KILL", {"errnoRet": 13}, KILL_THREAD),
        ("KILL_THREAD", {}, KILL_THREAD),
        ("KILL_PROCESS", {}, KILL_PROCESS),
        ("TRAP", {}, TRAP),
        ("LOG", {}, LOG),
        ("TRACE", {}, TRACE | 1),
        ("TRACE", {"errnoRet": 7}, TRACE | 7),
    ),
)
def test_actions(action: str, fields: dict[str, int], returned: int) -> None:
    """As a rule and as the default; an errno counts where there is one to give."""
    other = "KILL_PROCESS" if action != "KILL_PROCESS" else "ALLOW"
    default = {"defaultErrnoRet": fields["errnoRet"]} if fields else {}

    assert ask(profile(rule("mkdir", action=action, **fields), default=other), "mkdir") == returned
    assert ask(profile(rule("read", "write", action=other), default=action, **default), "mkdir") in (
        returned,
        MISSING,
    )
    assert ask(profile(rule("mseal", action=other), default=action, **default), "mkdir") == returned


@pytest.mark.parametrize(
    ("operator", "value", "second", "holds", "doesnt"),
    (
        ("EQ", 5, 0, (5,), (4, 6, 5 | 1 << 32)),
        ("NE", 5, 0, (4, 6, 5 | 1 << 32), (5,)),
        ("LT", 1 << 33, 0, (0, (1 << 33) - 1), (1 << 33, 1 << 34)),
        ("LE", 1 << 33, 0, (0, 1 << 33), ((1 << 33) + 1,)),
        ("GT", 1 << 33, 0, ((1 << 33) + 1, 1 << 63), (1 << 33, 7)),
        ("GE", 1 << 33, 0, (1 << 33, 1 << 63), ((1 << 33) - 1,)),
        ("MASKED_EQ", 0xF0, 0x10, (0x10, 0x1F, 0x10 | 1 << 40), (0x20, 0x30)),
        ("MASKED_EQ", 0xF0, 0x1F, (0x10,), (0x20,)),
    ),
)
def test_operators(
    operator: str, value: int, second: int, holds: tuple[int, ...], doesnt: tuple[int, ...]
) -> None:
    """Unsigned, 64 bits wide; of MASKED_EQ the value is the mask."""
    made = profile(rule("mkdir", args=[argument(1, operator, value, second)]))

    assert {ask(made, "mkdir", 99, given) for given in holds} == {REFUSE}
    assert {ask(made, "mkdir", 99, given) for given in doesnt} == {ALLOW}


def test_conditions_hold_together_and_two_on_one_argument_are_two_rules() -> None:
    """As runc reads them."""
    both = profile(rule("mkdir", args=[argument(0, "EQ", 1), argument(1, "EQ", 2)]))
    either = profile(rule("mkdir", args=[argument(0, "EQ", 1), argument(0, "EQ", 2)]))

    assert [ask(both, "mkdir", *given) for given in ((1, 2), (1, 3), (3, 2))] == [REFUSE, ALLOW, ALLOW]
    assert [ask(either, "mkdir", given) for given in (1, 2, 3)] == [REFUSE, REFUSE, ALLOW]


def test_the_first_rule_without_conditions_decides_alone() -> None:
    """And of rules that hold at once the strictest; one that wants the default says nothing."""
    conditional = rule("mkdir", action="KILL", args=[argument(0, "EQ", 1)])
    first = profile(conditional, rule("mkdir", errnoRet=13), rule("mkdir", action="LOG"), default="ALLOW")
    strictest = profile(rule("mkdir", action="LOG", args=[argument(0, "GE", 0)]), conditional)
    nothing = profile(rule("mkdir", action="ALLOW"), rule("mkdir"))

    assert ask(first, "mkdir", 1) == ERRNO | EACCES
    assert [ask(strictest, "mkdir", given) for given in (1, 2)] == [KILL_THREAD, LOG]
    assert ask(nothing, "mkdir") == REFUSE


def test_32_bit_x86_calls_sockets_in_two_ways() -> None:
    """What is refused by one is refused by the other, whatever its arguments, which a filter can't see there."""
    refusing = profile(rule("socket", args=[argument(0, "EQ", 40)]), architectures=["SCMP_ARCH_X86"])
    allowing = profile(
        rule("socket", action="ALLOW", args=[argument(0, "EQ", 1)]),
        rule("mseal", "shmget", action="ALLOW"),
        default="ERRNO",
        architectures=["SCMP_ARCH_X86"],
    )

    assert [ask(refusing, "socket", given, abi=X86) for given in (40, 1)] == [REFUSE, ALLOW]
    assert [ask(refusing, "socketcall", given, abi=X86) for given in (1, 2)] == [REFUSE, ALLOW]
    assert [ask(allowing, "socketcall", given, abi=X86) for given in (1, 2)] == [REFUSE, REFUSE]
    assert [ask(allowing, "ipc", given, abi=X86) for given in (23, 24)] == [ALLOW, REFUSE]


def test_unknown_calls_are_left_out_and_younger_ones_dont_exist() -> None:
    """Beyond the last call that the profile knows the answer is ENOSYS, unless it allows what it doesn't know."""
    made = profile(rule("nosuchcall", "statx", action="ALLOW"), default="ERRNO", defaultErrnoRet=13)

    assert ask(made, "statx") == ALLOW
    assert ask(made, "mkdir") == ERRNO | EACCES
    assert ask(made, "clone3") == MISSING
    assert ask(profile(rule("statx")), "clone3") == ALLOW


def test_architectures() -> None:
    """Only the machine's own without any; those that are named, in a list or in the machine's entry of archMap."""
    plain = profile(rule("mkdir"))
    listed = profile(rule("mkdir"), architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_MIPS"])
    mapped = profile(
        rule("mkdir"),
        archMap=[
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
        ],
    )

    for made, allowed in ((plain, []), (listed, [X32]), (mapped, [X86])):
        assert ask(made, "mkdir") == REFUSE
        for abi in (X86, X32):
            assert ask(made, "mkdir", abi=abi) == (REFUSE if abi in allowed else KILL_PROCESS)


@pytest.mark.parametrize(
    ("fields", "applies"),
    (
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_SYS_TIME"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_SYS_TIME"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_TIME"]}}, True),
        ({"includes": {"arches": ["arm64", "amd64"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"includes": {"minKernel": "10.0"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "6.10"}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}, "excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {}, "excludes": None, "comment": "for everybody", "args": None}, True),
    ),
)
def test_rules_for_some_hosts(fields: dict[str, Any], applies: bool) -> None:  # noqa: FBT001 - a column of the table
    """By capability, machine and kernel; versions are numbers."""
    host = Host(MACHINES["x86_64"], (6, 1), SYS_ADMIN)

    assert ask(profile(rule("mkdir", **fields)), "mkdir", host=host) == (REFUSE if applies else ALLOW)


def test_flags_and_old_spellings() -> None:
    """`name` in place of `names`, keys in any case, flags of seccomp(2)."""
    made = {
        "DefaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        "SYSCALLS": [{"name": "mkdir", "Action": "SCMP_ACT_ERRNO", "ERRNORET": 25}, None],
        "unknown": [1],
    }

    assert ask(made, "mkdir") == ERRNO | ENOTTY
    assert profile_policy(json.dumps(made), HOST).flags == 2 | 4


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("{bad", "cannot read: line 1, column 2: Expecting property name enclosed in double quotes"),
        ('{"defaultAction": "SCMP_ACT_ALLOW"} x', "cannot read: line 1, column 37: Extra data"),
        ("[" * 100_000, "cannot read: nested too deeply"),
        ("[]", "the whole: must be an object, not a list"),
        ("{}", "defaultAction: missing"),
        ('{"defaultAction": 1}', "defaultAction: must be a text, not a number"),
        ('{"defaultAction": "SCMP_ACT_FOO"}', "defaultAction: unknown: 'SCMP_ACT_FOO'"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "defaultAction: SCMP_ACT_NOTIFY isn't supported"),
        (
            '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}',
            "defaultErrnoRet: 4096 is not between 0 and 4095",
        ),
    ),
)
def test_profiles_that_are_wrong_as_a_whole(text: str, message: str) -> None:
    """The error says where."""
    with pytest.raises(SeccompError) as caught:
        profile_policy(text, HOST)

    assert caught.value.message.startswith(f"seccomp profile: {message}")


@pytest.mark.parametrize(
    ("made", "message"),
    (
        (profile(architectures=["SCMP_ARCH_FOO"]), "architectures: unknown: 'SCMP_ARCH_FOO'"),
        (
            profile(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86_64"}]),
            "archMap: there are architectures too: only one of both can be",
        ),
        (
            profile(archMap=[{"architecture": "SCMP_ARCH_Y"}]),
            "archMap[0].architecture: unknown: 'SCMP_ARCH_Y'",
        ),
        (profile(flags=["SECCOMP_FILTER_FLAG_X"]), "flags: unknown: 'SECCOMP_FILTER_FLAG_X'"),
        (profile(listenerPath="/run/x"), "listenerPath: nobody would listen there"),
        (profile() | {"syscalls": "x"}, "syscalls: must be a list, not a text"),
        (profile() | {"syscalls": [1]}, "syscalls[0]: must be an object, not a number"),
        (profile(rule("mkdir", action="BLA")), "syscalls[0].action: unknown: 'SCMP_ACT_BLA'"),
        (profile(rule("mkdir", action="NOTIFY")), "syscalls[0].action: SCMP_ACT_NOTIFY isn't supported"),
        (profile(rule("a"), rule("mkdir") | {"action": None}), "syscalls[1].action: missing"),
        (profile(rule("")), "syscalls[0].names: a name is empty"),
        (
            profile(rule("mkdir", name="rmdir")),
            "syscalls[0].names: there is a name too: only one of both can be",
        ),
        (profile(rule("mkdir") | {"names": [1]}), "syscalls[0].names[0]: must be a text, not a number"),
        (profile(rule("mkdir", errnoRet=5000)), "syscalls[0].errnoRet: 5000 is not between 0 and 4095"),
        (profile(rule("mkdir", errnoRet="1")), "syscalls[0].errnoRet: must be a whole number, not a text"),
        (
            profile(rule("mkdir", errnoRet=True)),
            "syscalls[0].errnoRet: must be a whole number, not true or false",
        ),
        (
            profile(rule("mkdir", args=[argument(6, "EQ", 1)])),
            "syscalls[0].args[0].index: 6 is not between 0 and 5",
        ),
        (
            profile(rule("mkdir", args=[argument(0, "XX", 1)])),
            "syscalls[0].args[0].op: unknown: 'SCMP_CMP_XX'",
        ),
        (
            profile(rule("mkdir", args=[argument(0, "EQ", -1)])),
            "syscalls[0].args[0].value: -1 is not between 0 and",
        ),
        (
            profile(rule("mkdir", args=[argument(0, "EQ", 1 << 64)])),
            "syscalls[0].args[0].value: 18446744073709551616 is not",
        ),
        (
            profile(rule("mkdir", args=[argument(0, "EQ", 1) | {"value": 1.5}])),
            "syscalls[0].args[0].value: must be a whole",
        ),
        (
            profile(rule("mkdir", includes={"minKernel": "x"})),
            "syscalls[0].includes.minKernel: 'x' is no kernel version",
        ),
        (profile(rule("mkdir", excludes=[])), "syscalls[0].excludes: must be an object, not a list"),
        (
            profile(
                rule("mkdir", args=[argument(0, "EQ", 1)]),
                rule("mkdir", action="KILL", args=[argument(0, "EQ", 1)]),
            ),
            "syscalls: mkdir: two rules with the same args want different actions",
        ),
    ),
)
def test_profiles_that_are_wrong_somewhere(made: dict[str, Any], message: str) -> None:
    """Nothing that a user takes for a wall is left out in silence."""
    with pytest.raises(SeccompError) as caught:
        profile_policy(json.dumps(made), HOST)

    assert caught.value.message.startswith(f"seccomp profile: {message}")


def test_the_kernel_that_runs_is_known() -> None:
    """By its first two numbers."""
    assert this_kernel() > (4, 8)
