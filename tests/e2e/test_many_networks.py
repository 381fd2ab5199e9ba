"""Many networks of one project: what they cost together, and that each is what one alone would be."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct

from pycompose.networking.netlink.attributes import attributes
from pycompose.networking.netlink.nfnetlink import NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES

from tests.support.requires import requires
from tests.support.scenario import Host

pytestmark = requires("ip")

MANY = 40
NFT_MSG_GETGEN, NFTA_GEN_ID = 16, 1
NLM_F_REQUEST = 1


def changes() -> int:
    """Return how many transactions this network namespace's nftables has seen."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN
        netlink.send(struct.pack("=IHHIIBBH", 20, kind, NLM_F_REQUEST, 1, 0, 0, 0, 0))
        return int.from_bytes(attributes(netlink.recv(4096)[20:])[NFTA_GEN_ID], "big")


def test_they_are_made_and_removed_together(busy: Host) -> None:
    """Each has a bridge and a subnet of its own; the rules are replaced a few times, not once for each network."""
    names = [f"n{number}" for number in range(MANY)]
    services = {name: {"image": "busybox", "scale": 0, "networks": [name]} for name in names}
    services["s"] = {"image": "busybox", "command": ["sleep", "1000"], "init": True, "networks": names[:3]}
    text = json.dumps({"services": services, "networks": dict.fromkeys(names)})
    folder = busy.project({"compose.yaml": text})
    before = busy.inside(changes)
    busy.run("up", "-d", cwd=folder).ok()
    made = busy.inside(changes)

    found = busy.run("network", "inspect", *(f"demo_{name}" for name in names)).ok().json()
    subnets = [ipaddress.ip_network(network["IPAM"]["Config"][0]["Subnet"]) for network in found]
    links = busy.command(["ip", "-o", "link", "show", "type", "bridge", "up"]).ok().stdout
    busy.run("down", cwd=folder).ok()

    assert len(set(subnets)) == links.count(" pc-") == MANY
    assert not any(one.overlaps(two) for one in subnets for two in subnets if one != two)
    assert made - before < MANY / 4
    assert busy.inside(changes) - made < MANY / 4
