"""Leases as a state machine: whatever comes, addresses are unique and stay with their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from pycompose.engine.errors import AddressesExhausted, NetworkError
from pycompose.engine.paths import StatePaths
from pycompose.networking import leases
from pycompose.networking.model import EndpointSpec, Lease, NetworkState
from pycompose.networking.records import NetworkRecord, NetworkRecords

if TYPE_CHECKING:
    from pathlib import Path

STATE = NetworkState(
    name="n",
    id="0" * 64,
    project="p",
    bridge="pc-0",
    subnet="10.0.0.0/28",
    ip_range="10.0.0.0/28",
    gateway="10.0.0.1",
    static=True,
    subnet6="fd00::/64",
    ip_range6="fd00::/64",
    gateway6="fd00::1",
    aux={"router": "10.0.0.5"},
)


class Leases(RuleBasedStateMachine):
    """Services come, go, and come back; some insist on an address."""

    containers = Bundle("containers")

    def __init__(self) -> None:
        super().__init__()
        self.record = NetworkRecord(state=STATE)
        self.known: dict[str, Lease] = {}
        self.count = 0

    @rule(target=containers, key=st.integers(0, 15), fixed=st.sampled_from(("", "", "10.0.0.9", "10.0.0.5")))
    def connect(self, key: int, fixed: str) -> str:
        """Connect a container under a key, at most with a fixed address."""
        self.count += 1
        container_id = f"{self.count:064x}"
        spec = EndpointSpec(network="n", lease_key=f"p/s/{key}", ipv4_address=fixed)
        before = dict(self.record.leases)
        try:
            lease = leases.grant(self.record, spec, container_id, lambda other: True)
        except (AddressesExhausted, NetworkError):
            self.record.leases = before  # what the registry does by not saving
            return ""
        leases.attach(self.record, container_id, spec, veth="v", interface="eth0")
        old = before.get(spec.lease_key)
        if old and not fixed:
            assert lease == old
        assert not fixed or lease.ip == fixed
        return container_id

    @rule(container_id=consumes(containers))
    def disconnect(self, container_id: str) -> None:
        """Disconnect a container; its lease stays."""
        self.record.attachments.pop(container_id, None)

    @rule(key=st.integers(0, 15))
    def release(self, key: int) -> None:
        """Forget a key that nobody uses."""
        leases.release(self.record, f"p/s/{key}")

    @invariant()
    def addresses_are_unique_and_inside(self) -> None:
        """Nobody shares an address with anybody, the gateway or the reserved ones."""
        for field, fixed in (("ip", {"10.0.0.1", "10.0.0.5"}), ("ip6", {"fd00::1"})):
            given = [getattr(lease, field) for lease in self.record.leases.values()]
            assert len(set(given)) == len(given)
            assert not fixed & set(given)
        for attachment in self.record.attachments.values():
            lease = self.record.leases[attachment.lease_key]
            assert (attachment.ip, attachment.ip6, attachment.mac) == (lease.ip, lease.ip6, lease.mac)


Leases.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLeases = Leases.TestCase


def test_a_dead_containers_lease_is_taken_over() -> None:
    record = NetworkRecord(state=STATE)
    spec = EndpointSpec(network="n", lease_key="p/web/1")
    first = leases.grant(record, spec, "a" * 64, lambda other: False)
    leases.attach(record, "a" * 64, spec, veth="v", interface="eth0")

    assert leases.grant(record, spec, "b" * 64, lambda other: False) == first
    assert record.attachments == {}


@pytest.mark.parametrize("text", ("02:00:00:00:00", "02:00:00:00:00:0g", "01:00:00:00:00:01", "x"))
def test_macs_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(NetworkError, match="mac_address"):
        leases.check_mac("n", text)


def test_macs_are_spelled_as_the_kernel_does() -> None:
    assert leases.check_mac("n", "02-AA-bb-CC-dd-EE") == "02:aa:bb:cc:dd:ee"
    assert leases.check_mac("n", "") == ""


def test_records_survive_their_file(tmp_path: Path) -> None:
    registry = NetworkRecords(StatePaths(root=tmp_path / "lib", run=tmp_path / "run"))
    record = NetworkRecord(state=STATE)
    spec = EndpointSpec(network="n", lease_key="p/web/1")
    leases.grant(record, spec, "a" * 64, lambda other: False)
    leases.attach(record, "a" * 64, spec, veth="v", interface="eth0")
    with registry.locked():
        registry.save(record)

    assert registry.load("n") == record
    assert registry.all() == [record]
    registry.delete("n")
    registry.delete("n")
    assert registry.all() == []
