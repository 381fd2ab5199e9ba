"""/networks/…: networks apart from any project."""

from __future__ import annotations

from typing import Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer, done
from pycompose.api.shapes import CONNECT, DISCONNECT, NETWORK, checked
from pycompose.machine import container_changes, network_creation, networks
from pycompose.machine.inspect import network, network_document


def listing(call: ApiCall) -> ApiAnswer:
    """GET /networks."""
    chosen = {row.name for row in networks.rows(call.context, query.filters(call))}
    return answer(
        [
            network_document(call.context, state)
            for state in networks.states(call.context)
            if state.name in chosen and call.scope in ("", state.project)
        ]
    )


def inspect(call: ApiCall) -> ApiAnswer:
    """GET /networks/NAME."""
    return answer(network(call.context, call.names[0]))


def create(call: ApiCall) -> ApiAnswer:
    """POST /networks/create."""
    body = checked(call.document(), NETWORK)
    name = body.get("Name") or ""
    if not name:
        raise ApiError(400, "network name must not be empty")
    ipam = body.get("IPAM") or {}
    if (ipam.get("Driver") or "default") != "default":
        raise ApiError(404, f'plugin "{ipam["Driver"]}" not found')
    if body.get("Scope") == "swarm" or body.get("Ingress"):
        raise ApiError(403, f"network {name}: only a cluster has such networks")
    pools = [pool for pool in ipam.get("Config") or () if pool]
    request = network_creation.NetworkRequest(
        name=name,
        driver=body.get("Driver") or "bridge",
        subnets=tuple(pool["Subnet"] for pool in pools if pool.get("Subnet")),
        gateways=tuple(pool["Gateway"] for pool in pools if pool.get("Gateway")),
        ranges=tuple(pool["IPRange"] for pool in pools if pool.get("IPRange")),
        aux={key: value for pool in pools for key, value in (pool.get("AuxiliaryAddresses") or {}).items()},
        internal=bool(body.get("Internal")),
        ipv6=bool(body.get("EnableIPv6")),
        attachable=bool(body.get("Attachable")),
        config_only=bool(body.get("ConfigOnly")),
        config_from=(body.get("ConfigFrom") or {}).get("Network") or "",
        ipam_options=ipam.get("Options") or {},
        options=body.get("Options") or {},
        labels=body.get("Labels") or {},
    )
    return answer({"Id": network_creation.create(call.context, request), "Warning": ""}, 201)


def remove(call: ApiCall) -> ApiAnswer:
    """DELETE /networks/NAME."""
    networks.remove(call.context, call.names[0])
    return done()


def connect(call: ApiCall) -> ApiAnswer:
    """POST /networks/NAME/connect."""
    body = checked(call.document(), CONNECT)
    endpoint: dict[str, Any] = body.get("EndpointConfig") or {}
    ipam = endpoint.get("IPAMConfig") or {}
    container_changes.connect(
        call.context,
        call.names[0],
        body.get("Container") or "",
        aliases=tuple(endpoint.get("Aliases") or ()),
        ip=ipam.get("IPv4Address") or "",
        ip6=ipam.get("IPv6Address") or "",
        link_local=tuple(ipam.get("LinkLocalIPs") or ()),
        links=tuple(endpoint.get("Links") or ()),
    )
    return done(200)


def disconnect(call: ApiCall) -> ApiAnswer:
    """POST /networks/NAME/disconnect."""
    body = checked(call.document(), DISCONNECT)
    container_changes.disconnect(call.context, call.names[0], body.get("Container") or "")
    return done(200)


def prune(call: ApiCall) -> ApiAnswer:
    """POST /networks/prune."""
    labels, without = query.label_filters(query.sparing(call, "label", "until"))
    gone = networks.prune(call.context, labels=labels, without=without, before_ns=query.until(call))
    return answer({"NetworksDeleted": list(gone.names) or None})
