"""How services are reached: Services inside, and outside what was asked for; policies between networks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pycompose.kube.calls import undeclared
from pycompose.kube.containers import ContainerPort, container_ports
from pycompose.kube.names import label
from pycompose.kube.scope import PART_OF, KubeScope, Object, place

if TYPE_CHECKING:
    from pycompose.model import Port, Service

NODE_PORTS = range(30000, 32768)
_POLICY = "networking.k8s.io/v1"
_DNS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def network_label(key: str) -> str:
    """Return the label of the pods on a network."""
    return f"network.pycompose/{label(key)}"


def services_of(scope: KubeScope, service: Service) -> list[Object]:
    """Return the Services of a service: its name, its other names, and what is published if it was asked for."""
    name = scope.names[service.name]
    ports = container_ports(scope, service)
    if service.network_mode == "none" or (service.name in scope.jobs and not ports):
        return []
    names = (name, *_other_names(scope, service))
    inside = [
        _service(scope, one, name, _ports(service, [*ports, *_called(scope, service, ports)]))
        for one in names
    ]
    return [*inside, *_published(scope, service)]


def _called(scope: KubeScope, service: Service, declared: list[ContainerPort]) -> list[ContainerPort]:
    """Return what a Service has to lead to beside the ports that are declared; without any it leads to all."""
    if not declared:
        return []
    found = undeclared(scope, service, frozenset(port.number for port in declared))
    for number, where in found.items():
        scope.remarks.note(place(service), f"its Service has port {number} as well, which {where} calls")
    return [ContainerPort(number) for number in found]


def policies(scope: KubeScope) -> list[Object]:
    """Return what keeps the networks apart, when there are several or one is internal; else nothing."""
    services = scope.project.services.values()
    used = list(dict.fromkeys(endpoint.network for service in services for endpoint in service.networks))
    internal = [key for key in used if scope.project.networks[key].internal]
    isolated = [service for service in services if service.network_mode == "none"]
    found: list[Object] = []
    if len(used) > 1 or internal:
        found += [_network(scope, key, narrow=bool(internal)) for key in used]
        found += [
            _way_in(scope, service) for service in services if scope.of(service).expose and service.ports
        ]
    for service in isolated:
        name = scope.names[service.name]
        spec = {"podSelector": {"matchLabels": scope.selector(name)}, "policyTypes": ["Ingress", "Egress"]}
        found.append(_policy(scope, f"{name}-alone", spec, name))
    if found:
        scope.remarks.note(
            ("networks",), "networks are kept apart by clusters whose network plugin enforces policies"
        )
    return found


def _network(scope: KubeScope, key: str, *, narrow: bool) -> Object:
    """Return the policy of a network: its pods hear each other; with `narrow`, those of internal ones only.

    Policies add up: a pod that is on another network too may do what that one's allows.
    """
    members = {"matchLabels": {PART_OF: label(scope.project.name), network_label(key): "true"}}
    peers = [{"podSelector": members}]
    spec: Object = {"podSelector": members, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]}
    if narrow:
        internal = scope.project.networks[key].internal
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [{"to": peers}, {"ports": _DNS}] if internal else [{}]
    return _policy(scope, f"net-{label(key)}", spec)


def _way_in(scope: KubeScope, service: Service) -> Object:
    name = scope.names[service.name]
    ports = [{"protocol": port.protocol.upper(), "port": port.target} for port in service.ports]
    spec = {
        "podSelector": {"matchLabels": scope.selector(name)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": _unique(ports)}],
    }
    return _policy(scope, f"{name}-published", spec, name)


def _policy(scope: KubeScope, name: str, spec: Object, service: str = "") -> Object:
    return {
        "apiVersion": _POLICY,
        "kind": "NetworkPolicy",
        "metadata": scope.metadata(name, service),
        "spec": spec,
    }


def _other_names(scope: KubeScope, service: Service) -> list[str]:
    """Return the further names that others may call a service by: aliases, its container's, those of links."""
    links = [
        (alias, place(other, "links"))
        for other in scope.project.services.values()
        for target, alias in other.links
        if target == service.name and alias
    ]
    aliases = [
        (alias, place(service, "networks", e.network)) for e in service.networks for alias in e.aliases
    ]
    own = [(service.container_name, place(service, "container_name"))] if service.container_name else []
    taken = set(scope.names.values())
    found: list[str] = []
    for text, path in (*aliases, *own, *links):
        name = label(text)
        if name == scope.names[service.name] or name in found:
            continue
        if name in taken:
            scope.remarks.warning(path, f"{text}: a cluster has one {name} only, which is another service")
            continue
        if name != text:
            scope.remarks.warning(path, f"{text} becomes {name}")
        found.append(name)
    return found


