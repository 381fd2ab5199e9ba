"""What cannot run: words and combinations that Docker refuses when it makes a container, and so do we.

`config` prints them, as Docker Compose does; `up`, `create`, `run` and `scale` refuse them before anything is made, all
together and with the place in the file. The words are those of Docker Engine 26.1, where it has any. Nothing of this
is a warning: what looks like a wall to whoever wrote it must not be missing silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from pycompose.config import grants, mounts, networks
from pycompose.config.bind_parts import device_requests
from pycompose.config.consistency import Finding, place_of
from pycompose.config.logging_options import logging_findings
from pycompose.config.syntax.idmap import parse_idmap
from pycompose.config.syntax.ports import is_address
from pycompose.config.tree import Map
from pycompose.config.unsupported import RUNTIMES
from pycompose.engine.errors import EngineError
from pycompose.engine.machine import has_apparmor, has_selinux
from pycompose.engine.paths import DOCKER_SOCKETS
from pycompose.errors import ConfigError, ConfigErrors
from pycompose.model import IDMAP, SOCKET, SOCKET_NOUNS, STOP_WAIT
from pycompose.units import parse_bool, parse_duration_ns

SHARED = ("service:", "container:")
RESTARTS = ("no", "always", "on-failure", "unless-stopped")
HOST_GATEWAY = "host-gateway"
SHORTEST_NS = 1_000_000

# Mode → what Docker calls it, and its words; what is shared with a service or container is another word where allowed.
_MODES = {
    "ipc": ("IPC mode", ("host", "private", "shareable", "none"), True),
    "pid": ("PID mode", ("host",), True),
    "uts": ("UTS mode", ("host",), False),
    "network_mode": ("network mode", ("host", "none", "bridge", "default"), True),
}
# What has no meaning in a network that belongs to another container, and Docker's name for it.
_OF_ANOTHER_NETWORK = {
    "hostname": "hostname",
    "ports": "port publishing",
    "expose": "port exposing",
    "dns": "dns",
    "extra_hosts": "custom host-to-IP mapping",
    "links": "links",
    "external_links": "external_links",
}
_MAC = re.compile("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_INTERVALS = ("interval", "timeout", "start_period", "start_interval")
_SECURITY = ("apparmor", "label", "no-new-privileges", "seccomp", "systempaths")

# What a host port can be of (networking/ports/reserve.py).
_PUBLISHED = ("tcp", "udp")

RunnableRule = Callable[[Map, Map], Iterator[Finding]]


def check_runnable(root: Map) -> None:
    """Raise ConfigError, or ConfigErrors, for services of a marshalled model that no container is made of."""
    _check(root, (*_RULES, _models, _provider, _start_interval), _resources(root))


def check_container(root: Map) -> None:
    """Raise as `check_runnable`, only for what the engine refuses, not Compose: for containers out of flags."""
    _check(root, _RULES)


def _check(root: Map, rules: Iterable[RunnableRule], found: Iterable[Finding] = ()) -> None:
    errors = [ConfigError(reason, location=place_of(root, path), hint=hint) for path, reason, hint in found]
    for name, service in root["services"].items():
        for rule in rules:
            for path, reason, hint in rule(service, root["services"]):
                where = place_of(root, ("services", name, *path))
                errors.append(ConfigError(reason, location=where, hint=hint))
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)


def _modes(service: Map, services: Map) -> Iterator[Finding]:
    for key, (what, words, may_share) in _MODES.items():
        mode = service.get(key) or ""
        kind, _, name = mode.partition(":")
        if mode == "" or mode in words or (may_share and f"{kind}:" in SHARED and name):
            continue
        known = [*words, *(f"{prefix}NAME" for prefix in SHARED if may_share)]
        if key == "network_mode":
            if kind == mode and mode.lower() not in words:
                continue  # any other word is the name of a network
            known.append("the name of a network")
        yield (key,), f'invalid {what} "{mode}"', _near(mode, words) or f"known: {', '.join(known)}"
    donor = (service.get("ipc") or "").removeprefix("service:")
    if donor in services and services[donor].get("ipc", "") in ("", "private", "none"):
        yield ("ipc",), f"service {donor} doesn't share its IPC namespace", f"write ipc: shareable in {donor}"


def _near(word: str, known: tuple[str, ...]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    close = get_close_matches(word.lower(), known, 1, 0.6)
    return f'did you mean "{close[0]}"?' if close else None


def _conflicts(service: Map, _services: Map) -> Iterator[Finding]:
    mode = service.get("network_mode") or ""
    if mode.startswith(SHARED):
        for key, what in _OF_ANOTHER_NETWORK.items():
            if service.get(key):
                yield (
                    (key,),
                    f"conflicting options: {what} and network_mode: {mode}",
                    f"{key} belongs to the one whose network it is",
                )
    elif mode == "host":
        for key in ("links", "external_links"):
            if service.get(key):
                yield (key,), f"conflicting options: {key} and network_mode: host", None
    if service.get("uts") == "host":
        for key in ("hostname", "domainname"):
            if service.get(key):
                yield (key,), f"conflicting options: {key} and uts: host", "the machine has its own"


def _runtime(service: Map, _services: Map) -> Iterator[Finding]:
    runtime, isolation = service.get("runtime") or "", service.get("isolation") or ""
    if runtime not in RUNTIMES:
        yield ("runtime",), f'unknown or invalid runtime name: "{runtime}"', "pycompose is the only one here"
    if isolation.lower() not in ("", "default"):
        yield ("isolation",), f'invalid isolation: "{isolation}"', 'on Linux there is only "default"'


def _security_opt(service: Map, _services: Map) -> Iterator[Finding]:
    for index, option in enumerate(service.get("security_opt") or ()):
        key, separator, value = option.partition("=" if "=" in option else ":")
        if separator and (finding := _missing_wall(key, value)):
            reason, hint = finding
            yield ("security_opt", index), f'"{option}" can\'t be had: {reason}', hint
            continue
        if option == "no-new-privileges" or (separator and key in ("apparmor", "label", "seccomp")):
            continue
        if option == "systempaths=unconfined":
            continue
        path, hint = ("security_opt", index), f"known: {', '.join(_SECURITY)}"
        if key == "no-new-privileges":
            try:
                parse_bool(value)
            except ValueError:
                yield path, f'invalid security_opt "{option}": "{value}" is not a boolean', "true or false"
        elif key == "systempaths":
            yield path, f'invalid security_opt "{option}"', "the only one is systempaths=unconfined"
        else:
            yield path, f'invalid security_opt "{option}"', _value_hint(key) or _near(key, _SECURITY) or hint


def _missing_wall(key: str, value: str) -> tuple[str, str] | None:
    """Return why no container is confined by the label or profile, and what to do; None when it is, or needn't be."""
    if key == "label" and value != "disable":
        reason = "containers get no SELinux labels here" if has_selinux() else "this kernel has no SELinux"
        return reason, "take it away, or write label=disable"
    if key == "apparmor" and value not in ("", "unconfined") and not has_apparmor():
        return "this kernel has no AppArmor", "take it away, or write apparmor=unconfined"
    return None


