"""Relative paths → absolute ones, by path pattern, against the directory of the file they stand in."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from typing import Any

from pycompose.config.patterns import Trie, compile_rules
from pycompose.config.tree import Map, Seq
from pycompose.engine.dataclass import dataclass

PathRule = Callable[[Any, "PathBase"], Any]

REMOTE_CONTEXTS = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


@dataclass(frozen=True, slots=True)
class PathBase:
    """What relative paths are joined to: a directory, absolute or itself relative; `home` is what `~` means."""

    directory: str
    home: str = ""


class FollowedPath(str):
    """A path whose links have been followed; `written` is the one that leads there."""

    __slots__ = ("written",)
    written: str


def resolve_paths(root: Map, base: PathBase) -> Map:
    """Rewrite `root` in place."""
    _walk(root, _RULES, base)
    return root


def absolute(path: str, base: PathBase) -> str:
    """Return `path`, with `~` expanded, joined to the base and cleaned."""
    path = expand_user(path, base.home)
    if path.startswith("/"):
        return path
    return join(base.directory, path) if path else path


def join(directory: str, path: str) -> str:
    """Return Go's filepath.Join: cleaned, and without a leading double slash."""
    joined = posixpath.normpath(posixpath.join(directory, path))
    return "/" + joined.lstrip("/") if joined.startswith("//") else joined


def expand_user(path: str, home: str) -> str:
    """Return `path` with a leading `~` as `home`: `~x` is `home/x` for Compose, nobody else's home."""
    if not home or not path.startswith("~"):
        return path
    rest = path[1:].lstrip("/")
    return join(home, rest) if rest else home


def _walk(node: Any, rules: Trie[PathRule], base: PathBase) -> None:
    if isinstance(node, Map):
        for key, value in node.items():
            below = rules.key(key)
            if below is not None and value is not None:
                if below.rule is not None:
                    value = node[key] = below.rule(value, base)  # noqa: PLW2901
                _walk(value, below, base)
    elif isinstance(node, Seq) and rules.items is not None:
        below = rules.items
        for index, value in enumerate(node):
            if below.rule is not None:
                value = node[index] = below.rule(value, base)  # noqa: PLW2901
            _walk(value, below, base)


def _path(value: Any, base: PathBase) -> Any:
    return absolute(value, base) if isinstance(value, str) else value


def _context(value: Any, base: PathBase) -> Any:
    """Resolve a build context: a directory, unless it is a URL or another service."""
    if not isinstance(value, str):
        return value
    if "://" in value or value.startswith(("service:", *REMOTE_CONTEXTS)):
        return value
    return absolute(value, base)


def _watch_path(value: Any, base: PathBase) -> Any:
    if not isinstance(value, str):
        return value
    path = absolute(value, base)
    if not path.startswith("/") or not os.path.exists(path):
        return path
    followed = FollowedPath(os.path.realpath(path))
    followed.written = path
    return followed


def _mount(value: Any, base: PathBase) -> Any:
    if isinstance(value, dict) and value.get("type") == "bind" and isinstance(value.get("source"), str):
        value["source"] = _host_path(value["source"], base)
    return value


def _host_path(value: Any, base: PathBase) -> Any:
    """Resolve a path, unless it is one of Windows."""
    if not isinstance(value, str):
        return value
    if (len(value) > 2 and value[0].isalpha() and value[1] == ":" and value[2] in "\\/") or value.startswith(
        "\\\\"
    ):
        return value
    return absolute(value, base)


def _volume(value: Any, base: PathBase) -> Any:
    """Resolve the device of a local volume that is a bind mount."""
    if not isinstance(value, dict) or value.get("driver") not in (None, "", "local"):
        return value
    options = value.get("driver_opts")
    if isinstance(options, dict) and options.get("o") == "bind" and isinstance(options.get("device"), str):
        options["device"] = _host_path(options["device"], base)
    return value


_RULES: Trie[PathRule] = compile_rules(
    "paths",
    {
        "context": _context,
        "file": _path,
        "host": _host_path,
        "mount": _mount,
        "volume": _volume,
        "watch": _watch_path,
    },
)
