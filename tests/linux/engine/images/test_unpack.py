"""Unpacking layers by image-spec layer.md, on a real file system and seen through the kernel's overlayfs."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.lower_layers import LowerView
from pycompose.engine.images.layers.tarwriter import TarWriter

from tests.support.layers import (
    device,
    directory,
    file,
    hardlink,
    merged,
    names,
    snapshot,
    symlink,
    tar,
    unpack,
)
from tests.support.namespaces import mount, umount
from tests.support.requires import lack, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.paths import StatePaths

    from tests.support.layers import Member

pytestmark = requires("root", "overlay")


@pytest.fixture(params=("tmpfs", pytest.param("overlay", marks=requires("overlay-on-overlay"))))
def base(host_paths: StatePaths, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a directory on a file system that takes trusted.* attributes; an overlay refuses whiteouts' devices."""
    if request.param == "overlay":
        yield request.getfixturevalue("on_overlay")
        return
    path = host_paths.root / "layers"
    path.mkdir()
    yield path


@pytest.fixture
def on_overlay(host_paths: StatePaths) -> Iterator[Path]:
    """Return a directory on an overlay."""
    path = host_paths.root / "layers"
    path.mkdir()
    for name in ("lower", "upper", "work"):
        (host_paths.root / name).mkdir()
    below = ",".join(f"{name}dir={host_paths.root / name}" for name in ("lower", "upper", "work"))
    mount("overlay", path, "overlay", data=below)
    try:
        yield path
    finally:
        umount(path)


BASE = (directory("d"), file("d/one", "1"), file("d/two", "2"), directory("t", mode=0o1777), file("x", "old"))


def test_whiteouts_are_packed_as_they_came(base: Path) -> None:
    """In both of their forms, in the root and in a directory whose time they leave alone; with an opaque one beside."""
    unpack(base / "a", tar(*BASE))
    members = [directory("d"), file("d/.wh.one"), directory("t"), file("t/.wh..wh..opq"), file("t/empty")]
    unpack(base / "b", tar(*members, file(".wh.x")), [base / "a"])

    out = io.BytesIO()
    writer = TarWriter(out)
    LayerTar(writer).diff(base / "b")
    writer.close()
    out.seek(0)
    with tarfile.open(fileobj=out) as packed:
        assert sorted(packed.getnames()) == [".wh.x", "d", "d/.wh.one", "t", "t/.wh..wh..opq", "t/empty"]
        assert packed.getmember("d").mtime == members[0][0].mtime
    view = LowerView([base / "b", base / "a"])
    assert [view.find(name) for name in (b"x", b"d/one", b"t/gone")] == [None] * 3
    view.close()


def test_a_whiteout_hides_a_lower_file(base: Path) -> None:
    """The file is gone, its neighbours stay."""
    unpack(base / "a", tar(*BASE))
    unpack(base / "b", tar(file("d/.wh.one")), [base / "a"])

    with merged(base, base / "b", base / "a") as root:
        assert names(root) == ["d/", "d/two", "t/", "x"]


@pytest.mark.parametrize("first", (True, False))
def test_a_whiteout_spares_its_own_layer(base: Path, *, first: bool) -> None:
    """A file of the same layer stays, wherever in the tar the whiteout comes."""
    members = [file("x", "new"), file(".wh.x")]
    unpack(base / "a", tar(*BASE))
    unpack(base / "b", tar(*(reversed(members) if first else members)), [base / "a"])

    with merged(base, base / "b", base / "a") as root:
        assert (root / "x").read_text() == "new"


@pytest.mark.parametrize(
    "members", ([file(".wh.x")], [file(".wh.d"), directory("d")]), ids=("file", "directory")
)
def test_where_it_cannot_be_hidden_it_is_said(on_overlay: Path, members: list[Member]) -> None:
    """An overlay before Linux 6.7 takes neither form of a whiteout, nor the mark of an opaque directory."""
    unpack(on_overlay / "a", tar(*BASE))
    if lack("overlay-on-overlay"):
        with pytest.raises(OSError, match="PYCOMPOSE_ROOT names another place"):
            unpack(on_overlay / "b", tar(*members), [on_overlay / "a"])
        return
    unpack(on_overlay / "b", tar(*members), [on_overlay / "a"])
    with merged(on_overlay, on_overlay / "b", on_overlay / "a") as root:
        assert set(names(root)) < {"d/", "d/one", "d/two", "t/", "x"}


