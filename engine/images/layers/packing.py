"""Plain bytes in, compressed bytes out: gzip by isal, zstd. The same bytes give the same output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from isal import isal_zlib
from pycompose.engine.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GZIP_WINDOW = 31  # zlib's wbits: 15, and a gzip header, whose time isal leaves at 0


def packed(pieces: Iterable[bytes], packing: str) -> Iterator[bytes]:
    """Yield `pieces` compressed. Raises ImageError for another packing than gzip, zstd, uncompressed."""
    match packing:
        case "uncompressed":
            yield from pieces
        case "gzip":
            gzip = isal_zlib.compressobj(wbits=_GZIP_WINDOW)
            yield from filter(None, map(gzip.compress, pieces))
            yield gzip.flush()
        case "zstd":
            if sys.version_info >= (3, 14):
                from compression import zstd  # noqa: PLC0415 - seldom
            else:
                from backports import zstd  # noqa: PLC0415 - seldom
            compressor = zstd.ZstdCompressor()
            yield from filter(None, map(compressor.compress, pieces))
            yield compressor.flush()
        case _:
            raise ImageError(f"compression {packing!r} is not supported")