def _value_hint(key: str) -> str | None:
    return f'write it as "{key}=VALUE"' if key in _SECURITY else None


def _binds(service: Map, _services: Map) -> Iterator[Finding]:
    for index, volume in enumerate(service.get("volumes") or ()):
        recursive = (volume.get("bind") or {}).get("recursive")
        if recursive in ("readonly", "writable") and not volume.get("read_only"):
            yield (
                ("volumes", index, "bind", "recursive"),
                f"conflicting options: bind.recursive: {recursive} without read_only: true",
                "it says what becomes of mounts below a read-only one",
            )


def _storage_opt(service: Map, _services: Map) -> Iterator[Finding]:
    for key in service.get("storage_opt") or ():
        if key == "size":
            yield (
                ("storage_opt", key),
                "the size of a container's file system can't be limited here",
                "a tmpfs has a size; a volume can lie on a file system of its own",
            )
        else:
            yield ("storage_opt", key), f'unknown option "{key}"', None


def _device_requests(service: Map, _services: Map) -> Iterator[Finding]:
    requests = device_requests(service)
    if not requests:
        return
    from pycompose.cdi.registry import read_registry  # noqa: PLC0415 - few ask for any
    from pycompose.cdi.requests import resolve  # noqa: PLC0415 - few ask for any

    registry = read_registry()
    for path, request in requests:
        try:
            resolve(request, registry)
        except EngineError as exc:
            yield path, exc.message, exc.hint


