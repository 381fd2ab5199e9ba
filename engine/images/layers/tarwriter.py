"""Writes tar streams: ustar where it suffices, a pax header in front where it doesn't.

The same input gives the same bytes: no names of owners, sorted by the caller, pax records in a fixed order.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING, Protocol
from zlib import adler32

from pycompose.engine.errors import EngineError
from pycompose.engine.images.layers.tarstream import BLOCK, DIRECTORY, HARDLINK, REGULAR, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What is held of a file while nobody takes it.
_PIECE = 1 << 16
_NS = 1_000_000_000
_OCTAL_ID = 0o7777777
_OCTAL_SIZE = 0o77777777777
# Name, mode, uid, gid, size, mtime, checksum, type, link, magic, names of owners, device, prefix (tar(5)).
_HEADER = b"".join(
    (
        b"%b%07o\0%07o\0%07o\0%011o\0%011o\0",
        b" " * 8,
        b"%b%bustar\x0000",
        bytes(64),
        b"%07o\0%07o\0",
        bytes(BLOCK - 345),
    )
)
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


class StandardOutput:
    """Where an archive goes without a file's name; what can't be written is said of it, and of nobody's storage."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`; raises EngineError, and BrokenPipeError when nobody reads."""
        with self._named():
            return sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Let all of it out; raises as `write`."""
        with self._named():
            sys.stdout.buffer.flush()

    @staticmethod
    @contextlib.contextmanager
    def _named() -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise EngineError(
                f"standard output: cannot write: {exc.strerror}", hint="write it to another place"
            ) from exc


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
        data: bytes | None = None,
        link: bytes = b"",
        xattrs: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Add what `status` describes: a file with `data` or the content of `file`, a symbolic link to `link`.

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
        if data is not None:
            entry.size = len(data)
        elif file is not None and kind == REGULAR:
            entry.size = status.st_size
            if 0 < entry.size <= _PIECE:
                data = _whole(file, entry.size)
        if data is not None:
            # Most files are small: one piece of all of it.
            self._write(b"".join((self._head(entry), data, bytes(-entry.size % BLOCK))))
            return
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
        self._write(self._head(entry))

    @staticmethod
    def _head(entry: Entry) -> bytes:
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
        header = _block(entry, min(seconds, _OCTAL_SIZE))
        if not records:
            return header
        body = b"".join(_record(key, value) for key, value in sorted(records.items()))
        before = _block(_plain(b"PaxHeaders/" + entry.name[:80], b"x", 0o644, len(body)), 0)
        return b"".join((before, body, bytes(-len(body) % BLOCK), header))

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


def _whole(file: int, size: int) -> bytes:
    data = os.read(file, size)
    while len(data) < size:
        more = os.read(file, size - len(data))
        if not more:
            raise OSError(5, "the file became shorter while it was read")
        data += more
    return data


def _block(entry: Entry, mtime_s: int) -> bytes:
    """Return one ustar header; what doesn't fit is cut and stands in the pax header before."""
    block = _HEADER % (
        entry.name[:100].ljust(100, b"\0"),
        entry.mode,
        entry.uid & _OCTAL_ID,
        entry.gid & _OCTAL_ID,
        entry.size & _OCTAL_SIZE,
        mtime_s,
        entry.type,
        entry.linkname[:100].ljust(100, b"\0"),
        entry.major,
        entry.minor,
    )
    # The lower half of Adler-32 is one more than the sum of all bytes, modulo 65521 (RFC 1950), and no header has more.
    checksum = (adler32(block) & 0xFFFF) - 1
    return b"%b%06o\0 %b" % (block[:148], checksum, block[156:])