def test_a_directory_made_again_hides_the_old_one(base: Path) -> None:
    """A whiteout and a directory of one name: only the new content shows."""
    unpack(base / "a", tar(*BASE))
    unpack(base / "b", tar(file(".wh.d"), directory("d"), file("d/three", "3")), [base / "a"])

    with merged(base, base / "b", base / "a") as root:
        assert names(root / "d") == ["three"]


@pytest.mark.parametrize("position", (0, 1, 2))
def test_an_opaque_directory_hides_lower_ones_in_any_order(base: Path, position: int) -> None:
    """Siblings of the mark stay, whether they come before or after it."""
    members = [directory("d"), file("d/three", "3")]
    members.insert(position, file("d/.wh..wh..opq"))
    unpack(base / "a", tar(*BASE))
    unpack(base / "b", tar(*members), [base / "a"])

    with merged(base, base / "b", base / "a") as root:
        assert names(root / "d") == ["three"]


def test_whiteouts_that_hide_nothing_are_dropped(base: Path) -> None:
    """Overlayfs would list them in directories that only one layer has."""
    unpack(base / "a", tar(*BASE))
    unpack(base / "b", tar(directory("n"), file("n/.wh.ghost"), file(".wh.x")), [base / "a"])

    assert names(base / "b") == ["n/", "x"]
    with merged(base, base / "b", base / "a") as root:
        assert names(root) == ["d/", "d/one", "d/two", "n/", "t/"]


def test_leftovers_of_aufs_are_skipped(base: Path) -> None:
    """Other names with the double prefix mean nothing today."""
    unpack(base / "a", tar(directory(".wh..wh.plnk"), file(".wh..wh.aufs"), file("f")))

    assert names(base / "a") == ["f"]


@pytest.mark.parametrize("name", (".wh.", ".wh..", ".wh..."))
def test_a_whiteout_of_nothing_is_refused(base: Path, name: str) -> None:
    """Nothing, `.` and `..` can't be hidden."""
    with pytest.raises(ArchiveError, match=r"a whiteout of nothing"):
        unpack(base / "a", tar(file(name)))


def test_names_are_made_relative(base: Path) -> None:
    """A leading slash and dots mean nothing; `.` is the root's own metadata."""
    unpack(base / "a", tar(directory(".", mode=0o711), file("/abs/f"), file("./rel//./g"), file("d/")))

    assert names(base / "a") == ["abs/", "abs/f", "d", "rel/", "rel/g"]
    assert stat.S_IMODE((base / "a").stat().st_mode) == 0o711


def test_the_last_of_several_entries_counts(base: Path) -> None:
    """Each kind replaces each other kind; two directories merge."""
    unpack(
        base / "a",
        tar(
            file("f", "first"), file("f", "second"),
            directory("d", mode=0o700), file("d/keep"), directory("d", mode=0o750),
            directory("t"), file("t/deep/gone"), file("t", "now a file"),
            file("u", "file"), directory("u"), file("u/in"),
            symlink("l", "nowhere"), file("l", "now a file"),
            file("s", "file"), symlink("s", "f"),
        ),
    )  # fmt: skip

    root = base / "a"
    assert names(root) == ["d/", "d/keep", "f", "l", "s", "t", "u/", "u/in"]
    assert ((root / "f").read_text(), (root / "t").read_text()) == ("second", "now a file")
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o750
    assert os.readlink(root / "s") == "f"


def test_implied_parents_take_over_what_they_cover(base: Path) -> None:
    """A layer that only says t/f doesn't take the sticky bit away from t."""
    unpack(base / "a", tar(directory("t", mode=0o1777, uid=5, gid=6, xattrs={"user.k": "v"})))
    report = unpack(base / "b", tar(file("t/f"), file("new/f")), [base / "a"])

    status = (base / "b/t").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o1777, 5, 6)
    assert status.st_mtime_ns == 1_700_000_000 * 10**9
    assert stat.S_IMODE((base / "b/new").stat().st_mode) == 0o755
    assert sorted(report.implied) == [b"", b"new", b"t"]