def _health(service: Map, _services: Map) -> Iterator[Finding]:
    check = service.get("healthcheck") or {}
    for key in _INTERVALS:
        if key in check and parse_duration_ns(check[key]) < SHORTEST_NS and check[key] != "0s":
            yield ("healthcheck", key), f"{check[key]} is less than 1ms", None


def _start_interval(service: Map, _services: Map) -> Iterator[Finding]:
    check = service.get("healthcheck") or {}
    if "start_interval" in check and "start_period" not in check:
        yield ("healthcheck", "start_interval"), "start_interval requires start_period to be set", None


def _restart(service: Map, _services: Map) -> Iterator[Finding]:
    kind, colon, attempts = (service.get("restart") or "no").partition(":")
    if kind not in RESTARTS:
        yield (
            ("restart",),
            f'unknown policy "{kind}"',
            _near(kind, RESTARTS) or f"known: {', '.join(RESTARTS)}",
        )
    elif colon and kind != "on-failure":
        yield ("restart",), "a number of attempts can only be given to on-failure", None
    elif attempts.startswith("-"):
        yield ("restart",), f"the number of attempts is negative: {attempts}", None
    policy = (service.get("deploy") or {}).get("restart_policy") or {}
    condition = policy.get("condition") or "any"
    if condition not in ("none", "any", *RESTARTS):
        words = ("none", "on-failure", "any")
        path = ("deploy", "restart_policy", "condition")
        yield path, f'unknown policy "{condition}"', _near(condition, words) or f"known: {', '.join(words)}"


def _stop_wait(service: Map, _services: Map) -> Iterator[Finding]:
    wait = service.get(STOP_WAIT, False)
    if not isinstance(wait, bool):
        yield (STOP_WAIT,), f"must be true or false, not {wait!r}", None


def _socket(service: Map, _services: Map) -> Iterator[Finding]:
    if SOCKET not in service:
        return
    found = service[SOCKET]
    if not isinstance(found, dict):
        yield (SOCKET,), f"must be a mapping, not {found!r}", "for example {allow: [containers, events]}"
        return
    for key in found.keys() - {"allow", "projects"}:
        yield (SOCKET, key), "unknown key", _near(key, ("allow", "projects")) or "known: allow, projects"
    allow = found.get("allow", [])
    if not isinstance(allow, list):
        yield (SOCKET, "allow"), f"must be a list, not {allow!r}", None
        allow = []
    for index, noun in enumerate(allow):
        if noun not in SOCKET_NOUNS:
            hint = _near(str(noun), SOCKET_NOUNS) or f"known: {', '.join(SOCKET_NOUNS)}"
            yield (SOCKET, "allow", index), f"there is no {noun!r} to allow", hint
    if found.get("projects", "all") not in ("own", "all"):
        yield (SOCKET, "projects"), f"must be own or all, not {found['projects']!r}", None
    if not any(mount.get("source") in DOCKER_SOCKETS for mount in service.get("volumes") or ()):
        hint = f"volumes: [{DOCKER_SOCKETS[0]}:{DOCKER_SOCKETS[0]}]"
        yield (SOCKET,), "the service doesn't mount Docker's socket", hint


def _addresses(service: Map, _services: Map) -> Iterator[Finding]:
    for index, address in enumerate(service.get("dns") or ()):
        if not is_address(address.partition("%")[0]):
            yield ("dns", index), f'bad nameserver address "{address}"', "an IP address, without a port"
    for line in service.get("extra_hosts") or ():
        host, _, address = line.partition("=")
        if address != HOST_GATEWAY and not is_address(address):
            hint = f"HOST=ADDRESS, or HOST={HOST_GATEWAY}"
            yield ("extra_hosts",), f'invalid IP address of {host}: "{address}"', hint


