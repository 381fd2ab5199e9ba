"""Paths inside a root: nothing leads out, what is missing is made in its place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.linux import fs
from pycompose.engine.linux.libc import AT_FDCWD


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """Open a directory to be the root, with a neighbour that must not be reached."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    fd = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)
    assert os.listdir(tmp_path / "outside") == []


def where(fd: int) -> str:
    """Return and close: the path of a descriptor."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def test_directories_are_made_with_their_mode(root: int, tmp_path: Path) -> None:
    """Only what is missing; the mode is the last one's, those on the way are 0755."""
    os.umask(0o022)

    assert where(fs.make_directories(root, "/a/b/c", 0o700)) == str(tmp_path / "root/a/b/c")
    assert where(fs.make_directories(root, "a//./b")) == str(tmp_path / "root/a/b")
    assert stat.S_IMODE((tmp_path / "root/a/b/c").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "root/a").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("link", "target", "made"),
    (
        ("l", "/x/y", "x/y/z"),
        ("l", "../../outside", "outside/z"),
        ("l", "/../../outside", "outside/z"),
        ("l", "sub/..", "z"),
        ("l", "missing/deep", "missing/deep/z"),
    ),
)
def test_symlinks_are_followed_inside(root: int, tmp_path: Path, link: str, target: str, made: str) -> None:
    """Absolute ones, ones with too many .., and dangling ones: all end in the root."""
    (tmp_path / "root" / link).symlink_to(target)

    assert where(fs.make_directories(root, f"/{link}/z")) == str(tmp_path / "root" / made)


def test_dangling_links_of_files_are_followed(root: int, tmp_path: Path) -> None:
    """As images have it with /etc/resolv.conf."""
    (tmp_path / "root/etc").mkdir()
    (tmp_path / "root/etc/resolv.conf").symlink_to("../run/stub.conf")

    assert where(fs.make_file(root, "/etc/resolv.conf")) == str(tmp_path / "root/run/stub.conf")
    assert (tmp_path / "root/run/stub.conf").read_bytes() == b""


def test_existing_things_are_left_alone(root: int, tmp_path: Path) -> None:
    """A file keeps its content; a FIFO will do as a place to mount a file on."""
    (tmp_path / "root/file").write_text("kept")
    os.mkfifo(tmp_path / "root/fifo")

    os.close(fs.make_file(root, "/file"))
    os.close(fs.make_file(root, "/fifo"))
    assert (tmp_path / "root/file").read_text() == "kept"


def test_loops_and_files_in_the_way_are_errors(root: int, tmp_path: Path) -> None:
    """ELOOP and ENOTDIR, with the path in the error."""
    (tmp_path / "root/a").symlink_to("b")
    (tmp_path / "root/b").symlink_to("a")
    (tmp_path / "root/file").touch()

    for path, number in (("/a/x", errno.ELOOP), ("/file/x", errno.ENOTDIR)):
        with pytest.raises(OSError) as caught:
            fs.make_directories(root, path)
        assert caught.value.errno == number
        assert caught.value.filename


def test_descriptors_are_closed(root: int, tmp_path: Path) -> None:
    """However it ends, only the result stays open."""
    (tmp_path / "root/file").touch()
    before = set(os.listdir("/proc/self/fd"))

    os.close(fs.make_directories(root, "/a/../b/c/../d"))
    with pytest.raises(NotADirectoryError):
        fs.make_file(root, "/b/../file/x")
    assert set(os.listdir("/proc/self/fd")) == before


def test_magic_links_and_crossings_are_refused_on_request(root: int) -> None:
    """The kernel's own flags reach it."""
    with pytest.raises(OSError) as caught:
        fs.open_host(f"/proc/self/fd/{root}")
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(OSError) as caught:
        fs.openat2(AT_FDCWD, "/proc/self", os.O_PATH, resolve=fs.RESOLVE_NO_XDEV)
    assert caught.value.errno in (errno.EXDEV, errno.ELOOP)


def test_filesystems_are_told_by_their_magic() -> None:
    """For example procfs."""
    fd = os.open("/proc", os.O_PATH)
    try:
        assert fs.filesystem(fd) == fs.PROC_SUPER_MAGIC
    finally:
        os.close(fd)


@given(st.text(alphabet="/.ab", max_size=24))
def test_split_is_clean_and_stable(path: str) -> None:
    """Components only, and splitting what was joined gives the same."""
    parts = fs.split(path)

    assert not {"", ".", ".."} & set(parts)
    assert fs.split("/".join(parts)) == parts
    assert "/" + "/".join(parts) == "/" + os.path.normpath("/" + path).lstrip("/")
