"""The files under run/networks: which networks exist, who has which address, who is connected.

A file is written before the kernel objects are made and removed after they are gone, so whoever finds it
can finish either. All changes happen under one lock on the directory, which is also what makes the choice
of a subnet atomic.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json
from pycompose.networking.model import Attachment, Lease, NetworkState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.paths import StatePaths


@dataclass(slots=True, kw_only=True)
class NetworkRecord:
    """One network's file: `leases` by lease key, `attachments` by container id."""

    state: NetworkState
    leases: dict[str, Lease] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)


class NetworkRecords:
    """Reads and writes the records of one state root."""

    def __init__(self, paths: StatePaths) -> None:
        self.paths = paths

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of all networks for the block."""
        make_directory(self.paths.networks)
        with locked(self.paths.networks):
            yield

    def load(self, name: str) -> NetworkRecord | None:
        """Return the record of the network `name`, None when there is none. Raises StateError."""
        try:
            value = read_json(self.paths.network(name))
        except FileNotFoundError:
            return None
        return NetworkRecord(
            state=from_json(NetworkState, value["state"]),
            leases={key: Lease(**item) for key, item in value["leases"].items()},
            attachments={key: Attachment(**item) for key, item in value["attachments"].items()},
        )

    def save(self, record: NetworkRecord) -> None:
        """Write a record; the caller holds the lock."""
        value: dict[str, Any] = {
            "state": plain(record.state),
            "leases": {key: _fields(lease) for key, lease in record.leases.items()},
            "attachments": {key: _fields(one) for key, one in record.attachments.items()},
        }
        write_json(self.paths.network(record.state.name), value, durable=False)

    def delete(self, name: str) -> None:
        """Forget a network; no error when there is none. The caller holds the lock."""
        self.paths.network(name).unlink(missing_ok=True)

    def remove_partial_files(self) -> None:
        """Remove files that were being written when their writer was killed; the caller holds the lock."""
        for name in os.listdir(self.paths.networks):
            if name.startswith(".") and ".json." in name:
                (self.paths.networks / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all networks, sorted."""
        try:
            files = sorted(os.listdir(self.paths.networks))
        except FileNotFoundError:
            return []
        return [name[:-5] for name in files if name.endswith(".json") and not name.startswith(".")]

    def all(self) -> list[NetworkRecord]:
        """Return every record, by name."""
        return [record for name in self.names() if (record := self.load(name)) is not None]


def _fields(value: Lease | Attachment) -> dict[str, str]:
    """Return the fields that are not empty; `plain` takes 30 times as long, for every lease."""
    return {name: text for name in value.__slots__ if (text := getattr(value, name))}
