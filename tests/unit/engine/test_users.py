"""Users and groups: the rules of the lookup, the two file formats, and the files inside a root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.config import User
from pycompose.engine.container.users import (
    MAX_FILE_BYTES,
    MAX_ID,
    Account,
    Group,
    Ids,
    find_ids,
    parse_group,
    parse_passwd,
    resolve_user,
)
from pycompose.engine.errors import EngineError

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
# a comment
app:x:1000:1001:App:/home/app:/bin/sh
app:x:5:5:shadowed by the first:/nowhere:
broken:x:not-a-number:1::/:
short:x:7
1234:x:42:42::/trap:
+nis::::::
minimal:x:70:70
"""
GROUP = b"""\
root:x:0:
app:x:1001:
www:x:33:app,other
audio:x:29:other,app
malformed
bare:x:77
"""


@pytest.fixture
def root_fd(tmp_path: Path) -> int:
    """Return a root with the two files above."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(PASSWD)
    (tmp_path / "etc/group").write_bytes(GROUP)
    return os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)


@pytest.mark.parametrize(
    ("spec", "ids"),
    (
        ("", Ids(uid=0, gid=0, groups=(0,), home="/root")),
        ("0", Ids(uid=0, gid=0, groups=(0,), home="/root")),
        ("root", Ids(uid=0, gid=0, groups=(0,), home="/root")),
        ("app", Ids(uid=1000, gid=1001, groups=(1001, 33, 29), home="/home/app")),
        ("1000", Ids(uid=1000, gid=1001, groups=(1001, 33, 29), home="/home/app")),
        ("app:www", Ids(uid=1000, gid=33, groups=(33,), home="/home/app")),
        ("app:5000", Ids(uid=1000, gid=5000, groups=(5000,), home="/home/app")),
        ("app:", Ids(uid=1000, gid=1001, groups=(1001, 33, 29), home="/home/app")),
        (":www", Ids(uid=0, gid=33, groups=(33,), home="/root")),
        ("2000", Ids(uid=2000, gid=0, groups=(0,), home="/")),
        ("2000:2000", Ids(uid=2000, gid=2000, groups=(2000,), home="/")),
        ("1234", Ids(uid=1234, gid=0, groups=(0,), home="/")),
        ("minimal", Ids(uid=70, gid=70, groups=(70,), home="/")),
        (f"{MAX_ID}:{MAX_ID}", Ids(uid=MAX_ID, gid=MAX_ID, groups=(MAX_ID,), home="/")),
    ),
)
def test_who_a_user_is(root_fd: int, spec: str, ids: Ids) -> None:
    """Names, numbers (always ids, even where a name looks like one), groups; the primary one is listed."""
    assert resolve_user(root_fd, User(spec=spec)) == ids


def test_additional_groups_come_last(root_fd: int) -> None:
    """`group_add` takes names and numbers, and says nothing twice."""
    ids = resolve_user(root_fd, User(spec="app", additional_groups=("bare", "33", "4000")))

    assert ids.groups == (1001, 33, 29, 77, 4000)


@pytest.mark.parametrize(
    ("user", "message"),
    (
        (User(spec="nobody"), "user nobody: cannot look up: no such user in /etc/passwd"),
        (User(spec="app:nogroup"), "group nogroup: cannot look up: no such group in /etc/group"),
        (User(spec="0", additional_groups=("x",)), "group x: cannot look up"),
        (User(spec="2147483648"), "user 2147483648: cannot use: ids are 0..2147483647"),
        (User(spec="0:4294967295"), "group 4294967295: cannot use"),
        (User(spec="broken"), "user broken: cannot look up"),
        (User(spec="short"), "user short: cannot look up"),
        (User(spec="-1"), "user -1: cannot look up"),
        (User(spec="¹"), "user ¹: cannot look up"),
    ),
)
def test_unknown_and_impossible_users_are_refused(root_fd: int, user: User, message: str) -> None:
    """Never a fallback to root; the message names the user and the file."""
    with pytest.raises(EngineError) as caught:
        resolve_user(root_fd, user)
    assert message in str(caught.value)


def test_a_root_without_files_knows_numbers_only(tmp_path: Path) -> None:
    """Images from scratch."""
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)

    assert resolve_user(fd, User(spec="7:8")) == Ids(uid=7, gid=8, groups=(8,), home="/")
    with pytest.raises(EngineError, match="no such user"):
        resolve_user(fd, User(spec="root"))


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    """An absolute link of the image leads into the image, not to the machine's own passwd."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/../../real")
    (tmp_path / "real").write_bytes(b"inside:x:11:12::/in:\n")
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)

    assert resolve_user(fd, User(spec="inside")) == Ids(uid=11, gid=12, groups=(12,), home="/in")


def test_a_huge_file_is_refused(root_fd: int, tmp_path: Path) -> None:
    """A sparse file of more than 10 MiB costs no memory."""
    os.truncate(tmp_path / "etc/group", MAX_FILE_BYTES + 1)

    with pytest.raises(EngineError, match=r"/etc/group: cannot read in the container: larger than 10485760"):
        resolve_user(root_fd, User(spec="app"))


@pytest.mark.parametrize("kind", ("fifo", "directory"))
def test_only_regular_files_are_read(root_fd: int, tmp_path: Path, kind: str) -> None:
    """A FIFO in place of passwd must not make us wait."""
    (tmp_path / "etc/passwd").unlink()
    os.mkfifo(tmp_path / "etc/passwd") if kind == "fifo" else (tmp_path / "etc/passwd").mkdir()

    with pytest.raises(EngineError, match=r"/etc/passwd: cannot read in the container: not a regular file"):
        resolve_user(root_fd, User())


names = st.text(
    st.characters(codec="utf-8", exclude_characters=":\n,#", exclude_categories=["Cs", "Cc", "Z"]), min_size=1
)
ids_ = st.integers(0, MAX_ID)


@given(st.lists(st.builds(Account, names, ids_, ids_, names)))
def test_passwd_lines_come_back(accounts: list[Account]) -> None:
    text = "".join(f"{a.name}:x:{a.uid}:{a.gid}:gecos:{a.home}:/bin/sh\n" for a in accounts)

    assert list(parse_passwd(text.encode())) == accounts


@given(st.lists(st.builds(Group, names, ids_, st.lists(names).map(tuple))))
def test_group_lines_come_back(groups: list[Group]) -> None:
    text = "".join(f"{g.name}:x:{g.gid}:{','.join(g.members)}\n" for g in groups)

    assert list(parse_group(text.encode())) == groups


@given(st.binary() | st.text("root:x0123456789\n#+-, ").map(str.encode))
def test_no_file_breaks_the_parsers(text: bytes) -> None:
    """Whatever is in the files, ids are in range and names are not empty."""
    for account in parse_passwd(text):
        assert account.name
        assert 0 <= account.uid <= MAX_ID
        assert 0 <= account.gid <= MAX_ID
    for group in parse_group(text):
        assert group.name
        assert 0 <= group.gid <= MAX_ID
        assert all(group.members)


@given(st.text(), st.lists(st.text()))
def test_a_lookup_gives_ids_or_our_error(spec: str, extra: list[str]) -> None:
    """No user string gives another exception, and the primary group is always in the list."""
    accounts = [Account("app", 1000, 1000, "/home/app")]
    try:
        ids = find_ids(
            User(spec=spec, additional_groups=tuple(extra)), accounts, [Group("app", 1000, ("app",))]
        )
    except EngineError:
        return
    assert ids.groups[0] == ids.gid
    assert 0 <= ids.uid <= MAX_ID
