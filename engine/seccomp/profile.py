"""A profile in Docker's JSON as a policy (moby/profiles/seccomp, runtime-spec config-linux.md "Seccomp").

What libseccomp and runc make of it holds here too: unknown names of calls are left out, two conditions on one argument
are two rules, a rule that wants what is the default says nothing.
"""

from __future__ import annotations

import errno
import json
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pycompose.engine.errors import SeccompError
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.seccomp import policy as p
from pycompose.engine.seccomp.policy import ArgumentCondition, Policy, Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pycompose.engine.seccomp.machines import Abi, Machine

_ACTIONS = {
    "SCMP_ACT_ALLOW": p.ALLOW,
    "SCMP_ACT_ERRNO": p.ERRNO,
    "SCMP_ACT_KILL": p.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": p.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": p.KILL_THREAD,
    "SCMP_ACT_LOG": p.LOG,
    "SCMP_ACT_TRACE": p.TRACE,
    "SCMP_ACT_TRAP": p.TRAP,
}
_OPERATORS = {f"SCMP_CMP_{name}": name for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")}
_ARCHITECTURES = frozenset(
    f"SCMP_ARCH_{name}"
    for name in (
        "X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32",
        "PPC", "PPC64", "PPC64LE", "RISCV64", "S390", "S390X", "LOONGARCH64",
    )
)  # fmt: skip
# TSYNC is about other threads, of which a process that becomes a container has none.
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
}
_MOST_ERRNO = 4095
_LAST_ARGUMENT = 5
_UINT64 = (1 << 64) - 1


class Host(NamedTuple):
    """What rules can depend on: the machine, its kernel's first two numbers, and the capabilities, a mask."""

    machine: Machine
    kernel: tuple[int, int]
    capabilities: int


def this_kernel() -> tuple[int, int]:
    """Return the first two numbers of the kernel that runs."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


def profile_policy(text: str, host: Host) -> Policy:
    """Return what a profile means on `host`; raises SeccompError saying where in it what is wrong."""
    try:
        # Keys in any case, as Go reads them.
        root = json.loads(text, object_pairs_hook=lambda pairs: {key.lower(): value for key, value in pairs})
    except RecursionError:
        raise SeccompError("seccomp profile: cannot read: nested too deeply") from None
    except ValueError as exc:
        where = f"line {exc.lineno}, column {exc.colno}: " if isinstance(exc, json.JSONDecodeError) else ""
        reason = exc.msg if isinstance(exc, json.JSONDecodeError) else str(exc)
        raise SeccompError(f"seccomp profile: cannot read: {where}{reason}", hint="it must be JSON") from None
    top = _Node(root, "")
    default = top.action("defaultAction", "defaultErrnoRet")
    if top.get("listenerPath", str):
        raise top.wrong(
            "listenerPath", "nobody would listen there", "an agent for system calls isn't supported"
        )
    rules = [rule for node in top.nodes("syscalls") for rule in _rules(node, host)]
    _check_contradictions(rules, default)
    return Policy(
        default=default,
        rules=tuple(rules),
        abis=_abis(top, host.machine),
        flags=sum({_FLAGS[top.known("flags", flag, _FLAGS)] for flag in top.strings("flags")}),
    )


def _abis(top: _Node, machine: Machine) -> tuple[Abi, ...]:
    """Return the machine's own way in and the others that the profile asks for."""
    wanted = top.strings("architectures")
    maps = top.nodes("archMap")
    if wanted and maps:
        raise top.wrong("archMap", "there are architectures too: only one of both can be")
    for node in maps:
        name = node.get("architecture", str) or ""
        others = node.strings("subArchitectures")
        if name == machine.native.name:
            wanted = others
        for one in (name, *others):
            node.known("architecture", one, _ARCHITECTURES)
    for one in wanted:
        top.known("architectures", one, _ARCHITECTURES)
    return (machine.native, *(abi for abi in machine.others if abi.name in wanted))


def _rules(node: _Node, host: Host) -> Iterator[Rule]:
    """Yield the rules of one entry of `syscalls`: none when it isn't meant for this host."""
    single, names = node.get("name", str), node.strings("names")
    if single and names:
        raise node.wrong("names", "there is a name too: only one of both can be")
    names = [single] if single else names
    if "" in names:
        raise node.wrong("names", "a name is empty")
    action = node.action("action", "errnoRet")
    conditions = [_condition(argument) for argument in node.nodes("args")]
    includes = [_holds(filter_, host, every=True) for filter_ in node.nodes("includes", single=True)]
    excludes = [_holds(filter_, host, every=False) for filter_ in node.nodes("excludes", single=True)]
    if not all(includes) or any(excludes):
        return
    arguments = [condition.argument for condition in conditions]
    if len(set(arguments)) < len(arguments):
        for condition in conditions:
            yield Rule(tuple(names), action, (condition,))
    else:
        yield Rule(tuple(names), action, tuple(conditions))


