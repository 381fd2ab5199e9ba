"""`network create --config-only`: settings that other networks are made from (`--config-from`), and no network."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, ClassVar

from pycompose.engine.errors import NetworkError
from pycompose.networking.model import NetworkState, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pycompose.networking import ipam
    from pycompose.networking.model import EndpointState, NetworkSpec
    from pycompose.networking.netlink.rtnetlink import Netlink
    from pycompose.networking.settings import OptionRule, SettingProblem


class ConfigOnlyDriver:
    """Docker's driver `null` for them: a name that is taken, which nobody can be on."""

    routed = False
    options: ClassVar[Mapping[str, OptionRule]] = {}

    def problems(self, _spec: NetworkSpec) -> Iterator[SettingProblem]:
        """Yield nothing: it is the network made of it that they are wrong for."""
        return iter(())

    def new_state(self, spec: NetworkSpec, _space: ipam.AddressSpace) -> NetworkState:
        """Return what there is of it; the settings themselves are kept with what `network create` was asked for."""
        return NetworkState(
            name=check_name(spec.name),
            id=os.urandom(32).hex(),
            project=spec.project,
            driver="null",
            internal=spec.internal,
            attachable=spec.attachable,
            config_only=True,
            ipam_options=dict(spec.ipam_options),
            options=dict(spec.options),
            labels=dict(spec.labels),
            created_ns=time.time_ns(),
        )

    def check_conflicts(self, state: NetworkState) -> None:
        """Nothing is made on the machine."""

    def ensure(self, state: NetworkState) -> None:
        """Nothing is made on the machine."""

    def links(self, _state: NetworkState) -> Sequence[str]:
        """Return nothing."""
        return ()

    def link_name(self, _container_id: str, network: str) -> str:
        """Raise NetworkError: nobody gets here."""
        raise NetworkError(
            f"network {network}: connect: it is a configuration, not a network",
            hint=f"make a network of it: pycompose network create --config-from {network} NAME",
        )

    def add_interfaces(
        self, _host: Netlink, _container: Netlink, _netns_fd: int, endpoints: Sequence[EndpointState]
    ) -> None:
        """Nobody gets here."""

    def announce(self, host: Netlink, container: Netlink, endpoints: Sequence[EndpointState]) -> None:
        """Nobody gets here."""
