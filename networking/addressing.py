"""What the settings of a network become whatever its driver is, with its subnets chosen."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.engine.linux import userns
from pycompose.networking import ipam
from pycompose.networking.model import DEFAULT_MTU, PRIVATE_MTU, NetworkState, Pool
from pycompose.networking.settings import INTERFACE_PREFIX, MTU

if TYPE_CHECKING:
    from pycompose.networking.model import NetworkSpec


def addressed(spec: NetworkSpec, space: ipam.AddressSpace) -> NetworkState:
    """Return the state of a network that does not exist yet, with a new id; what its driver adds is missing.

    Raises NetworkError, AddressesExhausted.
    """
    four, six = _blocks(spec, space)
    return NetworkState(
        name=spec.name,
        id=os.urandom(32).hex(),
        project=spec.project,
        driver=spec.driver,
        internal=spec.internal,
        attachable=spec.attachable,
        config_from=spec.config_from,
        subnet=str(four.subnet) if four else "",
        ip_range=str(four.ip_range) if four else "",
        gateway=four.gateway if four else "",
        subnet6=str(six.subnet) if six else "",
        ip_range6=str(six.ip_range) if six else "",
        gateway6=six.gateway if six else "",
        static=any(pool.subnet and ":" not in pool.subnet for pool in spec.pools),
        static6=spec.enable_ipv6 and any(":" in pool.subnet for pool in spec.pools),
        aux=(four.aux if four else {}) | (six.aux if six else {}),
        mtu=mtu_of(spec) or (DEFAULT_MTU if userns.is_initial() else PRIVATE_MTU),
        interface_prefix=spec.options.get(INTERFACE_PREFIX, "eth"),
        ipam_options=dict(spec.ipam_options),
        options=dict(spec.options),
        labels=dict(spec.labels),
        created_ns=time.time_ns(),
    )


def mtu_of(spec: NetworkSpec) -> int:
    """Return the MTU in bytes that a network asks for, 0 when it doesn't."""
    return int(spec.options.get(MTU, "0"))


def _blocks(
    spec: NetworkSpec, space: ipam.AddressSpace
) -> tuple[ipam.AddressBlock | None, ipam.AddressBlock | None]:
    four, six = (
        next((pool for pool in spec.pools if pool.subnet and (":" in pool.subnet) == is_six), Pool())
        for is_six in (False, True)
    )
    block4 = block6 = None
    if spec.enable_ipv4:
        block4 = _block(spec, four, space) if four.subnet else ipam.complete(four, ipam.choose_subnet(space))
    if spec.enable_ipv6:
        derived = None if six.subnet else ipam.derive_subnet6(spec.project, spec.name)
        block6 = _block(spec, six, space, derived)
    return block4, block6


def _block(
    spec: NetworkSpec, pool: Pool, space: ipam.AddressSpace, subnet: ipam.Network | None = None
) -> ipam.AddressBlock:
    block = ipam.complete(pool, subnet)
    for _subnet, other in ipam.overlaps([block.subnet], space.taken):
        raise NetworkError(
            f"network {spec.name}: create: subnet {block.subnet} overlaps {other}, which is in use",
            hint="choose another ipam subnet, or leave it out to get a free one",
        )
    return block
