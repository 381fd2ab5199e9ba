"""What an untagged plain YAML scalar means: the typing table of go-yaml, which compose files are written against.

It differs from YAML 1.1 as PyYAML resolves it: `yes`, `no`, `on`, `off` and `22:22` are strings, `0o17` and `010`
are 15 and 8, `1e3` is a float, `2020-01-01` is a timestamp (which compose files may not contain).
"""

from __future__ import annotations

import re

CONSTANTS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"),
    "+.inf": float("inf"), "+.Inf": float("inf"), "+.INF": float("inf"),
    "-.inf": float("-inf"), "-.Inf": float("-inf"), "-.INF": float("-inf"),
}  # fmt: skip
# Only these can begin something else than a string.
HINTS = frozenset("~nNtTfF.+-0123456789")

MAX_DIGITS = 66  # "0b" and 64 bits

_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}.*)?\Z", re.ASCII)


class Timestamp(str):
    """A plain scalar that YAML reads as a date; it keeps its text for the error message."""

    __slots__ = ()


def resolve(text: str) -> object:
    """Return None, bool, int, float, `Timestamp` or the text itself, for a plain scalar without a tag."""
    if text and text[0] not in HINTS:
        return text
    if text in CONSTANTS:
        return CONSTANTS[text]
    digits = text.replace("_", "")
    if _INT.match(digits):
        value = _integer(digits)
        if value is not None:
            return value
    if _FLOAT.match(digits if text[0] != "." else text):
        number = float(digits)
        return text if number in (float("inf"), float("-inf")) else number
    if _DATE.match(text):
        return Timestamp(text)
    return text


def _integer(digits: str) -> int | None:
    """Return the integer as strconv.ParseInt(text, 0, 64) reads it, None where it doesn't fit 64 bits."""
    sign = -1 if digits[0] == "-" else 1
    body = digits.lstrip("+-").lower()
    if len(body) > MAX_DIGITS:
        return None
    if body.startswith(("0x", "0b", "0o")):
        value = sign * int(body, 0)
    else:
        value = sign * int(body, 8 if body[0] == "0" else 10)
    return value if -(2**63) <= value < 2**64 else None
