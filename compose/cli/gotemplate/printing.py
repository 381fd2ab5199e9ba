"""How Go's fmt prints: `print`, `println` and the verbs of `printf`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pycompose.cli.gotemplate.values import NO_VALUE, GoMap, shaped, type_name
from pycompose.engine.dataclass import dataclass, replace

# Go refuses more as a width ("tooLarge" in fmt/print.go); neither padding nor loops are for a machine's memory.
WIDEST = 1_000_000
_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?:\[(?P<windex>\d+)\])?(?P<width>\*|\d+)?"
    r"(?:\.(?:\[(?P<pindex>\d+)\])?(?P<precision>\*|\d*))?(?:\[(?P<index>\d+)\])?(?P<verb>.)?",
    re.DOTALL,
)
_BASES = {"b": "b", "d": "d", "o": "o", "x": "x", "X": "X"}
_EXPONENT_FROM, _EXPONENT_BELOW = 6, -4


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its letter, flags, width and precision (None where none is given)."""

    letter: str = "v"
    flags: str = ""
    width: int | None = None
    precision: int | None = None


PLAIN = Verb()


def text(value: Any) -> str:
    """Return a value as `{{.}}` prints it."""
    return value if isinstance(value, str) else "<no value>" if value is NO_VALUE else formatted(value, PLAIN)


def sprint(values: Sequence[Any]) -> str:
    """Return the values side by side, with spaces between two that aren't strings (Go, fmt.Sprint)."""
    out = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out += " "
        out += formatted(value, PLAIN)
    return out


def sprintln(values: Sequence[Any]) -> str:
    """Return the values with spaces between them and a newline behind (Go, fmt.Sprintln)."""
    return " ".join(formatted(value, PLAIN) for value in values) + "\n"


def sprintf(template: str, values: Sequence[Any]) -> str:
    """Return the values put into the template; mistakes are told within the text, as Go does (fmt.Sprintf)."""
    out, position, taken = [], 0, _Arguments(values)
    for match in _VERB.finditer(template):
        out += [template[position : match.start()], _one(match, taken)]
        position = match.end()
    out.append(template[position:])
    if extra := taken.extra():
        shown = ", ".join(f"{type_name(value)}={formatted(value, PLAIN)}" for value in extra)
        out.append(f"%!(EXTRA {shown})")
    return "".join(out)


