"""Variables in values, never in keys; then the casts that Compose makes by path (`scale: "${N}"` is a number)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from pycompose.config.patterns import Trie, compile_rules
from pycompose.config.syntax.predefined import predefined
from pycompose.config.syntax.template import Lookup, TemplateError, substitute
from pycompose.config.tree import Map, Path, Seq, locate
from pycompose.config.warnings import Warnings
from pycompose.errors import ConfigError, ConfigErrors, InterpolationError, SchemaError

Cast = Callable[[str], object]

_INTEGER = re.compile(r"[-+]?[0-9]+\Z", re.ASCII)
_TRUE = frozenset({"true", "y", "yes", "on"})
_FALSE = frozenset({"false", "n", "no", "off"})


def to_int(text: str) -> int:
    """Return a decimal integer. Raises ValueError."""
    if len(text) > 40 or not _INTEGER.match(text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text[:60]!r} is not an integer")
    return int(text)


def to_float(text: str) -> float:
    """Return a number as Go's ParseFloat reads it: 1_000 and 0x1p-2 are numbers too. Raises ValueError."""
    lower = text.lower()
    try:
        if not text.isascii() or text != text.strip():
            raise ValueError
        value = float.fromhex(text) if "0x" in lower and "p" in lower else float(text)
        if math.isinf(value) and "inf" not in lower:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:60]!r} is not a number") from None
    return value


def to_bool(text: str) -> bool:
    """Return a boolean; the YAML 1.1 words are allowed where a boolean is expected. Raises ValueError."""
    lower = text.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise ValueError(f"{text!r} is not a boolean: true or false")


_CASTS: Trie[Cast] = compile_rules("cast", {"bool": to_bool, "float": to_float, "int": to_int})


def interpolate(root: Map, lookup: Lookup, warnings: Warnings) -> Map:
    """Replace variables in place and cast. Raises InterpolationError or SchemaError, several as ConfigErrors."""
    walk = _Interpolator(root, lookup, warnings)
    walk.mapping(root, (), _CASTS)
    if walk.errors:
        raise walk.errors[0] if len(walk.errors) == 1 else ConfigErrors(walk.errors)
    return root


class _Interpolator:
    def __init__(self, root: Map, lookup: Lookup, warnings: Warnings) -> None:
        self._root = root
        self._lookup = lookup
        self._warnings = warnings
        self.errors: list[ConfigError] = []

    def mapping(self, node: Map, path: Path, casts: Trie[Cast] | None) -> None:
        """Interpolate the values of a mapping, in place."""
        for key, value in node.items():
            below = casts.key(key) if casts else None
            if isinstance(value, str):
                if "$" in value or (below and below.rule):
                    node[key] = self._scalar(value, (*path, key), below)
            elif isinstance(value, Map):
                self.mapping(value, (*path, key), below)
            elif isinstance(value, Seq):
                self._sequence(value, (*path, key), below)

    def _sequence(self, node: Seq, path: Path, casts: Trie[Cast] | None) -> None:
        below = casts.items if casts else None
        for index, value in enumerate(node):
            if isinstance(value, str):
                if "$" in value:
                    node[index] = self._scalar(value, (*path, index), below)
            elif isinstance(value, Map):
                self.mapping(value, (*path, index), below)
            elif isinstance(value, Seq):
                self._sequence(value, (*path, index), below)

    def _scalar(self, text: str, path: Path, casts: Trie[Cast] | None) -> Any:
        def on_unset(name: str) -> str:
            value = predefined(name, self._lookup)
            if value is None:
                self._warnings.unset(name, locate(self._root, path))
            return value or ""

        try:
            value = substitute(text, self._lookup, on_unset)
        except TemplateError as error:
            hint = None
            if str(error).startswith("invalid interpolation"):
                hint = "write $$ for a literal $"
            self.errors.append(InterpolationError(str(error), location=locate(self._root, path), hint=hint))
            return text
        if casts is None or casts.rule is None:
            return value
        try:
            result = casts.rule(value)
        except ValueError as error:
            shown = f"{error}" if value == text else f"{error} (from {text!r})"
            self.errors.append(SchemaError(shown, location=locate(self._root, path)))
            return value
        if casts.rule is to_bool and value.lower() not in ("true", "false"):
            self._warnings.add(
                f"{value!r} for a boolean is not YAML 1.2: write {str(result).lower()}",
                locate(self._root, path),
            )
        return result
