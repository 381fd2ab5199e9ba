"""What each container is told, row by row."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.networking.dns.message import AAAA, PTR, A
from pycompose.networking.dns.table import FORWARD, NO_SUCH_NAME, DnsRecord, DnsTable, LookupResult, Outcome
from pycompose.networking.model import NetworkState

MX = 15


def state(name: str, number: int, *, internal: bool = False, six: bool = False) -> NetworkState:
    return NetworkState(
        name=name,
        id="0" * 64,
        project="p",
        bridge="pc-0",
        internal=internal,
        gateway=f"10.0.{number}.1",
        gateway6="fd00::1" if six else "",
    )


NETWORKS = (state("p_front", 1), state("p_back", 2, six=True), state("p_closed", 3, internal=True))
RECORDS = (
    DnsRecord(container_id="web", network="p_front", ip="10.0.1.2", names=("p-web-1", "web", "www", "aaaa")),
    DnsRecord(container_id="web", network="p_back", ip="10.0.2.2", names=("p-web-1", "web", "aaaa")),
    DnsRecord(
        container_id="db", network="p_back", ip="10.0.2.3", ip6="fd00::3", names=("p-db-1", "db", "a.b")
    ),
    DnsRecord(container_id="w1", network="p_back", ip="10.0.2.4", names=("p-worker-1", "worker")),
    DnsRecord(container_id="w2", network="p_back", ip="10.0.2.5", names=("p-worker-2", "worker")),
    DnsRecord(container_id="new", network="p_back", ip="10.0.2.6"),
    DnsRecord(container_id="safe", network="p_closed", ip="10.0.3.2", names=("safe",)),
    DnsRecord(container_id="edge", network="p_front", ip="10.0.1.9", names=("edge",)),
)
TABLE = DnsTable(RECORDS, NETWORKS, {"edge": {"Backend": "web"}})


def found(asker: str, name: str, qtype: int = A) -> set[str]:
    reply = TABLE.lookup(asker, name, qtype)
    assert reply.outcome is Outcome.ANSWER
    return set(reply.addresses)


@pytest.mark.parametrize("name", ("db", "DB", "p-db-1", "db.p_back", "Db.P_BACK", "db.", "a.b", "a.b.p_back"))
def test_every_name_is_known_in_every_spelling(name: str) -> None:
    assert found("web", name) == {"10.0.2.3"}


def test_only_networks_of_the_asker_count() -> None:
    assert TABLE.lookup("edge", "db", A) == FORWARD
    assert TABLE.lookup("edge", "db.p_back", A) == FORWARD
    assert found("edge", "web") == {"10.0.1.2"}
    assert found("db", "web") == {"10.0.2.2"}
    assert TABLE.lookup("db", "www", A) == FORWARD  # an alias of the other network


def test_on_several_shared_networks_the_askers_first_answers() -> None:
    assert found("web", "web") == {"10.0.1.2"}
    assert found("web", "web.p_back") == {"10.0.2.2"}


def test_all_replicas_are_told() -> None:
    assert found("db", "worker") == {"10.0.2.4", "10.0.2.5"}


def test_a_container_that_does_not_run_yet_may_ask_but_is_not_told() -> None:
    assert found("new", "db") == {"10.0.2.3"}
    assert TABLE.lookup("db", "10.0.2.6", A) == FORWARD


def test_known_names_without_the_type_are_empty() -> None:
    empty = LookupResult(outcome=Outcome.ANSWER)

    assert TABLE.lookup("db", "web", AAAA) == empty
    assert TABLE.lookup("db", "web", MX) == empty
    assert found("web", "db", AAAA) == {"fd00::3"}


def test_addresses_become_the_first_name_and_the_network() -> None:
    assert TABLE.lookup("web", "3.2.0.10.in-addr.arpa", PTR).pointer == "p-db-1.p_back"
    nibbles = ".".join(reversed(ipaddress.ip_address("fd00::3").exploded.replace(":", "")))
    assert TABLE.lookup("web", f"{nibbles}.ip6.arpa", PTR).pointer == "p-db-1.p_back"
    assert TABLE.lookup("web", "8.8.8.8.in-addr.arpa", PTR) == FORWARD
    assert TABLE.lookup("edge", "3.2.0.10.in-addr.arpa", PTR) == FORWARD


@pytest.mark.parametrize(
    "name", ("1.2.3.in-addr.arpa", "x.2.3.4.in-addr.arpa", "zz.ip6.arpa", "in-addr.arpa", "web")
)
def test_reverse_names_that_are_none_are_somebody_elses(name: str) -> None:
    assert TABLE.lookup("web", name, PTR) == FORWARD


def test_internal_networks_alone_ask_nobody() -> None:
    assert TABLE.lookup("safe", "example.org", A) == NO_SUCH_NAME
    assert not TABLE.forwards("safe")
    assert TABLE.forwards("web")
    assert TABLE.lookup("stranger", "web", A) == NO_SUCH_NAME
    assert (
        DnsTable(RECORDS[:1]).lookup("web", "example.org", A) == NO_SUCH_NAME
    )  # a network we know nothing of


def test_the_machine_is_the_gateway() -> None:
    for name in ("host.docker.internal", "gateway.docker.internal"):
        assert found("edge", name) == {"10.0.1.1"}
    assert found("db", "host.docker.internal", AAAA) == {"fd00::1"}
    assert found("edge", "host.docker.internal", AAAA) == set()
    assert found("safe", "host.docker.internal") == {"10.0.3.1"}


def test_a_container_of_that_name_goes_before() -> None:
    record = DnsRecord(container_id="x", network="p_front", ip="10.0.1.7", names=("host.docker.internal",))
    table = DnsTable((*RECORDS, record), NETWORKS)

    assert table.lookup("edge", "host.docker.internal", A).addresses == ("10.0.1.7",)


def test_links_are_the_clients_own() -> None:
    assert found("edge", "backend") == {"10.0.1.2"}
    assert TABLE.lookup("web", "backend", A) == FORWARD


def test_localhost_never_leaves() -> None:
    assert found("safe", "localhost") == {"127.0.0.1"}
    assert found("safe", "LOCALHOST", AAAA) == {"::1"}
    assert found("safe", "localhost", MX) == set()


@given(st.sampled_from(("web", "db", "safe", "x")), st.text(max_size=80), st.integers(0, 65535))
def test_any_question_has_a_reply(asker: str, name: str, qtype: int) -> None:
    assert isinstance(TABLE.lookup(asker, name, qtype), LookupResult)
