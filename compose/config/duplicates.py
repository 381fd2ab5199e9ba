"""Items of a list that are the same to JSON schema's `uniqueItems`, as Compose's validator understands it.

A string equals a later number that it spells (`"080"` and `80`), but not an earlier one; two strings are equal only
letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import gcd
from typing import Any

# What Go's big.Rat reads: fractions of integers, and numbers of a base, with exponents and single underscores.
_DIGITS, _HEX = r"\d(?:_?\d)*", r"[\da-fA-F](?:_?[\da-fA-F])*"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:0[xX]_?(?P<hex>{_HEX}(?:\.(?:{_HEX})?)?|\.{_HEX})"
    rf"|(?P<prefix>0[bBoO]_?)?(?P<digits>{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS}))"
    rf"(?:(?P<kind>[eEpP])(?P<exponent>[+-]?{_DIGITS}))?",
    re.ASCII,
)
_INTEGER = re.compile(r"(?P<sign>[+-]?)(?:0_?(?P<octal>\d\w*)|\w+)", re.ASCII)
_BASES = {"b": 2, "o": 8}
_MAX_EXPONENT = 1000  # beyond what a float or a 64-bit integer can be equal to

Ratio = tuple[int, int]  # in lowest terms


def duplicates(items: list[Any]) -> Iterator[tuple[int, int]]:
    """Yield (index, index of the first item that is the same) for each repeated item."""
    if all(type(item) is str for item in items):
        firsts: dict[str, int] = {}
        for index, item in enumerate(items):
            if (first := firsts.setdefault(item, index)) != index:
                yield index, first
        return
    alike: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        candidates = alike.setdefault(_key(item), [])
        first = next((other for other in candidates if _same(items[other], item)), index)
        if first != index:
            yield index, first
        else:
            candidates.append(index)


def _key(value: Any) -> object:
    """Return the same for all values that may be equal."""
    if isinstance(value, dict):
        return frozenset((key, _key(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_key, value))
    number = _number(value)
    return (type(value), value) if number is None else number


def _same(one: Any, other: Any) -> bool:
    """Tell whether an item is the same as one after it."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) is type(other):
        return bool(one == other)
    if isinstance(other, str):
        return False
    number = _number(one)
    return number is not None and number == _number(other)


def _number(value: Any) -> Ratio | None:
    """Return what a number, or a string that spells one, is worth."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    text = str(value)
    try:
        if "/" in text:
            above, _, below = text.partition("/")
            return _ratio(_integer(above), _integer(below)) if below[:1].isdigit() else None
        found = _NUMBER.fullmatch(text)
        return _decimal(found) if found else None
    except ValueError:  # a digit that the base doesn't have, or thousands of them
        return None


def _decimal(found: re.Match[str]) -> Ratio | None:
    base = 16 if found["hex"] else _BASES[found["prefix"][1].lower()] if found["prefix"] else 10
    whole, _, rest = (found["hex"] or found["digits"]).replace("_", "").partition(".")
    exponent = int(found["exponent"] or "0")
    if abs(exponent) > _MAX_EXPONENT:
        return None
    power = (2 if found["kind"] in ("p", "P") else 10) ** abs(exponent)
    above, below = int(found["sign"] + whole + rest, base), base ** len(rest)
    return _ratio(above * power, below) if exponent >= 0 else _ratio(above, below * power)


def _ratio(above: int, below: int) -> Ratio | None:
    shared = gcd(above, below)
    return (above // shared, below // shared) if below else None


def _integer(text: str) -> int:
    """Return the value of a Go integer literal: a leading zero means octal. Raises ValueError."""
    found = _INTEGER.fullmatch(text)
    if not found:
        raise ValueError(text)
    return int(f"{found['sign']}0o{found['octal']}" if found["octal"] else text, 0)
