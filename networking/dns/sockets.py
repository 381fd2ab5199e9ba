"""The DNS server's sockets: inside the container's namespace, served from outside.

The server listens on a random port of 127.0.0.11 and a NAT rule in that namespace leads port 53 there, so
that a container can run a DNS server of its own on 0.0.0.0:53. Connection tracking translates the answers
back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.networking import netns
from pycompose.networking.firewall import nft
from pycompose.networking.firewall.families import IPV4
from pycompose.networking.firewall.rules import PRIORITY_DSTNAT
from pycompose.networking.netlink.nfnetlink import Netfilter, Transaction

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "127.0.0.11"
PORT = 53
TABLE = "pyc_dns"
BACKLOG = 64
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def open_pair(pin: Path) -> tuple[socket.socket, socket.socket]:
    """Return non-blocking UDP and TCP sockets in the namespace at `pin`, and add the rules to them.

    Raises NetworkError.
    """
    return netns.enter(pin, lambda: open_here(pin))


def open_here(pin: Path) -> tuple[socket.socket, socket.socket]:
    """Do what `open_pair` does for a thread that is in the namespace already, and bring its loopback up."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        # The address is there when loopback is up (netdevice(7): struct ifreq).
        fcntl.ioctl(udp, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        udp.bind((ADDRESS, 0))
        tcp.bind((ADDRESS, 0))
        tcp.listen(BACKLOG)
        _redirect(udp.getsockname()[1], tcp.getsockname()[1])
    except OSError as exc:
        udp.close()
        tcp.close()
        raise NetworkError(f"{pin.name[:12]}: open DNS sockets: {os.strerror(exc.errno or 0)}") from exc
    except NetworkError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp


def _redirect(udp_port: int, tcp_port: int) -> None:
    """Make the table, or replace it: only that leaves something behind that close() waits for."""
    with Netfilter() as netfilter:
        try:
            netfilter.commit(_rules(udp_port, tcp_port, replace=False))
        except NetworkError as exc:
            if not isinstance(exc.__cause__, OSError) or exc.__cause__.errno != errno.EEXIST:
                raise
            netfilter.commit(_rules(udp_port, tcp_port, replace=True))


def _rules(udp_port: int, tcp_port: int, *, replace: bool) -> Transaction:
    transaction = Transaction()
    table = nft.Table(transaction, "ip", TABLE)
    table.create("pycompose: 127.0.0.11:53 is answered by the supervisor", replace=replace)
    table.base_chain("output", "nat", "output", PRIORITY_DSTNAT, "to the server's real ports")
    for name, port in (("udp", udp_port), ("tcp", tcp_port)):
        table.rule(
            "output",
            f"DNS over {name}",
            IPV4.load_destination(),
            nft.compare(nft.address(ADDRESS)),
            nft.meta(nft.META_L4PROTO),
            nft.compare(nft.protocol(name)[:1]),
            nft.payload(nft.PAYLOAD_TRANSPORT_HEADER, 2, 2),
            nft.compare(nft.port(PORT)[:2]),
            nft.load(nft.address(ADDRESS), nft.REG_1),
            nft.load(nft.port(port)[:2], nft.REG_2),
            nft.dnat("ip", nft.REG_1, nft.REG_2),
        )
    return transaction
