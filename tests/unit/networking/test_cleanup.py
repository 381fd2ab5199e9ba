"""What is removed of a project whose processes were killed, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.engine.paths import StatePaths
from pycompose.networking import cleanup
from pycompose.networking.model import Attachment, Lease, NetworkState
from pycompose.networking.records import NetworkRecord, NetworkRecords


class Remover:
    """Writes down what it was asked for; what is in `refuse` can't be removed."""

    def __init__(self, *refuse: str) -> None:
        self.asked: list[str] = []
        self._refuse = refuse

    def _note(self, text: str) -> None:
        self.asked.append(text)
        if text in self._refuse:
            raise NetworkError(f"{text}: busy")

    def disconnect(self, *container_ids: str) -> None:
        """Note it."""
        self._note(f"disconnect {' '.join(container_ids)}")

    def release(self, lease_key: str) -> None:
        """Note it."""
        self._note(f"release {lease_key}")

    def remove_network(self, name: str) -> None:
        """Note it."""
        self._note(f"network {name}")

    def remove_firewall(self, project: str) -> None:
        """Note it."""
        self._note(f"firewall {project}")


@pytest.fixture
def records(tmp_path: Path) -> NetworkRecords:
    """Two networks of `unit-cleanup`, one of `other` that both projects are on."""
    made = NetworkRecords(StatePaths(root=tmp_path / "lib", run=tmp_path / "run"))
    with made.locked():
        for name, project, key, container in (
            ("back", "unit-cleanup", "unit-cleanup/db/1", "db"),
            ("front", "unit-cleanup", "unit-cleanup/web/1", "web"),
            ("shared", "other", "unit-cleanup/web/1", "web"),
        ):
            state = NetworkState(name=name, id=name, project=project, bridge=f"pc-{name}")
            record = NetworkRecord(state=state, leases={key: Lease(ip="10.0.0.2"), "other/x/1": Lease()})
            record.attachments[container] = Attachment(lease_key=key, veth="v", interface="eth0")
            record.attachments["x"] = Attachment(lease_key="other/x/1", veth="w", interface="eth0")
            made.save(record)
    return made


def test_containers_then_rules_then_networks(records: NetworkRecords) -> None:
    """Networks of others stay, and so do their containers; only our leases on them are given back."""
    remover = Remover()
    cleanup.remove_project(remover, records, "unit-cleanup", ["without"])

    assert remover.asked == [
        "disconnect db web without",
        "firewall unit-cleanup",
        "release unit-cleanup/db/1",
        "network back",
        "release unit-cleanup/web/1",
        "network front",
        "release unit-cleanup/web/1",
    ]


def test_one_that_fails_does_not_keep_the_others(records: NetworkRecords) -> None:
    """All failures are told together, each with what was being done."""
    remover = Remover("disconnect db web", "network back")
    with pytest.raises(ExceptionGroup, match="project unit-cleanup: networks: clean up") as caught:
        cleanup.remove_project(remover, records, "unit-cleanup", [])

    assert remover.asked[-1] == "release unit-cleanup/web/1"
    assert "network front" in remover.asked
    notes = [exc.__notes__ for exc in caught.value.exceptions]
    assert notes == [["while disconnecting"], ["while removing network back"]]


def test_a_name_that_begins_alike_is_another_project(records: NetworkRecords) -> None:
    """`unit-clean` is not `unit-cleanup`."""
    remover = Remover()
    cleanup.remove_project(remover, records, "unit-clean", [])

    assert remover.asked == ["disconnect ", "firewall unit-clean"]
