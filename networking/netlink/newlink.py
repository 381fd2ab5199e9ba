"""RTM_NEWLINK for links on another one: macvlan, ipvlan, VLANs; and for a dummy (rtnetlink(7), linux/if_link.h).

Few networks have such links, and each kind has attributes of its own: pyroute2 knows them. The only module that knows
pyroute2, which it imports when the first of them is made: 25 ms of a processor, that bridges don't pay (requests.py).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from typing import Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import NetworkError
from pycompose.networking.netlink import requests
from pycompose.networking.netlink.messages import NLM_F_ACK, NLM_F_REQUEST

# The attributes of each kind, in the order of NewLink.settings.
_SETTINGS = {
    "macvlan": ("IFLA_MACVLAN_MODE",),
    "ipvlan": ("IFLA_IPVLAN_MODE", "IFLA_IPVLAN_FLAGS"),
    "vlan": ("IFLA_VLAN_ID",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A link to be made: of `kind`, on the link `parent` (index, 0: none), with the `settings` of its kind.

    `mac` "" and `mtu` 0 are left to the kernel, `netns_fd` -1 is the namespace of the socket.
    """

    name: str
    kind: str
    parent: int = 0
    mac: str = ""
    mtu: int = 0
    alias: str = ""
    netns_fd: int = -1
    settings: tuple[int, ...] = ()


def encode(link: NewLink) -> bytes:
    """Return the request, which fails with EEXIST when there is a link of the name. Raises NetworkError."""
    info: list[tuple[str, Any]] = [("IFLA_INFO_KIND", link.kind)]
    settings = list(zip(_SETTINGS.get(link.kind, ()), link.settings, strict=False))
    if settings:
        info.append(("IFLA_INFO_DATA", {"attrs": settings}))
    optional = (
        ("IFLA_ADDRESS", link.mac, bool(link.mac)),
        ("IFLA_IFALIAS", link.alias[:255], bool(link.alias)),
        ("IFLA_MTU", link.mtu, bool(link.mtu)),
        ("IFLA_LINK", link.parent, bool(link.parent)),
        ("IFLA_NET_NS_FD", link.netns_fd, link.netns_fd >= 0),
    )
    message = _message_class()()
    message["attrs"] = [
        ("IFLA_IFNAME", link.name),
        ("IFLA_LINKINFO", {"attrs": info}),
        *((name, value) for name, value, wanted in optional if wanted),
    ]
    flags = NLM_F_REQUEST | NLM_F_ACK | requests.ADD
    message["header"] = {"type": requests.RTM_NEWLINK, "flags": flags}
    message.encode()
    return bytes(message.data)


@functools.cache
def _message_class() -> Any:
    """Return pyroute2's class of messages about links.

    `import pyroute2` pulls in every socket type, asyncio and multiprocessing, 125 ms; the class needs none of it. So it
    is imported below an empty stand-in of the top package, which is taken away again.
    """
    stand_in = "pyroute2" not in sys.modules
    if stand_in:
        spec = importlib.util.find_spec("pyroute2")
        if spec is None:
            raise NetworkError("pyroute2: import: not installed", hint="pip install pyroute2")
        sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)
    try:
        ifinfmsg = importlib.import_module("pyroute2.netlink.rtnl.ifinfmsg").ifinfmsg
        nla = importlib.import_module("pyroute2.netlink").nla
    finally:
        if stand_in:
            del sys.modules["pyroute2"]
    ifinfmsg.ifinfo.register_link_kind(module={"ipvlan": _ipvlan(nla)})
    return ifinfmsg


def _ipvlan(nla: Any) -> Any:
    """Return the attributes of ipvlan: pyroute2 doesn't know IFLA_IPVLAN_FLAGS, and would leave them out silently."""
    words = (
        ("IFLA_IPVLAN_UNSPEC", "none"),
        ("IFLA_IPVLAN_MODE", "uint16"),
        ("IFLA_IPVLAN_FLAGS", "uint16"),
    )
    return type("ipvlan", (nla,), {"nla_map": words})
