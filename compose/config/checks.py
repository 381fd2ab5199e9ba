"""Checks of a merged model that look at more than one key of a node, as a table by path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.patterns import Trie, compile_table
from pycompose.config.syntax.ports import is_address
from pycompose.config.tree import Map, Path, Seq, locate
from pycompose.errors import ConfigError, ConfigErrors

Check = Callable[[Any], str | None]


def check(root: Map) -> None:
    """Raise ConfigError for what a rule finds, ConfigErrors for several."""
    errors: list[ConfigError] = []
    _walk(root, root, (), _RULES, errors)
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)


def _walk(root: Map, node: Any, path: Path, rules: Trie[Check], errors: list[ConfigError]) -> None:
    if rules.rule is not None and (reason := rules.rule(node)):
        errors.append(ConfigError(reason, location=locate(root, path, of_key=isinstance(node, dict))))
    if isinstance(node, Map):
        for key, value in node.items():
            below = rules.key(key)
            if below is not None:
                _walk(root, value, (*path, key), below, errors)
    elif isinstance(node, Seq) and rules.items is not None:
        for index, value in enumerate(node):
            _walk(root, value, (*path, index), rules.items, errors)


def _one_of(*keys: str) -> Check:
    """Exactly one of `keys`, unless the object is external or its driver provides it."""

    def rule(node: Any) -> str | None:
        if not isinstance(node, dict):
            return None
        if node.get("external") is True:
            return None
        given = [key for key in keys if node.get(key) is not None]
        if len(given) > 1:
            return f"{' and '.join(given)} exclude each other"
        if not given and not node.get("driver"):
            return f"one of {', '.join(keys)} must be set"
        return None

    return rule


def _volume(node: Any) -> str | None:
    if not isinstance(node, dict) or node.get("external") is not True:
        return None
    extra = [key for key in node if key not in ("name", "external") and not key.startswith("x-")]
    return f'"external" excludes "{extra[0]}": whoever makes the volume says what it is' if extra else None


def _host_ip(node: Any) -> str | None:
    if isinstance(node, str) and not is_address(node):
        return f"invalid IP address {node!r}"
    return None


def _watch_path(node: Any) -> str | None:
    return "a path must not be empty" if node == "" else None


def _bind_source(node: Any) -> str | None:
    if isinstance(node, dict) and node.get("type") == "bind" and node.get("source") is None:
        return "a bind mount needs a source: the path on this machine"
    return None


def _device_request(node: Any) -> str | None:
    if isinstance(node, dict) and "count" in node and "device_ids" in node:
        return '"count" and "device_ids" exclude each other'
    return None


_RULES: Trie[Check] = compile_table(
    {
        "configs.*": _one_of("file", "environment", "content"),
        "secrets.*": _one_of("file", "environment"),
        "volumes.*": _volume,
        "services.*.deploy.resources.reservations.devices.[]": _device_request,
        "services.*.develop.watch.[].path": _watch_path,
        "services.*.gpus.[]": _device_request,
        "services.*.ports.[].host_ip": _host_ip,
        "services.*.volumes.[]": _bind_source,
    }
)
