"""Bytes in, plain bytes out: gzip by isal, zstd, bzip2 and xz by the standard library (zstd's is new, or a backport).

Output comes in bounded pieces whatever the input asks for, so a compression bomb costs time, not memory, and
Budget ends it. Decompression never runs a helper program (CVE-2026-41567).
"""

from __future__ import annotations

import bz2
import lzma
import sys
from typing import TYPE_CHECKING, Any, Protocol

from isal import igzip_lib
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 256 * 1024
INPUT = 128 * 1024
MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)
MAGIC_BYTES = 6
_DAMAGE: tuple[Any, ...] = (igzip_lib.IsalError, OSError, lzma.LZMAError, EOFError, ValueError)
# The largest window a decompressor must accept, as a power of two (RFC 8878 recommends 23, `zstd --long` uses 27).
ZSTD_WINDOW_LOG = 27


class Readable(Protocol):
    """The one method of files that is needed here."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes, b"" only at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When output is too much: in all, or compared with its input (beyond `free_bytes`).

    DEFLATE cannot exceed 1032:1; real layers stay below 20:1, sparse database files may reach 200:1.
    """

    max_bytes: int = 256 * 1024**3
    free_bytes: int = 1024**3
    max_ratio: int = 300


def detect(start: bytes) -> str:
    """Return the compression that the first bytes tell: "gzip", "zstd", "bzip2", "xz" or ""."""
    for magic, name in MAGIC:
        if start.startswith(magic):
            return name
    return ""


def pieces(source: Readable, compression: str, budget: Budget) -> Iterator[bytes]:
    """Yield the decompressed content of `source`, each piece at most PIECE bytes.

    `compression` "" copies. Raises ArchiveError for damage, truncation, trailing garbage and an exceeded
    budget.
    """
    counted = _Counted(source)
    produced = 0
    for piece in _stream(counted, compression):
        produced += len(piece)
        if produced > budget.max_bytes:
            raise ArchiveError(f"more than {budget.max_bytes} bytes when unpacked: refused")
        if produced > budget.free_bytes and produced > counted.bytes * budget.max_ratio:
            raise ArchiveError(
                f"compression bomb: {produced} bytes out of {counted.bytes}: refused",
                hint=f"the limit is {budget.max_ratio} to 1",
            )
        yield piece


class _Counted:
    def __init__(self, source: Readable) -> None:
        self._source = source
        self.bytes = 0

    def read(self, size: int = INPUT, /) -> bytes:
        data = self._source.read(size)
        self.bytes += len(data)
        return data


def _stream(source: _Counted, compression: str) -> Iterator[bytes]:
    match compression:
        case "":
            while data := source.read(PIECE):
                yield data
        case "gzip":
            yield from _members(
                source, "gzip", lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            )
        case "bzip2":
            yield from _members(source, "bzip2", bz2.BZ2Decompressor)
        case "xz":
            yield from _members(source, "xz", lambda: lzma.LZMADecompressor(memlimit=1024**3))
        case "zstd":
            yield from _zstd_frames(source)
        case _:
            raise ArchiveError(f"compression {compression!r} is not supported")


def _members(source: _Counted, name: str, make: Any) -> Iterator[bytes]:
    """Yield what one or more concatenated members hold; after the last one only zeros may follow."""
    data = source.read(INPUT)
    while data:
        decompressor = make()
        try:
            while not decompressor.eof:
                piece = decompressor.decompress(data, PIECE)
                if piece:
                    yield piece
                data = b""
                if decompressor.needs_input and not decompressor.eof and not (data := source.read(INPUT)):
                    raise ArchiveError(f"{name} data is truncated")
        except _DAMAGE as exc:
            raise ArchiveError(f"{name} data is damaged: {exc}") from exc
        data = decompressor.unused_data or source.read(INPUT)
        if not data.strip(b"\0"):
            _only_zeros(source, name)
            return
        if not _begins(data if len(data) >= MAGIC_BYTES else (data := data + source.read(INPUT)), name):
            raise ArchiveError(f"trailing garbage after the {name} data")


def _begins(start: bytes, name: str) -> bool:
    """Tell whether another member begins; zstd has frames to skip, too (RFC 8878, 3.1.2; layers of zstd:chunked)."""
    skipped = name == "zstd" and b"\x50" <= start[:1] <= b"\x5f" and start[1:4] == b"\x2a\x4d\x18"
    return skipped or detect(start) == name


def _only_zeros(source: _Counted, name: str) -> None:
    while data := source.read(INPUT):
        if data.strip(b"\0"):
            raise ArchiveError(f"trailing garbage after the {name} data")


def _zstd_frames(source: _Counted) -> Iterator[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - most layers are gzip
    else:
        from backports import zstd  # noqa: PLC0415 - as above

    options = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW_LOG}
    try:
        yield from _members(source, "zstd", lambda: zstd.ZstdDecompressor(options=options))
    except zstd.ZstdError as exc:
        raise ArchiveError(f"zstd data is damaged: {exc}") from exc
