"""An empty volume takes over the image's directory; a used one is left alone."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pycompose.engine.config import RootfsTree
from pycompose.engine.errors import VolumeError
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.paths import StatePaths
from pycompose.volumes.copyup import copy_up
from pycompose.volumes.store import VolumeSpec, VolumeStore

from tests.support.requires import requires


def make_image(root: Path) -> tuple[RootfsTree, ...]:
    """Return an image of two layers with a data directory in both."""
    lower, upper = root / "lower", root / "upper"
    (lower / "srv/data/sub").mkdir(parents=True)
    (upper / "srv/data").mkdir(parents=True)
    (lower / "srv/data/old").write_text("old")
    (lower / "srv/data/sub/file").write_text("x" * 100_000)
    os.link(lower / "srv/data/sub/file", lower / "srv/data/twin")
    (upper / "srv/data/new").write_text("new")
    (upper / "srv/data/link").symlink_to("/etc/passwd")
    for layer in (lower, upper):
        (layer / "srv/data").chmod(0o2750)
        os.chown(layer / "srv/data", 999, 998)
    return (RootfsTree(lowers=(str(upper), str(lower))),)


def test_content_owner_mode_links_and_symlinks_arrive(host_paths: StatePaths, tmp_path: Path) -> None:
    """The volume looks like the merged directory of both layers."""
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="v"))
    copied = copy_up(host_paths.volume("v"), make_image(tmp_path), "/srv/data", name="v")
    data = store.data("v")

    assert copied
    assert sorted(os.listdir(data)) == ["link", "new", "old", "sub", "twin"]
    assert (data / "link").readlink() == Path("/etc/passwd")
    assert (data / "twin").stat().st_ino == (data / "sub/file").stat().st_ino
    assert (data.stat().st_uid, data.stat().st_gid, data.stat().st_mode & 0o7777) == (999, 998, 0o2750)


def test_a_used_volume_is_left_alone(host_paths: StatePaths, tmp_path: Path) -> None:
    """What is in the volume wins over the image."""
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="v"))
    (store.data("v") / "mine").write_text("1")

    assert not copy_up(host_paths.volume("v"), make_image(tmp_path), "/srv/data", name="v")
    assert os.listdir(store.data("v")) == ["mine"]


def test_a_copy_that_was_cut_off_is_done_again(host_paths: StatePaths, tmp_path: Path) -> None:
    """Half a copy is not taken for data."""
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="v"))
    (store.data("v") / "half").write_text("torn")
    (host_paths.volume("v") / "copying").touch()

    assert copy_up(host_paths.volume("v"), make_image(tmp_path), "/srv/data", name="v")
    assert "half" not in os.listdir(store.data("v"))


def test_a_full_disk_is_an_error_and_no_short_file(host_paths: StatePaths, tmp_path: Path) -> None:
    """A disk takes what it has room for of a small file, too: that is no copy."""
    VolumeStore(host_paths).ensure(VolumeSpec(name="v"))
    data = host_paths.volume("v") / "_data"
    source = tmp_path / "image/srv"
    source.mkdir(parents=True)
    (source / "file").write_bytes(b"x" * 12_288)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", data], check=True)
    try:
        with pytest.raises(VolumeError, match="No space left on device"):
            copy_up(host_paths.volume("v"), (RootfsTree(lowers=(str(source),)),), "/", name="v")
    finally:
        subprocess.run(["umount", data], check=True)


def test_a_missing_directory_copies_nothing(host_paths: StatePaths, tmp_path: Path) -> None:
    """The image need not have the target."""
    VolumeStore(host_paths).ensure(VolumeSpec(name="v"))

    assert not copy_up(host_paths.volume("v"), make_image(tmp_path), "/nowhere", name="v")


def test_removed_volumes_are_gone_and_the_name_is_free(host_paths: StatePaths) -> None:
    """Removing is by name; a second volume of the name starts empty."""
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="v"))
    (store.data("v") / "x").write_text("1")
    store.remove("v")
    store.ensure(VolumeSpec(name="v"))

    assert os.listdir(store.data("v")) == []
    assert os.listdir(host_paths.volumes) == ["v"]


def test_an_image_with_directories_without_end(host_paths: StatePaths, tmp_path: Path) -> None:
    """It is refused by name: no traceback, and the volume can be removed."""
    VolumeStore(host_paths).ensure(VolumeSpec(name="v"))
    root = tmp_path / "image"
    (root / "data").mkdir(parents=True)
    fd = os.open(root / "data", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)

    with pytest.raises(VolumeError, match=r"volume v: cannot copy /data .*: too many directories inside"):
        copy_up(host_paths.volume("v"), (RootfsTree(lowers=(str(root),)),), "/data", name="v")

    VolumeStore(host_paths).remove("v")
    remove_tree(root)


def test_modes_owners_times_and_holes_arrive(host_paths: StatePaths, tmp_path: Path) -> None:
    """Whatever a file can have, small or large, with the umask of a cautious machine or without one."""
    source = tmp_path / "image/data"
    source.mkdir(parents=True)
    for name, mode, owner, size in (
        ("plain", 0o644, 0, 10),
        ("open", 0o666, 0, 10),
        ("setuid", 0o4755, 0, 10),
        ("foreign", 0o2754, 999, 10),
        ("closed", 0o000, 0, 10),
        ("empty", 0o640, 999, 0),
        ("large", 0o664, 0, 100_000),
    ):
        file = source / name
        file.write_bytes(os.urandom(size))
        os.chown(file, owner, owner)
        file.chmod(mode)
        os.utime(file, ns=(1_000_000_007, 2_000_000_009))
    with (source / "sparse").open("wb") as sparse:
        sparse.seek(1 << 20)
        sparse.write(b"middle")
        sparse.truncate(3 << 20)
    trees = (RootfsTree(lowers=(str(tmp_path / "image"),)),)
    before = {file.name: file.stat() for file in source.iterdir()}
    store = VolumeStore(host_paths)
    for umask in (0o022, 0o077):
        store.ensure(VolumeSpec(name=f"v{umask}"))
        old = os.umask(umask)
        try:
            assert copy_up(host_paths.volume(f"v{umask}"), trees, "/data", name="v")
        finally:
            os.umask(old)
        for name, info in before.items():
            copy = store.data(f"v{umask}") / name
            made = copy.stat()
            assert (name, oct(made.st_mode), made.st_uid, made.st_gid) == (
                name, oct(info.st_mode), info.st_uid, info.st_gid,
            )  # fmt: skip
            assert (name, made.st_mtime_ns, made.st_size) == (name, info.st_mtime_ns, info.st_size)
            assert copy.read_bytes() == (source / name).read_bytes()
        assert (store.data(f"v{umask}") / "sparse").stat().st_blocks * 512 < 1 << 20


@requires("user-xattrs")
def test_attributes_arrive(host_paths: StatePaths, tmp_path: Path) -> None:
    """Of small files and of large ones, which are copied in another way."""
    source = tmp_path / "image/data"
    source.mkdir(parents=True)
    for name, size in (("small", 10), ("large", 100_000)):
        (source / name).write_bytes(os.urandom(size))
        os.setxattr(source / name, "user.colour", name.encode())
    store = VolumeStore(host_paths)
    store.ensure(VolumeSpec(name="v"))
    assert copy_up(
        host_paths.volume("v"), (RootfsTree(lowers=(str(tmp_path / "image"),)),), "/data", name="v"
    )
    for name in ("small", "large"):
        assert os.getxattr(store.data("v") / name, "user.colour") == name.encode()


def test_replicas_at_once_fill_it_once(host_paths: StatePaths, tmp_path: Path) -> None:
    """Those that come second find a whole volume: nobody starts upon half of one."""
    image = tmp_path / "image"
    for number in range(200):
        (image / f"data/{number % 10}").mkdir(parents=True, exist_ok=True)
        (image / f"data/{number % 10}/{number}").write_text("x", encoding="ascii")
    volume = VolumeStore(host_paths).ensure(VolumeSpec(name="v"))
    directory = host_paths.volume(volume.name)
    trees = (RootfsTree(lowers=(str(image),)),)

    def replica(_number: int) -> tuple[bool, int]:
        copied = copy_up(directory, trees, "/data", name="v")
        return copied, sum(1 for path in (directory / "_data").rglob("*") if path.is_file())

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(replica, range(8)))

    assert sorted(copied for copied, _ in outcomes) == [False] * 7 + [True]
    assert {count for _, count in outcomes} == {200}
