"""`x-idmap` of a mount: which user of the machine is which one of the container.

x-idmap: "1000:33"              user and group 1000 of the machine are 33 in the container, and the other way round
x-idmap: ["1000:0", "2000:1:9"] several, also ranges: HOST:CONTAINER:COUNT
x-idmap: {uid: "1000:33", gid: "100:33"}
"""

from __future__ import annotations

import itertools
from typing import Any

IdRange = tuple[int, int, int]
# -1 is nobody (user_namespaces(7)).
MOST = 2**32 - 1


def parse_idmap(value: Any) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]]:
    """Return the ranges of users and of groups: host id, container id, count. Raises ValueError."""
    if isinstance(value, dict):
        if not value or set(value) - {"uid", "gid"}:
            raise ValueError("expected uid and gid")
        return _ranges(value.get("uid", ())), _ranges(value.get("gid", ()))
    ranges = _ranges(value)
    if not ranges:
        raise ValueError('expected "HOST:CONTAINER"')
    return ranges, ranges


def _ranges(value: Any) -> tuple[IdRange, ...]:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise ValueError(f'expected "HOST:CONTAINER", found {value!r}')
    found = tuple(_range(item) for item in value)
    for place, side in enumerate(("machine", "container")):
        ordered = sorted(found, key=lambda one: one[place])
        for one, following in itertools.pairwise(ordered):
            if one[place] + one[2] > following[place]:
                raise ValueError(f"id {following[place]} of the {side} is mapped twice")
    return found


def _range(text: str) -> IdRange:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is not HOST:CONTAINER or HOST:CONTAINER:COUNT, in numbers")
    host, container, count = (*map(int, parts), 1)[:3]
    if count < 1 or max(host, container) + count > MOST:
        raise ValueError(f"{text!r}: ids go from 0 to {MOST - 1}")
    return host, container, count
