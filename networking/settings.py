"""What may be written of a network, before any address is chosen and anything is made: pure.

Whoever reads a compose file asks for the problems with their places; who makes the network asks for the first of them.
What depends on the machine, an overlap or a name that is taken, shows when it is made. The rules are Docker's
(libnetwork's netlabel and drivers/bridge; docker/api/types/network/ipam.go).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, TypeAlias

from pycompose.engine.dataclass import dataclass
from pycompose.networking.ipam import usable
from pycompose.networking.model import DRIVER_OPTION, IFNAMSIZ, IPV6_MIN_MTU

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pycompose.networking.ipam import Network
    from pycompose.networking.model import NetworkSpec, Pool

MTU = DRIVER_OPTION + "mtu"
INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"
LEAST_MTU, MOST_MTU = 68, 65535

# Where nobody else can be reached: "this network", loopback, multicast, and IPv4 addresses in IPv6's clothes.
_UNUSABLE = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "::1/128", "::ffff:0:0/96", "ff00::/8")

# Returns what is wrong with the text of an option, "" when nothing is.
OptionRule: TypeAlias = "Callable[[str], str]"


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """Something that no network can be made of: where, in the compose file's words below the network, and why."""

    path: tuple[str | int, ...]
    reason: str
    hint: str | None = None


# ---------------------------------------------------------------------- options


def switch(text: str) -> bool:
    """Return what Go's ParseBool does of an option. Raises ValueError."""
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def is_switch(text: str) -> str:
    """Rule of an option that is on or off."""
    try:
        switch(text)
    except ValueError as exc:
        return str(exc)
    return ""


def is_mtu(text: str) -> str:
    """Rule of the MTU, in bytes; 0 is the driver's own."""
    if text.isascii() and text.isdigit() and (text == "0" or LEAST_MTU <= int(text) <= MOST_MTU):
        return ""
    return f"{text!r} is not a number from {LEAST_MTU} to {MOST_MTU}"


def is_interface(text: str) -> str:
    """Rule of the name of an interface (dev_valid_name in the kernel's net/core/dev.c)."""
    if len(text) > IFNAMSIZ or text in {".", ".."} or any(char in "/:" or char.isspace() for char in text):
        return (
            f"{text!r} is not an interface name: {IFNAMSIZ} characters at most, without '/', ':' and blanks"
        )
    return ""


def is_prefix(text: str) -> str:
    """Rule of what names of interfaces begin with; a number follows."""
    return is_interface(f"{text}0") and f"{text!r} is not the beginning of an interface name"


def is_address(version: int) -> OptionRule:
    """Return the rule of an address of the machine."""

    def rule(text: str) -> str:
        try:
            right = ipaddress.ip_address(text).version == version
        except ValueError:
            right = False
        return "" if right else f"{text!r} is not an IPv{version} address"

    return rule


def is_one_of(words: Collection[str]) -> OptionRule:
    """Return the rule of an option that knows some words; empty is the first of them."""
    return lambda text: "" if not text or text in words else f"{text!r} is not valid: {', '.join(words)}"


def is_any(_text: str) -> str:
    """Rule of what only the machine knows."""
    return ""


# What a container's place on a network takes (libnetwork/netlabel).
ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls"
ENDPOINT_INTERFACE = "com.docker.network.endpoint.ifname"
# Compiled when one is there: few networks have any.
_SYSCTL = r"net\.(ipv4|ipv6|mpls)\.([a-z0-9_]+)\.IFNAME\.([a-z0-9_]+)=([^,]*)"


def interface_sysctls(text: str) -> dict[str, str]:
    """Return "net.ipv4.conf.IFNAME.log_martians=1,…" as paths below /proc/sys/net, IFNAME being left.

    Raises ValueError.
    """
    found = {}
    for item in text.split(","):
        match = re.fullmatch(_SYSCTL, item.strip(), re.ASCII)
        if match is None:
            raise ValueError(f"{item.strip()!r} is not net.X.Y.IFNAME.Z=VALUE with ipv4, ipv6 or mpls for X")
        family, group, name, value = match.groups()
        found[f"{family}/{group}/IFNAME/{name}"] = value
    return found


def _is_sysctls(text: str) -> str:
    try:
        interface_sysctls(text)
    except ValueError as exc:
        return str(exc)
    return ""


ENDPOINT_OPTIONS: dict[str, OptionRule] = {
    ENDPOINT_SYSCTLS: _is_sysctls,
    ENDPOINT_INTERFACE: is_interface,
}
# What networks of all drivers take.
ANY_OPTIONS: dict[str, OptionRule] = {MTU: is_mtu, INTERFACE_PREFIX: is_prefix}


