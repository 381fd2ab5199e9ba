"""Which ids the user has inside: root is himself, those after it are his ranges of subuid(5) and subgid(5).

Only newuidmap(1) and newgidmap(1) may write such a map. Who lacks them, or ranges, is alone: root, and nobody else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError, doctor_row

if TYPE_CHECKING:
    from collections.abc import Iterable

# The system's own: a copy elsewhere has lost its privilege, or is somebody else's.
_PLACES = ("/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin")
_FIELDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """First id and count of each range, and what is missing for using them, "" when nothing is."""

    users: tuple[tuple[int, int], ...] = ()
    groups: tuple[tuple[int, int], ...] = ()
    lack: str = ""


def parse(text: str, owners: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Return the ranges that a file of the form of subuid(5) gives to a user, who is in it by name or by number."""
    known, found = set(owners), []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == _FIELDS and fields[0] in known and fields[1].isdigit() and fields[2].isdigit():
            found.append((int(fields[1]), int(fields[2])))
    return tuple(dict.fromkeys(one for one in found if one[1]))


def of_user(uid: int) -> Ranges:
    """Return what the machine has for `uid`."""
    owners = {str(uid), _name(uid)}
    users, groups = (parse(_read(path), owners) for path in ("/etc/subuid", "/etc/subgid"))
    lack = ""
    if missing := [tool for tool in ("newuidmap", "newgidmap") if not program(tool)]:
        lack = f"no {' and '.join(missing)}"
    elif not users or not groups:
        lack = f"user {_name(uid) or uid} has no range in {'/etc/subgid' if users else '/etc/subuid'}"
    return Ranges(users=users, groups=groups, lack=lack)


def program(name: str) -> str:
    """Return the path of one of the system's programs, "" when there is none."""
    return next((path for place in _PLACES if os.access(path := f"{place}/{name}", os.X_OK)), "")


def write(pid: int, ranges: Ranges) -> None:
    """Map root of the user namespace of `pid` to ourselves, and what follows to `ranges`; raises PycomposeError."""
    if ranges.lack:
        _write_single(pid)
        return
    for tool, own, extents in (
        ("newuidmap", os.geteuid(), ranges.users),
        ("newgidmap", os.getegid(), ranges.groups),
    ):
        _run([program(tool), str(pid), *arguments(own, extents)])


def arguments(own: int, extents: Iterable[tuple[int, int]]) -> list[str]:
    """Return the map as newuidmap(1) wants it: id inside, id outside, count, and so on."""
    words, inside = ["0", str(own), "1"], 1
    for first, count in extents:
        words += [str(inside), str(first), str(count)]
        inside += count
    return words


def _write_single(pid: int) -> None:
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {os.geteuid()} 1"),
            ("gid_map", f"0 {os.getegid()} 1"),
        ):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as exc:
        raise PycomposeError(
            f"user namespace: cannot map user {os.geteuid()}: {exc.strerror}", hint=doctor_row("id maps")
        ) from exc


def _run(argv: list[str]) -> None:
    """Run a program with an empty environment; raises PycomposeError with what it says."""
    said, say = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            argv[0], argv, {}, file_actions=[(os.POSIX_SPAWN_DUP2, say, 1), (os.POSIX_SPAWN_DUP2, say, 2)]
        )
    finally:
        os.close(say)
    with open(said, encoding="utf-8", errors="replace") as file:
        text = file.read().strip()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise PycomposeError(
            f"user namespace: cannot map the ranges of user {os.geteuid()}: {text or argv[0]}",
            hint=doctor_row("id maps"),
        )


def _name(uid: int) -> str:
    """Return the user's name by passwd(5), "" when it isn't there: then only his number counts."""
    rows = (line.split(":") for line in _read("/etc/passwd").splitlines())
    return next((row[0] for row in rows if len(row) > _FIELDS and row[2] == str(uid)), "")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
