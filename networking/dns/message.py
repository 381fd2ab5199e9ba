"""DNS messages, by dnslib, so that nothing that comes off a socket ever raises (RFC 1035, 6891)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

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
RESPONSE, TRUNCATED = 0x8000, 0x0200
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
    labels: tuple[bytes, ...] = ()
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
    return Query(
        id=identity,
        name=name,
        qtype=question.qtype,
        limit_bytes=min(max(size or 0, CLASSIC_BYTES), EDNS_BYTES),
        recursion=bool(header.rd),
        edns=size is not None,
        qclass=question.qclass,
        labels=labels,
        question=data[HEADER.size : end],
    )


def respond(
    query: Query, *, addresses: Sequence[str] = (), pointer: str = "", rcode: int = NOERROR, ttl_s: int = 0
) -> bytes:
    """Return an answer: `addresses` of the type asked for, or the name `pointer`, or neither."""
    header = dnslib.DNSHeader(id=query.id, qr=1, aa=1, ra=1, rd=int(query.recursion), rcode=rcode)
    label = dnslib.DNSLabel(query.labels)
    question = dnslib.DNSQuestion(label, query.qtype, query.qclass)
    record = dnslib.DNSRecord(header, q=question)
    for address in addresses:
        data: Any = dnslib.AAAA(address) if query.qtype == AAAA else dnslib.A(address)
        record.add_answer(dnslib.RR(label, query.qtype, rdata=data, ttl=ttl_s))
    if pointer:
        record.add_answer(dnslib.RR(label, PTR, rdata=dnslib.PTR(pointer), ttl=ttl_s))
    if query.edns:
        record.add_ar(dnslib.EDNS0(udp_len=EDNS_BYTES))
    return bytes(record.pack())


def truncated(query: Query, answer: bytes) -> bytes:
    """Return `answer` if it fits into the client's datagram, else one that sends it to TCP."""
    if len(answer) <= query.limit_bytes:
        return answer
    flags = HEADER.unpack_from(answer)[1] | TRUNCATED
    return HEADER.pack(query.id, flags, 1, 0, 0, 0) + query.question


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


def _edns_size(buffer: Any, skip: int, additional: int) -> int | None:
    """Return the datagram size of the OPT record, None without one. Raises what dnslib raises."""
    for _place in range(skip):
        dnslib.RR.parse(buffer)
    for _place in range(additional):
        record = dnslib.RR.parse(buffer)
        if record.rtype == OPT:
            return int(record.rclass)
    return None
