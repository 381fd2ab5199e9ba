"""Switching the machine into a router, and back.

When it was not one before, a table of our own keeps it from routing for anybody else, as Docker's policy
DROP does. What was switched is written to run/networks/.host.json; the caller holds the lock of that
directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError, doctor_row
from pycompose.engine.statefiles import read_json, write_json
from pycompose.networking.bridge import LINK_GROUP
from pycompose.networking.firewall import nft
from pycompose.networking.firewall.families import IPV4, IPV6, Family
from pycompose.networking.firewall.rules import PRIORITY_FILTER, remove_table
from pycompose.networking.netlink.nfnetlink import Transaction
from pycompose.networking.netns import read_sysctl, write_sysctls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pycompose.networking.netlink.nfnetlink import Netfilter

TABLE = "pyc_host"
KEYS = {"ip": "ipv4/ip_forward", "ip6": "ipv6/conf/all/forwarding"}


def enable(netfilter: Netfilter, directory: Path, *, ipv6: bool) -> bool:
    """Switch forwarding on where it is off, tell whether; remember that in `directory`. Raises NetworkError."""
    families = [IPV4, IPV6] if ipv6 else [IPV4]
    off = [family for family in families if read_sysctl(KEYS[family.name]) == "0"]
    if not off:
        return False
    path = directory / ".host.json"
    known = _recorded(path)
    names = sorted(known | {family.name for family in off})
    write_json(path, {"forwarding": names}, durable=False)
    _drop_foreign(netfilter, [family for family in (IPV4, IPV6) if family.name in names])
    _switch(names, "1")
    return True


def repair(netfilter: Netfilter, directory: Path) -> bool:
    """Make the table again that `enable` has made, when somebody has deleted it; tell whether. Raises NetworkError."""
    names = _recorded(directory / ".host.json")
    if not names or nft.table_exists(netfilter, TABLE):
        return False
    _drop_foreign(netfilter, [family for family in (IPV4, IPV6) if family.name in names])
    return True


def restore(netfilter: Netfilter, directory: Path) -> None:
    """Switch forwarding off again where `enable` switched it on. Raises NetworkError."""
    path = directory / ".host.json"
    if not (names := _recorded(path)):
        return
    _switch(sorted(names), "0")
    remove_table(netfilter, TABLE)
    path.unlink(missing_ok=True)


def _recorded(path: Path) -> set[str]:
    try:
        return set(read_json(path)["forwarding"]) & set(KEYS)
    except FileNotFoundError:
        return set()


def _switch(names: Sequence[str], value: str) -> None:
    try:
        write_sysctls({KEYS[name]: value for name in names})
    except OSError as exc:
        raise NetworkError(
            f"forwarding: switch to {value}: {exc.strerror}", hint=doctor_row("forwarding")
        ) from exc


def _drop_foreign(netfilter: Netfilter, families: Sequence[Family]) -> None:
    transaction = Transaction()
    table = nft.Table(transaction, "inet", TABLE)
    comment = "pycompose switched forwarding on, for its own networks only"
    # Closing the socket waits for what is being deleted: 10 ms.
    table.create(comment, replace=nft.table_exists(netfilter, TABLE))
    table.base_chain("forward", "filter", "forward", PRIORITY_FILTER, "only to and from containers")
    ours = nft.compare(nft.host32(LINK_GROUP))
    table.rule("forward", "from containers", nft.meta(nft.META_IIFGROUP), ours, nft.accept())
    table.rule("forward", "to containers", nft.meta(nft.META_OIFGROUP), ours, nft.accept())
    for family in families:
        table.rule("forward", "was not routed before", family.match(), nft.counter(), nft.drop())
    netfilter.commit(transaction)
