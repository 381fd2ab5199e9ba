"""Parameters of requests, as Docker reads them: truth, numbers, moments, filters."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from pycompose.api.errors import ApiError
from pycompose.units import parse_duration, stamp_ns

if TYPE_CHECKING:
    from pycompose.api.http import ApiCall

_FALSE = frozenset({"", "0", "no", "false", "none"})
_NS = 1_000_000_000
# moby/term ascii.go, ToBytes.
_KEY = re.compile(r"ctrl-[a-z@\[\\\]^_]|DEL|[\x00-\x7f]", re.DOTALL)


def text(call: ApiCall, name: str, default: str = "") -> str:
    """Return a parameter, the first of several."""
    return call.query.get(name, [default])[0]


def flag(call: ApiCall, name: str, *, default: bool = False) -> bool:
    """Return a truth as Docker takes it: everything but "", 0, no, false and none (moby httputils.BoolValue)."""
    if name not in call.query:
        return default
    return text(call, name).strip().lower() not in _FALSE


def number(call: ApiCall, name: str, default: int | None = None) -> int | None:
    """Return an integer. Raises ApiError."""
    given = text(call, name)
    if not given:
        return default
    try:
        return int(given)
    except ValueError:
        raise ApiError(400, f'strconv.Atoi: parsing "{given}": invalid syntax') from None


def detach_keys(given: str) -> str:
    """Return keys that leave a terminal, which is the client's work; it trusts us to check them. Raises ApiError."""
    if given and not all(map(_KEY.fullmatch, given.split(","))):
        raise ApiError(400, f"Invalid detach keys ({given}) provided")
    return given


def moment(call: ApiCall, name: str) -> int:
    """Return nanoseconds since 1970 of a Unix time ("1136073600.000000001") or RFC 3339; 0 without one.

    Raises ApiError.
    """
    given = text(call, name)
    return 0 if not given or given == "0" else _moment(given, name)


def _moment(given: str, name: str) -> int:
    whole, point, fraction = given.partition(".")
    if whole.isdecimal() and whole.isascii() and (not point or fraction.isdecimal()):
        return int(whole) * _NS + int(fraction[:9].ljust(9, "0")) if point else int(whole) * _NS
    if not (found := stamp_ns(given)):
        raise ApiError(400, f'invalid value for "{name}": {given!r} is no time')
    return found


def filters(call: ApiCall) -> list[str]:
    """Return the filters as KEY=VALUE: of Go's form {"label": {"a=b": true}}, and of {"label": ["a=b"]}.

    Raises ApiError for what is neither.
    """
    given = text(call, "filters")
    if not given:
        return []
    try:
        found = json.loads(given)
    except (ValueError, RecursionError) as exc:
        raise ApiError(400, f"invalid filter: {exc}") from exc
    if found is None:
        return []
    if not isinstance(found, dict):
        raise ApiError(400, "invalid filter: not an object")
    listed = []
    for key, values in found.items():
        if isinstance(values, dict):
            chosen = [value for value, wanted in values.items() if wanted]
        elif isinstance(values, list):
            chosen = values
        else:
            raise ApiError(400, f"invalid filter: {key}: neither an object nor a list")
        listed += [f"{key}={_plain(value)}" for value in chosen]
    return listed


def _plain(value: object) -> str:
    """Return what a client means by a value that isn't text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ApiError(400, f"invalid filter: {value!r} is neither text nor number")


def sparing(call: ApiCall, *known: str) -> list[str]:
    """Return the filters of a `prune`, which spare things: one that isn't `known` must not spare less than was meant.

    Raises ApiError.
    """
    found = filters(call)
    for entry in found:
        if (key := entry.partition("=")[0]) not in known and not entry.startswith("label!="):
            raise ApiError(400, f"invalid filter '{key}'")
    return found


def truth_filter(found: list[str], key: str, *, default: bool) -> bool:
    """Return the truth that one of KEY=VALUE filters asks for. Raises ApiError."""
    for entry in found:
        name, _, value = entry.partition("=")
        if name == key:
            if value.lower() not in ("true", "t", "1", "false", "f", "0"):
                raise ApiError(400, f"invalid filter '{key}={value}': neither true nor false")
            return value.lower() in ("true", "t", "1")
    return default


def label_filters(found: list[str]) -> tuple[list[str], list[str]]:
    """Return the labels of `label` and `label!`, which is what is kept of `prune`'s filters."""
    wanted = [text.removeprefix("label=") for text in found if text.startswith("label=")]
    return wanted, [text.removeprefix("label!=") for text in found if text.startswith("label!=")]


def until(call: ApiCall) -> int:
    """Return the moment of the filter `until` in nanoseconds, 0 without one: Unix time, RFC 3339, or "10m" ago.

    Raises ApiError.
    """
    for found in filters(call):
        key, _, value = found.partition("=")
        if key == "until":
            try:
                return time.time_ns() - round(parse_duration(value) * _NS)
            except ValueError:
                return _moment(value, "until")
    return 0
