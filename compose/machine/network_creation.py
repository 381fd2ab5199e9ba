"""What `network create` does. Apart from the rest of what is said of networks: it needs to know of no container."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

from pycompose.client import kept_networks
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import NetworkError
from pycompose.networking.api import Networking
from pycompose.networking.model import PREDEFINED, NetworkSpec, NetworkState, Pool, check_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.engine.paths import StatePaths

    IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRequest:
    """What `network create` is asked for; each of `gateways`, `ranges` and `aux` belongs to the subnet that it is in.

    `aux` are addresses that others have, by names that mean nothing. `config_only` is no network, but what the
    `config_from` of another one names.
    """

    name: str
    driver: str = "bridge"
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    aux: dict[str, str] = field(default_factory=dict)
    internal: bool = False
    ipv6: bool = False
    attachable: bool = False
    config_only: bool = False
    config_from: str = ""
    ipam_options: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def create(context: Context, request: NetworkRequest) -> str:
    """Make a network, return its id. Raises AlreadyExists, NetworkError, AddressesExhausted."""
    if request.name in (*PREDEFINED, "default"):  # another word for `bridge`, in network_mode
        raise NetworkError(
            f"network {request.name}: create: operation is not permitted on predefined networks"
        )
    spec = network_spec(request)
    if request.config_from:
        spec = _from_config(context.paths, spec)
    with contextlib.closing(Networking(context.paths)) as networking:
        kept_networks.restore(context.paths, request.name)
        state = networking.create_network(spec)
        try:
            kept_networks.keep(context.paths, _as_made(spec, state))
        except BaseException:
            networking.remove_network(spec.name)
            raise
    return state.id


def network_spec(request: NetworkRequest) -> NetworkSpec:
    """Return the network that is asked for, with a pool of addresses per subnet. Raises NetworkError."""
    return NetworkSpec(
        name=check_name(request.name),
        project="",
        driver=request.driver,
        internal=request.internal,
        enable_ipv6=request.ipv6,
        attachable=request.attachable,
        config_only=request.config_only,
        config_from=request.config_from,
        pools=_pools(request),
        ipam_options=request.ipam_options,
        options=request.options,
        labels=request.labels,
    )


def _pools(request: NetworkRequest) -> tuple[Pool, ...]:
    found = {_parsed(request.name, text): Pool(subnet=text) for text in request.subnets}
    for what, key, values in (
        ("gateway", "gateway", request.gateways),
        ("ip-range", "ip_range", request.ranges),
    ):
        for value in values:
            subnet = _around(request.name, what, value, found)
            if getattr(found[subnet], key):
                raise NetworkError(
                    f"network {request.name}: create: {what} {value}: {subnet} has one already"
                )
            found[subnet] = replace(found[subnet], **{key: value})
    for name, address in request.aux.items():
        if not address:
            raise NetworkError(
                f"network {request.name}: create: aux-address {name}: it has no name", hint="write NAME=IP"
            )
        subnet = _around(request.name, "aux-address", address, found)
        found[subnet] = replace(found[subnet], aux={**found[subnet].aux, name: address})
    return tuple(found.values())


def _parsed(name: str, text: str) -> IpNetwork:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise NetworkError(f"network {name}: ipam: {exc}") from exc


def _around(name: str, what: str, text: str, subnets: Iterable[IpNetwork]) -> IpNetwork:
    """Return the subnet that an address, or a range, is in. Raises NetworkError."""
    first = _parsed(name, text).network_address
    for subnet in subnets:
        if first.version == subnet.version and first in subnet:
            return subnet
    raise NetworkError(
        f"network {name}: create: no matching subnet for {what} {text}", hint="give it with --subnet"
    )


def _from_config(paths: StatePaths, spec: NetworkSpec) -> NetworkSpec:
    """Return what makes the network out of the settings that its `config_from` names. Raises NetworkError."""
    own = NetworkSpec(name=spec.name, project="", driver=spec.driver, config_from=spec.config_from)
    if replace(spec, attachable=False) != own:
        raise NetworkError(
            f"network {spec.name}: create: --config-from {spec.config_from} brings the settings, there can be no others"
        )
    config = kept_networks.read(paths, spec.config_from)
    if config is None or not config.config_only:
        raise NetworkError(
            f'network {spec.name}: create: configuration network "{spec.config_from}" does not exist',
            hint="make one: pycompose network create --config-only NAME",
        )
    return replace(
        config,
        name=spec.name,
        driver=spec.driver,
        attachable=spec.attachable,
        config_only=False,
        config_from=config.name,
    )


def _as_made(spec: NetworkSpec, state: NetworkState) -> NetworkSpec:
    """Return what makes the network again with the same subnets."""
    if spec.config_only:
        return spec
    return replace(spec, pools=pools(state))


def pools(state: NetworkState) -> tuple[Pool, ...]:
    """Return the pools of addresses that a network has, one for each family."""
    return tuple(
        Pool(
            subnet=subnet,
            gateway=gateway,
            ip_range=ip_range,
            aux={name: address for name, address in state.aux.items() if (":" in address) == (":" in subnet)},
        )
        for subnet, gateway, ip_range in (
            (state.subnet, state.gateway, state.ip_range),
            (state.subnet6, state.gateway6, state.ip_range6),
        )
        if subnet
    )
