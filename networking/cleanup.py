"""Cleaning up after processes that were killed: by the files, then by the names in the kernel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from pycompose.engine.errors import NetworkInUse, PycomposeError
from pycompose.networking.driver import driver_of
from pycompose.networking.model import link_alias
from pycompose.networking.netlink.rtnetlink import Netlink, delete_links

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.networking.records import NetworkRecords


class Remover(Protocol):
    """What the facade can remove."""

    def disconnect(self, *container_ids: str) -> None:
        """Remove the interfaces and namespaces of containers."""

    def release(self, lease_key: str) -> None:
        """Forget a lease."""

    def remove_network(self, name: str) -> None:
        """Remove a network."""

    def remove_firewall(self, project: str) -> None:
        """Remove a project's rules."""


def remove_project(
    networking: Remover, records: NetworkRecords, project: str, container_ids: Sequence[str]
) -> None:
    """Remove the interfaces, namespaces, rules, networks and leases of `project`, whose containers are gone.

    A network that others are on stays. Raises ExceptionGroup when something could not be removed; everything else is.
    """
    failures: list[Exception] = []

    def attempt(what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (
            NetworkInUse
        ):  # by another project's containers: it goes when they have, and somebody asks again
            return
        except (PycomposeError, OSError) as exc:
            exc.add_note(f"while {what}")
            failures.append(exc)

    found = records.all()
    ours = {
        container_id
        for record in found
        for container_id, attachment in record.attachments.items()
        if _belongs(attachment.lease_key, project)
    }
    attempt("disconnecting", lambda: networking.disconnect(*sorted({*ours, *container_ids})))
    attempt("removing the firewall", lambda: networking.remove_firewall(project))
    for record in found:
        for key in [key for key in record.leases if _belongs(key, project)]:
            attempt(f"releasing {key}", partial(networking.release, key))
        if record.state.project == project:
            name = record.state.name
            attempt(f"removing network {name}", partial(networking.remove_network, name))
    attempt("removing stray links", lambda: _stray_links(records, project))
    if failures:
        raise ExceptionGroup(f"project {project}: networks: clean up: something is left behind", failures)


def _belongs(lease_key: str, project: str) -> bool:
    return lease_key.partition("/")[0] == project


def _stray_links(records: NetworkRecords, project: str) -> None:
    """Delete links that carry the project's alias but are in no file."""
    with records.locked():
        known = {name for record in records.all() for name in driver_of(record.state).links(record.state)}
        known |= {one.veth for record in records.all() for one in record.attachments.values()}
        with Netlink() as netlink:
            stray = [
                link.name
                for link in netlink.links()
                if link.name not in known and link.alias == link_alias(project)
            ]
        delete_links(stray)
