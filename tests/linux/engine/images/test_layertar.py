"""What a container changed becomes a layer, and the layer makes the same change again."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import tarfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.tarwriter import TarWriter

from tests.support.layers import directory, file, merged, names, snapshot, symlink, tar, unpack
from tests.support.namespaces import mount, umount
from tests.support.requires import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.paths import StatePaths

pytestmark = requires("root", "overlay")

CAP_NET_BIND = bytes.fromhex("0100000200040000000000000000000000000000")


def layer_of(upper: Path, *leave_out: bytes) -> bytes:
    """Return the tar of an upper directory."""
    out = io.BytesIO()
    writer = TarWriter(out)
    LayerTar(writer, leave_out=leave_out).diff(upper)
    writer.close()
    return out.getvalue()


def test_changes_survive_the_round_trip(host_paths: StatePaths) -> None:
    """Made by the kernel's overlayfs, packed, unpacked on the same base: it shows the same."""
    base = host_paths.root
    unpack(
        base / "low",
        tar(directory("d"), file("d/old", "1"), file("gone"), directory("e"), file("e/f"), file("x", "1")),
    )
    for name in ("up", "work", "root"):
        (base / name).mkdir()
    mount(
        "overlay",
        base / "root",
        "overlay",
        data=f"lowerdir={base}/low,upperdir={base}/up,workdir={base}/work",
    )
    try:
        root = base / "root"
        (root / "gone").unlink()
        shutil.rmtree(root / "e")
        (root / "e").mkdir(mode=0o711)
        (root / "e/new").write_text("new")
        (root / "x").write_text("changed")
        (root / "x").chmod(0o4755)
        os.chown(root / "d/old", 7, 8)
        os.setxattr(root / "d/old", "security.capability", CAP_NET_BIND)
        (root / "d/link").symlink_to("/" + "l" * 150)
        os.link(root / "x", root / "d/hard")
        (root / ("ä" * 60)).mkdir()
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
        os.utime(root / "d", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
        expected = {
            path.removeprefix(str(root)): rest for path, rest in snapshot(root).items() if path != str(root)
        }
    finally:
        umount(base / "root")

    data = layer_of(base / "up")
    unpack(base / "again", data, [base / "low"])

    assert data == layer_of(base / "up")
    with merged(base, base / "again", base / "low") as root:
        found = {
            path.removeprefix(str(root)): rest for path, rest in snapshot(root).items() if path != str(root)
        }
        assert found == expected
        assert os.getxattr(root / "d/old", "security.capability") == CAP_NET_BIND


def test_sockets_and_what_is_left_out_stay_away(host_paths: StatePaths) -> None:
    """A socket has no place in a tar; generated files belong to the container."""
    import socket  # noqa: PLC0415

    upper = host_paths.root / "up"
    unpack(upper, tar(file("etc/hosts", "generated"), file("etc/own", "x"), symlink("l", "etc")))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(upper / "sock"))

    unpack(host_paths.root / "out", layer_of(upper, b"etc/hosts"))

    assert names(host_paths.root / "out") == ["etc/", "etc/own", "l"]


def test_what_changes_while_it_is_read_is_one_thing_or_the_other(host_paths: StatePaths) -> None:
    """A name flips between a file, a link, a FIFO and a device: each tar has one of them, whole."""
    upper = host_paths.root / "up"
    upper.mkdir()
    spare = host_paths.root / "spare"
    makers: tuple[Callable[[], object], ...] = (
        lambda: spare.write_bytes(b"text"),
        lambda: spare.symlink_to("/etc/passwd"),
        lambda: os.mkfifo(spare),
        lambda: os.mknod(spare, 0o20666, os.makedev(1, 5)),
    )
    done = threading.Event()

    def flip() -> None:
        while not done.is_set():
            for make in makers:
                make()
                spare.replace(upper / "name")

    makers[0]()
    spare.replace(upper / "name")
    thread = threading.Thread(target=flip)
    thread.start()
    kinds = {tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE}
    seen: set[bytes] = set()
    deadline_s = time.monotonic() + 20
    try:
        for number in itertools.count():
            # Which of them is met is chance: all of them have to be.
            if number >= 300 and (seen == kinds or time.monotonic() > deadline_s):
                break
            with tarfile.open(fileobj=io.BytesIO(layer_of(upper))) as found:
                for member in found:
                    seen.add(member.type)
                    if member.isreg():
                        content = found.extractfile(member)
                        assert content is not None
                        assert content.read() == b"text"
    finally:
        done.set()
        thread.join()
    assert seen == kinds
