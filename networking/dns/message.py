"""DNS messages (RFC 1035, 6891): questions read by dnslib, answers written here; nothing off a socket ever raises."""

from __future__ import annotations

import random
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import dnslib
from dnslib.label import DNSBuffer
from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

A, PTR, AAAA, OPT, IN = 1, 12, 28, 41, 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
CLASSIC_BYTES = 512
# What we say we can take, and the most we send in one datagram (DNS flag day 2020).
EDNS_BYTES = 1232
HEADER = struct.Struct(">6H")
RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSION_DESIRED, RECURSION_AVAILABLE = (
    0x8000,
    0x0400,
    0x0200,
    0x0100,
    0x0080,
)
# RFC 1035, 4.1.4: a name that is the one behind the header, where the question's is.
NAME_OF_QUESTION = b"\xc0\x0c"
RECORD = struct.Struct(">HHIH")
QUESTION = struct.Struct(">HH")
LONGEST_LABEL, LONGEST_NAME = 63, 255
OPCODE_MASK, RCODE_MASK = 0x7800, 0x000F


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question: `name` as asked, without the final dot; `limit_bytes` is what a UDP answer may have."""

    id: int
    name: str
    qtype: int
    limit_bytes: int = CLASSIC_BYTES
    recursion: bool = True
    edns: bool = False
    qclass: int = IN
    question: bytes = b""


def parse(data: bytes) -> Query | bytes | None:
    """Return the query in `data`; an answer to send (FORMERR, NOTIMP); or None: not worth one."""
    if len(data) < HEADER.size:
        return None
    identity, flags, questions, *_counts = HEADER.unpack_from(data)
    if flags & RESPONSE:
        return None
    if flags & OPCODE_MASK:
        return _bare(identity, flags, NOTIMP)
    try:
        buffer = DNSBuffer(data)
        header = dnslib.DNSHeader.parse(buffer)
        if questions != 1:
            return _bare(identity, flags, FORMERR)
        question: Any = dnslib.DNSQuestion.parse(buffer)
        end = buffer.offset
        size = _edns_size(buffer, header.a + header.auth, header.ar)
        labels = tuple(question.qname.label)
        name = b".".join(labels).decode(errors="replace")
    except Exception:  # noqa: BLE001 - a library's parser on a stranger's bytes
        return _bare(identity, flags, FORMERR)
    # Answers repeat it as it is: no pointers into what is before it, no name that is too long.
    if data[HEADER.size : end] != _name(labels) + QUESTION.pack(question.qtype, question.qclass):
        return _bare(identity, flags, FORMERR)
    return Query(
        id=identity,
        name=name,
        qtype=question.qtype,
        limit_bytes=min(max(size or 0, CLASSIC_BYTES), EDNS_BYTES),
        recursion=bool(header.rd),
        edns=size is not None,
        qclass=question.qclass,
        question=data[HEADER.size : end],
    )


class Answer(NamedTuple):
    """An answer without its id: whoever asks the same again can have it, too, its records in another order."""

    head: bytes
    records: tuple[bytes, ...] = ()
    tail: bytes = b""

    def under(self, identity: bytes) -> bytes:
        """Return the message with the id `identity` (two bytes), its records shuffled."""
        count = len(self.records)
        records = self.records if count < 2 else random.sample(self.records, count)
        return b"".join((identity, self.head, *records, self.tail))


def answer(
    query: Query, *, addresses: Sequence[str] = (), pointer: str = "", rcode: int = NOERROR, ttl_s: int = 0
) -> Answer:
    """Return an answer: `addresses` of the type asked for, or the name `pointer`, or neither."""
    family = socket.AF_INET6 if query.qtype == AAAA else socket.AF_INET
    data = [socket.inet_pton(family, address) for address in addresses]
    if pointer and (name := _name(pointer.encode().split(b"."))):
        data.append(name)
    records = tuple(NAME_OF_QUESTION + RECORD.pack(query.qtype, IN, ttl_s, len(item)) + item for item in data)
    flags = RESPONSE | AUTHORITATIVE | RECURSION_AVAILABLE | rcode
    flags |= RECURSION_DESIRED if query.recursion else 0
    counts = HEADER.pack(0, flags, 1, len(records), 0, int(query.edns))
    edns = b"\0" + RECORD.pack(OPT, EDNS_BYTES, 0, 0) if query.edns else b""
    return Answer(counts[2:] + query.question, records, edns)


def fitting(query: Query, made: Answer) -> Answer:
    """Return the answer if it fits into the client's datagram, else one that sends it to TCP."""
    length = 2 + len(made.head) + sum(map(len, made.records)) + len(made.tail)
    if length <= query.limit_bytes:
        return made
    flags = int(HEADER.unpack_from(b"\0\0" + made.head)[1]) | TRUNCATED
    return Answer(HEADER.pack(0, flags, 1, 0, 0, 0)[2:] + query.question)


def with_id(data: bytes, identity: int) -> bytes:
    """Return the message with another id and nothing else changed."""
    return identity.to_bytes(2, "big") + data[2:]


def answers(data: bytes, identity: int, query: Query) -> bool:
    """Tell whether `data` can be the response to the request `identity` with the question of `query`."""
    if len(data) < HEADER.size:
        return False
    got, flags, questions, *_counts = HEADER.unpack_from(data)
    if got != identity or not flags & RESPONSE:
        return False
    asked = data[HEADER.size : HEADER.size + len(query.question)]
    return questions == 0 or asked.lower() == query.question.lower()


def rcode_of(data: bytes) -> int:
    """Return the response code."""
    return int(HEADER.unpack_from(data)[1]) & RCODE_MASK


def _bare(identity: int, flags: int, rcode: int) -> bytes:
    return HEADER.pack(identity, RESPONSE | (flags & (OPCODE_MASK | 0x0100)) | rcode, 0, 0, 0, 0)


def _name(labels: Sequence[bytes]) -> bytes:
    """Return a name in the wire's form, b"" for one that it can't have."""
    parts = [bytes([len(label)]) + label for label in labels if 0 < len(label) <= LONGEST_LABEL]
    encoded = b"".join(parts) + b"\0"
    return encoded if len(parts) == len(labels) and len(encoded) <= LONGEST_NAME else b""


def _edns_size(buffer: Any, skip: int, additional: int) -> int | None:
    """Return the datagram size of the OPT record, None without one. Raises what dnslib raises."""
    for _place in range(skip):
        dnslib.RR.parse(buffer)
    for _place in range(additional):
        record = dnslib.RR.parse(buffer)
        if record.rtype == OPT:
            return int(record.rclass)
    return None
