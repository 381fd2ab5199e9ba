"""What cannot run: words and combinations that Docker refuses when it makes a container, and so do we.

`config` prints them, as Docker Compose does; `up`, `create`, `run` and `scale` refuse them before anything is made, all
together and with the place in the file. The words are those of Docker Engine 26.1, where it has any. Nothing of this
is a warning: what looks like a wall to whoever wrote it must not be missing silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pycompose.config.bind_parts import device_requests
from pycompose.config.consistency import Finding, place_of
from pycompose.config.logging_options import logging_findings
from pycompose.config.syntax.ports import is_address
from pycompose.config.tree import Map
from pycompose.config.unsupported import RUNTIMES
from pycompose.engine.errors import EngineError
from pycompose.errors import ConfigError, ConfigErrors
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
}
_INTERVALS = ("interval", "timeout", "start_period", "start_interval")
_SECURITY = ("apparmor", "label", "no-new-privileges", "seccomp", "systempaths")

RunnableRule = Callable[[Map, Map], Iterator[Finding]]


def check_runnable(root: Map) -> None:
    """Raise ConfigError, or ConfigErrors, for services of a marshalled model that no container is made of."""
    _check(root, (*_RULES, _start_interval))


def check_container(root: Map) -> None:
    """Raise as `check_runnable`, only for what the engine refuses, not Compose: for containers out of flags."""
    _check(root, _RULES)


def _check(root: Map, rules: Iterable[RunnableRule]) -> None:
    errors: list[ConfigError] = []
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
    elif mode == "host" and service.get("links"):
        yield ("links",), "conflicting options: links and network_mode: host", None
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
            yield path, f'invalid security_opt "{option}"', _near(key, _SECURITY) or hint


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


def _addresses(service: Map, _services: Map) -> Iterator[Finding]:
    for index, address in enumerate(service.get("dns") or ()):
        if not is_address(address.partition("%")[0]):
            yield ("dns", index), f'bad nameserver address "{address}"', "an IP address, without a port"
    for line in service.get("extra_hosts") or ():
        host, _, address = line.partition("=")
        if address != HOST_GATEWAY and not is_address(address):
            hint = f"HOST=ADDRESS, or HOST={HOST_GATEWAY}"
            yield ("extra_hosts",), f'invalid IP address of {host}: "{address}"', hint


def _logging(service: Map, _services: Map) -> Iterator[Finding]:
    for path, reason, hint in logging_findings(service.get("logging") or {}):
        yield ("logging", *path), reason, hint


_RULES: tuple[RunnableRule, ...] = (
    _modes,
    _conflicts,
    _runtime,
    _security_opt,
    _storage_opt,
    _device_requests,
    _health,
    _restart,
    _addresses,
    _logging,
)
