"""What a container reads about its network: /etc/hosts, /etc/hostname, /etc/resolv.conf, written in place.

They are written for every start.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.linux import outside
from pycompose.engine.statedirs import make_directory
from pycompose.networking.etc_files import (
    HOST_GATEWAY,
    host_network_hosts,
    hostname_text,
    hosts_text,
    resolv_conf_text,
    resolve_extra_hosts,
    write_in_place,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import EndpointRecord
    from pycompose.state.records import ServiceRecord

NAMES = ("hosts", "hostname", "resolv.conf")
MOST_BYTES = 1 << 20


def write_own(
    paths: StatePaths,
    config: ContainerConfig,
    record: ServiceRecord,
    endpoints: Sequence[EndpointRecord],
    gateways: Sequence[str],
) -> None:
    """Write the files of a container with its own network; raises NetworkError.

    `gateways` are what "host-gateway" in its extra_hosts stands for.
    """
    service = record.service
    directory = _directory(paths, config)
    text = hosts_text(
        [ip for endpoint in endpoints for ip in (endpoint.ip, endpoint.ip6) if ip],
        hostname=config.hostname,
        domainname=config.domainname,
        extra=_extra_hosts(record, gateways),
    )
    write_in_place(directory / "hosts", text)
    write_in_place(directory / "hostname", hostname_text(config.hostname))
    resolv = resolv_conf_text(
        embedded=bool(endpoints), dns=service.dns, search=service.dns_search, options=service.dns_opt
    )
    write_in_place(directory / "resolv.conf", resolv)


def write_host(paths: StatePaths, config: ContainerConfig, record: ServiceRecord) -> None:
    """Write the files for `network_mode: host`: the machine's own, plus extra_hosts; raises NetworkError."""
    directory = _directory(paths, config)
    extra = _extra_hosts(record, ["127.0.0.1"])
    machine = Path("/etc/hosts").read_text(encoding="utf-8", errors="replace")
    write_in_place(directory / "hosts", host_network_hosts(machine, extra))
    _copy(Path("/etc/resolv.conf"), directory / "resolv.conf")


def copy_from(paths: StatePaths, config: ContainerConfig, other: str) -> None:
    """Copy the files of the container whose network is joined."""
    directory = _directory(paths, config)
    for name in NAMES:
        _copy(paths.etc(other) / name, directory / name)


def _extra_hosts(record: ServiceRecord, gateways: Sequence[str]) -> list[tuple[str, str]]:
    """Return extra_hosts with addresses; in a private host the gateways aren't the machine's."""
    given = record.service.extra_hosts
    if any(address == HOST_GATEWAY for _name, address in given):
        gateways = outside.machine_addresses() or gateways
    return resolve_extra_hosts(given, gateways)


def _directory(paths: StatePaths, config: ContainerConfig) -> Path:
    return make_directory(paths.etc(config.id))


def _copy(source: Path, target: Path) -> None:
    """Copy the file; make an empty one when there is nothing to copy."""
    text = b""
    with contextlib.suppress(FileNotFoundError), source.open("rb") as file:
        text = file.read(MOST_BYTES)  # the other container may have written to it
    write_in_place(target, text.decode(errors="replace"))