def test_an_implied_parent_below_an_opaque_one_takes_nothing(base: Path) -> None:
    """What is hidden has no say."""
    unpack(base / "a", tar(directory("d"), directory("d/e", mode=0o700)))
    unpack(base / "b", tar(directory("d"), file("d/.wh..wh..opq"), file("d/e/f")), [base / "a"])

    assert stat.S_IMODE((base / "b/d/e").stat().st_mode) == 0o755


def test_an_implied_parent_follows_a_lower_link(base: Path) -> None:
    """`lib/x` on a base whose /lib is a link to usr/lib means usr/lib/x; the link stays."""
    unpack(base / "a", tar(directory("usr/lib", mode=0o711), file("usr/lib/old"), symlink("lib", "usr/lib")))
    unpack(base / "b", tar(file("lib/x", "new"), file("lib/.wh.old")), [base / "a"])

    with merged(base, base / "b", base / "a") as root:
        assert names(root) == ["lib", "usr/", "usr/lib/", "usr/lib/x"]
        assert stat.S_IMODE((root / "usr/lib").stat().st_mode) == 0o711


def test_special_bits_owners_times_and_capabilities(base: Path) -> None:
    """What chown would clear is set after it; directories get their times last."""
    unpack(
        base / "a",
        tar(
            directory("d", mode=0o2775, gid=7, mtime=1000),
            file("d/su", "x", mode=0o4755, uid=3, gid=4, mtime=2000),
            file("d/plain", mode=0o600),
            symlink("d/link", "su", uid=8, gid=9, mtime=3000),
        ),
    )

    root = base / "a/d"
    program, link = (root / "su").lstat(), (root / "link").lstat()
    assert (program.st_mode, program.st_uid, program.st_gid) == (stat.S_IFREG | 0o4755, 3, 4)
    assert (program.st_mtime, link.st_mtime, root.stat().st_mtime) == (2000, 3000, 1000)
    assert (link.st_uid, link.st_gid) == (8, 9)
    assert stat.S_IMODE(root.stat().st_mode) == 0o2775
    plain = (root / "plain").stat()
    assert (plain.st_gid, stat.S_IMODE(plain.st_mode)) == (0, 0o600)


CAP_NET_BIND = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


def has_user_attributes(directory: Path) -> bool:
    """Tell whether the file system has user.* attributes: tmpfs does since Linux 6.6."""
    try:
        os.setxattr(directory, "user.probe", b"")
    except OSError:
        return False
    os.removexattr(directory, "user.probe")
    return True


def test_extended_attributes(base: Path) -> None:
    """File capabilities and user.* are kept; what would steer overlayfs or belongs to the machine is not."""
    text = CAP_NET_BIND.decode("latin-1")
    attributes = {
        "security.capability": text,
        "user.note": "hello",
        "trusted.overlay.redirect": "/etc",
        "trusted.other": "x",
        "user.overlay.opaque": "y",
        "security.selinux": "label",
    }
    unpack(base / "a", tar(file("f", xattrs=attributes), directory("d", xattrs=attributes)))

    for name in ("f", "d"):
        found = {key: os.getxattr(base / "a" / name, key) for key in os.listxattr(base / "a" / name)}
        assert found.pop("user.note", None) == (b"hello" if has_user_attributes(base) else None)
        assert found.pop("security.capability", CAP_NET_BIND) == CAP_NET_BIND
        assert not found


def test_hard_links_within_the_layer(base: Path) -> None:
    """Also through a link on the way, and to a name that comes later."""
    unpack(
        base / "a",
        tar(
            file("d/f", "x"), hardlink("g", "d/f"), symlink("way", "d"), hardlink("h", "/way/f"),
            hardlink("early", "late"), file("late", "y"), hardlink("d/f", "d/f"),
        ),
    )  # fmt: skip

    root = base / "a"
    assert (root / "d/f").stat().st_nlink == 3
    assert (root / "early").samefile(root / "late")