def _endpoints(service: Map, _services: Map) -> Iterator[Finding]:
    """Yield what is no address of its kind; whether it fits its network: networks.py."""
    endpoints = service.get("networks") or {}
    places = [((), service), *((("networks", name), node) for name, node in endpoints.items() if node)]
    for path, node in places:
        mac = node.get("mac_address") or ""
        if mac and not _MAC.fullmatch(mac):
            yield (
                (*path, "mac_address"),
                f'invalid MAC address "{mac}"',
                "six pairs of hex digits: 02:42:ac:11:00:02",
            )
        elif reason := _nobodys(mac):
            yield (*path, "mac_address"), reason, None
        for version in (4, 6):
            key = f"ipv{version}_address"
            if (text := node.get(key)) and networks.version_of(text) != version:
                yield (*path, key), f'invalid IPv{version} address "{text}"', None
        for index, text in enumerate(node.get("link_local_ips") or ()):
            if not _is_link_local(text):
                hint = "one of 169.254.0.0/16 or fe80::/64"
                yield (*path, "link_local_ips", index), f'invalid link-local IP address "{text}"', hint
        for below, reason in networks.wrong_options(node):
            yield (*path, *below), reason, None


def _nobodys(mac: str) -> str:
    """Return why no interface can have a hardware address (is_valid_ether_addr in linux/etherdevice.h)."""
    if mac and int(mac[:2], 16) & 1:
        return f"{mac} is a multicast address"
    return f"{mac} is no address" if mac and not mac.strip("0:-") else ""


def _is_link_local(text: str) -> bool:
    import ipaddress  # noqa: PLC0415 - few services have such addresses

    return is_address(text) and ipaddress.ip_address(text).is_link_local


def _logging(service: Map, _services: Map) -> Iterator[Finding]:
    for path, reason, hint in logging_findings(service.get("logging") or {}):
        yield ("logging", *path), reason, hint


def _models(service: Map, _services: Map) -> Iterator[Finding]:
    if service.get("models"):
        yield (
            ("models",),
            "models need the Docker Model Runner",
            "run a model server as a service of its own, and give its address in environment:",
        )


def _provider(service: Map, _services: Map) -> Iterator[Finding]:
    if "provider" in service:
        kind = service["provider"].get("type", "")
        yield ("provider", "type"), f'there is no provider "{kind}": services are containers here', None


def _resources(root: Map) -> Iterator[Finding]:
    """Yield what no network, secret or config that services use can be made of."""
    yield from networks.wrong_networks(root)
    yield from networks.wrong_addresses(root)
    yield from mounts.wrong_volumes(root)
    for kind, keys in (("secrets", ("driver", "template_driver")), ("configs", ("template_driver",))):
        for name, item in (root.get(kind) or {}).items():
            for key in keys:
                if item.get(key):
                    yield (kind, name, key), f"{kind}.*.{key} is not supported", "only a Swarm cluster has it"


def _idmaps(service: Map, _services: Map) -> Iterator[Finding]:
    for index, mount in enumerate(service.get("volumes") or ()):
        if IDMAP not in mount:
            continue
        path = ("volumes", index, IDMAP)
        if mount.get("type") not in ("bind", "volume"):
            yield path, "only binds and volumes have ids of the machine", None
        try:
            parse_idmap(mount[IDMAP])
        except ValueError as exc:
            yield (
                path,
                str(exc),
                f'for example {IDMAP}: "1000:33": user 1000 of the machine is 33 in the container',
            )


def _ports(service: Map, _services: Map) -> Iterator[Finding]:
    for index, port in enumerate(service.get("ports") or ()):
        if (protocol := port.get("protocol") or "tcp") not in _PUBLISHED:
            reason = f"port {port.get('target')}/{protocol}: protocol is not supported"
            yield ("ports", index), reason, f"host ports are of {' and '.join(_PUBLISHED)}"
    yield from networks.ports_twice(service)


_RULES: tuple[RunnableRule, ...] = (
    _modes,
    _ports,
    _conflicts,
    _runtime,
    _security_opt,
    _binds,
    _storage_opt,
    _device_requests,
    _health,
    _restart,
    _stop_wait,
    _socket,
    _addresses,
    _endpoints,
    _logging,
    _idmaps,
    grants.capabilities,
    grants.ulimits,
    grants.limits,
    grants.parameters,
    grants.device_rules,
    grants.identity,
    mounts.mounts,
)
