"""What a compose file says without any effect here: accepted as Compose accepts it, and remarked upon once per kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.logging_options import without_effect
from pycompose.config.patterns import Trie, compile_table
from pycompose.config.syntax.shellwords import dropped
from pycompose.config.tree import Map, Path, Seq, locate
from pycompose.config.warnings import Warnings

Reason = str | Callable[[Any], str | None]

WINDOWS = "has no effect: it is for Windows containers"
SWARM = "has no effect: it is for Swarm clusters"
# Docker's names of its default runtime, which stand for ours.
RUNTIMES = frozenset({"", "runc", "io.containerd.runc.v2"})
SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")


def warn_unsupported(root: Map, warnings: Warnings) -> None:
    """Add a warning for each kind of setting in the marshalled model that does nothing."""
    _walk(root, root, (), _RULES, warnings)


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
    if mount.get("source") in SOCKETS:
        return "there is no Docker daemon behind this socket: programs that use it find nothing here"
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


_RULES: Trie[Reason] = compile_table(
    {
        "networks.*.ipam.options": "has no effect: the one driver for addresses takes no options",
        "services.*.build.cache_from": "has no effect: builds use the cache of this machine",
        "services.*.build.cache_to": "has no effect: the cache stays on this machine",
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
        "services.*.gpus.[].options": "has no effect: devices by name take no options",
        "services.*.logging": _logging,
        "services.*.runtime": _runtime,
        "services.*.use_api_socket": "has no effect: there is no Docker daemon",
        "services.*.userns_mode": _userns_mode,
        "services.*.volumes.[]": _mount,
    }
)


def warn_dropped_command(root: Map, warnings: Warnings) -> None:
    """Warn about the part of a `command:` string that Compose drops; runs before strings become lists."""
    for name, service in (root.get("services") or {}).items():
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