def _service(scope: KubeScope, name: str, owner: str, ports: list[Object]) -> Object:
    """Return a Service; where no port is known it has no address of its own, so that every port is reached."""
    spec: Object = {"selector": scope.selector(owner)}
    spec |= {"ports": ports} if ports else {"clusterIP": "None"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": scope.metadata(name, owner), "spec": spec}


def _ports(service: Service, ports: list[ContainerPort]) -> list[Object]:
    protocols = {ContainerPort(port.target, port.protocol.upper()): port for port in service.ports}
    found: list[Object] = []
    for port in ports:
        said = protocols.get(port)
        more = {"appProtocol": said.app_protocol} if said and said.app_protocol else {}
        name = said.name if said and _PORT_NAME.fullmatch(said.name) else port.name
        found.append(
            {"name": name, "port": port.number, "targetPort": port.number, "protocol": port.protocol, **more}
        )
    return found


def _published(scope: KubeScope, service: Service) -> list[Object]:
    """Return what makes published ports reachable: nothing unless `x-kube.expose` says how."""
    settings = scope.of(service)
    if not service.ports:
        if settings.expose:
            scope.remarks.error(place(service, "x-kube", "expose"), "there are no ports: to expose")
        return []
    name = scope.names[service.name]
    if not settings.expose and service.network_mode == "host":
        return []
    if not settings.expose:
        scope.remarks.note(
            place(service, "ports"),
            f"stay inside the cluster (kubectl port-forward service/{name} {service.ports[0].target}), unless "
            "x-kube: {expose: LoadBalancer} says otherwise",
        )
        return []
    if settings.ingress_host:
        return [_ingress(scope, service)]
    for index, port in enumerate(service.ports):
        if port.host_ip.startswith("127.") or port.host_ip == "::1":
            scope.remarks.warning(
                place(service, "ports", index),
                f"{port.host_ip}: was for this machine only, and is exposed there",
            )
    ports = [_published_port(port, settings.expose) for port in service.ports]
    spec = {"type": settings.expose, "selector": scope.selector(name), "ports": _unique(ports)}
    metadata = scope.metadata(f"{name}-published", name)
    return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}]


def _published_port(port: Port, expose: str) -> Object:
    number = port.published[0] if port.published else port.target
    protocol = port.protocol.upper()
    found: Object = {
        "name": ContainerPort(number, protocol).name,
        "port": number,
        "targetPort": port.target,
        "protocol": protocol,
    }
    if expose == "NodePort" and number in NODE_PORTS:
        found["nodePort"] = number
    return found


def _ingress(scope: KubeScope, service: Service) -> Object:
    name = scope.names[service.name]
    host, _, path = scope.of(service).ingress_host.partition("/")
    first = next((port for port in service.ports if port.protocol == "tcp"), service.ports[0])
    if len(service.ports) > 1:
        scope.remarks.note(place(service, "ports"), f"the ingress leads to port {first.target} only")
    backend = {"service": {"name": name, "port": {"number": first.target}}}
    rule = {"host": host, "http": {"paths": [{"path": f"/{path}", "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": _POLICY,
        "kind": "Ingress",
        "metadata": scope.metadata(name, name),
        "spec": {"rules": [rule]},
    }


def _unique(ports: list[Any]) -> list[Any]:
    return [port for index, port in enumerate(ports) if port not in ports[:index]]
