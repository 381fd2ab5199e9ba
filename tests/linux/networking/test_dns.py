"""The DNS server as a container meets it: 127.0.0.11:53, over UDP and TCP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import dnslib
import pytest
from pycompose.networking.dns.server import DnsServer
from pycompose.networking.dns.table import DnsRecord, DnsTable

from tests.support.netlab import ANSWERS_S, OUTSIDE, SILENCE_S, UPLINK, ask, nft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.netlab import Container, Lab

SERVER = ("127.0.0.11", 53)
UDP = socket.SOCK_DGRAM


class Names:
    """A DNS server on a loop of its own, for containers of a lab."""

    def __init__(self, lab: Lab, upstreams: tuple[str, ...]) -> None:
        self.lab = lab
        self.records: list[DnsRecord] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.server = DnsServer(self._loop, upstreams)

    def on_loop(self, action: Callable[[], object]) -> object:
        """Run `action` on the server's loop."""

        async def run() -> object:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(ANSWERS_S)

    def serve(
        self,
        container: Container,
        *names: str,
        upstreams: tuple[str, ...] = (),
        ndots_set: bool = False,
    ) -> None:
        """Serve a container, under names on all its networks."""
        udp, tcp = self.lab.networking.dns_sockets(container.id)
        self.on_loop(
            lambda: self.server.serve(container.id, udp, tcp, upstreams=upstreams, ndots_set=ndots_set)
        )
        self.records += [
            DnsRecord(
                container_id=container.id,
                network=one.network.name,
                ip=one.attachment.ip,
                ip6=one.attachment.ip6,
                names=names,
            )
            for one in container.endpoints
        ]
        self.server.table = DnsTable(self.records, self.lab.networking.list_networks())

    def close(self) -> None:
        """Stop the server and its loop."""
        self.on_loop(self.server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def names(wired_lab: Lab) -> Iterator[Names]:
    """Give a server whose only upstream is the host outside."""
    made = Names(wired_lab, (OUTSIDE,))
    yield made
    made.close()


def query(
    container: Container, name: str, qtype: str = "A", *, tcp: bool = False, size: int = 0
) -> dnslib.DNSRecord:
    """Ask the embedded server from inside."""
    question = dnslib.DNSRecord.question(name, qtype)
    if size:
        question.add_ar(dnslib.EDNS0(udp_len=size))

    def inside() -> bytes:
        if tcp:
            with socket.create_connection(SERVER, ANSWERS_S) as stream:
                data = question.pack()
                stream.sendall(len(data).to_bytes(2, "big") + data)
                length = int.from_bytes(stream.recv(2, socket.MSG_WAITALL), "big")
                return stream.recv(length, socket.MSG_WAITALL)
        with socket.socket(socket.AF_INET, UDP) as sock:
            sock.settimeout(ANSWERS_S)
            sock.connect(SERVER)  # an answer from another address or port would not arrive
            sock.send(question.pack())
            return sock.recv(4096)

    answer = dnslib.DNSRecord.parse(container.run(inside))
    assert answer.header.id == question.header.id
    return answer


def addresses(answer: dnslib.DNSRecord) -> set[str]:
    """Return the addresses of an answer that found something."""
    assert answer.header.rcode == 0
    return {str(record.rdata) for record in answer.rr}


@contextlib.contextmanager
def upstream(lab: Lab, rcode: int = 0) -> Iterator[list[str]]:
    """Answer DNS on the host outside: every A question with 198.51.100.7; list who asked what."""
    seen: list[str] = []

    def listen() -> tuple[socket.socket, socket.socket]:
        udp = socket.socket(socket.AF_INET, UDP)
        udp.bind((OUTSIDE, 53))
        return udp, socket.create_server((OUTSIDE, 53))

    udp, tcp = lab.from_outside(listen)

    def reply(data: bytes, sender: str) -> bytes:
        asked = dnslib.DNSRecord.parse(data)
        seen.append(f"{sender} {asked.q.qname}")
        answer = asked.reply()
        answer.header.rcode = rcode
        if rcode == 0:
            answer.add_answer(dnslib.RR(asked.q.qname, rdata=dnslib.A("198.51.100.7"), ttl=60))
        return bytes(answer.pack())

    def datagrams() -> None:
        while True:
            data, sender = udp.recvfrom(4096)
            if not data:
                return
            udp.sendto(reply(data, sender[0]), sender)

    def streams() -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, sender = tcp.accept()
                with stream:
                    length = int.from_bytes(stream.recv(2, socket.MSG_WAITALL), "big")
                    data = reply(stream.recv(length, socket.MSG_WAITALL), sender[0])
                    stream.sendall(len(data).to_bytes(2, "big") + data)

    threads = [threading.Thread(target=datagrams), threading.Thread(target=streams)]
    for thread in threads:
        thread.start()
    yield seen
    with lab.from_outside(lambda: socket.socket(socket.AF_INET, UDP)) as stopper:
        stopper.sendto(b"", (OUTSIDE, 53))
    tcp.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    udp.close()
    tcp.close()


def test_names_of_shared_networks_are_answered(names: Names, wired_lab: Lab) -> None:
    """Over both transports, in both spellings, and from 127.0.0.11:53 itself."""
    web, db = wired_lab.connect("front"), wired_lab.connect("front")
    names.serve(web, "web")
    names.serve(db, "db", "lab-db-1")

    assert addresses(query(web, "db")) == {db.ip}
    assert addresses(query(web, "DB.front")) == {db.ip}
    assert addresses(query(web, "lab-db-1", tcp=True)) == {db.ip}
    assert addresses(query(db, "db")) == {db.ip}
    pointer = query(web, ".".join(reversed(db.ip.split("."))) + ".in-addr.arpa", "PTR")
    assert str(pointer.rr[0].rdata) == "db.front."


def test_other_types_of_a_known_name_are_empty_not_forwarded(names: Names, wired_lab: Lab) -> None:
    """Else the upstream's NXDOMAIN for AAAA would hide the A record."""
    web = wired_lab.connect("front")
    names.serve(web, "web")

    for qtype in ("AAAA", "MX", "TXT"):
        answer = query(web, "web", qtype)
        assert (answer.header.rcode, answer.rr) == (0, [])


def test_a_container_may_have_port_53_itself(names: Names, wired_lab: Lab) -> None:
    """A DNS server in a container binds 0.0.0.0:53, and still resolves by ours."""
    pihole = wired_lab.connect("front")
    names.serve(pihole, "pihole")
    pihole.serve(53, kind=UDP)

    assert addresses(query(pihole, "pihole")) == {pihole.ip}
    assert pihole.ask(pihole.ip, 53, kind=UDP) == pihole.ip


def test_many_replicas_send_a_small_client_to_tcp(names: Names, wired_lab: Lab) -> None:
    client = wired_lab.connect("front")
    names.serve(client, "client")
    names.records += [
        DnsRecord(container_id=f"r{n}", network="front", ip=f"172.17.1.{n}", names=("many",))
        for n in range(50)
    ]
    names.server.table = DnsTable(names.records, wired_lab.networking.list_networks())

    short = query(client, "many")
    assert (short.header.tc, short.rr) == (1, [])
    assert len(addresses(query(client, "many", tcp=True))) == 50
    assert len(addresses(query(client, "many", size=4096))) == 50


@pytest.mark.parametrize("tcp", (False, True), ids=["udp", "tcp"])
def test_other_names_are_asked_from_the_containers_own_namespace(
    names: Names, wired_lab: Lab, *, tcp: bool
) -> None:
    """The upstream sees the masqueraded container, whose firewall and routes apply."""
    web = wired_lab.connect("front")
    names.serve(web, "web")
    wired_lab.firewall()
    rules = "add table ip count; add chain ip count c { type filter hook forward priority 0; }"
    with upstream(wired_lab) as seen:
        nft(f"{rules}; add rule ip count c ip saddr {web.ip} th dport 53 counter")
        try:
            answer = query(web, "example.org", tcp=tcp)
            counted = nft("list", "table", "ip", "count")
        finally:
            nft("delete", "table", "ip", "count")

    assert addresses(answer) == {"198.51.100.7"}
    assert seen == [f"{UPLINK} example.org."]
    assert "packets 0" not in counted


def test_an_upstream_that_fails_is_reported(names: Names, wired_lab: Lab) -> None:
    web = wired_lab.connect("front")
    names.serve(web, "web")
    wired_lab.firewall()
    with upstream(wired_lab, rcode=2):
        assert query(web, "example.org").header.rcode == 2
    assert query(web, "example.org").header.rcode == 2  # nobody listens: refused by ICMP, at once


def test_a_server_on_the_machines_loopback_is_asked_from_the_machine(wired_lab: Lab) -> None:
    """systemd-resolved's stub and dnsmasq listen where no container gets to."""
    answer = dnslib.DNSRecord.question("x").reply()
    web = wired_lab.connect("front")
    local = Names(wired_lab, ("127.0.0.1",))
    with contextlib.closing(socket.socket(socket.AF_INET, UDP)) as stub:
        stub.bind(("127.0.0.1", 53))

        def once() -> None:
            data, sender = stub.recvfrom(4096)
            reply = dnslib.DNSRecord.parse(data).reply()
            reply.add_answer(dnslib.RR(reply.q.qname, rdata=dnslib.A("203.0.113.9")))
            stub.sendto(reply.pack(), sender)

        thread = threading.Thread(target=once)
        thread.start()
        local.serve(web, "web")
        answer = query(web, "intra.example")
        thread.join()
    local.close()

    assert addresses(answer) == {"203.0.113.9"}


def test_internal_networks_ask_nobody(names: Names, wired_lab: Lab) -> None:
    """CVE-2024-29018: data must not leave as names."""
    inner = wired_lab.connect("closed")
    names.serve(inner, "inner")
    wired_lab.firewall()
    with upstream(wired_lab) as seen:
        assert query(inner, "secret.example.org").header.rcode == 3
        assert addresses(query(inner, "inner")) == {inner.ip}

    assert seen == []


def test_the_machine_has_a_name(names: Names, wired_lab: Lab) -> None:
    web = wired_lab.connect("front")
    names.serve(web, "web")

    assert addresses(query(web, "host.docker.internal")) == {wired_lab.state("front").gateway}


def test_junk_gets_an_error_or_nothing_and_does_no_harm(names: Names, wired_lab: Lab) -> None:
    web = wired_lab.connect("front")
    names.serve(web, "web")

    def send_junk() -> bytes:
        with socket.socket(socket.AF_INET, UDP) as sock:
            sock.settimeout(ANSWERS_S)
            sock.connect(SERVER)
            for junk in (b"", b"\0", b"\xff" * 11):
                sock.send(junk)
            sock.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1")  # a name that points to itself
            return sock.recv(4096)

    assert web.run(send_junk)[:4] == b"\x12\x34\x81\x01"
    assert addresses(query(web, "web")) == {web.ip}


def test_a_stopped_container_is_not_answered(names: Names, wired_lab: Lab) -> None:
    web = wired_lab.connect("front")
    names.serve(web, "web")
    names.on_loop(lambda: names.server.stop(web.id))

    assert web.run(lambda: ask(*SERVER, kind=UDP, wait_s=SILENCE_S)) in {"refused", "silence"}


def test_new_sockets_replace_the_old_ones(names: Names, wired_lab: Lab) -> None:
    """After a crash of everybody who held them."""
    web = wired_lab.connect("front")
    names.serve(web, "web")
    names.serve(web, "web")

    assert addresses(query(web, "web")) == {web.ip}


def test_a_services_own_servers_are_asked_instead(names: Names, wired_lab: Lab) -> None:
    """`dns:` of the service; the first one is dead, the second answers."""
    web = wired_lab.connect("front")
    names.serve(web, "web", upstreams=(UPLINK, OUTSIDE))
    names.server.table = DnsTable(names.records, wired_lab.networking.list_networks())
    wired_lab.firewall()
    with upstream(wired_lab) as seen:
        assert addresses(query(web, "example.org")) == {"198.51.100.7"}
        assert addresses(query(web, "example.org", tcp=True)) == {"198.51.100.7"}

    assert len(seen) == 2


def test_an_ipv6_server_is_asked_from_the_machine_where_the_container_has_no_ipv6(
    names: Names, wired_lab: Lab
) -> None:
    web = wired_lab.connect("front")
    names.serve(web, "web", upstreams=("::1",))
    with contextlib.closing(socket.socket(socket.AF_INET6, UDP)) as stub:
        stub.bind(("::1", 53))

        def once() -> None:
            data, sender = stub.recvfrom(4096)
            stub.sendto(dnslib.DNSRecord.parse(data).reply().pack(), sender)

        thread = threading.Thread(target=once)
        thread.start()
        answer = query(web, "intra.example")
        thread.join()

    assert answer.header.rcode == 0


def test_a_single_label_waits_for_its_search_domain_when_ndots_is_set(names: Names, wired_lab: Lab) -> None:
    """The client will come again with a domain; the world must not see its typing errors."""
    web = wired_lab.connect("front")
    names.serve(web, "web", ndots_set=True)
    wired_lab.firewall()
    with upstream(wired_lab) as seen:
        answer = query(web, "intranet")
        assert (answer.header.rcode, answer.rr) == (0, [])
        assert addresses(query(web, "intranet.example")) == {"198.51.100.7"}

    assert [line.split()[1] for line in seen] == ["intranet.example."]


def test_other_classes_and_overload_are_refused(
    names: Names, wired_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = wired_lab.connect("front")
    names.serve(web, "web")

    def chaos() -> bytes:
        with socket.socket(socket.AF_INET, UDP) as sock:
            sock.settimeout(ANSWERS_S)
            sock.connect(SERVER)
            sock.send(dnslib.DNSRecord.question("version.bind", "TXT", "CH").pack())
            return sock.recv(4096)

    assert dnslib.DNSRecord.parse(web.run(chaos)).header.rcode == 5
    monkeypatch.setattr("pycompose.networking.dns.server.MOST_IN_FLIGHT", 0)
    assert query(web, "example.org").header.rcode == 5
    assert addresses(query(web, "web")) == {web.ip}  # its own names are answered all the same


def test_the_next_server_is_asked_when_the_first_fails(wired_lab: Lab) -> None:
    """Where nobody listens, and where the answer is that it cannot; the machine's own unreachable one, too."""
    web = wired_lab.connect("front")
    for first in (UPLINK, "127.0.0.3"):
        served = Names(wired_lab, (first, OUTSIDE))
        served.serve(web, "web")
        wired_lab.firewall()
        with upstream(wired_lab) as seen:
            assert addresses(query(web, "example.org")) == {"198.51.100.7"}
        assert len(seen) == 1
        served.close()


def test_an_answer_is_as_new_as_the_table(names: Names, wired_lab: Lab) -> None:
    """What was asked before is answered from memory, and never with an address that is no more true."""
    web, db = wired_lab.connect("front"), wired_lab.connect("front")
    names.serve(web, "web")
    for _ in range(2):
        assert query(web, "db").header.rcode != 0 or not query(web, "db").rr
    names.serve(db, "db")
    for _ in range(3):
        assert addresses(query(web, "db")) == {db.ip}
    names.records = [record for record in names.records if record.container_id != db.id]
    names.server.table = DnsTable(names.records, wired_lab.networking.list_networks())
    assert not query(web, "db").rr
