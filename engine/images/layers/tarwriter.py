"""Writes tar streams: ustar where it suffices, a pax header in front where it doesn't.

The same input gives the same bytes: no names of owners, sorted by the caller, pax records in a fixed order.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from pycompose.engine.dataclass import replace
from pycompose.engine.images.layers.tarstream import BLOCK, DIRECTORY, HARDLINK, REGULAR, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = 1024 * 1024
_NS = 1_000_000_000
_OCTAL_ID = 0o7777777
_OCTAL_SIZE = 0o77777777777
_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}


class Writable(Protocol):
    """The one method of files that is needed here."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        ...


class TarWriter:
    """Members in the order they are added; `close` writes the end."""

    def __init__(self, out: Writable) -> None:
        self._out = out
        self._position = 0

    def add_bytes(self, name: bytes, data: bytes, *, mode: int = 0o644) -> None:
        """Add a regular file of root with `data`."""
        self._header(_plain(name, REGULAR, mode, len(data)))
        self._write(data)
        self._pad(len(data))

    def add_directory(self, name: bytes, *, mode: int = 0o755) -> None:
        """Add a directory of root."""
        self._header(_plain(name.rstrip(b"/") + b"/", DIRECTORY, mode, 0))

    def add_content(self, name: bytes, file: int, size: int, *, mode: int = 0o644) -> None:
        """Add a regular file of root with `size` bytes from descriptor `file`. Raises OSError."""
        self._header(_plain(name, REGULAR, mode, size))
        self._copy(file, size)

    def add(
        self,
        name: bytes,
        status: os.stat_result,
        *,
        file: int | None = None,
        link: bytes = b"",
        xattrs: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Add what `status` describes, a file with the content of `file`, a symbolic link to `link`.

        Sockets have no place in a tar: ValueError. Raises OSError when a file shrinks meanwhile.
        """
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            raise ValueError("not a type that a tar can hold")
        entry = _described(name + b"/" if kind == DIRECTORY else name, kind, status)
        entry.linkname = link
        entry.xattrs = dict(xattrs or {})
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            entry.major, entry.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        if file is not None and kind == REGULAR:
            entry.size = status.st_size
        self._header(entry)
        if file is not None and entry.size:
            self._copy(file, entry.size)

    def add_hardlink(self, name: bytes, target: bytes, status: os.stat_result) -> None:
        """Add one more name of a file that is in the archive already."""
        entry = _described(name, HARDLINK, status)
        entry.linkname = target
        self._header(entry)

    def close(self) -> None:
        """Write two empty blocks, filled up to 10 KiB as tar(1) does."""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self._position % (20 * BLOCK)))

    def _copy(self, file: int, size: int) -> None:
        left = size
        while left:
            data = os.read(file, min(_PIECE, left))
            if not data:
                raise OSError(5, "the file became shorter while it was read")
            self._write(data)
            left -= len(data)
        self._pad(size)

    def _header(self, entry: Entry) -> None:
        records: dict[bytes, bytes] = {}
        if len(entry.name) > 100 or not entry.name.isascii():
            records[b"path"] = entry.name
        if len(entry.linkname) > 100 or not entry.linkname.isascii():
            records[b"linkpath"] = entry.linkname
        if entry.size > _OCTAL_SIZE:
            records[b"size"] = b"%d" % entry.size
        for key, value in ((b"uid", entry.uid), (b"gid", entry.gid)):
            if value > _OCTAL_ID:
                records[key] = b"%d" % value
        seconds, fraction = divmod(max(entry.mtime_ns, 0), _NS)
        if fraction or seconds > _OCTAL_SIZE:
            records[b"mtime"] = b"%d.%09d" % (seconds, fraction)
        records |= {b"SCHILY.xattr." + key: value for key, value in entry.xattrs.items()}
        if records:
            body = b"".join(_record(key, value) for key, value in sorted(records.items()))
            self._write(_block(_plain(b"PaxHeaders/" + entry.name[:80], b"x", 0o644, len(body))))
            self._write(body)
            self._pad(len(body))
        self._write(_block(replace(entry, mtime_ns=min(seconds, _OCTAL_SIZE) * _NS)))

    def _pad(self, size: int) -> None:
        if size % BLOCK:
            self._write(bytes(-size % BLOCK))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._position += len(data)


def _plain(name: bytes, kind: bytes, mode: int, size: int) -> Entry:
    return Entry(
        name=name, type=kind, mode=mode, uid=0, gid=0, size=size, stored=size, mtime_ns=0, linkname=b""
    )


def _described(name: bytes, kind: bytes, status: os.stat_result) -> Entry:
    entry = _plain(name, kind, stat.S_IMODE(status.st_mode), 0)
    entry.uid, entry.gid, entry.mtime_ns = status.st_uid, status.st_gid, status.st_mtime_ns
    return entry


def _record(key: bytes, value: bytes) -> bytes:
    """Return one pax record; its length counts its own digits."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def _block(entry: Entry) -> bytes:
    """Return one ustar header; what doesn't fit is cut and stands in the pax header before."""
    parts = (
        entry.name[:100].ljust(100, b"\0"),
        b"%07o\0" % entry.mode,
        b"%07o\0" % (entry.uid & _OCTAL_ID),
        b"%07o\0" % (entry.gid & _OCTAL_ID),
        b"%011o\0" % (entry.size & _OCTAL_SIZE),
        b"%011o\0" % (entry.mtime_ns // _NS),
        b" " * 8,
        entry.type,
        entry.linkname[:100].ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        b"%07o\0" % entry.major,
        b"%07o\0" % entry.minor,
    )
    block = b"".join(parts).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
