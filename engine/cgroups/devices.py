"""Which device nodes a container may use: rules, and their two forms, a BPF program and v1 lines.

The last rule that matches decides, for each of read, write and mknod alone. Defaults are Docker's without
10:200 (tun): a container that wants it says `devices: [/dev/net/tun]`.
"""

from __future__ import annotations

import os
import stat
import struct
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.errors import CgroupError
from pycompose.engine.linux import bpf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.engine.config import Device

ACCESS_BITS = {"m": 1, "r": 2, "w": 4}
KIND_NUMBERS = {"b": 1, "c": 2}
_MAX_NUMBER = 2**20


class DeviceRule(NamedTuple):
    """One rule; `kind` is "a", "b" or "c", None is any number, `access` is out of "rwm"."""

    allow: bool
    kind: str
    major: int | None
    minor: int | None
    access: str

    def __str__(self) -> str:
        """Return the line for v1's `devices.allow` and `devices.deny`."""
        if self.kind == "a":
            return "a"
        major, minor = ("*" if number is None else number for number in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


DENY_ALL = DeviceRule(allow=False, kind="a", major=None, minor=None, access="rwm")
DEFAULT_RULES = (
    DENY_ALL,
    DeviceRule(allow=True, kind="c", major=None, minor=None, access="m"),
    DeviceRule(allow=True, kind="b", major=None, minor=None, access="m"),
    DeviceRule(allow=True, kind="c", major=1, minor=3, access="rwm"),  # null
    DeviceRule(allow=True, kind="c", major=1, minor=5, access="rwm"),  # zero
    DeviceRule(allow=True, kind="c", major=1, minor=7, access="rwm"),  # full
    DeviceRule(allow=True, kind="c", major=1, minor=8, access="rwm"),  # random
    DeviceRule(allow=True, kind="c", major=1, minor=9, access="rwm"),  # urandom
    DeviceRule(allow=True, kind="c", major=5, minor=0, access="rwm"),  # tty
    DeviceRule(allow=True, kind="c", major=5, minor=1, access="rwm"),  # console
    DeviceRule(allow=True, kind="c", major=5, minor=2, access="rwm"),  # ptmx
    DeviceRule(allow=True, kind="c", major=136, minor=None, access="rwm"),  # pts
    DeviceRule(allow=False, kind="c", major=10, minor=229, access="rwm"),  # fuse
)


def rules_for(devices: Sequence[Device], device_rules: Sequence[str]) -> list[DeviceRule]:
    """Return the defaults, then `devices:`, then `device_cgroup_rules:`; raises CgroupError."""
    rules = list(DEFAULT_RULES)
    for device in devices:
        access = _access("devices", device.permissions)
        if device.kind:
            rules.append(DeviceRule(True, device.kind, device.major, device.minor, access))
            continue
        for _path, status in host_nodes(device.source):
            kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            rules.append(DeviceRule(allow=True, kind=kind, major=major, minor=minor, access=access))
    rules += map(parse_rule, device_rules)
    return rules


def parse_rule(text: str) -> DeviceRule:
    """Return the rule that "c 1:3 mr" or "a *:* rwm" is (cgroup-v1/devices.rst); raises CgroupError."""
    kind, numbers, access = (*text.split(), "", "", "")[:3]
    major, colon, minor = numbers.partition(":")
    if len(text.split()) != 3 or kind not in ("a", "b", "c") or not colon:
        raise CgroupError(
            f'device_cgroup_rules: cannot use "{text}": not of the form "type major:minor access"',
            hint='such as "c 189:* rmw"',
        )
    _access("device_cgroup_rules", access)
    if kind == "a":  # v1 takes it as everything, whatever follows
        return DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm")
    return DeviceRule(
        allow=True, kind=kind, major=_number(text, major), minor=_number(text, minor), access=access
    )


def host_nodes(source: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the device node at `source`, or all below it when it is a directory; raises CgroupError for none."""
    none = True
    try:
        status = os.stat(source)
        for found in _nodes_below(source) if stat.S_ISDIR(status.st_mode) else ((source, status),):
            if stat.S_ISBLK(found[1].st_mode) or stat.S_ISCHR(found[1].st_mode):
                none = False
                yield found
    except OSError as exc:
        raise CgroupError(f"devices: cannot use {source}: {exc.strerror}") from exc
    if none:
        raise CgroupError(f"devices: cannot use {source}: not a device node")


def _nodes_below(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            yield from _nodes_below(entry.path)
        else:
            yield entry.path, info


def program(rules: Sequence[DeviceRule]) -> bytes:
    """Return the BPF program that decides by `rules`.

    Context: kind (low half) and wanted access (high half) in one word, major, minor (linux/bpf.h
    bpf_cgroup_dev_ctx). Rules are tried from the last to the first, each taking away the access it decides,
    so that each kind of access is decided by the last rule for it. Code behind a rule that decides everything
    would be unreachable, which the verifier refuses: it ends the program.
    """
    code = [
        _instruction(0x61, dst=2, src=1, offset=0),
        _instruction(0x61, dst=3, src=1, offset=0),
        _instruction(0x61, dst=4, src=1, offset=4),
        _instruction(0x61, dst=5, src=1, offset=8),
        _instruction(0x54, dst=2, value=0xFFFF),  # r2: kind
        _instruction(0x74, dst=3, value=16),  # r3: access still undecided; r4 major, r5 minor
    ]
    for rule in reversed(rules):
        if rule.kind == "a" and rule.access == "rwm":
            return b"".join([*code, *_return(allow=rule.allow)])
        code += _block(rule)
    return b"".join([*code, *_return(allow=False)])


def attach(group_fd: int, rules: Sequence[DeviceRule]) -> None:
    """Load the program of `rules` and attach it to a cgroup2 directory; raises OSError."""
    if tuple(rules) == DEFAULT_RULES:
        bpf.attach_device_program(group_fd, _default_program())
        return
    program_fd = bpf.load_device_program(program(rules))
    try:
        bpf.attach_device_program(group_fd, program_fd)
    finally:
        os.close(program_fd)


@cache
def _default_program() -> int:
    """Return the descriptor of the loaded defaults, which nearly every container shares; it stays open."""
    return bpf.load_device_program(program(DEFAULT_RULES))


def v1_writes(rules: Sequence[DeviceRule]) -> list[tuple[str, str]]:
    """Return (file, line) in the order of writing."""
    return [("devices.allow" if rule.allow else "devices.deny", str(rule)) for rule in rules]


def _number(rule: str, text: str) -> int | None:
    if text == "*":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) < _MAX_NUMBER):
        raise CgroupError(
            f'device_cgroup_rules: cannot use "{rule}": {text or "nothing"} is no device number'
        )
    return int(text)


def _access(key: str, text: str) -> str:
    if not text or len(set(text)) != len(text) or set(text) - set(ACCESS_BITS):
        raise CgroupError(f'{key}: cannot use permissions "{text}": not out of "rwm"')
    return text


def _instruction(code: int, *, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4, offset, value)


def _return(*, allow: bool) -> list[bytes]:
    return [_instruction(0xB4, dst=0, value=int(allow)), _instruction(0x95)]


def _block(rule: DeviceRule) -> list[bytes]:
    """Return the code of one rule; its jumps lead behind it when the rule doesn't decide."""
    mask = sum(ACCESS_BITS[letter] for letter in rule.access)
    conditions = [(2, KIND_NUMBERS.get(rule.kind)), (4, rule.major), (5, rule.minor)]
    tests = [(register, number) for register, number in conditions if number is not None]
    if rule.allow:
        body = [_instruction(0x54, dst=3, value=~mask & 7), _instruction(0x55, dst=3, value=0, offset=2)]
    else:
        body = [
            _instruction(0xBC, dst=0, src=3),
            _instruction(0x54, dst=0, value=mask),
            _instruction(0x15, dst=0, value=0, offset=2),
        ]
    body += _return(allow=rule.allow)
    jumps = [
        _instruction(0x55, dst=register, value=number, offset=len(tests) - index - 1 + len(body))
        for index, (register, number) in enumerate(tests)
    ]
    return jumps + body
