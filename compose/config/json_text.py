"""The canonical model as Go's encoding/json prints it for Docker Compose, with its peculiarities.

What it shows although it is empty, what it leaves out (extensions below the top level, models) and what it spells
differently from YAML stands in the tables; the order of keys is that of attributes.py.
"""

from __future__ import annotations

import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.tree import Map, Struct

# Structures and lists that are printed even when nothing is in them: structure → key → value.
_ALWAYS: dict[str, dict[str, Any]] = {
    "deploy": {"resources": Struct(), "placement": Struct()},
    "network": {"ipam": Struct()},
    "service": {"command": None, "entrypoint": None},
    "watch": {"exec": Struct()},
    "hook": {"command": None},
}
# Keys that are spelled like the fields of the program: structure → key → spelling.
_SPELLED = {
    "blkio_weight": {"path": "Path", "weight": "Weight"},
    "blkio_limit": {"path": "Path", "rate": "Rate"},
}
_OMITTED = frozenset({"models"})
_SPECIAL = re.compile("[<>&\u2028\u2029]")
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def go_json(tree: Any) -> str:
    """Return a marshalled project, or any other tree, indented by two."""
    parts: list[str] = []
    if isinstance(tree, Struct):
        top = {
            key: _extension(value) if key.startswith("x-") else _printed(value, ATTRIBUTES["project"][key][1])
            for key, value in tree.items()
            if key not in _OMITTED
        }
        top = {key: top[key] for key in sorted(top)}
        _write(top, "\n", parts)
    else:
        _write(tree, "\n", parts)
    return "".join(parts)


def compact_json(node: Any, name: str) -> str:
    """Return the structure `name` on one line, for hashing."""
    parts: list[str] = []
    _write(_structure(node, name), "", parts, compact=True)
    return "".join(parts)


def _extension(value: Any) -> Any:
    """Return an extension: its empty lists are nothing in Go, and print so."""
    if isinstance(value, dict):
        return Map({key: _extension(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_extension(item) for item in value] or None
    return value


def _printed(value: Any, kind: str) -> Any:
    """Return a value that is printed as `kind`, with its keys as JSON has them."""
    kind = kind.rstrip("?")
    if value is None:
        return None
    if kind[0] == "=":
        return _structure(value, kind[1:])
    if kind[0] == "[":
        return [_structure(item, kind[1:-1]) for item in value]
    if kind[0] == "{":
        name = kind[1:-1]
        return {key: _structure(value[key], name) for key in sorted(value)}
    return value


def _structure(node: Any, name: str) -> Any:
    if not isinstance(node, dict):
        return node
    rows, always, spelled = ATTRIBUTES[name], _ALWAYS.get(name), _SPELLED.get(name)
    keys = node if always is None or always.keys() <= node.keys() else rows
    out = Struct()
    for key in keys:
        row = rows.get(key)
        if row is None:
            continue
        kind = row[1]
        if key in node:
            value = node[key]
            simple = kind[0] not in "=[{"
            out[spelled[key] if spelled else key] = value if simple else _printed(value, kind)
        elif always and key in always:
            out[key] = _printed(always[key], kind)
    return out


def _write(node: Any, newline: str, parts: list[str], *, compact: bool = False) -> None:
    """Append the text of a node; `newline` is a line break with the indentation that the node has."""
    deeper = "" if compact else newline + "  "
    if isinstance(node, dict):
        if not node:
            parts.append("{}")
            return
        colon = ":" if compact else ": "
        lead = "{" + deeper
        for key in node if isinstance(node, Struct) or type(node) is dict else sorted(node):
            parts.append(f"{lead}{_string(key)}{colon}")
            _write(node[key], deeper, parts, compact=compact)
            lead = "," + deeper
        parts.append(newline + "}")
    elif isinstance(node, list):
        if not node:
            parts.append("[]")
            return
        lead = "[" + deeper
        for item in node:
            parts.append(lead)
            _write(item, deeper, parts, compact=compact)
            lead = "," + deeper
        parts.append(newline + "]")
    else:
        parts.append(_scalar(node))


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


def _string(text: str) -> str:
    quoted = encode_basestring(text)
    return quoted.translate(_ESCAPED) if _SPECIAL.search(quoted) else quoted


def _float(value: float) -> str:
    """Return the shortest decimal, with an exponent below 1e-6 and from 1e21."""
    if not value.is_integer() or abs(value) >= 1e21:
        size = abs(value)
        if size < 1e-6 or size >= 1e21:
            return repr(value).replace("e-0", "e-").replace("e+0", "e+")
        return format(Decimal(repr(value)), "f")
    if value == 0:
        return str(value)[:-2]  # Go keeps the sign of -0
    # Beyond 53 bits an integer has more digits than the shortest decimal that means it.
    return str(int(value if abs(value) < 2**53 else Decimal(repr(value))))
