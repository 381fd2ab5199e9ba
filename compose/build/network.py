"""Networks for the steps of a build: a bridge of the build's own, made when the first step needs a way out."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from pycompose.engine.builder.request import HOSTNAME
from pycompose.engine.errors import NetworkError
from pycompose.networking.api import Networking
from pycompose.networking.etc_files import (
    host_network_hosts,
    hostname_text,
    resolv_conf_text,
    resolve_extra_hosts,
)
from pycompose.networking.model import EndpointSpec, NetworkSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pycompose.engine.paths import StatePaths


class BuildNetwork:
    """One build's; `project` is what its rules and bridge are registered under. Implements running.StepNetwork."""

    def __init__(
        self, paths: StatePaths, extra_hosts: Sequence[tuple[str, str]] = (), hostname: str = HOSTNAME
    ) -> None:
        self._paths = paths
        self._hostname = hostname
        self._extra_hosts = extra_hosts
        self._networking = Networking(paths)
        self._lock = threading.Lock()
        self._made = False
        self._gateways: dict[str, str] = {}
        self.project = ""
        self.warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The network's name."""
        return f"{self.project}_default".lstrip("_")

    def connect(self, container_id: str) -> None:
        """Pin a namespace with a way out. Raises NetworkError."""
        with self._lock:
            if not self._made:
                state = self._networking.ensure_network(NetworkSpec(name=self.name, project=self.project))
                self._networking.apply_firewall(self.project, [state], [])
                self.warnings = self._networking.other_firewalls()
                self._made = True
        spec = EndpointSpec(network=self.name, lease_key=f"{self.project}/step/{container_id}")
        (endpoint,) = self._networking.connect(container_id, [spec], hostname=self._hostname)
        self._gateways[container_id] = endpoint.gateway

    def isolate(self, container_id: str) -> None:
        """Pin a namespace with a loopback device."""
        self._networking.connect(container_id, [], hostname=self._hostname)

    def files(self, container_id: str, mode: str) -> Mapping[str, str]:
        """Return what the step reads in /etc. Raises NetworkError for an extra host without a gateway."""
        hostname = hostname_text(self._hostname)
        if mode == "host":
            extra = resolve_extra_hosts(self._extra_hosts, ["127.0.0.1"])
            return {
                "hosts": host_network_hosts(_text("/etc/hosts"), extra),
                "hostname": hostname,
                "resolv.conf": _text("/etc/resolv.conf"),
            }
        gateway = self._gateways.get(container_id, "")
        extra = resolve_extra_hosts(self._extra_hosts, [gateway] if gateway else [])
        return {
            "hosts": _hosts(self._hostname, extra),
            "hostname": hostname,
            "resolv.conf": resolv_conf_text(embedded=False, dns=(), search=(), options=()),
        }

    def release(self, container_ids: Sequence[str]) -> None:
        """Take away the namespaces, the bridge and its rules."""
        networking = Networking(self._paths)  # the other one's sockets are closed
        with contextlib.suppress(NetworkError, ExceptionGroup):
            networking.disconnect(*container_ids)
        if self._made:
            with contextlib.suppress(NetworkError, ExceptionGroup):
                networking.remove_network(self.name)
            with contextlib.suppress(NetworkError, ExceptionGroup):
                networking.remove_firewall(self.project)


def _hosts(hostname: str, extra: Sequence[tuple[str, str]]) -> str:
    """Return what BuildKit's steps find in /etc/hosts (executor/oci/hosts.go): a step has no name for others."""
    lines = [("127.0.0.1", f"localhost {hostname}"), ("::1", "localhost ip6-localhost ip6-loopback")]
    return "".join(
        f"{address}\t{names}\n" for address, names in [*lines, *((ip, name) for name, ip in extra)]
    )


def _text(path: str | Path) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
    return ""
