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
        return _integer(digits)
    if _FLOAT.match(digits if text[0] != "." else text):
        return float(digits)
    if _DATE.match(text):
        return Timestamp(text)
    return text


def _integer(digits: str) -> int | float:
    """Return the integer, or a float where it doesn't fit 64 bits, as strconv.ParseInt(text, 0, 64) decides."""
    sign = -1 if digits[0] == "-" else 1
    body = digits.lstrip("+-")
    lower = body.lower()
    if lower.startswith(("0x", "0b", "0o")):
        value = sign * int(lower, 0)
    elif len(body) > 1 and body[0] == "0":
        value = sign * int(body, 8)
    else:
        value = sign * int(body)
    return value if -(2**63) <= value < 2**64 else float(value)
