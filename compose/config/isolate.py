"""A copy of a project that may run beside others of the same files: nothing of it has a fixed place on the machine.

What a file gives a name or a place that only one project can have gets one of the copy's own: published ports (any
free one of the loopback), names of containers, networks and volumes, subnets. Services still find each other by the
names that they had. What belongs to somebody else (`external:`, `volumes_from: container:…`) is left to him: the copy
has its own, empty, or nothing. Folders of the machine (bind mounts) are not copied: each has the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.config.tree import Map, locate

if TYPE_CHECKING:
    from pycompose.config.warnings import Warnings

LOOPBACK = "127.0.0.1"
_BRIDGE_NAME = "com.docker.network.bridge.name"  # an interface that only one network can have


def isolate(root: Map, warnings: Warnings) -> None:
    """Change a merged model, before its names are filled in; tell what the copy has differently."""
    services = {name: s for name, s in (root.get("services") or {}).items() if isinstance(s, dict)}
    by_container = {s["container_name"]: name for name, s in services.items() if s.get("container_name")}
    networks, volumes = root.get("networks") or {}, root.get("volumes") or {}
    for kind, resources in (("networks", networks), ("volumes", volumes)):
        for key, resource in resources.items():
            if isinstance(resource, dict):
                _own(root, kind, key, resource, warnings)
    renumbered = {key for key, network in networks.items() if _drop_subnets(network)}
    for key in sorted(renumbered):
        warnings.add(
            f"network {key}: an isolated project has a subnet of its own; fixed addresses aren't kept",
            locate(root, ("networks", key)),
        )
    for name, service in services.items():
        _service(service, by_container, renumbered)
        _inherited(root, name, by_container, warnings)


def randomize_ports(root: Map) -> None:
    """Publish on any free port what is published on a fixed one."""
    for service in (root.get("services") or {}).values():
        for port in (service.get("ports") or ()) if isinstance(service, dict) else ():
            if isinstance(port, dict):
                port.pop("published", None)


def _own(root: Map, kind: str, key: str, resource: dict[str, Any], warnings: Warnings) -> None:
    if resource.pop("external", None):
        warnings.add(
            f"{kind[:-1]} {key}: is external; an isolated project has an empty one of its own",
            locate(root, (kind, key)),
        )
    resource.pop("name", None)
    options = resource.get("driver_opts")
    if kind == "networks" and isinstance(options, dict):
        options.pop(_BRIDGE_NAME, None)


def _drop_subnets(network: Any) -> bool:
    """Take the subnets out of a network; return whether it had any."""
    ipam = network.get("ipam") if isinstance(network, dict) else None
    if not isinstance(ipam, dict) or not ipam.get("config"):
        return False
    del ipam["config"]
    return True


def _service(service: dict[str, Any], by_container: dict[str, str], renumbered: set[str]) -> None:
    name = service.pop("container_name", None)
    networks = service.get("networks")
    if isinstance(networks, dict):
        for key in renumbered & networks.keys():
            for address in ("ipv4_address", "ipv6_address"):
                (networks[key] or {}).pop(address, None)
    if name and not service.get("network_mode"):
        _answer_to(service, name)
    for namespace in ("network_mode", "ipc", "pid", "uts"):
        kind, _, other = str(service.get(namespace) or "").partition(":")
        if kind == "container" and other in by_container:
            service[namespace] = f"service:{by_container[other]}"
    for port in service.get("ports") or ():
        if isinstance(port, dict):
            port.pop("published", None)
            port["host_ip"] = "::1" if ":" in str(port.get("host_ip", "")) else LOOPBACK


def _inherited(root: Map, name: str, by_container: dict[str, str], warnings: Warnings) -> None:
    """Have volumes from the copy's own containers, and from nobody else's: they hold somebody's data."""
    service = root["services"][name]
    own = []
    for index, source in enumerate(service.get("volumes_from") or ()):
        kind, _, rest = str(source).partition(":")
        if kind != "container":
            own.append(source)
            continue
        container, colon, mode = rest.partition(":")
        if container in by_container:
            own.append(f"{by_container[container]}{colon}{mode}")
            continue
        warnings.add(
            f"service {name}: volumes_from {source}: an isolated project leaves other projects' volumes alone",
            locate(root, ("services", name, "volumes_from", index)),
        )
    if "volumes_from" in service:
        service["volumes_from"][:] = own


def _answer_to(service: dict[str, Any], name: str) -> None:
    """Let a service be found by what its container was called."""
    networks = service.get("networks")
    if not networks:
        networks = service["networks"] = Map({"default": None})
    for key, endpoint in networks.items():
        if endpoint is None:
            endpoint = networks[key] = Map()  # noqa: PLW2901
        endpoint["aliases"] = [*(endpoint.get("aliases") or ()), name]