def test_a_hard_link_to_a_lower_file_copies_it(base: Path) -> None:
    """Content, owner, mode and attributes come up; below an implied parent."""
    text = CAP_NET_BIND.decode("latin-1")
    unpack(
        base / "a",
        tar(
            directory("d", mode=0o700),
            file("d/f", "x", mode=0o4711, uid=3, xattrs={"security.capability": text}),
        ),
    )
    unpack(base / "b", tar(hardlink("g", "d/f")), [base / "a"])

    copy, link = base / "b/d/f", base / "b/g"
    assert copy.samefile(link)
    assert (copy.read_text(), copy.stat().st_uid, stat.S_IMODE(copy.stat().st_mode)) == ("x", 3, 0o4711)
    assert os.getxattr(copy, "security.capability") == CAP_NET_BIND
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_a_hard_link_to_nothing_is_refused(base: Path) -> None:
    """The message names both."""
    unpack(base / "a", tar(file("x"), file("y")))
    with pytest.raises(ArchiveError, match=r"entry 'l': a hard link to 'ghost', which no layer has"):
        unpack(base / "b", tar(hardlink("l", "ghost")), [base / "a"])
    unpack(base / "c", tar(file(".wh.x")), [base / "a"])
    with pytest.raises(ArchiveError, match=r"which no layer has"):
        unpack(base / "d", tar(hardlink("l", "x")), [base / "c", base / "a"])


def test_devices_and_fifos(base: Path) -> None:
    """Some images need them; 0:0 is a whiteout in disguise."""
    unpack(
        base / "a",
        tar(
            device("null", 1, 3, uid=5),
            device("disk", 8, 0, kind=tarfile.BLKTYPE),
            device("f", 0, 0, kind=tarfile.FIFOTYPE),
        ),
    )

    null = (base / "a/null").stat()
    assert (stat.S_ISCHR(null.st_mode), null.st_rdev, null.st_uid) == (True, os.makedev(1, 3), 5)
    assert stat.S_ISBLK((base / "a/disk").stat().st_mode)
    assert stat.S_ISFIFO((base / "a/f").stat().st_mode)
    with pytest.raises(ArchiveError, match=r"0:0 is a whiteout in disguise"):
        unpack(base / "b", tar(device("sneaky", 0, 0)))


def test_sparse_files_have_holes(base: Path, tmp_path: Path) -> None:
    """What GNU tar packs with -S takes no room here either."""
    source = tmp_path / "sparse"
    with source.open("wb") as out:
        out.write(b"head")
        out.seek(10_000_000)
        out.write(b"tail")
    archives = []
    for kind in ("gnu", "posix"):
        archives.append(tmp_path / f"{kind}.tar")
        assert os.system(f"tar -cSf {archives[-1]} --format={kind} -C {tmp_path} sparse") == 0  # noqa: S605

    for number, archive in enumerate(archives):
        unpack(base / str(number), archive.read_bytes())

        result = base / str(number) / "sparse"
        assert result.read_bytes() == source.read_bytes()
        assert result.stat().st_blocks * 512 < 1_000_000


def test_times_are_clamped(base: Path) -> None:
    """Before 1970 is 1970."""
    unpack(base / "a", tar(file("f", mtime=-5.5)))

    assert (base / "a/f").stat().st_mtime == 0


