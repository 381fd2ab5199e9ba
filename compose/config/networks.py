"""Networks that can't be made, and addresses that nobody can have on them: what `runnable.py` says of `networks:`.

The rules of networks are the networking's own (networking/settings.py): here they get their places in the file. What is
merely without effect is said as well. An external network is whatever it is by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pycompose.config.consistency import Finding
from pycompose.config.syntax.ports import is_address
from pycompose.config.tree import Map, Path
from pycompose.engine.errors import NetworkError

_COMMON_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# A network without any of these can be made anywhere.
_SETTINGS = ("driver", "driver_opts", "enable_ipv4", "ipam")


def wrong_networks(root: Map) -> Iterator[Finding]:
    """Yield what no network can be made of."""
    yield from _overlaps(root)
    for name, node in _own(root):
        if reason := _misnamed(node.get("name") or ""):
            yield ("networks", name, *(["name"] if node.get("name") else [])), *reason
        driver = (node.get("ipam") or {}).get("driver") or "default"
        if driver != "default":
            path = ("networks", name, "ipam", "driver")
            yield path, f'plugin "{driver}" not found', 'leave it out, or "default"'
        if any(key in node for key in _SETTINGS):
            yield from _problems(name, node)


def _problems(name: str, node: Map) -> Iterator[Finding]:
    from pycompose.networking.driver import problems  # noqa: PLC0415 - most networks are all defaults
    from pycompose.networking.model import NetworkSpec, Pool  # noqa: PLC0415 - as above

    spec = NetworkSpec(
        name=name,
        project="",
        driver=node.get("driver") or "bridge",
        internal=node.get("internal", False),
        enable_ipv4=node.get("enable_ipv4", True),
        enable_ipv6=node.get("enable_ipv6", False),
        pools=tuple(
            Pool(
                subnet=pool.get("subnet") or "",
                ip_range=pool.get("ip_range") or "",
                gateway=pool.get("gateway") or "",
                aux=dict(pool.get("aux_addresses") or {}),
            )
            for pool in _pools(node)
        ),
        options=dict(node.get("driver_opts") or {}),
    )
    for problem in problems(spec):
        yield ("networks", name, *problem.path), problem.reason, problem.hint


def _misnamed(name: str) -> tuple[str, str] | None:
    """Return why no network can be called so, and a hint."""
    if _COMMON_NAME.fullmatch(name):
        return None
    from pycompose.networking.model import check_name  # noqa: PLC0415 - names are mostly common ones

    try:
        check_name(name)
    except NetworkError as exc:
        return f"{name!r} is not a valid name", exc.hint or ""
    return None


def _overlaps(root: Map) -> Iterator[Finding]:
    """Yield subnets that contain addresses of another network's of the file."""
    subnets: list[tuple[str, Any]] = []
    for name, node in _own(root):
        for place, pool in enumerate(_pools(node)):
            if (subnet := _subnet(pool)) is None or (subnet.version == 6 and not _has_ipv6(node)):
                continue
            for other, there in subnets:
                if other != name and there.version == subnet.version and there.overlaps(subnet):
                    path = ("networks", name, "ipam", "config", place, "subnet")
                    hint = "choose another subnet for one of the two, or leave it out to get a free one"
                    yield path, f"subnet {subnet} overlaps {there} of network {other}", hint
            subnets.append((name, subnet))


def wrong_addresses(root: Map) -> Iterator[Finding]:
    """Yield addresses that services ask for on networks that have no such subnet."""
    own = dict(_own(root))
    for service, node in root["services"].items():
        for name, endpoint in (node.get("networks") or {}).items():
            for version in (4, 6) if endpoint and name in own else ():
                key = f"ipv{version}_address"
                text = endpoint.get(key)
                if not text or version_of(text) != version or (version == 6 and _is_idle(own[name])):
                    continue
                if reason := _misfit(text, own[name]):
                    hint = (
                        f"give {name} an ipam.config with a subnet that has it"
                        if _is_elsewhere(text, own[name])
                        else "ask for another address of the subnet, or for none"
                    )
                    yield ("services", service, "networks", name, key), reason, hint


def wrong_options(endpoint: Map) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with the interface name and `driver_opts` of a service's place on a network."""
    if name := endpoint.get("interface_name"):
        from pycompose.networking.settings import is_interface  # noqa: PLC0415 - few have any

        if reason := is_interface(name) or ("'lo' is the loopback's" if name == "lo" else ""):
            yield ("interface_name",), reason
    if options := endpoint.get("driver_opts"):
        from pycompose.networking.settings import ENDPOINT_OPTIONS, option_problems  # noqa: PLC0415 - few have any

        for problem in option_problems(options, ENDPOINT_OPTIONS):
            yield problem.path, problem.reason


