"""Who a process runs as: `user[:group]`, looked up in the passwd and group files inside the rootfs.

The parser is ours because libc's loads NSS modules, which after a look into an image would be the image's
code (CVE-2019-14271). Rules are those of Docker and runc: a number is always an id and never a name, the
first matching line wins, malformed lines are skipped, and the primary group is one of the supplementary ones
(CVE-2022-36109).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import EngineError
from pycompose.engine.linux.fs import open_in_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.engine.config import User

PASSWD = "/etc/passwd"  # noqa: S105 - a path
GROUP = "/etc/group"
MAX_FILE_BYTES = 10 * 1024 * 1024
# Most files are much smaller, and more would be mapped and unmapped for each.
_CHUNK_BYTES = 64 * 1024
MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Numeric identity of a process: `groups` holds `gid` first, `home` is "/" where passwd names none."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


class Account(NamedTuple):
    """One line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str


class Group(NamedTuple):
    """One line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(root_fd: int, user: User) -> Ids:
    """Return the ids of `user` in the rootfs that `root_fd` is the root directory of.

    A number that passwd doesn't know is accepted, with group 0. Raises EngineError, which names the user and
    the file, for an unknown name, an id outside 0..2³¹-1, and a file that is too large or no regular file.
    """
    accounts = parse_passwd(read_file(root_fd, PASSWD))
    groups = parse_group(read_file(root_fd, GROUP))
    return find_ids(user, list(accounts), list(groups))


def find_ids(user: User, accounts: Sequence[Account], groups: Sequence[Group]) -> Ids:
    """Return the ids of `user` by the given lines; raises EngineError for what they don't know."""
    name, colon, group = user.spec.partition(":")
    account = _account(name, accounts)
    uid = account.uid if account else _number("user", name or "0")
    if colon and group:
        gid, supplementary = _gid(group, groups), []
    else:
        gid = account.gid if account else 0
        supplementary = [entry.gid for entry in groups if account and account.name in entry.members]
    supplementary += [_gid(extra, groups) for extra in user.additional_groups]
    return Ids(
        uid=uid,
        gid=gid,
        groups=tuple(dict.fromkeys([gid, *supplementary])),
        home=(account.home if account else "") or "/",
    )


def parse_passwd(text: bytes) -> Iterator[Account]:
    """Yield the well-formed lines of a passwd(5) file: a name and both ids in 0..2³¹-1.

    The fields behind the group may be missing, as hand-written files of small images often have it.
    """
    for fields in _lines(text):
        if 4 <= len(fields) <= 7 and fields[0] and _is_id(fields[2]) and _is_id(fields[3]):
            yield Account(fields[0], int(fields[2]), int(fields[3]), "".join(fields[5:6]))


def parse_group(text: bytes) -> Iterator[Group]:
    """Yield the well-formed lines of a group(5) file: a name and an id in 0..2³¹-1; members may lack."""
    for fields in _lines(text):
        if 3 <= len(fields) <= 4 and fields[0] and _is_id(fields[2]):
            members = "".join(fields[3:]).split(",")
            yield Group(fields[0], int(fields[2]), tuple(name for name in members if name))


def read_file(root_fd: int, path: str) -> bytes:
    """Return what is in the regular file `path` of the rootfs, nothing when there is none.

    Raises EngineError above 10 MiB (CVE-2026-47262), for anything but a regular file, and when the rootfs
    cannot be read.
    """
    try:
        fd = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return b""
        raise EngineError(f"{path}: cannot read in the container: {exc.strerror}") from exc
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise EngineError(f"{path}: cannot read in the container: not a regular file")
        chunks: list[bytes] = []
        left = MAX_FILE_BYTES + 1
        while left > 0 and (chunk := os.read(fd, min(left, _CHUNK_BYTES))):
            chunks.append(chunk)
            left -= len(chunk)
    except OSError as exc:
        raise EngineError(f"{path}: cannot read in the container: {exc.strerror}") from exc
    finally:
        os.close(fd)
    if left <= 0:
        raise EngineError(f"{path}: cannot read in the container: larger than {MAX_FILE_BYTES} bytes")
    return b"".join(chunks)


def _lines(text: bytes) -> Iterator[list[str]]:
    for line in text.split(b"\n"):
        stripped = line.strip()
        if stripped and not stripped.startswith(b"#"):
            yield os.fsdecode(stripped).split(":")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_id(text: str) -> bool:
    return _is_number(text) and len(text) <= 10 and int(text) <= MAX_ID


def _account(name: str, accounts: Sequence[Account]) -> Account | None:
    """Return the account of a name, or of a number where there is one; "" is uid 0."""
    if not name or _is_number(name):
        uid = _number("user", name or "0")
        return next((entry for entry in accounts if entry.uid == uid), None)
    for entry in accounts:
        if entry.name == name:
            return entry
    raise EngineError(
        f"user {name}: cannot look up: no such user in {PASSWD} of the container",
        hint="use the numeric id, or an image that has the user",
    )


def _gid(name: str, groups: Sequence[Group]) -> int:
    if _is_number(name):
        return _number("group", name)
    for entry in groups:
        if entry.name == name:
            return entry.gid
    raise EngineError(
        f"group {name}: cannot look up: no such group in {GROUP} of the container",
        hint="use the numeric id, or an image that has the group",
    )


def _number(what: str, text: str) -> int:
    if not _is_id(text):
        raise EngineError(f"{what} {text}: cannot use: ids are 0..{MAX_ID}")
    return int(text)
