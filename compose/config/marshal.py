"""The last step before printing: every value as the type that Compose gives it, keys in its order (attributes.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.interpolate import to_bool, to_float, to_int
from pycompose.config.syntax.shellwords import split
from pycompose.config.tree import Map, Path, Seq, Struct, locate, marks
from pycompose.config.validate import describe
from pycompose.errors import ConfigError, ConfigErrors, SchemaError
from pycompose.units import format_duration_ns, format_float, parse_bytes, parse_duration_ns, single

_OMIT = object()
# Structures that aren't pointers in Go: nothing in them is nothing at all.
_VALUES = frozenset({"=resources", "=placement", "=ipam", "=hook"})
# Mappings whose entries may be nothing: pointers in Go.
_NULLABLE = frozenset({"endpoint", "service_model"})


# Requests for devices: without a number or a list of them all are meant.
_COUNTED = frozenset({"device_request", "gpu"})


def marshal(root: Map) -> Map:
    """Return a new tree with typed values. Raises SchemaError, several as ConfigErrors."""
    walk = _Marshaller(root)
    out = walk.structure(root, "project", ())
    if walk.errors:
        raise walk.errors[0] if len(walk.errors) == 1 else ConfigErrors(walk.errors)
    return out


def text_of(value: Any) -> str:
    """Return a scalar as Go prints it: true, 1.1, +Inf."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_float(value)
    return "" if value is None else str(value)


class _Marshaller:
    def __init__(self, root: Map) -> None:
        self._root = root
        self.errors: list[ConfigError] = []

    def structure(self, node: Any, name: str, path: Path) -> Map:
        out = Struct()
        for key, row in ATTRIBUTES[name].items():
            if key not in node or not row[1]:
                continue
            value, kind = node[key], row[1]
            if value is None:
                continue
            keep = kind[-1] == "?"
            marshalled = self._value(value, kind[:-1] if keep else kind, (*path, key))
            if (
                marshalled is _OMIT
                or (kind in _VALUES and not marshalled)
                or (not keep and marshalled == _ZEROS.get(kind, _OMIT))
            ):
                continue
            out[key] = marshalled
            out.at[key] = marks(node, key)
        for key in sorted(key for key in node if key.startswith("x-") and key not in out):
            out[key] = _extension(node[key])
            out.at[key] = marks(node, key)
        return out

    def _value(self, value: Any, kind: str, path: Path) -> Any:
        first = kind[0]
        if first == "=":
            return self.structure(value, kind[1:], path)
        if first == "[":
            return self._list(value, kind[1:-1], path)
        if first == "{":
            return self._mapping(value, kind[1:-1], path)
        try:
            return _KINDS[kind](value)
        except ValueError as error:
            self.errors.append(SchemaError(str(error), location=locate(self._root, path)))
            return _OMIT

    def _list(self, value: Any, name: str, path: Path) -> Any:
        if not value:
            return _OMIT
        out = Seq([self.structure(item, name, (*path, index)) for index, item in enumerate(value)])
        out.at = list(getattr(value, "at", ()))
        if name in _COUNTED:
            for item in out:
                if "count" not in item and "device_ids" not in item:
                    _put_before(item, "count", -1, ("device_ids", "options"))
        return out

    def _mapping(self, value: Any, name: str, path: Path) -> Any:
        if not value and path:
            return _OMIT
        out = Map()
        out.at = dict(getattr(value, "at", ()))
        for key in value:
            item = value[key]
            if name == "ulimit" and not isinstance(item, dict):
                out[key] = self._value(item, "int", (*path, key))
            elif item is None:
                out[key] = None if name in _NULLABLE else Struct()
            else:
                out[key] = self.structure(item, name, (*path, key))
        return out


def _put_before(item: Map, key: str, value: Any, later: tuple[str, ...]) -> None:
    """Insert a key into an ordered mapping, before those of `later`, and before extensions."""
    rest = {name: item.pop(name) for name in list(item) if name in later or name.startswith("x-")}
    item[key] = value
    for name, old in rest.items():
        item[name] = old


def _extension(value: Any) -> Any:
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str):
        return to_int(value)
    if isinstance(value, float) and not -(2.0**63) <= value < 2.0**63:
        raise ValueError(f"{text_of(value)} is out of range of 64 bits")
    return int(value)


def _natural(value: Any) -> int:
    number = _integer(value)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


def _unsigned(bits: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, str):
            raise ValueError(f'found "{value}", expected an integer')  # noqa: TRY004 - callers report ValueError
        number = _integer(value)
        if not 0 <= number < 2**bits:
            raise ValueError(f"{number} is out of range: from 0 to {2**bits - 1}")
        return number

    return convert


def _float32(value: Any) -> float:
    number = single(to_float(value) if isinstance(value, str) else float(value))
    if not math.isfinite(number):
        raise ValueError(f"{text_of(value)[:60]} is out of range of a 32-bit number")
    return number


def _boolean(value: Any) -> bool:
    return to_bool(value) if isinstance(value, str) else bool(value)


def _bytes(value: Any) -> str:
    if isinstance(value, str):
        return str(parse_bytes(value))
    return str(value) if isinstance(value, int) else "0"