HOSTILE = {
    "parent": ([file("../evil")], "contains '..'"),
    "parent inside": ([file("a/../../evil")], "contains '..'"),
    "absolute parent": ([file("/../../evil")], "contains '..'"),
    "hard link to a parent": ([hardlink("l", "../outside")], "contains '..'"),
    "hard link to the machine": ([hardlink("l", "/etc/shadow")], "which no layer has"),
    "hard link to a directory": ([directory("d"), hardlink("l", "d")], "a hard link to the directory"),
    "link loop as parent": ([symlink("a", "b"), symlink("b", "a"), file("a/f")], "too many symbolic links"),
    "file as parent": ([file("a"), file("a/f")], "its parent 'a' is not a directory"),
    "0:0": ([device("x", 0, 0)], "whiteout in disguise"),
    "long component": ([file("n" * 256)], "longer than 255"),
    "long path": ([file("d/" * 2100 + "f")], "too long"),
    "root is a file": ([file(".")], "the root is not a directory"),
    "owner": ([file("f", uid=2**32 - 1)], "out of range"),
    "empty link": ([symlink("l", "")], "a symbolic link to nothing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_entries_are_refused_and_nothing_lands_outside(base: Path, case: str) -> None:
    """The message names the entry; the file system around the layer is as before."""
    members, reason = HOSTILE[case]
    (base / "outside").write_text("precious")
    (base / "jail").mkdir()
    before = snapshot(base, leave_out=base / "jail")

    with pytest.raises(ArchiveError, match=rf"(entry|at its start).*{reason}"):
        unpack(base / "jail/layer", tar(*members))

    assert snapshot(base, leave_out=base / "jail") == before
    assert os.listdir(base / "jail") == ["layer"]


ESCAPES = {
    "absolute": "/outside",
    "relative": "../../outside",
    "deep": "a/../../../../outside",
    "the layer's own": "/",
}


@pytest.mark.parametrize("case", ESCAPES)
@pytest.mark.parametrize("how", ("file", "directory", "hardlink", "whiteout", "symlink"))
def test_links_as_parents_stay_inside(base: Path, case: str, how: str) -> None:
    """CVE-2018-15664's kind: a link in the layer leads out, the next entry goes through it."""
    outside = base / "outside"
    outside.mkdir()
    (outside / "f").write_text("precious")
    (outside / "f").chmod(0o600)
    before = snapshot(outside)
    entry = {
        "file": file("way/f", "evil"),
        "directory": directory("way/f", mode=0o777),
        "hardlink": hardlink("way/f", "own"),
        "whiteout": file("way/.wh.f"),
        "symlink": symlink("way/f", "/etc"),
    }[how]

    unpack(base / "layer", tar(file("own", "x"), symlink("way", ESCAPES[case]), entry))

    assert snapshot(outside) == before
    assert sorted(os.listdir(base)) == ["layer", "outside"]


def test_a_link_replaced_on_the_way_is_walked_again(base: Path) -> None:
    """A cached directory isn't trusted after its link has changed."""
    unpack(
        base / "a",
        tar(
            directory("d"),
            directory("e"),
            symlink("way", "d"),
            file("way/1"),
            symlink("way", "e"),
            file("way/2"),
        ),
    )

    assert names(base / "a") == ["d/", "d/1", "e/", "e/2", "way"]


def test_a_replaced_directory_is_forgotten(base: Path) -> None:
    """What was to be set on it later is not set on what took its place."""
    unpack(
        base / "a",
        tar(directory("d/e", mode=0o700), file("d/e/f"), symlink("d", "/"), file("d/e/g"), file("mark")),
    )

    assert names(base / "a") == ["d", "e/", "e/g", "mark"]


def test_too_many_entries_are_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is a limit."""
    monkeypatch.setattr("pycompose.engine.images.layers.unpack.MAX_ENTRIES", 3)

    with pytest.raises(ArchiveError, match=r"entry 'f3': more than 3 entries"):
        unpack(base / "a", tar(*(file(f"f{n}") for n in range(5))))


def test_a_thousand_nested_directories(base: Path) -> None:
    """Neither unpacking nor replacing recurses."""
    deep = "d/" * 1000

    unpack(base / "a", tar(file(f"{deep}f"), file("d", "flat")))

    assert names(base / "a") == ["d"]


def test_a_worker_that_meets_a_defect_of_its_own_ends() -> None:
    """Whoever waits for an answer learns it from the end of the socket, and is not left waiting."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-I", "-m", "pycompose.engine.images.layers.worker"]
        worker = subprocess.Popen(command, stdin=theirs.fileno(), stderr=subprocess.DEVNULL)
        theirs.close()
        ours.settimeout(30)
        with open(os.devnull, "rb") as blob:
            socket.send_fds(ours, [b'{"unpack": null}\n'], [blob.fileno()])

        try:
            assert ours.recv(1000) == b""
            assert worker.wait(30) == 1
        finally:
            worker.kill()
            worker.wait()
