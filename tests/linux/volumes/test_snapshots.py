"""A tree remembered and put back: after anything that can be done to it, it is what it was."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import VolumeError
from pycompose.engine.linux.trees import remove_tree
from pycompose.volumes.snapshots import copy, put_back, take

from tests.support.requires import requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = requires("root")
Seen = dict[str, tuple[object, ...]]


def look(root: Path) -> Seen:
    """Return all that can be told of each entry but its inode and times of change and access."""
    found: Seen = {}
    groups: dict[int, str] = {}
    for folder, folders, files in os.walk(root):
        for name in [".", *files, *[item for item in folders if os.path.islink(os.path.join(folder, item))]]:
            path = os.path.normpath(os.path.join(folder, name))
            info = os.lstat(path)
            xattrs = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            }
            content: object = ""
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            group = (
                groups.setdefault(info.st_ino, path)
                if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode)
                else ""
            )
            found[os.path.relpath(path, root)] = (
                info.st_mode, info.st_uid, info.st_gid, info.st_rdev, info.st_mtime_ns, sorted(xattrs.items()), content,
                os.path.relpath(group, root) if group else "",
            )  # fmt: skip
    return found


def plant(root: Path) -> None:
    """Make a tree with everything that a container's upper directory may hold."""
    (root / "a/b/c").mkdir(parents=True)
    (root / "empty").mkdir()
    for number in range(20):
        (root / f"a/file{number}").write_bytes(os.urandom(number * 1000))
    (root / "a/b/text").write_text("text")
    os.chown(root / "a/b/text", 1000, 2000)
    os.chmod(root / "a/b/text", 0o4755)  # noqa: S103 - what has to survive
    os.setxattr(root / "a/b/text", "user.note", b"value")
    os.setxattr(root / "a", "trusted.overlay.opaque", b"y")
    os.link(root / "a/b/text", root / "hard")
    os.symlink("a/b/text", root / "soft")
    os.symlink("/nowhere", root / "a/broken")
    os.mkfifo(root / "fifo")
    os.mknod(root / "whiteout", stat.S_IFCHR, 0)
    with open(root / "sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(10 << 20)
        file.write(b"middle")
    (root / os.fsdecode(b"not utf-8 \xff")).write_text("bytes")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(root)
        sock.bind("socket")
        os.chdir(here)


def entries(root: Path) -> list[str]:
    return sorted(
        os.path.join(folder, name) for folder, folders, files in os.walk(root) for name in (*folders, *files)
    )


def disturb(root: Path, lot: random.Random) -> None:
    """Do something to the tree that a container might do."""

    def at(choose: Callable[[str], bool] = lambda _path: True) -> str | None:
        found = [path for path in entries(root) if choose(path)]
        return lot.choice(found) if found else None

    regular = at(lambda path: os.path.isfile(path) and not os.path.islink(path))
    folder = at(lambda path: os.path.isdir(path) and not os.path.islink(path)) or str(root)
    anything = at()
    match lot.randrange(12):
        case 0 if regular:
            with open(regular, "ab") as file:
                file.write(b"more")
        case 1 if regular:
            size = os.stat(regular).st_size
            times = os.stat(regular)
            with open(regular, "r+b") as file:  # same size, and the time put back, as cheats do
                file.write(b"X" * min(size, 3))
            os.utime(regular, ns=(times.st_atime_ns, times.st_mtime_ns))
        case 2 if anything:
            shutil.rmtree(anything) if os.path.isdir(anything) and not os.path.islink(
                anything
            ) else os.unlink(anything)
        case 3:
            with open(os.path.join(folder, f"new{lot.random()}"), "w") as file:
                file.write("new")
        case 4:
            os.makedirs(os.path.join(folder, f"dir{lot.random()}/below"))
        case 5 if anything and not os.path.islink(anything):
            os.chmod(anything, lot.choice((0o700, 0o777, 0o1755)))
        case 6 if anything:
            os.chown(anything, lot.randrange(5), lot.randrange(5), follow_symlinks=False)
        case 7 if regular:
            os.setxattr(regular, "user.x", b"y")
        case 8 if regular:
            os.rename(regular, os.path.join(folder, f"moved{lot.random()}"))
        case 9 if regular:
            os.unlink(regular)
            os.symlink("/nowhere/at/all", regular)
        case 10 if regular:
            os.link(regular, os.path.join(folder, f"link{lot.random()}"))
        case 11 if regular:
            os.unlink(regular)
            os.mkdir(regular)


@requires("user-xattrs")
@pytest.mark.parametrize("seed", range(8))
def test_whatever_was_done_is_undone(tmp_path: Path, seed: int) -> None:
    lot = random.Random(seed)  # noqa: S311 - a repeatable choice
    live, store = tmp_path / "live", tmp_path / "store"
    live.mkdir()
    plant(live)
    before = look(live)
    take(live, store)
    assert look(live) == before
    for _ in range(3):
        for _ in range(lot.randrange(1, 60)):
            disturb(live, lot)
        put_back(live, store)
        assert look(live) == before
    assert put_back(live, store) == 0


@requires("user-xattrs")
def test_only_what_changed_is_written(tmp_path: Path) -> None:
    live, store = tmp_path / "live", tmp_path / "store"
    live.mkdir()
    plant(live)
    take(live, store)
    untouched = os.stat(live / "a/file5").st_ino
    (live / "a/file6").write_text("other")
    (live / "more").write_text("more")

    assert put_back(live, store) == 2
    assert os.stat(live / "a/file5").st_ino == untouched
    assert os.stat(live / "sparse").st_blocks * 512 < 10 << 20


@requires("user-xattrs")
def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file0").write_text("precious")
    live, store = tmp_path / "live", tmp_path / "store"
    live.mkdir()
    plant(live)
    before = look(live)
    take(live, store)
    shutil.rmtree(live / "a")
    os.symlink(outside, live / "a")
    put_back(live, store)
    assert look(live) == before
    assert (outside / "file0").read_text() == "precious"


def test_a_full_disk_leaves_no_half_snapshot(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "file").write_text("text")
    with pytest.raises(VolumeError, match=r"snapshot of .*live"):
        take(live, tmp_path / "live" / "file" / "store")
    assert look(live).keys() == {".", "file"}


def test_directories_without_end(tmp_path: Path) -> None:
    """They are refused by name, and leave nothing; where they came later, they are taken away."""
    (tmp_path / "tree").mkdir()
    take(tmp_path / "tree", tmp_path / "before")
    fd = os.open(tmp_path / "tree", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)

    with pytest.raises(VolumeError, match="too many directories inside each other"):
        take(tmp_path / "tree", tmp_path / "store")
    assert not (tmp_path / "store").exists()

    assert put_back(tmp_path / "tree", tmp_path / "before") == 1
    assert os.listdir(tmp_path / "tree") == []
    remove_tree(tmp_path / "tree")


@requires("mkfs.xfs", "loop")
def test_what_files_hold_is_shared_where_the_file_system_can(tmp_path: Path) -> None:
    """Neither a snapshot, nor a copy, nor what is put back takes any room (ioctl_ficlone(2))."""
    disk, place = tmp_path / "disk", tmp_path / "place"
    with open(disk, "wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", disk], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", disk, place], check=True)
    try:
        live, kept, copied = place / "live", place / "kept", place / "copied"
        for folder in (live, copied):
            folder.mkdir()
        (live / "large").write_bytes(os.urandom(1 << 20) * 60)
        before, free = look(live), free_bytes(place)
        take(live, kept)
        copy(live, copied)
        assert free - free_bytes(place) < 10 << 20
        (live / "large").unlink()
        put_back(live, kept)
        assert free - free_bytes(place) < 10 << 20
        assert before == look(live) == look(copied)
    finally:
        subprocess.run(["umount", place], check=True)


def free_bytes(place: Path) -> int:
    """Return the room that a file system has once all of it is written."""
    os.sync()
    found = os.statvfs(place)
    return found.f_bfree * found.f_frsize
