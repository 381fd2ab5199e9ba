"""The canonical model as YAML and JSON, byte for byte as Docker Compose prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any

from pycompose.config.json_text import go_json
from pycompose.config.scalars import resolve
from pycompose.config.tree import Struct
from pycompose.units import format_float

_OLD_BOOLEANS = frozenset(
    ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"]
)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z", re.ASCII)
# Plain for certain, without a look at the rules: letters first, nothing special after.
_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9/_.=-]*(?:[:,@+][A-Za-z0-9/_.=-]+)*\Z", re.ASCII)
_INDICATORS = frozenset("#,[]{}&*!|>'\"%@`")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
_ESCAPES = {
    "\0": "\\0", "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r",
    "\x1b": "\\e", '"': '\\"', "\\": "\\\\", "\x85": "\\N", "\u2028": "\\L", "\u2029": "\\P",
}  # fmt: skip
_MAX_SIMPLE_KEY = 128


def render_yaml(tree: Any, *, escape: bool = True) -> str:
    """Return the tree as YAML; `escape` writes `$` as `$$`, so that the output means the same when it is read."""
    lines: list[str] = []
    _block(tree, 0, "", lines)
    text = "\n".join(lines) + "\n"
    return text.replace("$", "$$") if escape else text


def render_json(tree: Any, *, escape: bool = True) -> str:
    """Return the tree as JSON, indented by two; `escape` as in `render_yaml`."""
    text = go_json(tree)
    return text.replace("$", "$$") if escape else text


def leave_out_defaults(tree: Any) -> None:
    """Take out of a marshalled model, in place, what Compose prints since 5.0 only where it isn't the default."""
    for service in tree["services"].values():
        flags = [(mount.get("bind") or {}, "create_host_path") for mount in service.get("volumes") or ()]
        flags += [(file, "required") for file in service.get("env_file") or ()]
        for node, key in flags:
            if node.get(key) is True:
                del node[key]


def natural(keys: Any) -> list[str]:
    """Return keys in the order of go-yaml: digits by their number, letters after everything else."""
    return sorted(keys, key=cmp_to_key(_compare))


def _items(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Struct) or len(node) < 2:
        yield from node.items()
    else:
        for key in natural(node):
            yield key, node[key]


def _block(node: Any, indent: int, lead: str, lines: list[str]) -> None:
    """Write a node whose first line begins with `lead` (everything up to the value)."""
    pad = " " * indent
    if isinstance(node, dict) and node:
        for key, value in _items(node):
            if "\n" in key or len(key.encode()) > _MAX_SIMPLE_KEY:
                lines.append(f"{lead or pad}? {_scalar(key, indent + 2)}")
                _block(value, indent + 2, f"{pad}: ", lines)
            else:
                _entry(value, indent, f"{lead or pad}{_scalar(key, indent)}:", lines)
            lead = ""
    elif isinstance(node, list) and node:
        for item in node:
            start = f"{lead or pad}- "
            if isinstance(item, (dict, list)) and item:
                _block(item, indent + 2, start, lines)
            else:
                lines.append(start + _scalar(item, indent + 2))
            lead = ""
    else:
        lines.append((lead or pad) + _scalar(node, indent))


def _entry(value: Any, indent: int, lead: str, lines: list[str]) -> None:
    if isinstance(value, (dict, list)) and value:
        lines.append(lead)
        _block(value, indent + 2, "", lines)
    else:
        lines.append(f"{lead} {_scalar(value, indent + 2)}")


def _scalar(value: Any, indent: int) -> str:
    if isinstance(value, str):
        return value if _PLAIN.match(value) and value not in _WORDS else _string(value, indent)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _yaml_float(value)
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return str(value)


_WORDS = _OLD_BOOLEANS | {"null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"}


def _yaml_float(value: float) -> str:
    text = format_float(value)
    return {"NaN": ".nan", "+Inf": ".inf", "-Inf": "-.inf"}.get(text, text)


def _string(text: str, indent: int) -> str:
    plain = isinstance(resolve(text), str) and type(resolve(text)) is str
    plain = plain and text not in _OLD_BOOLEANS and not _BASE_60.match(text)
    if "\n" in text:
        return _literal(text, indent) if _block_allowed(text) else _double(text)
    if not plain:
        return _double(text)
    if _plain_allowed(text):
        return text
    return "'" + text.replace("'", "''") + "'" if _single_allowed(text) else _double(text)


def _special(text: str) -> bool:
    return bool(_UNPRINTABLE.search(text))


def _single_allowed(text: str) -> bool:
    return not (_special(text) or "\t" in text or "\r" in text)


def _plain_allowed(text: str) -> bool:
    if not _single_allowed(text) or text[0] == " " or text[-1] == " " or text.startswith(("---", "...")):
        return False
    first, following = text[0], text[1:2]
    blank = following in ("", " ", "\t")
    if first in _INDICATORS or (first in "?:-" and blank):
        return False
    return not (": " in text or text.endswith(":") or " #" in text or "\u2028" in text or "\u2029" in text)


def _block_allowed(text: str) -> bool:
    return not (_special(text) or "\r" in text or text[-1] == " " or " \n" in text)


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " \n" else ""
    chomp = "-"
    if text.endswith("\n"):
        chomp = "+" if text == "\n" or text.endswith("\n\n") else ""
    pad = " " * indent
    body = text.removesuffix("\n") if chomp != "-" else text
    lines = [pad + line if line else "" for line in body.split("\n")]
    return f"|{hint}{chomp}\n" + "\n".join(lines)


def _double(text: str) -> str:
    parts = []
    for character in text:
        if character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif _UNPRINTABLE.match(character) or character == "\ufeff":
            code = ord(character)
            parts.append(
                f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
            )
        else:
            parts.append(character)
    return '"' + "".join(parts) + '"'


def _compare(a: str, b: str) -> int:
    """Order two keys as go-yaml's keyList does."""
    digits = False
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x == y:
            digits = x.isdigit()
            continue
        x_letter, y_letter = x.isalpha(), y.isalpha()
        if x_letter and y_letter:
            return -1 if x < y else 1
        if x_letter or y_letter:
            return -1 if (x_letter if digits else y_letter) else 1
        return _compare_numbers(a, b, i)
    return len(a) - len(b)


def _compare_numbers(a: str, b: str, i: int) -> int:
    start = 0
    if a[i] == "0" or b[i] == "0":
        j = i - 1
        while j >= 0 and a[j].isdigit():
            if a[j] != "0":
                start = 1
                break
            j -= 1
    (a_number, a_end), (b_number, b_end) = _number(a, i, start), _number(b, i, start)
    if a_number != b_number:
        return -1 if a_number < b_number else 1
    if a_end != b_end:
        return a_end - b_end
    return -1 if a[i] < b[i] else 1


def _number(text: str, position: int, value: int) -> tuple[int, int]:
    while position < len(text) and text[position].isdecimal():
        value = value * 10 + int(text[position])
        position += 1
    return value, position