def _holds(node: _Node, host: Host, *, every: bool) -> bool:
    """Tell whether what a filter names is there: all of it, or anything."""
    machines = node.strings("arches")
    capabilities = node.strings("caps")
    kernel = node.get("minKernel", str) or ""
    found = [host.machine.go in machines] if machines else []
    held = {f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if host.capabilities >> number & 1}
    found += [name in held for name in capabilities]
    if kernel:
        numbers = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", kernel)
        if numbers is None or kernel == "0.0":
            raise node.wrong("minKernel", f"{kernel!r} is no kernel version", 'write it as "4.8"')
        found.append(host.kernel >= (int(numbers[1]), int(numbers[2])))
    return all(found) if every else any(found)


def _condition(node: _Node) -> ArgumentCondition:
    index = node.number("index", _LAST_ARGUMENT)
    value, second = node.number("value", _UINT64), node.number("valueTwo", _UINT64)
    operator = _OPERATORS[node.known("op", node.get("op", str) or "", _OPERATORS)]
    if operator == "MASKED_EQ":
        return ArgumentCondition(index, "EQ", second & value, value)
    return ArgumentCondition(index, operator, value)


def _check_contradictions(rules: list[Rule], default: int) -> None:
    """Raise SeccompError for two rules with the same conditions and different actions, as libseccomp refuses them."""
    said: dict[tuple[str, frozenset[ArgumentCondition]], int] = {}
    for rule in rules:
        for name in rule.names if rule.conditions and rule.action != default else ():
            key = (name, frozenset(rule.conditions))
            if said.setdefault(key, rule.action) != rule.action:
                raise SeccompError(
                    f"seccomp profile: syscalls: {name}: two rules with the same args want different actions",
                    hint="remove one of them",
                )


class _Node:
    """An object of the profile and where it stands; null is the same as nothing, as in Go."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise SeccompError(
                f"seccomp profile: {path or 'the whole'}: must be an object, not {_kind(value)}"
            )
        self._value = value
        self._path = path

    def wrong(self, key: str, reason: str, hint: str | None = None) -> SeccompError:
        """Return the error about a key."""
        return SeccompError(f"seccomp profile: {self._at(key)}: {reason}", hint=hint)

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def get(self, key: str, kind: type) -> Any:
        """Return a value of this kind, None where there is none."""
        value = self._value.get(key.lower())
        if value is not None and type(value) is not kind:
            names = {str: "a text", int: "a whole number", list: "a list"}
            raise self.wrong(key, f"must be {names[kind]}, not {_kind(value)}")
        return value

    def number(self, key: str, most: int) -> int:
        """Return a number from 0 to `most`, 0 where there is none."""
        value: int = self.get(key, int) or 0
        if not 0 <= value <= most:
            raise self.wrong(key, f"{value} is not between 0 and {most}")
        return value

    def strings(self, key: str) -> list[str]:
        """Return a list of texts."""
        values: list[str] = self.get(key, list) or []
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{index}]", f"must be a text, not {_kind(value)}")
        return values

    def nodes(self, key: str, *, single: bool = False) -> list[_Node]:
        """Return the objects of a list, or the one object there, without those that are null."""
        if single:
            value = self._value.get(key.lower())
            return [] if value is None else [_Node(value, self._at(key))]
        values = self.get(key, list) or []
        return [
            _Node(value, f"{self._at(key)}[{index}]")
            for index, value in enumerate(values)
            if value is not None
        ]

    def known(self, key: str, word: str, words: Collection[str]) -> str:
        """Return `word`; raises SeccompError when it isn't one of `words`."""
        if word not in words:
            raise self.wrong(
                key, f"unknown: {word!r}" if word else "missing", "known: " + ", ".join(sorted(words))
            )
        return word

    def action(self, key: str, errno_key: str) -> int:
        """Return the action under a key, with the errno that belongs to it."""
        word = self.get(key, str) or ""
        if word == "SCMP_ACT_NOTIFY":
            raise self.wrong(
                key, f"{word} isn't supported", "there is no agent here that decides about calls"
            )
        number = self.number(errno_key, _MOST_ERRNO) if self.get(errno_key, int) is not None else errno.EPERM
        action = _ACTIONS[self.known(key, word, _ACTIONS)]
        return action | number if action in (p.ERRNO, p.TRACE) else action


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
