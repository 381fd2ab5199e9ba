"""The compose file format as a JSON schema (draft 2020-12), for editors: out of the table of attributes.

It says what may be written once variables are replaced; the loader's own checks (validate.py) are stricter about what a
schema can't see, such as names that have to exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.validate import Object, Type, object_of
from pycompose.model import SOCKET_NOUNS

if TYPE_CHECKING:
    from collections.abc import Mapping

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {str: "string", bool: "boolean", type(None): "null", int: "integer", float: "number"}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_RANGE = {"type": "string", "pattern": r"^\d+:\d+(:\d+)?$"}
_RANGES = {"anyOf": [_RANGE, {"type": "array", "items": _RANGE}]}
# validate.py's patterns of names, as JavaScript writes them.
_NAMES = {r"[a-zA-Z0-9._-]+\Z": "^[a-zA-Z0-9._-]+$", ".": "."}
# Our keys (docs/extensions.md) by the structure that they are in; `x-test` comes from above (testing/schema.py).
EXTENSIONS: dict[str, dict[str, dict[str, Any]]] = {
    "service": {
        "x-ready": {
            "description": "readiness that is asked from outside; all that is given has to hold",
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {
                "tcp": {"type": ["integer", "string"], "description": "a port"},
                "http": {
                    "type": ["integer", "string"],
                    "description": "PORT/PATH, which answers with 200 to 399",
                },
                "log": {"type": "string", "format": "regex", "description": "what the output has to match"},
            },
        },
        "x-restart-on": {
            "description": "restart the container when it is unhealthy",
            "anyOf": [{"const": "unhealthy"}, {"type": "array", "items": {"const": "unhealthy"}}],
        },
        "x-stop-wait": {
            "description": "give the whole grace period, also where process 1 can't get the signal",
            "type": "boolean",
        },
        "x-socket": {
            "description": "what the service may do by the docker.sock that it mounts",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "allow": {
                    "type": "array",
                    "items": {"enum": list(SOCKET_NOUNS)},
                    "description": "what it may speak of",
                },
                "projects": {"enum": ["own", "all"], "description": "whose things there are for it"},
            },
        },
    },
    "watch": {
        "x-signal": {"description": "a signal in place of a restart", "type": ["string", "integer"]},
        "x-trigger": {"description": "the files for which there is a restart, signal or command", **_TEXTS},
        "x-chown": {"description": "USER[:GROUP] that owns what is synced", "type": "string"},
        "x-sync-back": {"description": "files that the container makes, and that come here", **_TEXTS},
        "x-on-unmatched": {
            "description": "what to do for files that no sync rule takes",
            "enum": ["rebuild", "ignore"],
        },
    },
    "mount": {
        "x-idmap": {
            "description": "HOST:CONTAINER[:COUNT], whose the files are here and in the container",
            "anyOf": [
                *_RANGES["anyOf"],
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"uid": _RANGES, "gid": _RANGES},
                },
            ],
        },
    },
}


def schema(*more: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the schema; `more` have further extensions by structure and key."""
    definitions = {}
    for name in ATTRIBUTES:
        keys = {key: value for group in more for key, value in group.get(name, {}).items()}
        definitions[name] = _object(object_of(name), keys)
    return {
        "$schema": DIALECT,
        "title": "Compose file, with the keys of pycompose",
        **definitions.pop("project"),
        "$defs": definitions,
    }


def _object(spec: Object, more: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {
            **{key: _type(spec.type_of(key)) for key in spec.keys},
            **EXTENSIONS.get(spec.name, {}),
            **more,
        },
    }
    if spec.required:
        found["required"] = list(spec.required)
    if spec.extra == ("x-",):
        found["patternProperties"] = {"^x-": {}}
    if "" not in spec.extra:
        found["additionalProperties"] = False
    return found


def _type(kind: Type) -> dict[str, Any]:
    """Return what a value may be; `anyOf` where there are several."""
    if kind.any:
        return {}
    found: list[dict[str, Any]] = []
    names = [_TYPES[one] for one in _TYPES if one in kind.scalars]
    if "number" in names:
        names.remove("integer")  # which is a number, too
    for name in names:
        low, high = kind.limits if name in ("integer", "number") else (None, None)
        limits = {"minimum": low, "maximum": high}
        found.append({"type": name, **{key: value for key, value in limits.items() if value is not None}})
    if kind.enum:
        found.append({"enum": list(kind.enum)})
    if kind.pattern:
        found.append({"type": "string", "pattern": kind.pattern.pattern})
    if kind.object:
        found.append({"$ref": "#" if kind.object.name == "project" else f"#/$defs/{kind.object.name}"})
    if kind.item:
        found.append(
            {"type": "array", "items": _type(kind.item), **({"uniqueItems": True} if kind.unique else {})}
        )
    if kind.values:
        mapping: dict[str, Any] = {"type": "object", "additionalProperties": _type(kind.values)}
        if kind.names:
            mapping["propertyNames"] = {"pattern": _NAMES[kind.names.pattern]}
        found.append(mapping)
    return found[0] if len(found) == 1 else {"anyOf": found}