def _swap(value: Any) -> str:
    """Bytes, or -1 for no limit, which `config` prints as text: that must be readable again."""
    return "-1" if value == "-1" else _bytes(value)


def _duration(value: Any) -> str:
    return format_duration_ns(parse_duration_ns(text_of(value)))


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        value = [value]
    out = Seq([text_of(item) for item in value])
    out.at = list(getattr(value, "at", ()))
    return out or _OMIT


def _command(value: Any) -> Any:
    if isinstance(value, str):
        return Seq(split(value))
    out = Seq([text_of(item) for item in value])
    out.at = list(getattr(value, "at", ()))
    return out


def _test(value: Any) -> Any:
    if isinstance(value, str):
        return Seq(["CMD-SHELL", value]) if value else Seq(["NONE"])
    return _strings(value)


def _pairs(value: Any, *, missing: Any) -> Any:
    """Return a mapping from a mapping or from `[KEY=VALUE]`; `missing` is the value of a bare key."""
    out = Map()
    if isinstance(value, list):
        for index, item in enumerate(value):
            key, equals, text = text_of(item).partition("=")
            out[key] = text if equals else missing
            out.at[key] = marks(value, index)
    else:
        for key, item in value.items():
            out[key] = missing if item is None else text_of(item)
            out.at[key] = marks(value, key)
    return out or _OMIT


def _environment(value: Any) -> Any:
    return _pairs(value, missing=None)


def _mapping(value: Any) -> Any:
    return _pairs(value, missing="")


def _literals(value: Any) -> Any:
    """Return a mapping of strings and 64-bit integers: what Compose can't turn into text here is an error."""
    for key, item in value.items():
        if type(item) in (str, type(None)) or (type(item) is int and -(2**63) <= item < 2**63):
            continue
        raise ValueError(f"{key}: expected a string or an integer, found {describe(item)}")
    return _mapping(value)


def _ssh(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            Seq([key if path is None or path == "" else f"{key}: {path}" for key, path in value.items()])
            or _OMIT
        )
    return _strings(value)


def _multi(value: Any) -> Any:
    """`provider.options`: every value is a list of strings."""
    out = Map()
    for key, item in value.items():
        out[key] = Seq([text_of(entry) for entry in (item if isinstance(item, list) else [item])])
    return out or _OMIT


def _hosts(value: Any) -> Any:
    """`extra_hosts` in all forms → sorted `host=address` lines."""
    found: dict[str, list[str]] = {}
    if isinstance(value, list):
        for item in value:
            host, separator, address = item.partition("=" if "=" in item else ":")
            if not separator:
                raise ValueError(f"invalid host {item!r}: HOST=ADDRESS or HOST:ADDRESS")
            found.setdefault(host, []).extend(_bare(one) for one in address.split(","))
    else:
        for key, item in value.items():
            addresses = item if isinstance(item, list) else [item]
            found.setdefault(key, []).extend(_bare(text_of(address)) for address in addresses)
    wrong = next((host for host in found if not host or ":" in host), None)
    if wrong is not None:
        raise ValueError(f"bad host name {wrong!r}")
    lines = sorted(f"{host}={address}" for host, addresses in found.items() for address in addresses)
    return Seq(lines) if found else _OMIT


def _bare(address: str) -> str:
    bracketed = len(address) > 2 and address[0] == "[" and address[-1] == "]"
    return address[1:-1] if bracketed else address


def _octal(value: Any) -> str:
    """`mode` of secrets and configs: integers are what they are, strings are octal."""
    if isinstance(value, float):
        raise ValueError(f"found {describe(value)}, expected an octal mode such as 0440")  # noqa: TRY004
    mode = value if isinstance(value, int) else _from_octal(value)
    return f"0{mode:o}"


def _from_octal(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError(f"{text!r} is not an octal mode such as 0440") from None


def _count(value: Any) -> int:
    if value == "all":
        return -1
    if isinstance(value, str):
        try:
            return to_int(value)
        except ValueError:
            raise ValueError(f'invalid count {value!r}: "all" or a number') from None
    return _integer(value)


_KINDS: dict[str, Callable[[Any], Any]] = {
    "str": text_of,
    "int": _integer,
    "uint": _natural,
    "uint16": _unsigned(16),
    "uint32": _unsigned(32),
    "float32": _float32,
    "cpus": _float32,
    "bool": _boolean,
    "bytes": _bytes,
    "swap": _swap,
    "duration": _duration,
    "duration0": _duration,
    "strs": _strings,
    "command": _command,
    "test": _test,
    "environment": _environment,
    "labels": _mapping,
    "mapping": _mapping,
    "options": _mapping,
    "literals": _literals,
    "multi": _multi,
    "ssh": _ssh,
    "hosts": _hosts,
    "octal": _octal,
    "count": _count,
}
# What Go's omitempty leaves out; pointers (duration, and kinds with a `?`) keep their zero.
_ZEROS: dict[str, Any] = {
    "str": "",
    "int": 0,
    "uint": 0,
    "uint16": 0,
    "uint32": 0,
    "float32": 0.0,
    "cpus": 0.0,
    "bool": False,
    "bytes": "0",
    "swap": "0",
    "duration0": "0s",
    "count": 0,
}
