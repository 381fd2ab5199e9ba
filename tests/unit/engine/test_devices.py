"""Device rules, and the BPF program made of them, run here by a small interpreter of its instructions."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.cgroups.devices import (
    ACCESS_BITS,
    DEFAULT_RULES,
    DeviceRule,
    host_nodes,
    parse_rule,
    program,
    rules_for,
    v1_writes,
)
from pycompose.engine.config import Device
from pycompose.engine.errors import CgroupError

KINDS = {"b": 1, "c": 2}


def run(code: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Execute a program as the kernel would (linux/bpf_common.h opcodes), and check that it ends."""
    wanted = sum(ACCESS_BITS[letter] for letter in access)
    context = struct.pack("=III", wanted << 16 | KINDS[kind], major, minor)
    instructions = list(struct.iter_unpack("=BBhi", code))
    registers = [0] * 10
    at = 0
    for _ in range(len(instructions)):
        opcode, both, offset, value = instructions[at]
        dst, src = both & 15, both >> 4
        at += 1
        match opcode:
            case 0x61:
                (registers[dst],) = struct.unpack_from("=I", context, offset)
            case 0x54:
                registers[dst] &= value
            case 0x74:
                registers[dst] >>= value
            case 0xB4:
                registers[dst] = value
            case 0xBC:
                registers[dst] = registers[src]
            case 0x15:
                at += offset if registers[dst] == value else 0
            case 0x55:
                at += offset if registers[dst] != value else 0
            case 0x95:
                return bool(registers[0])
    raise AssertionError("the program doesn't end")


def decide(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    """Say what the rules mean: for each kind of access, the last rule that covers it."""

    def one(letter: str) -> bool:
        for rule in reversed(rules):
            same = rule.kind in ("a", kind) and rule.major in (None, major) and rule.minor in (None, minor)
            if same and letter in rule.access:
                return rule.allow
        return False

    return all(map(one, access))


accesses = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
numbers = st.none() | st.integers(0, 3)
some_rules = st.lists(
    st.builds(
        DeviceRule,
        allow=st.booleans(),
        kind=st.sampled_from("bc"),
        major=numbers,
        minor=numbers,
        access=accesses,
    )
    | st.builds(
        lambda allow: DeviceRule(allow=allow, kind="a", major=None, minor=None, access="rwm"), st.booleans()
    ),
    max_size=8,
)


@given(some_rules, st.sampled_from("bc"), st.integers(0, 3), st.integers(0, 3), accesses)
def test_the_program_decides_as_the_rules_do(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    assert run(program(rules), kind, major, minor, access) == decide(rules, kind, major, minor, access)


@given(some_rules)
def test_no_instruction_is_out_of_reach(rules: list[DeviceRule]) -> None:
    """The verifier refuses a program with unreachable code."""
    instructions = list(struct.iter_unpack("=BBhi", program(rules)))
    reached, waiting = set(), [0]
    while waiting:
        at = waiting.pop()
        if at in reached:
            continue
        reached.add(at)
        opcode, _registers, offset, _value = instructions[at]
        if opcode != 0x95:
            waiting.append(at + 1)
        if opcode in (0x15, 0x55):
            waiting.append(at + 1 + offset)

    assert reached == set(range(len(instructions)))


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    (
        ("c", 1, 3, "rw", True),
        ("c", 1, 9, "rwm", True),
        ("c", 5, 2, "rw", True),
        ("c", 136, 77, "rw", True),
        ("c", 1, 11, "r", False),
        ("c", 1, 11, "m", True),
        ("b", 254, 0, "m", True),
        ("b", 254, 0, "r", False),
        ("b", 254, 0, "rm", False),
        ("c", 10, 200, "rw", False),
        ("c", 10, 229, "rw", False),
        ("c", 10, 229, "m", False),
    ),
)
def test_the_defaults(kind: str, major: int, minor: int, access: str, *, allowed: bool) -> None:
    """Docker's list without tun: harmless nodes, terminals, mknod of anything; no disk, no kmsg, no fuse."""
    assert run(program(DEFAULT_RULES), kind, major, minor, access) is allowed


def test_devices_and_rules_of_the_service_come_last() -> None:
    """`devices:` allow the node's own numbers, `device_cgroup_rules:` what they say."""
    rules = rules_for(
        [Device(source="/dev/full", target="/dev/x", permissions="r")], ["c 10:200 rw", "b 8:* r"]
    )

    assert [str(rule) for rule in rules[len(DEFAULT_RULES) :]] == ["c 1:7 r", "c 10:200 rw", "b 8:* r"]
    assert run(program(rules), "c", 10, 200, "rw")
    assert run(program(rules), "b", 8, 17, "r")
    assert not run(program(rules), "b", 8, 17, "rw")


def test_a_rule_for_everything_allows_everything() -> None:
    code = program(rules_for([], ["a *:* rwm"]))

    assert run(code, "b", 254, 0, "rwm")
    assert len(code) == 8 * 8


def test_v1_lines_keep_the_order() -> None:
    """Deny everything first, then each rule."""
    lines = v1_writes(rules_for([], ["a *:* rwm"]))

    assert lines[0] == ("devices.deny", "a")
    assert lines[1] == ("devices.allow", "c *:* m")
    assert ("devices.allow", "c 136:* rwm") in lines
    assert lines[-2:] == [("devices.deny", "c 10:229 rwm"), ("devices.allow", "a")]


@given(st.sampled_from("bc"), st.integers(0, 4095), numbers, accesses)
def test_rules_come_back(kind: str, major: int, minor: int | None, access: str) -> None:
    rule = DeviceRule(allow=True, kind=kind, major=major, minor=minor, access=access)

    assert parse_rule(f"  {rule} ") == rule


@pytest.mark.parametrize(
    "text",
    ("", "c 1:3", "x 1:3 r", "c 1 r", "c 1:b r", "c 1:3 q", "c 1:3 rr", "c 1:3 r w", "c -1:3 r", "c ²:3 r"),
)
def test_bad_rules_are_refused(text: str) -> None:
    with pytest.raises(CgroupError, match=r"device_cgroup_rules: cannot use"):
        parse_rule(text)


@given(st.text())
def test_no_text_breaks_the_rule_parser(text: str) -> None:
    """It gives a rule or our error."""
    with contextlib.suppress(CgroupError):
        assert parse_rule(text).access


def test_a_directory_stands_for_the_nodes_below(tmp_path: Path) -> None:
    """`devices: /dev/snd` is every node in it; links and files are none, and none at all is an error."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link").symlink_to("/dev/null")
    (tmp_path / "file").touch()
    with pytest.raises(CgroupError, match=r"devices: cannot use \S+: not a device node"):
        list(host_nodes(str(tmp_path)))

    ((path, status),) = host_nodes("/dev/null")
    assert (path, os.major(status.st_rdev), os.minor(status.st_rdev)) == ("/dev/null", 1, 3)


@pytest.mark.parametrize(
    ("source", "reason"), (("/dev/no-such", "No such file"), ("/etc/hostname", "not a device node"))
)
def test_what_is_no_device_is_named(source: str, reason: str) -> None:
    with pytest.raises(CgroupError, match=rf"devices: cannot use {source}: {reason}"):
        rules_for([Device(source=source, target="/dev/x")], [])


def test_bad_permissions_are_refused() -> None:
    with pytest.raises(CgroupError, match=r'devices: cannot use permissions "rx"'):
        rules_for([Device(source="/dev/null", target="/dev/x", permissions="rx")], [])
