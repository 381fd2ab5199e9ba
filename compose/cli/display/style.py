"""ANSI by hand, for everything but the live view: prefixes, error lines, and text made safe for a terminal.

A colour is the number of an SGR code (ECMA-48). rich would cost 70 ms where a print is all that is wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import IO

RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = 31, 32, 33, 34, 35, 36
BOLD, DIM = 1, 2
LOG_COLOURS = (CYAN, YELLOW, GREEN, MAGENTA, BLUE, 96, 93, 92, 95, 94)

# C0 without tab, DEL and C1: what could move a cursor or retitle a window when a foreign text is printed.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def paint(text: str, *codes: int, on: bool = True) -> str:
    """Return `text` in the given SGR codes, or as it is when `on` is False."""
    return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m" if on and codes else text


def clean(text: str) -> str:
    r"""Return `text` with control characters shown as `\xNN`, so that it cannot act on the terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def is_terminal(stream: IO[str]) -> bool:
    """Tell whether `stream` is a terminal; a closed one is not."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def wants_colour(ansi: str, stream: IO[str], environment: Mapping[str, str]) -> bool:
    """Decide for one stream: `--ansi`, then NO_COLOR (no-color.org), TERM=dumb, whether it is a terminal."""
    if ansi == "always":
        return True
    if ansi == "never" or environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return is_terminal(stream)


def columns(stream: IO[str], default: int = 80) -> int:
    """Return the width of the terminal behind `stream`."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or default
    except (OSError, ValueError):
        return default
