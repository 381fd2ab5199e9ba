"""The canonical tree → the typed model (model.py). The tree has been checked: nothing here can fail on user input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.bind_parts import (
    depends_on,
    device_requests,
    devices,
    endpoints,
    exposed,
    file_references,
    health,
    hooks,
    links,
    mounts,
    ports,
    restart,
    watch_rules,
)
from pycompose.config.hashing import resource_hash, service_hash
from pycompose.config.tree import Map
from pycompose.engine.config import DeviceRate, Limits, Rlimit
from pycompose.engine.dataclass import fields, replace
from pycompose.model import (
    DEFAULT_BRIDGE,
    Build,
    Dependency,
    Endpoint,
    FileObject,
    IpamPool,
    Logging,
    Network,
    Project,
    Service,
    Volume,
)
from pycompose.units import parse_duration

# What is printed as one of these is a field of the model of the same name, as it is or as what cannot change.
_PLAIN_KINDS: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "bool": bool,
    "bool?": bool,
    "int": int,
    "strs": tuple,
    "command": tuple,
    "environment": dict,
    "labels": dict,
    "mapping": dict,
}
_FIELDS = {field.name for field in fields(Service)}
_PLAIN = {
    key: _PLAIN_KINDS[row[1]]
    for key, row in ATTRIBUTES["service"].items()
    if key in _FIELDS and row[1] in _PLAIN_KINDS
}


def bind(tree: Map, disabled: Map, facts: Project) -> Project:
    """Return `facts` with the resources of the tree."""
    project = replace(
        facts,
        services={name: service(name, node) for name, node in tree["services"].items()},
        disabled_services={name: service(name, node) for name, node in disabled.items()},
        networks={key: _network(key, node) for key, node in (tree.get("networks") or {}).items()},
        volumes={key: _volume(key, node) for key, node in (tree.get("volumes") or {}).items()},
        secrets={key: _file_object(key, node, facts) for key, node in (tree.get("secrets") or {}).items()},
        configs={key: _file_object(key, node, facts) for key, node in (tree.get("configs") or {}).items()},
    )
    owners = project.container_owners()
    services = {name: _after_own(one, owners) for name, one in project.services.items()}
    networks = dict(project.networks)
    return replace(
        project,
        services={name: _on_named(one, networks) for name, one in services.items()},
        disabled_services={name: _on_named(one, networks) for name, one in project.disabled_services.items()},
        networks=networks,
    )


def _on_named(one: Service, networks: dict[str, Network]) -> Service:
    """Return the service on the network that its `network_mode` names, which is added to `networks`.

    It has a key that can't be one of the file's, unless it is a network of the file by its real name.
    """
    mode = one.network_mode
    if mode in ("", "host", "none") or ":" in mode:
        return one
    name = DEFAULT_BRIDGE if mode == "default" else mode
    own = next((key for key, network in networks.items() if network.name == name), "")
    key = own or f":{name}"
    networks.setdefault(key, Network(key=key, name=name, external=True))
    return replace(one, networks=(Endpoint(network=key),))


def _after_own(one: Service, owners: dict[str, str]) -> Service:
    """Return the service with a dependency on each service of the project whose container it joins by name.

    The file says `container:NAME`, as of any container; what is started by the same `up` has to come before.
    """
    joined = {owners.get(name, one.name) for name in one.joined_containers()}
    joined -= {one.name, *(dependency.service for dependency in one.depends_on)}
    more = (Dependency(service=name, restart=True) for name in sorted(joined))
    return replace(one, depends_on=(*one.depends_on, *more)) if joined else one


def service(name: str, node: Map) -> Service:
    """Return one service of a marshalled tree: the attributes with structure, or with another name in the model."""
    deploy = node.get("deploy") or {}
    values: dict[str, Any] = {key: convert(node[key]) for key, convert in _PLAIN.items() if key in node}
    values |= {
        "name": name,
        "replicas": node.get("scale", deploy.get("replicas", 1)),
        "depends_on": depends_on(node),
        "links": links(node.get("links")),
        "external_links": links(node.get("external_links")),
        "ports": ports(node.get("ports")),
        "expose": exposed(node.get("expose")),
        "volumes": mounts(node.get("volumes")),
        "secrets": file_references(node.get("secrets"), "/run/secrets/"),
        "configs": file_references(node.get("configs"), "/"),
        "networks": endpoints(node),
        "extra_hosts": tuple(_host(line) for line in node.get("extra_hosts") or ()),
        "restart": restart(node),
        "limits": limits_of(node),
        "rlimits": _rlimits(node.get("ulimits")),
        "devices": devices(node.get("devices")),
        "device_requests": tuple(request for _path, request in device_requests(node)),
        "logging": _logging(node.get("logging")),
        "pre_start": hooks(node.get("pre_start")),
        "post_start": hooks(node.get("post_start")),
        "pre_stop": hooks(node.get("pre_stop")),
        "watch": watch_rules(node),
        "update_order": (deploy.get("update_config") or {}).get("order", "stop-first"),
        "provider": plain(node["provider"]) if "provider" in node else None,
        "build": _build(node["build"]) if "build" in node else None,
        "shm_bytes": _size(node.get("shm_size")),
        "stop_grace_s": parse_duration(node["stop_grace_period"]) if "stop_grace_period" in node else None,
        "health": health(node["healthcheck"]) if "healthcheck" in node else None,
        "extensions": {key: plain(value) for key, value in node.items() if key not in ATTRIBUTES["service"]},
        "hash": service_hash(node),
    }
    return Service(**values)


def _build(node: Map) -> Build:
    return Build(context=node.get("context", ""), dockerfile=node.get("dockerfile", ""), tree=plain(node))


def plain(node: Any) -> Any:
    """Return a tree as plain dicts and lists."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(item) for item in node]
    return node


