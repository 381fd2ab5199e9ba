"""The tar reader against Python's tarfile as oracle, and against damage."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers import tarstream
from pycompose.engine.images.layers.tarstream import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = st.text("abcäöü-_. 0123456789", min_size=1, max_size=40).filter(lambda text: text.strip(". /") != "")
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)
TYPES = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
FORMATS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """Return one archive member and its data."""
    info = tarfile.TarInfo(draw(PATHS))
    info.type = draw(TYPES)
    info.mode = draw(st.integers(0, 0o7777))
    info.uid = draw(st.sampled_from([0, 1000, 2**21, 2**31]))
    info.gid = draw(st.sampled_from([0, 5, 2**21 + 1]))
    info.mtime = draw(st.sampled_from([0, 1, 1_700_000_000, 2**33]))
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(st.sampled_from(["x", "../y", "/abs/olute", "l" * 150]))
    if info.type == tarfile.CHRTYPE:
        info.devmajor, info.devminor = draw(st.integers(0, 255)), draw(st.integers(0, 255))
    data = draw(st.binary(max_size=2000)) if info.type == tarfile.REGTYPE else b""
    info.size = len(data)
    return info, data


def archive(entries: list[tuple[tarfile.TarInfo, bytes]], kind: int) -> bytes:
    """Return the entries as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """Yield the data in pieces."""
    return (data[start : start + size] for start in range(0, len(data), size))


def read(data: bytes, piece: int = 1000) -> list[tuple[object, ...]]:
    """Return what our reader makes of a tar, as comparable tuples."""
    reader = TarReader(cut(data, piece))
    return [
        (e.name.decode().rstrip("/"), e.type, e.mode, e.uid, e.gid, e.size, e.mtime_ns, e.linkname.decode(),
         e.major, e.minor, b"".join(reader.data()))
        for e in reader
    ]  # fmt: skip


def oracle(data: bytes) -> list[tuple[object, ...]]:
    """Return what tarfile makes of it."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            content = tar.extractfile(info).read() if info.isreg() else b""  # type: ignore[union-attr]
            device = info.type == tarfile.CHRTYPE
            found.append((
                info.name, info.type, info.mode, info.uid, info.gid, info.size, int(info.mtime) * 10**9,
                info.linkname, info.devmajor if device else 0, info.devminor if device else 0, content,
            ))  # fmt: skip
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(members(), max_size=4), FORMATS, st.sampled_from([1, 511, 512, 700, 10**6]))
def test_reads_what_tarfile_reads(
    entries: list[tuple[tarfile.TarInfo, bytes]], kind: int, piece: int
) -> None:
    """Names, numbers, links and data agree, however the stream is cut."""
    data = archive(entries, kind)

    assert read(data, piece) == oracle(data)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=2000))
@example(b"\0" * 512 + b"x" * 512)
@example(b"x" * 512)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Fuzz: only ArchiveError leaves the reader."""
    try:
        read(data)
    except (ArchiveError, UnicodeDecodeError):
        return


@settings(deadline=None, max_examples=60)
@given(st.lists(members(), min_size=1, max_size=3), FORMATS, st.data())
def test_a_changed_byte_is_read_or_refused(
    entries: list[tuple[tarfile.TarInfo, bytes]], kind: int, data: st.DataObject
) -> None:
    """Fuzz: real archives with damage."""
    raw = bytearray(archive(entries, kind))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(raw))
    except (ArchiveError, UnicodeDecodeError):
        return


def header(name: bytes = b"f", size: int = 0, kind: bytes = b"0", **fields: bytes) -> bytes:
    """Return one header block with a right checksum; `fields` are offset → bytes, as `at_123`."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:107], block[108:115], block[116:123] = b"0000644", b"0000000", b"0000000"
    block[124:135], block[136:147] = b"%011o" % size, b"%011o" % 0
    block[156:157], block[257:265] = kind, b"ustar\x0000"
    for place, value in fields.items():
        start = int(place.removeprefix("at_"))
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    """Return a pax header."""
    return header(size=len(records), kind=kind) + records.ljust(-(-len(records) // 512) * 512, b"\0")


def record(key: bytes, value: bytes) -> bytes:
    """Return one pax record with its own length in front."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


END = bytes(1024)


@pytest.mark.parametrize(
    ("data", "reason"),
    (
        (header()[:200], "in the middle of a header"),
        (b"garbage " * 64 + END, "not a tar archive|bad checksum"),
        (header(size=5), "in the middle of a file"),
        (header() + END + b"x", "trailing garbage"),
        (header(kind=b"M") + END, "entry type b'M' is not supported"),
        (pax(record(b"path", b"a\0b")) + header() + END, "contains NUL"),
        (pax(b"8 path=\n\n") + header() + END, "pax header is malformed"),
        (pax(b"99999999999 a=b\n") + header() + END, "pax header is malformed"),
        (pax(record(b"size", b"-1")) + header() + END, "bad size"),
        (pax(record(b"mtime", b"soon")) + header() + END, "bad mtime"),
        (header(size=2 << 20, kind=b"x") + END, "pax header of 2097152 bytes, the limit is"),
        (header(size=2 << 20, kind=b"L") + END, "long name of 2097152 bytes, the limit is"),
        (pax(record(b"path", b"n" * 5000)) + header() + END, "too long"),
        (pax(record(b"path", b"x")), "ends after an extended header"),
        (header(at_124=b"\xff" * 12) + END, "bad size in a header"),
        (header(at_108=b"-000001") + END, "bad uid"),
    ),
)
def test_damage_is_named(data: bytes, reason: str) -> None:
    """Each kind of damage ends in a message that says what it is."""
    with pytest.raises(ArchiveError, match=reason):
        read(data)


