"""Queueing disciplines of a link, as far as faults need them: tbf holds packets back to a rate, netem delays them.

The layouts are those of linux/pkt_sched.h and rtnetlink(7).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.networking.netlink.attributes import attribute, nested
from pycompose.networking.netlink.messages import HEADER, NLM_F_ACK, NLM_F_REQUEST

if TYPE_CHECKING:
    from pycompose.networking.netlink.rtnetlink import Netlink

RTM_NEWQDISC, RTM_DELQDISC = 36, 37
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
TC_H_ROOT = 0xFFFFFFFF
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_BURST = 1, 6
TCA_NETEM_RATE, TCA_NETEM_LATENCY64, TCA_NETEM_JITTER64 = 6, 10, 11
TC_LINKLAYER_ETHERNET = 1
QUEUED_PACKETS = 10_000
# How long tbf holds a packet back before it drops it, and what it lets through at once.
QUEUED_S, BURST_S, LEAST_BURST_BYTES = 0.5, 0.02, 3_200
# A discipline isn't replaced by one of another kind that has its handle (tc_modify_qdisc in net/sched/sch_api.c).
_HANDLES = {"netem": 0x10000, "tbf": 0x20000}

_TCMSG = struct.Struct("=BxxxiIII")
_RATE = struct.Struct("=BBHhHI")
_NETEM = struct.Struct("=IIIIII")


def set_rate(netlink: Netlink, link: str, bytes_per_s: int) -> None:
    """Let the link send this much only. Raises NetworkError."""
    burst = max(int(bytes_per_s * BURST_S), LEAST_BURST_BYTES)
    limit = burst + int(bytes_per_s * QUEUED_S)
    rate = _RATE.pack(0, TC_LINKLAYER_ETHERNET, 0, 0, 0, min(bytes_per_s, 0xFFFFFFFF))
    parms = rate + bytes(_RATE.size) + struct.pack("=III", limit, 0, 0)
    options = attribute(TCA_TBF_PARMS, parms) + attribute(TCA_TBF_BURST, struct.pack("=I", burst))
    _replace(netlink, link, "tbf", options)


def set_delay(netlink: Netlink, link: str, delay_ns: int, jitter_ns: int, bytes_per_s: int = 0) -> None:
    """Delay what the link sends, by `jitter_ns` more or less, and limit it as `set_rate` does. Raises NetworkError."""
    options = _NETEM.pack(0, QUEUED_PACKETS, 0, 0, 0, 0)
    options += attribute(TCA_NETEM_LATENCY64, struct.pack("=q", delay_ns))
    options += attribute(TCA_NETEM_JITTER64, struct.pack("=q", jitter_ns))
    if bytes_per_s:
        options += attribute(TCA_NETEM_RATE, struct.pack("=IiIi", min(bytes_per_s, 0xFFFFFFFF), 0, 0, 0))
    _replace(netlink, link, "netem", options)


def reset(netlink: Netlink, link: str) -> None:
    """Give the link its own queue back; no error when it has it."""
    _send(
        netlink, RTM_DELQDISC, 0, link, b"", "reset queue", ignore=(2, 22)
    )  # ENOENT, EINVAL: it is the kernel's


def _replace(netlink: Netlink, link: str, kind: str, options: bytes) -> None:
    body = attribute(TCA_KIND, kind.encode() + b"\0") + nested(TCA_OPTIONS, options)
    what = f"queue it by {kind}"
    flags = NLM_F_CREATE | NLM_F_REPLACE
    _send(netlink, RTM_NEWQDISC, flags, link, body, what, handle=_HANDLES[kind], lacks=f"sch_{kind}")


def _send(  # noqa: PLR0913 - the parts of one message
    netlink: Netlink,
    kind: int,
    flags: int,
    link: str,
    body: bytes,
    what: str,
    *,
    handle: int = 0,
    ignore: tuple[int, ...] = (),
    lacks: str = "",
) -> None:
    head = _TCMSG.pack(0, netlink.index(link), handle, TC_H_ROOT, 0)
    length = HEADER.size + len(head) + len(body)
    message = HEADER.pack(length, kind, flags | NLM_F_REQUEST | NLM_F_ACK, 0, 0) + head + body
    ((code, words),) = netlink.exchange([message])
    if code and code not in ignore:
        missing = code == 2 and lacks  # ENOENT: no such discipline
        hint = f"this kernel has no {lacks}; modprobe {lacks}, or a kernel that has it" if missing else None
        raise NetworkError(f"link {link}: {what}: {words}", hint=hint)
