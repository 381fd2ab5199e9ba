"""What a compose file says without any effect here: accepted as Compose accepts it, and remarked upon once per kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pycompose.config.logging_options import without_effect
from pycompose.config.networks import idle_addresses
from pycompose.config.patterns import Trie, compile_table
from pycompose.config.syntax.shellwords import dropped
from pycompose.config.tree import Map, Path, Seq, locate
from pycompose.config.warnings import Warnings

Reason = str | Callable[[Any], str | None]

WINDOWS = "has no effect: it is for Windows containers"
SWARM = "has no effect: it is for Swarm clusters"
# Docker's names of its default runtime, which stand for ours.
RUNTIMES = frozenset({"", "runc", "io.containerd.runc.v2"})
# Drivers whose networks the machine is no router of.
UNPUBLISHED = frozenset({"macvlan", "ipvlan"})


def warn_unsupported(root: Map, warnings: Warnings) -> None:
    """Add a warning for each kind of setting in the marshalled model that does nothing."""
    _walk(root, root, (), _RULES, warnings)
    for name, network in (root.get("networks") or {}).items():
        driver = network.get("driver") or "bridge"
        options = network.get("driver_opts")
        if options and (idle := idle_network_options(driver, options)):
            reason = f"driver_opts: {', '.join(idle)} without effect: the network driver has none of it"
            warnings.add(reason, locate(root, ("networks", name, "driver_opts"), of_key=True), once=reason)
    for path, reason in idle_addresses(root):
        warnings.add(reason, locate(root, path, of_key=True))
    _warn_unpublished(root, warnings)


def _walk(root: Map, node: Any, path: Path, rules: Trie[Reason], warnings: Warnings) -> None:
    if isinstance(node, Map):
        for key, value in node.items():
            below = rules.key(key)
            if below is not None:
                _apply(root, value, (*path, key), below, warnings)
    elif isinstance(node, Seq) and rules.items is not None:
        for index, value in enumerate(node):
            _apply(root, value, (*path, index), rules.items, warnings)


def _apply(root: Map, value: Any, path: Path, rules: Trie[Reason], warnings: Warnings) -> None:
    rule = rules.rule
    reason = rule(value) if callable(rule) else rule
    if reason:
        kind = ".".join(str(key) for key in path[2:] if isinstance(key, str))
        warnings.add(f"{kind}: {reason}", locate(root, path, of_key=True), once=f"{kind}: {reason}")
    _walk(root, value, path, rules, warnings)


def _mount(mount: Any) -> str | None:
    if mount.get("type") in ("npipe", "cluster"):
        return WINDOWS if mount["type"] == "npipe" else SWARM
    return None


def _logging(node: Any) -> str | None:
    idle = without_effect(node)
    return f"{', '.join(idle)} without effect: this log has none of it" if idle else None


def _runtime(name: str) -> str | None:
    return "has no effect: pycompose is the runtime" if name in RUNTIMES else None


def _userns_mode(mode: str) -> str | None:
    return None if mode in ("", "host") else "has no effect: containers have the user ids of this machine"


def _port_mode(mode: str) -> str | None:
    return SWARM if mode == "host" else None


def _warn_unpublished(root: Map, warnings: Warnings) -> None:
    """Warn about ports of services that are nowhere where something is published."""
    networks = root.get("networks") or {}
    for name, service in (root.get("services") or {}).items():
        if not service.get("ports"):
            continue
        where = locate(root, ("services", name, "ports"), of_key=True)
        if (mode := service.get("network_mode")) in ("host", "none"):
            warnings.add(f"published ports are discarded when using {mode} network mode", where)
            continue
        joined = [networks.get(key) or {} for key in service.get("networks") or {}]
        closed = [bool(node.get("internal")) for node in joined]
        if joined and all(node.get("driver") in UNPUBLISHED for node in joined):
            reason = "on a macvlan or ipvlan network each container has all ports of its own address"
            warnings.add(f"ports: has no effect: {reason}", where)
        elif joined and all(
            node.get("driver") in UNPUBLISHED or shut for node, shut in zip(joined, closed, strict=True)
        ):
            warnings.add("ports: has no effect: an internal network has no way in from outside", where)


def idle_network_options(driver: str, options: Iterable[str]) -> list[str]:
    """Return those of the options of a network that do nothing; an unknown driver is refused elsewhere."""
    from pycompose.networking.driver import DRIVERS  # noqa: PLC0415 - few networks have any

    return [key for key in options if driver in DRIVERS and key not in DRIVERS[driver].options]


def idle_endpoint_options(options: Iterable[str]) -> list[str]:
    """Return those of the options of a container's place on a network that do nothing."""
    from pycompose.networking.settings import ENDPOINT_OPTIONS  # noqa: PLC0415 - as above

    return [key for key in options if key not in ENDPOINT_OPTIONS]