def _host(line: str) -> tuple[str, str]:
    host, _, address = line.partition("=")
    return host, address


def limits_of(node: Map) -> Limits:
    """Return the limits of a marshalled service; what `deploy.resources` has counts where it has none itself."""
    resources = (node.get("deploy") or {}).get("resources") or {}
    limits, reservations = resources.get("limits") or {}, resources.get("reservations") or {}
    blkio = node.get("blkio_config") or {}
    swappiness = node.get("mem_swappiness")
    return Limits(
        memory_bytes=_size(node.get("mem_limit", limits.get("memory"))),
        memory_swap_bytes=_size(node.get("memswap_limit")),
        memory_reservation_bytes=_size(node.get("mem_reservation", reservations.get("memory"))),
        memory_swappiness=None if swappiness is None else int(swappiness),
        oom_kill_disable=node.get("oom_kill_disable", False),
        cpus=node.get("cpus", limits.get("cpus")),
        cpu_quota_us=node.get("cpu_quota"),
        cpu_period_us=node.get("cpu_period"),
        cpu_shares=node.get("cpu_shares"),
        cpu_rt_runtime_us=node.get("cpu_rt_runtime"),
        cpu_rt_period_us=node.get("cpu_rt_period"),
        cpuset=node.get("cpuset"),
        pids=node.get("pids_limit", limits.get("pids")),
        blkio_weight=blkio.get("weight"),
        blkio_weight_device=_rates(blkio.get("weight_device"), "weight"),
        device_read_bps=_rates(blkio.get("device_read_bps"), "rate"),
        device_write_bps=_rates(blkio.get("device_write_bps"), "rate"),
        device_read_iops=_rates(blkio.get("device_read_iops"), "rate"),
        device_write_iops=_rates(blkio.get("device_write_iops"), "rate"),
    )


def _size(text: Any) -> int | None:
    """Return the bytes of a marshalled size, which is a decimal number as text."""
    return None if text is None else int(text)


def _rates(entries: Any, key: str) -> tuple[DeviceRate, ...]:
    return tuple(DeviceRate(path=entry.get("path", ""), rate=int(entry[key])) for entry in entries or ())


def _rlimits(ulimits: Any) -> tuple[Rlimit, ...]:
    out = []
    for name, value in (ulimits or {}).items():
        if isinstance(value, dict):
            out.append(Rlimit(name=name, soft=value.get("soft", 0), hard=value.get("hard", 0)))
        else:
            out.append(Rlimit(name=name, soft=value, hard=value))
    return tuple(out)


def _logging(node: Any) -> Logging:
    node = node or {}
    return Logging(driver=node.get("driver", ""), options=dict(node.get("options") or {}))


def _network(key: str, node: Map) -> Network:
    pools = tuple(
        IpamPool(
            subnet=pool.get("subnet", ""),
            ip_range=pool.get("ip_range", ""),
            gateway=pool.get("gateway", ""),
            aux_addresses=dict(pool.get("aux_addresses") or {}),
        )
        for pool in (node.get("ipam") or {}).get("config") or ()
    )
    return Network(
        key=key,
        name=node.get("name", key),
        driver=node.get("driver") or "bridge",
        external=node.get("external", False),
        internal=node.get("internal", False),
        attachable=node.get("attachable", False),
        enable_ipv4=node.get("enable_ipv4", True),
        enable_ipv6=node.get("enable_ipv6", False),
        ipam=pools,
        ipam_options=dict((node.get("ipam") or {}).get("options") or {}),
        driver_opts=dict(node.get("driver_opts") or {}),
        labels=dict(node.get("labels") or {}),
        hash=resource_hash(node, "network"),
    )


def _volume(key: str, node: Map) -> Volume:
    return Volume(
        key=key,
        name=node.get("name", key),
        driver=node.get("driver") or "local",
        external=node.get("external", False),
        driver_opts=dict(node.get("driver_opts") or {}),
        labels=dict(node.get("labels") or {}),
        hash=resource_hash(node, "volume"),
    )


def _file_object(key: str, node: Map, facts: Project) -> FileObject:
    variable = node.get("environment")
    return FileObject(
        key=key,
        name=node.get("name", key),
        file=node.get("file"),
        environment=None if variable is None else facts.environment.get(variable),
        variable=str(variable or ""),
        content=node.get("content"),
        external=node.get("external", False),
        labels=dict(node.get("labels") or {}),
    )
