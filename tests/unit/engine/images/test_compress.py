"""Decompression: what goes in comes out, damage is named, output stays bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers.compress import PIECE, Budget, detect, pieces

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
}
PLENTY = Budget()


def decompress(data: bytes, kind: str, budget: Budget = PLENTY) -> bytes:
    """Return all output as one."""
    return b"".join(pieces(io.BytesIO(data), kind, budget))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=3000), st.sampled_from(sorted(COMPRESS)), st.binary(max_size=50))
def test_what_goes_in_comes_out(data: bytes, kind: str, more: bytes) -> None:
    """Also from several members one after the other, as gzip -c writes with >>."""
    packed = COMPRESS[kind](data)

    assert detect(packed) == kind
    assert decompress(packed + COMPRESS[kind](more), kind) == data + more


@pytest.mark.parametrize("kind", sorted(COMPRESS))
def test_truncation_and_garbage_are_named(kind: str) -> None:
    """Truncated and trailing data; zeros after the end are padding."""
    packed = COMPRESS[kind](b"x" * 10_000)

    assert decompress(packed + bytes(700), kind) == b"x" * 10_000
    with pytest.raises(ArchiveError, match="truncated"):
        decompress(packed[:-6], kind)
    with pytest.raises(ArchiveError, match="trailing garbage"):
        decompress(packed + b"garbage", kind)
    with pytest.raises(ArchiveError, match=r"trailing garbage|damaged"):
        decompress(packed + bytes(20) + b"garbage", kind)


def test_damaged_zstd_is_named() -> None:
    """A frame that isn't one."""
    packed = COMPRESS["zstd"](b"x" * 1000)

    with pytest.raises(ArchiveError, match="zstd data is damaged"):
        decompress(packed[:8] + b"\xff\xff" + packed[8:], "zstd")


def test_frames_to_skip_are_skipped() -> None:
    """Layers of the kind zstd:chunked have a table of contents in such frames, between and behind the others."""
    first, second = (COMPRESS["zstd"](text) for text in (b"one", b"two"))
    skipped = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"table"

    assert decompress(first + skipped + second + skipped, "zstd") == b"onetwo"


def test_a_wide_window_is_accepted_up_to_a_bound() -> None:
    """`zstd --long=27` is what people use for large layers; what would take gigabytes of memory is refused."""
    for log, fits in ((27, True), (28, False)):
        options: dict[int, int] = {
            zstd.CompressionParameter.window_log: log,
            zstd.CompressionParameter.enable_long_distance_matching: 1,
        }
        compressor = zstd.ZstdCompressor(options=options)
        packed = compressor.compress(b"x" * 1000, zstd.ZstdCompressor.FLUSH_BLOCK) + compressor.flush()
        if fits:
            assert decompress(packed, "zstd") == b"x" * 1000
        else:
            with pytest.raises(ArchiveError, match="zstd data is damaged"):
                decompress(packed, "zstd")


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(COMPRESS)), st.data())
def test_a_changed_byte_is_decompressed_or_refused(kind: str, data: st.DataObject) -> None:
    """Fuzz: only ArchiveError leaves."""
    packed = bytearray(COMPRESS[kind](b"some text " * 30))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        decompress(bytes(packed), kind)
    except ArchiveError:
        return


@pytest.mark.parametrize("kind", sorted(COMPRESS))
def test_a_bomb_is_stopped_in_small_pieces(kind: str) -> None:
    """20 MB out of almost nothing: pieces stay small, the ratio ends it."""
    bomb = COMPRESS[kind](bytes(20_000_000))
    sizes: list[int] = []

    with pytest.raises(ArchiveError, match="compression bomb"):
        sizes.extend(map(len, pieces(io.BytesIO(bomb), kind, Budget(free_bytes=4_000_000, max_ratio=100))))

    assert max(sizes) <= PIECE
    assert 3_000_000 < sum(sizes) <= 5_000_000


def test_a_quota_is_a_quota() -> None:
    """More than the layer may have, compressed or not."""
    with pytest.raises(ArchiveError, match="more than 1000 bytes"):
        decompress(b"x" * 1001, "", Budget(max_bytes=1000))


def test_an_unknown_compression_is_refused() -> None:
    """Only those that are listed."""
    with pytest.raises(ArchiveError, match="'lz4' is not supported"):
        decompress(b"", "lz4")