def idle_addresses(root: Map) -> Iterator[tuple[Path, str]]:
    """Yield what says an IPv6 address of a network that has no IPv6: Docker takes no notice of it, either."""
    without = {name: node for name, node in _own(root) if not _has_ipv6(node)}
    for name, node in without.items():
        for place, pool in enumerate(_pools(node)):
            if version_of((pool.get("subnet") or "").partition("/")[0]) == 6:
                reason = f"subnet {pool['subnet']} has no effect without enable_ipv6: true"
                yield ("networks", name, "ipam", "config", place, "subnet"), reason
    for service, node in (root.get("services") or {}).items():
        for name, endpoint in (node.get("networks") or {}).items():
            if endpoint and endpoint.get("ipv6_address") and name in without and _is_idle(without[name]):
                path = ("services", service, "networks", name, "ipv6_address")
                yield path, f"ipv6_address has no effect: network {name} is without enable_ipv6: true"


def ports_twice(service: Map) -> Iterator[Finding]:
    """Yield host ports that a service publishes for two container ports at one address."""
    seen: list[tuple[tuple[str, str], str, int]] = []
    for index, port in enumerate(service.get("ports") or ()):
        published, target = str(port.get("published") or ""), port.get("target")
        if not published.isdigit() or published == "0":
            continue  # any that is free, or the first free one of several
        what, address = (published, port.get("protocol") or "tcp"), port.get("host_ip") or ""
        for other, there, leads_to in seen:
            if other == what and _overlap(address, there) and (leads_to != target or address != there):
                reason = f"host port {'/'.join(what)} is published twice, for {leads_to} and {target}"
                hint = "give one of the two another host port, or each an address of its own"
                yield ("ports", index), reason, hint
                break
        seen.append((what, address, target))


def _overlap(address: str, other: str) -> bool:
    """Tell whether what is published at one address is in the way of the other; "" is all of both families."""
    if "" in (address, other) or address == other:
        return True
    return (":" in address) == (":" in other) and bool({address, other} & {"0.0.0.0", "::"})  # noqa: S104 - no socket


def version_of(text: str) -> int:
    """Return the version of an IP address, 0 for what is none."""
    return (6 if ":" in text else 4) if is_address(text) else 0


def _own(root: Map) -> Iterator[tuple[str, Map]]:
    """Yield the networks that the project makes."""
    for name, node in (root.get("networks") or {}).items():
        if not (node or {}).get("external"):
            yield name, node or Map()


def _has_ipv6(network: Map) -> bool:
    return bool(network.get("enable_ipv6"))


def _is_idle(network: Map) -> bool:
    """Tell whether a network is without IPv6, though it has a subnet of that: Docker takes addresses of it as given."""
    subnets = [(pool.get("subnet") or "").partition("/")[0] for pool in _pools(network)]
    return not _has_ipv6(network) and any(version_of(subnet) == 6 for subnet in subnets)


def _subnet(pool: Map) -> Any:
    """Return the subnet of a pool, None where there is none, or it is wrong."""
    import ipaddress  # noqa: PLC0415 - few networks have any

    try:
        return ipaddress.ip_network(pool["subnet"]) if pool.get("subnet") else None
    except ValueError:
        return None


def _pools(network: Map) -> list[Any]:
    return list((network.get("ipam") or {}).get("config") or ())


def _is_elsewhere(text: str, network: Map) -> bool:
    """Tell whether no subnet of a network has an address in it."""
    import ipaddress  # noqa: PLC0415 - few services ask for an address

    address = ipaddress.ip_address(text)
    subnets = [subnet for pool in _pools(network) if (subnet := _subnet(pool)) is not None]
    return not any(address in subnet for subnet in subnets)


def _misfit(text: str, network: Map) -> str:
    """Return why an address can't be had on a network, "" where it can, or where the subnets are wrong themselves."""
    import ipaddress  # noqa: PLC0415 - few services ask for an address

    address = ipaddress.ip_address(text)
    pools = _pools(network)
    try:
        chosen = [
            (pool, ipaddress.ip_network(pool["subnet"], strict=False)) for pool in pools if pool.get("subnet")
        ]
    except ValueError:
        return ""
    chosen = [(pool, subnet) for pool, subnet in chosen if subnet.version == address.version]
    if not chosen:
        return f"{text}: an address can only be asked for on a network with a subnet of its own"
    for pool, subnet in chosen:
        if address in subnet:
            others = {"the gateway": pool.get("gateway"), **(pool.get("aux_addresses") or {})}
            if who := next((who for who, other in others.items() if _same(other, address)), None):
                return f"{text} is the address of {who}"
            return _reserved(address, subnet, network, pool)
    return f"no configured subnet contains the IP address {text}"


def _reserved(address: Any, subnet: Any, network: Map, pool: Map) -> str:
    """Return why nobody can have an address that is in the subnet."""
    from pycompose.networking.ipam import usable  # noqa: PLC0415 - as above

    low, high = usable(subnet)
    if not low <= int(address) <= high:
        return f"{address} is not a host address of {subnet}"
    options = network.get("driver_opts") or {}
    chosen = any(pool.get(key) for key in ("gateway", "ip_range", "aux_addresses"))
    bridge = (network.get("driver") or "bridge") == "bridge" and "isolated" not in options.values()
    return f"{address} is the address of the gateway" if bridge and not chosen and int(address) == low else ""


def _same(text: str | None, address: Any) -> bool:
    import ipaddress  # noqa: PLC0415 - as above

    return text is not None and is_address(text) and ipaddress.ip_address(text) == address