def test_a_missing_end_is_accepted_at_a_header() -> None:
    """Some builders write no end blocks; the digest guards against truncation."""
    assert [row[0] for row in read(header(b"a") + header(b"b"))] == ["a", "b"]


def test_long_names_of_gnu_and_pax() -> None:
    """Both ways to say a name of 300 bytes."""
    name = b"d/" * 150 + b"f"
    gnu = header(size=len(name), kind=b"L") + name.ljust(512, b"\0") + header()

    assert [row[0] for row in read(gnu + pax(record(b"path", name)) + header())] == [name.decode()] * 2


def test_pax_times_owners_and_attributes() -> None:
    """Nanoseconds are exact, attributes are bytes, an empty value leaves the header's own."""
    records = (
        record(b"mtime", b"1700000000.123456789")
        + record(b"uid", b"3000000000")
        + record(b"SCHILY.xattr.user.x", b"a\0=\n")
        + record(b"path", b"")
    )

    (entry,) = TarReader(iter([pax(records) + header(b"name") + END]))

    assert (entry.name, entry.mtime_ns, entry.uid) == (b"name", 1_700_000_000_123_456_789, 3_000_000_000)
    assert entry.xattrs == {b"user.x": b"a\0=\n"}


def test_global_pax_headers_hold_until_replaced() -> None:
    """`g` records count for all later members, a member's own win."""
    data = (
        pax(record(b"gid", b"7"), b"g")
        + header(b"a")
        + pax(record(b"gid", b"8"))
        + header(b"b")
        + header(b"c")
    )

    assert [row[4] for row in read(data)] == [7, 8, 7]


@pytest.mark.parametrize(("text", "expected"), ((b"-5.5", 0), (b"99999999999999", tarstream.MAX_TIME_NS)))
def test_times_are_clamped(text: bytes, expected: int) -> None:
    """Before 1970 and beyond what file systems keep."""
    (entry,) = TarReader(iter([pax(record(b"mtime", text)) + header()]))

    assert entry.mtime_ns == expected


def test_base_256_numbers() -> None:
    """GNU writes large numbers in binary."""
    (entry,) = TarReader(iter([header(at_108=b"\x80" + (2**31).to_bytes(7, "big"))]))

    assert entry.uid == 2**31


def test_an_old_directory_is_a_name_with_a_slash() -> None:
    """V7 tar had no type for directories."""
    (entry,) = TarReader(iter([header(b"dir/", kind=b"\0", at_257=bytes(8))]))

    assert entry.type == tarstream.DIRECTORY


SPARSE_DATA = b"AAAA".ljust(512, b"\0")


@pytest.mark.parametrize(
    "data",
    (
        header(size=4, kind=b"S", at_386=b"%011o\0%011o\0" % (10, 4), at_483=b"%011o\0" % 20) + SPARSE_DATA,
        pax(
            record(b"GNU.sparse.size", b"20")
            + record(b"GNU.sparse.offset", b"10")
            + record(b"GNU.sparse.numbytes", b"4")
        )
        + header(size=4)
        + SPARSE_DATA,
        pax(
            record(b"GNU.sparse.size", b"20")
            + record(b"GNU.sparse.map", b"10,4")
            + record(b"GNU.sparse.name", b"f")
        )
        + header(b"GNUSparseFile.0/f", size=4)
        + SPARSE_DATA,
        pax(
            record(b"GNU.sparse.major", b"1")
            + record(b"GNU.sparse.minor", b"0")
            + record(b"GNU.sparse.realsize", b"20")
            + record(b"GNU.sparse.name", b"f")
        )
        + header(b"GNUSparseFile.0/f", size=516)
        + b"1\n10\n4\n".ljust(512, b"\0")
        + SPARSE_DATA,
    ),
    ids=("old", "0.0", "0.1", "1.0"),
)
def test_sparse_files(data: bytes) -> None:
    """All four encodings say the same file: 20 bytes, four of them at offset 10."""
    reader = TarReader(iter([data + END]))
    (entry,) = [(e.name, e.size, e.sparse, b"".join(reader.data())) for e in reader]

    assert entry == (b"f", 20, [(10, 4)], b"AAAA")


@pytest.mark.parametrize("regions", (b"10,4,5,4", b"18,4", b"10,2", b"10", b"10,x"))
def test_bad_sparse_maps_are_refused(regions: bytes) -> None:
    """Out of order, beyond the end, not what is stored, half a pair, no number."""
    records = record(b"GNU.sparse.size", b"20") + record(b"GNU.sparse.map", regions)

    with pytest.raises(ArchiveError, match="sparse map"):
        read(pax(records) + header(size=4) + SPARSE_DATA + END)