# ---------------------------------------------------------------------- problems


def problems(spec: NetworkSpec, options: Mapping[str, OptionRule]) -> Iterator[SettingProblem]:
    """Yield what is wrong with a network whose driver takes `options`; others are kept and shown, as Docker does."""
    if not spec.enable_ipv4 and not spec.enable_ipv6:
        yield SettingProblem(("enable_ipv4",), "IPv4 and IPv6 are both disabled")
    yield from option_problems(spec.options, options)
    mtu = spec.options.get(MTU, "")
    if spec.enable_ipv6 and not is_mtu(mtu) and 0 < int(mtu) < IPV6_MIN_MTU:
        yield SettingProblem(("driver_opts", MTU), f"IPv6 needs {IPV6_MIN_MTU} bytes at least, not {mtu}")
    seen: set[int] = set()
    for place, pool in enumerate(spec.pools):
        yield from _pool_problems(pool, ("ipam", "config", place), seen)


def option_problems(given: Mapping[str, str], known: Mapping[str, OptionRule]) -> Iterator[SettingProblem]:
    """Yield what is wrong with `driver_opts`."""
    for name, text in given.items():
        rule = known.get(name)
        if rule is not None and (reason := rule(text)):
            yield SettingProblem(("driver_opts", name), reason)


def _pool_problems(pool: Pool, path: tuple[str | int, ...], seen: set[int]) -> Iterator[SettingProblem]:
    if not pool.subnet:
        for key, value in (
            ("gateway", pool.gateway),
            ("ip_range", pool.ip_range),
            ("aux_addresses", pool.aux),
        ):
            if value:
                yield SettingProblem((*path, key), f"{key} needs a subnet", "give the subnet that it is in")
        return
    subnet = _block("subnet", pool.subnet)
    if isinstance(subnet, str):
        yield SettingProblem((*path, "subnet"), subnet, "for example 10.5.0.0/24")
        return
    if subnet.version in seen:
        yield SettingProblem((*path, "subnet"), "one subnet for each address family is supported")
    seen.add(subnet.version)
    if reason := _unusable(subnet):
        yield SettingProblem((*path, "subnet"), reason)
        return
    if pool.ip_range:
        inner = _block("ip_range", pool.ip_range)
        if isinstance(inner, str):
            yield SettingProblem((*path, "ip_range"), inner)
        elif inner.version != subnet.version or not (inner[0] in subnet and inner[-1] in subnet):
            yield SettingProblem(
                (*path, "ip_range"),
                f"ip_range {inner} is not inside subnet {subnet}",
                "give a part of the subnet, or none: containers get their addresses from all of it then",
            )
    yield from _address_problems(pool, path, subnet)


def _address_problems(pool: Pool, path: tuple[str | int, ...], subnet: Network) -> Iterator[SettingProblem]:
    """Yield what is wrong with the gateway and the addresses of others, none of which may be there twice."""
    named = [(("gateway",), "gateway", pool.gateway)] if pool.gateway else []
    taken: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, str] = {}
    for below, what, text in (
        *named,
        *((("aux_addresses", key), f"aux_addresses {key}", text) for key, text in pool.aux.items()),
    ):
        try:
            address = ipaddress.ip_address(text)
        except ValueError as exc:
            yield SettingProblem((*path, *below), f"{what}: {exc}")
            continue
        low, high = usable(subnet)
        if address.version != subnet.version or not low <= int(address) <= high:
            yield SettingProblem(
                (*path, *below),
                f"{what}: {text} is not a host address of {subnet}",
                f"for example {subnet[1]}" if subnet.num_addresses > 2 else "",
            )
        elif address in taken:
            yield SettingProblem((*path, *below), f"{what}: {text} is that of {taken[address]}")
        taken.setdefault(address, what)


def _block(what: str, text: str) -> Network | str:
    """Return a CIDR block, or what is wrong with it."""
    address, _, bits = text.partition("/")
    if not bits.isdigit():
        return f"invalid {what} {text}: it is no ADDRESS/BITS"
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        return f"invalid {what} {text}: {exc}"
    if found.network_address != ipaddress.ip_address(address):
        return f"invalid {what} {text}: it should be {found}"
    return found


def _unusable(subnet: Network) -> str:
    if subnet.num_addresses < 2:
        return f"subnet {subnet} has no room for a gateway and a container"
    if not subnet.prefixlen:
        return f"subnet {subnet} is every address there is"
    for text in _UNUSABLE:
        other = ipaddress.ip_network(text)
        if other.version == subnet.version and other.overlaps(subnet):
            return f"subnet {subnet} overlaps {other}, whose addresses no container can have"
    return ""
