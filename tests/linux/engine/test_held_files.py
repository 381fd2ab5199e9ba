"""What COPY writes from memory is what it would have read: the same layer, whatever the modes, owners and masks."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pycompose.engine.builder.copying import CopyOptions, CopyTarget
from pycompose.engine.builder.held import Held, Room
from pycompose.engine.builder.modes import parse_mode
from pycompose.engine.builder.reading import Reader
from pycompose.engine.builder.tree import SourceTree
from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.tarwriter import TarWriter

from tests.support.requires import requires

pytestmark = requires("root")

MODES = (0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1644, 0o666, 0o000, 0o777)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Yield a directory's descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have another umask for the time of the block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def context(folder: Path) -> Path:
    """Make files of all modes and sizes, links of both kinds, directories with modes of their own."""
    top = folder / "context"
    (top / "a/deep").mkdir(parents=True)
    (top / "shared").mkdir()
    for number, mode in enumerate(MODES):
        for place in ("", "a", "a/deep", "shared"):
            path = top / place / f"f{number}"
            path.write_bytes(f"{place} {number}".encode() * number * 1000)
            os.chmod(path, mode)
            os.utime(path, ns=(10**18 + number, 10**18 + number))
    (top / "large").write_bytes(os.urandom(200_000))
    (top / "link").symlink_to("f1")
    os.link(top / "large", top / "a/hard")
    os.chmod(top / "shared", 0o2775)  # noqa: S103
    return top


def layer(
    top: Path, upper: Path, options: CopyOptions, room: Room, sources: tuple[str, ...]
) -> tuple[bytes, int]:
    """Copy `sources` as COPY does; return the layer's tar, and how many files were written from memory."""
    (upper / "old").mkdir(parents=True)
    held = Held(room)
    with opened(top) as here, opened(upper) as root:
        tree = SourceTree(here)
        for source in sources:
            for _ in Reader(tree, None, held).pieces(source):
                pass
        target = CopyTarget(root, options, root, held)
        target.copy(tree, sources, "/new")
        target.copy(tree, sources, "/old")
    out = io.BytesIO()
    LayerTar(TarWriter(out), contents=target.contents).diff(upper)
    return out.getvalue(), len(target.contents)


@pytest.mark.parametrize("mask", (0o022, 0o077, 0o000))
@pytest.mark.parametrize(
    "options",
    (
        CopyOptions(),
        CopyOptions(owner=(7, 8)),
        CopyOptions(mode=parse_mode("u=rwX,go=rX")),
        CopyOptions(mode=parse_mode("6711"), owner=(0, 9)),
        CopyOptions(latest_s=1),
    ),
    ids=("plain", "owner", "mode", "mode and owner", "epoch"),
)
def test_the_layer_is_the_same(tmp_path: Path, mask: int, options: CopyOptions) -> None:
    """With room for files in memory, and without: byte for byte, upon directories that are new and that aren't."""
    top = context(tmp_path)
    with umask(mask):
        fast, held = layer(top, tmp_path / "fast", options, Room(), ("",))
        slow, none = layer(top, tmp_path / "slow", options, Room(0), ("",))

    assert held > 40
    assert none == 0
    assert _without_times(fast) == _without_times(slow)


def _without_times(tar: bytes) -> list[tuple[object, ...]]:
    """Return what is in a tar; the time of a directory that COPY makes itself is that of the copy."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as file:
        return [
            (
                one.name, one.mode, one.uid, one.gid, one.type, one.linkname, one.size,
                0 if one.name in ("new", "old") else one.pax_headers.get("mtime", one.mtime),
                {key: value for key, value in one.pax_headers.items() if key != "mtime"},
                hashlib.sha256(content.read()).hexdigest() if (content := file.extractfile(one)) else "",
            )
            for one in file
        ]  # fmt: skip


def test_a_file_that_changes_after_its_digest_was_taken(tmp_path: Path) -> None:
    """The layer has what is in the key, not what came later."""
    top = context(tmp_path)
    held = Held(Room())
    with opened(top) as here, opened(_made(tmp_path / "upper")) as root:
        tree = SourceTree(here)
        assert b"".join(Reader(tree, None, held).pieces("a"))
        before = (top / "a/f3").read_bytes()
        (top / "a/f3").write_text("another", encoding="ascii")
        (top / "a/f4").unlink()
        (top / "a/f5").unlink()
        (top / "a/f5").mkdir()
        target = CopyTarget(root, CopyOptions(), root, held)
        target.copy(tree, ["a"], "/new")

    assert (tmp_path / "upper/new/f3").read_bytes() == before
    assert (tmp_path / "upper/new/f5").is_file()
    assert not (tmp_path / "upper/new/f4").exists()


def test_what_a_later_source_puts_in_its_place(tmp_path: Path) -> None:
    """The tar has the file that came last, also where it came by a link to the directory."""
    top = tmp_path / "context"
    for name in ("one/x", "one/y", "one/z", "two/x", "three/y"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(f"this is {name}", encoding="ascii")
    (top / "two/in").symlink_to("/new")
    held = Held(Room())
    upper = _made(tmp_path / "upper")
    with opened(top) as here, opened(upper) as root:
        tree = SourceTree(here)
        for _ in Reader(tree, None, held).pieces(""):
            pass
        target = CopyTarget(root, CopyOptions(), root, held)
        for sources, where in ((["one", "two"], "/new"), (["three"], "/new/in/")):
            target.copy(tree, sources, where)
    out = io.BytesIO()
    LayerTar(TarWriter(out), contents=target.contents).diff(upper)

    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as file:
        members = [(one.name, file.extractfile(one)) for one in file if one.isreg()]
        found = {name: content.read().decode() for name, content in members if content is not None}
    assert found == {"new/x": "this is two/x", "new/y": "this is three/y", "new/z": "this is one/z"}


def test_directories_that_hand_down_their_access_control_list(tmp_path: Path) -> None:
    """A default list gives new files modes and attributes of their own: those are set, and get into the layer."""
    top = context(tmp_path)
    made: list[bytes] = []
    for name, room in (("fast", Room()), ("slow", Room(0))):
        upper = _made(tmp_path / name)
        try:
            os.setxattr(upper, "system.posix_acl_default", _acl())
        except OSError:
            pytest.skip("a file system without access control lists")
        made.append(layer(top, upper, CopyOptions(), room, ("",))[0])

    assert b"posix_acl_access" in made[1]
    assert _without_times(made[0]) == _without_times(made[1])


def _acl() -> bytes:
    """Return an access control list (acl(5)) in the kernel's form (linux/posix_acl_xattr.h)."""
    nobody = 0xFFFFFFFF
    entries = ((1, 7, nobody), (2, 6, 1234), (4, 5, nobody), (16, 7, nobody), (32, 0, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_no_more_is_held_than_there_is_room(tmp_path: Path) -> None:
    """What is over the limit is read again; what is closed makes room for the next step."""
    top = context(tmp_path)
    room = Room(20_000)

    def held_now(held: Held) -> int:
        with opened(top) as here:
            tree = SourceTree(here)
            for _ in Reader(tree, None, held).pieces(""):
                pass
        return sum(held.get(f"{place}f{number}") is not None for place in ("", "a/") for number in range(9))

    counts: list[int] = []
    for _ in range(2):
        held = Held(room)
        counts.append(held_now(held))
        held.close()
    assert 0 < counts[0] < 18
    assert counts[0] == counts[1]