class _Arguments:
    """What printf was given, taken in order or by number."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self._next = 0
        self._numbered = False

    def go_to(self, number: str | None) -> bool:
        """Continue with an argument by number; tell whether there is one."""
        if number is None:
            return True
        self._numbered = True
        good = 1 <= int(number[:9]) <= len(self._values)
        self._next = int(number) - 1 if good else self._next
        return good

    def take(self) -> tuple[Any, ...]:
        """Return the next one, () when there is none left."""
        found = tuple(self._values[self._next : self._next + 1])
        self._next += 1
        return found

    def extra(self) -> Sequence[Any]:
        """Return what no verb has asked for; numbers may leave some out."""
        return () if self._numbered else self._values[self._next :]


def _one(match: re.Match[str], arguments: _Arguments) -> str:
    letter = match["verb"]
    if letter is None:
        return "%!(NOVERB)"
    good = arguments.go_to(match["windex"])
    flags, width = match["flags"], _size(match["width"], arguments)
    good = arguments.go_to(match["pindex"]) and good
    precision = _size(match["precision"], arguments)
    good = arguments.go_to(match["index"]) and good
    if letter == "%":
        return "%"
    if not good:
        return f"%!{letter}(BADINDEX)"
    if width is not None and width < 0:
        flags, width = flags + "-", -width
    if match["precision"] == "":
        precision = 0
    given = arguments.take()
    if not given:
        return f"%!{letter}(MISSING)"
    return formatted(given[0], Verb(letter, flags, width, precision))


def _size(digits: str | None, arguments: _Arguments) -> int | None:
    """Return a width or precision, of which `*` takes it from the arguments; what is too large counts as none."""
    value: Any = digits
    if digits == "*":
        (value,) = arguments.take() or (None,)
        if isinstance(value, bool) or not isinstance(value, int):
            return None
    elif not digits:
        return None
    number = int(value) if len(str(value)) <= len(str(WIDEST)) else WIDEST + 1
    return number if abs(number) <= WIDEST else None


def formatted(value: Any, verb: Verb) -> str:
    """Return one value by a verb; lists and objects by the same for each of their parts."""
    if verb.letter == "T":
        return _padded(type_name(value), replace(verb, precision=None))
    if value is NO_VALUE or value is None:
        return _padded("<nil>", verb) if verb.letter == "v" else f"%!{verb.letter}(<nil>)"
    if isinstance(value, (list, tuple)):
        return f"[{' '.join(formatted(item, verb) for item in value)}]"
    if isinstance(value, Mapping):
        return _object(value, verb)
    kinds: tuple[tuple[type, Callable[[Any, Verb], str | None]], ...] = (
        (bool, _bool), (str, _string), (int, _integer), (float, _float),
    )  # fmt: skip
    for kind, form in kinds:
        if isinstance(value, kind):
            done = form(value, verb)
            return done if done is not None else f"%!{verb.letter}({type_name(value)}={text(value)})"
    return str(value)


def _object(value: Mapping[str, Any], verb: Verb) -> str:
    if isinstance(value, GoMap):
        return f"map[{' '.join(_entries(value, verb, sorted(value)))}]"
    parts = {key: shaped(value, key) for key in value}
    if "+" in verb.flags or "#" in verb.flags:
        return f"{{{' '.join(_entries(parts, verb, parts))}}}"
    return f"{{{' '.join(formatted(item, verb) for item in parts.values())}}}"


def _entries(value: Mapping[str, Any], verb: Verb, keys: Sequence[str] | Mapping[str, Any]) -> Iterator[str]:
    for key in keys:
        yield f"{key}:{formatted(value[key], verb)}"


def _padded(shown: str, verb: Verb, *, zeros: bool = False) -> str:
    width = verb.width or 0
    if "-" in verb.flags:
        return shown.ljust(width)
    if zeros and "0" in verb.flags:
        sign = shown[:1] if verb.letter != "s" and shown[:1] in ("+", "-", " ") else ""
        return sign + shown[len(sign) :].rjust(width - len(sign), "0")
    return shown.rjust(width)


def _bool(value: bool, verb: Verb) -> str | None:  # noqa: FBT001
    return _padded("true" if value else "false", verb) if verb.letter in "tv" else None


def _string(value: str, verb: Verb) -> str | None:
    cut = value if verb.precision is None else value[: verb.precision]
    if verb.letter == "q" or (verb.letter == "v" and "#" in verb.flags):
        return _padded(quoted(cut), verb)
    if verb.letter in "xX":
        digits = cut.encode("utf-8", "replace").hex()
        return _padded(digits.upper() if verb.letter == "X" else digits, verb)
    return _padded(cut, verb, zeros=True) if verb.letter in "sv" else None


def quoted(value: str) -> str:
    """Return a string as a Go literal."""
    names = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
             "\t": "\\t", "\v": "\\v"}  # fmt: skip
    out = []
    for char in value:
        code = ord(char)
        if char in names or char.isprintable():
            out.append(names.get(char, char))
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(out)}"'


def _sign(verb: Verb, *, negative: bool) -> str:
    return "-" if negative else "+" if "+" in verb.flags else " " if " " in verb.flags else ""


def _integer(value: int, verb: Verb) -> str | None:
    letter = "d" if verb.letter == "v" else verb.letter
    if letter in "cqU":
        if not 0 <= value <= 0x10FFFF or 0xD800 <= value < 0xE000:
            value = 0xFFFD
        shown = {"c": chr(value), "U": f"U+{value:04X}"}.get(letter) or _quoted_char(value)
        return _padded(shown, verb)
    if letter not in _BASES and letter != "O":
        return None
    digits = format(abs(value), _BASES.get(letter, "o")).rjust(verb.precision or 0, "0")
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(letter, "") if "#" in verb.flags else ""
    shown = _sign(verb, negative=value < 0) + ("0o" if letter == "O" else prefix) + digits
    return _padded(shown, verb, zeros=verb.precision is None)


def _quoted_char(value: int) -> str:
    inner = quoted(chr(value))[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"


def _float(value: float, verb: Verb) -> str | None:
    letter = verb.letter.lower()
    if letter == "v":
        letter = "g"
    if letter not in ("e", "f", "g"):
        return None
    if not math.isfinite(value):
        return _padded("NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf", verb)
    if letter == "g" and verb.precision is None:
        digits = _shortest(abs(value))
    else:
        digits = format(abs(value), f".{6 if verb.precision is None else verb.precision}{letter}")
    shown = _sign(verb, negative=value < 0) + (digits.upper() if verb.letter in "EG" else digits)
    return _padded(shown, verb, zeros=True)


def _shortest(value: float) -> str:
    """Return the fewest digits that mean this number (Go, %v of a float64)."""
    for precision in range(17):
        mantissa, _, exponent = f"{value:.{precision}e}".partition("e")
        if float(f"{mantissa}e{exponent}") == value:
            break
    if not _EXPONENT_BELOW <= int(exponent) < _EXPONENT_FROM:
        return f"{mantissa}e{exponent}"
    return f"{value:.{max(precision - int(exponent), 0)}f}"
