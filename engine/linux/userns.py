"""What the user namespace that we are in makes different (user_namespaces(7)).

Root of any but the initial one has no device nodes to make, no `trusted.*` attributes and no BPF, and knows only the
ids that are mapped. Everything that has to do with that asks here; the answers are read once per process.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

# As many as there are, in one line.
_ALL = ["0", "0", "4294967295"]
# Who owns what belongs to nobody in the namespace (/proc/sys/kernel/overflowuid and overflowgid).
_OVERFLOW = 65534
_LAST_PING_GROUP = 2_147_483_647


@cache
def is_initial() -> bool:
    """Tell whether this is the machine's own user namespace; one without /proc is taken for it."""
    try:
        return Path("/proc/self/uid_map").read_text("ascii").split() == _ALL
    except OSError:
        return True


@cache
def _mapped(kind: str) -> tuple[range, ...]:
    """Return the ids that there are; `kind` is uid or gid."""
    try:
        lines = Path(f"/proc/self/{kind}_map").read_text("ascii").splitlines()
    except OSError:
        return (range(int(_ALL[2])),)
    extents = [[int(word) for word in line.split()] for line in lines]
    return tuple(range(first, first + count) for first, _outside, count in extents)


def maps_user(uid: int) -> bool:
    """Tell whether files and processes can belong to the user `uid` here."""
    return any(uid in extent for extent in _mapped("uid"))


def maps_group(gid: int) -> bool:
    """Tell whether files can belong to the group `gid` here."""
    return any(gid in extent for extent in _mapped("gid"))


def foreign(uid: int, gid: int) -> str:
    """Return what to say of an owner that there isn't here, "" when there is."""
    if maps_user(uid) and maps_group(gid):
        return ""
    return f"{uid}:{gid} is none of the ids that this user has ({count():,})"


def as_root_for_nobody(status: os.stat_result) -> tuple[int, int]:
    """Return the owner of a file of the machine's own: what is root's there is nobody's in a user namespace."""
    if is_initial():
        return status.st_uid, status.st_gid
    return (
        status.st_uid if status.st_uid != _OVERFLOW and maps_user(status.st_uid) else 0,
        status.st_gid if status.st_gid != _OVERFLOW and maps_group(status.st_gid) else 0,
    )


def count() -> int:
    """Return how many users there are."""
    return sum(map(len, _mapped("uid")))


def ping_group_range() -> str:
    """Return what net.ipv4.ping_group_range has to be for every group: the kernel refuses those that aren't mapped."""
    last = max((extent.stop - 1 for extent in _mapped("gid")), default=0)
    return f"0 {min(last, _LAST_PING_GROUP)}"


@cache
def may_set_groups() -> bool:
    """Tell whether setgroups(2) is allowed, which it isn't where an ordinary user has mapped only himself."""
    try:
        return Path("/proc/self/setgroups").read_text("ascii").strip() != "deny"
    except OSError:
        return True


def forget() -> None:
    """Have everything read again, after this process has entered another user namespace."""
    for answer in (is_initial, _mapped, may_set_groups):
        answer.cache_clear()
