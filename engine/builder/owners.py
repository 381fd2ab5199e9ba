"""`--chown=user[:group]`: names are looked up in the file system that is copied into (Dockerfile reference, COPY)."""

from __future__ import annotations

from pycompose.engine.container.users import GROUP, PASSWD, parse_group, parse_passwd, read_file
from pycompose.engine.errors import FEW_IDS, BuildError
from pycompose.engine.linux import userns

MAX_ID = 2**32 - 2


def find_owner(root: int, spec: str) -> tuple[int, int]:
    """Return (uid, gid) for `spec` in the root behind a descriptor.

    A lone number is the group's, too; a lone name brings its primary group.

    Raises BuildError for names, or ids of an ordinary user, that are not there, EngineError for a passwd that can't
    be read.
    """
    user, colon, group = spec.partition(":")
    uid, gid = _user(root, user)
    gid = _group(root, group) if colon and group else gid
    if foreign := userns.foreign(uid, gid):
        raise BuildError(f"--chown={spec}: {foreign}", hint=FEW_IDS)
    return uid, gid


def _user(root: int, name: str) -> tuple[int, int]:
    if not name:
        return 0, 0
    if name.isdecimal():
        return _number(name), _number(name)
    for account in parse_passwd(read_file(root, PASSWD)):
        if account.name == name:
            return account.uid, account.gid
    raise BuildError(
        f"unable to find user {name}: no matching entries in passwd file",
        hint="use a number, or create the user in an earlier RUN",
    )


def _group(root: int, name: str) -> int:
    if name.isdecimal():
        return _number(name)
    for group in parse_group(read_file(root, GROUP)):
        if group.name == name:
            return group.gid
    raise BuildError(
        f"unable to find group {name}: no matching entries in group file",
        hint="use a number, or create the group in an earlier RUN",
    )


def _number(text: str) -> int:
    value = int(text)
    if value > MAX_ID:
        raise BuildError(f"invalid id {text}: ids are 0..{MAX_ID}")
    return value