def _endpoint_options(options: Any) -> str | None:
    idle = idle_endpoint_options(options or ())
    return f"{', '.join(idle)} without effect: no driver here has it" if idle else None


_RULES: Trie[Reason] = compile_table(
    {
        "configs.*.labels": SWARM,
        "networks.*.ipam.options": "has no effect: the one driver for addresses takes no options",
        "secrets.*.driver_opts": "has no effect: secrets come from files and variables",
        "secrets.*.labels": SWARM,
        "services.*.build.isolation": WINDOWS,
        "services.*.build.provenance": "has no effect: builds make no attestations",
        "services.*.build.sbom": "has no effect: builds make no attestations",
        "services.*.cpu_count": WINDOWS,
        "services.*.cpu_percent": WINDOWS,
        "services.*.credential_spec": WINDOWS,
        "services.*.deploy.endpoint_mode": SWARM,
        "services.*.deploy.labels": SWARM,
        "services.*.deploy.mode": SWARM,
        "services.*.deploy.placement": SWARM,
        "services.*.deploy.resources.reservations.cpus": SWARM,
        "services.*.deploy.resources.reservations.devices.[].options": "has no effect: devices by name take no options",
        "services.*.deploy.resources.reservations.generic_resources": SWARM,
        "services.*.deploy.rollback_config": SWARM,
        "services.*.deploy.update_config.delay": SWARM,
        "services.*.deploy.update_config.failure_action": SWARM,
        "services.*.deploy.update_config.max_failure_ratio": SWARM,
        "services.*.deploy.update_config.monitor": SWARM,
        "services.*.deploy.update_config.parallelism": SWARM,
        "services.*.gpus.[].options": "has no effect: devices by name take no options",
        "services.*.logging": _logging,
        "services.*.networks.*.driver_opts": _endpoint_options,
        "services.*.ports.[].mode": _port_mode,
        "services.*.runtime": _runtime,
        "services.*.use_api_socket": "has no effect: there is no Docker daemon",
        "services.*.userns_mode": _userns_mode,
        "services.*.volumes.[]": _mount,
        "services.*.volumes.[].bind.selinux": "has no effect: files keep the SELinux labels that they have",
        "services.*.volumes.[].consistency": "has no effect: it is for Docker Desktop",
    }
)


def warn_unprinted(root: Map, warnings: Warnings) -> None:
    """Warn about what no marshalled model shows: the part of a `command:` string that Compose drops, and dead keys."""
    for name, service in (root.get("services") or {}).items():
        if isinstance(service, dict) and "pull_refresh_after" in service:
            warnings.add(
                "pull_refresh_after: has no effect, nor has it in Compose: pull_policy: daily, weekly or every_12h do",
                locate(root, ("services", name, "pull_refresh_after"), of_key=True),
                once="pull_refresh_after",
            )
        for key in ("command", "entrypoint"):
            text = service.get(key) if isinstance(service, dict) else None
            if not isinstance(text, str):
                continue
            try:
                rest = dropped(text)
            except ValueError:
                continue  # marshalling reports it
            if rest:
                warnings.add(
                    f"the {key} ends before {rest[:40]!r}: no shell reads it, and Compose drops the rest; "
                    'write ["sh", "-c", "…"]',
                    locate(root, ("services", name, key)),
                )
