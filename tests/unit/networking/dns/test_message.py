"""The codec's wrapper: what is right goes through, what is wrong never raises."""

from __future__ import annotations

from typing import Any

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.networking.dns import message
from pycompose.networking.dns.known import MOST, KnownAnswers
from pycompose.networking.dns.message import AAAA, PTR, A, Query

NAMES = st.lists(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20), min_size=1, max_size=6
).map(".".join)


def asked(name: str = "web", qtype: str = "A", size: int = 0) -> bytes:
    record = dnslib.DNSRecord.question(name, qtype)
    if size:
        record.add_ar(dnslib.EDNS0(udp_len=size))
    return bytes(record.pack())


def parsed(data: bytes) -> Query:
    query = message.parse(data)
    assert isinstance(query, Query)
    return query


def respond(query: Query, **answer: Any) -> bytes:
    """Return the answer to a query as a message."""
    return message.answer(query, **answer).under(query.id.to_bytes(2, "big"))


@given(NAMES, st.sampled_from(("A", "AAAA", "MX", "PTR")), st.sampled_from((0, 512, 1232, 4096, 65535)))
def test_a_question_is_understood(name: str, qtype: str, size: int) -> None:
    data = asked(name, qtype, size)
    query = parsed(data)

    assert (query.name, query.qtype) == (name, dnslib.QTYPE.reverse[qtype])
    assert query.edns == bool(size)
    assert query.limit_bytes == min(max(size, 512), 1232)
    assert query.id == int.from_bytes(data[:2], "big")


@given(st.binary(max_size=600))
def test_no_bytes_raise(data: bytes) -> None:
    reply = message.parse(data)

    assert reply is None or isinstance(reply, (bytes, Query))
    if isinstance(reply, bytes):
        assert reply[:2] == data[:2]
        assert len(reply) == 12


@given(st.data())
def test_no_damage_to_a_question_raises(data: st.DataObject) -> None:
    whole = bytearray(asked("some.name.example", size=1232))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    reply = message.parse(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    if isinstance(reply, Query):
        answer = respond(reply, addresses=["10.0.0.1"] if reply.qtype == A else [])
        assert dnslib.DNSRecord.parse(answer).header.id == reply.id


@pytest.mark.parametrize(
    ("data", "rcode"),
    (
        (b"\0\1\x01\0\0\2\0\0\0\0\0\0", message.FORMERR),
        (b"\0\1\x28\0\0\1\0\0\0\0\0\0", message.NOTIMP),
        (b"\0\1\x01\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", message.FORMERR),
        (b"\0\1\x01\0\0\1\0\0\0\0\0\0\x3fabc", message.FORMERR),
        (b"\1a\0\0\0\1\0\0\0\0\0\0\xc0\0\0\1\0\1", message.FORMERR),
        (b"\0\1\x01\0\0\1\0\0\0\0\0\0" + 5 * (b"\x3f" + 63 * b"a") + b"\0\0\1\0\1", message.FORMERR),
    ),
    ids=(
        "two questions",
        "update",
        "a pointer to itself",
        "cut off",
        "a pointer into the header",
        "too long",
    ),
)
def test_what_is_no_question_gets_an_error(data: bytes, rcode: int) -> None:
    reply = message.parse(data)

    assert isinstance(reply, bytes)
    assert message.rcode_of(reply) == rcode


def test_responses_are_not_answered() -> None:
    """Two servers would answer each other's errors for ever."""
    assert message.parse(bytes(dnslib.DNSRecord.question("x").reply().pack())) is None


def test_answers_carry_what_they_should() -> None:
    query = parsed(asked("Web.Example", size=4096))
    answer = dnslib.DNSRecord.parse(respond(query, addresses=["10.0.0.1", "10.0.0.2"], ttl_s=3))

    assert {str(record.rdata) for record in answer.rr} == {"10.0.0.1", "10.0.0.2"}
    assert {record.ttl for record in answer.rr} == {3}
    assert str(answer.q.qname) == "Web.Example."  # the spelling is the client's (draft-vixie-dns-0x20)
    assert (answer.header.qr, answer.header.ra, answer.header.rd) == (1, 1, 1)
    assert answer.ar[0].rtype == message.OPT


def test_other_kinds_of_answers() -> None:
    six = respond(parsed(asked(qtype="AAAA")), addresses=["fd00::1"])
    pointer = respond(parsed(asked("1.0.0.10.in-addr.arpa", "PTR")), pointer="db.p_back")
    nothing = respond(parsed(asked()), rcode=message.NXDOMAIN)

    assert [(r.rtype, str(r.rdata)) for r in dnslib.DNSRecord.parse(six).rr] == [(AAAA, "fd00::1")]
    assert [(r.rtype, str(r.rdata)) for r in dnslib.DNSRecord.parse(pointer).rr] == [(PTR, "db.p_back.")]
    assert message.rcode_of(nothing) == message.NXDOMAIN


def test_an_answer_too_large_is_cut_to_the_question() -> None:
    query = parsed(asked("many"))
    few = message.answer(query, addresses=[f"10.0.0.{n}" for n in range(30)])
    many = message.answer(query, addresses=[f"10.0.0.{n}" for n in range(31)])
    short = dnslib.DNSRecord.parse(message.fitting(query, many).under(b"id"))

    assert len(few.under(b"id")) <= 512 < len(many.under(b"id"))
    assert (short.header.tc, short.rr, str(short.q.qname)) == (1, [], "many.")
    assert message.fitting(query, few) == few


def test_all_addresses_are_told_in_changing_order() -> None:
    made = message.answer(parsed(asked()), addresses=["10.0.0.1", "10.0.0.2"])
    orders = {
        tuple(str(record.rdata) for record in dnslib.DNSRecord.parse(made.under(b"id")).rr)
        for _ in range(200)
    }

    assert orders == {("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")}


def test_a_name_that_no_label_can_hold_is_no_pointer() -> None:
    """Docker's networks may have names of 200 characters."""
    query = parsed(asked("1.0.0.10.in-addr.arpa", "PTR"))

    assert message.answer(query, pointer="db." + 64 * "n").records == ()


def test_what_was_answered_is_known_until_the_table_changes() -> None:
    known, table = KnownAnswers(), object()
    made = message.answer(parsed(asked()), addresses=["10.0.0.1"])

    assert known.find(asked(), table) is None
    known.keep(b"ab" + asked()[2:], made)
    assert known.find(b"cd" + asked()[2:], table) == made.under(b"cd")
    assert known.find(asked("db"), table) is None
    assert known.find(asked(qtype="AAAA"), table) is None
    assert known.find(asked(size=1232), table) is None
    assert known.find(asked(), object()) is None
    assert known.find(asked(), table) is None


def test_what_is_known_is_bounded() -> None:
    known, table = KnownAnswers(), object()
    known.find(b"", table)
    made = message.answer(parsed(asked()))
    for number in range(3 * MOST):
        known.keep(asked(f"n{number}"), made)

    assert sum(known.find(asked(f"n{number}"), table) is not None for number in range(3 * MOST)) <= MOST


def test_an_answer_belongs_to_its_question() -> None:
    data = asked("Example.org")
    query = parsed(data)
    good = bytes(dnslib.DNSRecord.parse(data).reply().pack())
    other = message.with_id(bytes(dnslib.DNSRecord.question("evil.org").reply().pack()), query.id)

    assert message.answers(good, query.id, query)
    assert message.answers(message.with_id(good, 7), 7, query)
    assert not message.answers(good, query.id ^ 1, query)
    assert not message.answers(other, query.id, query)
    assert not message.answers(data, query.id, query)
    assert not message.answers(b"", query.id, query)
