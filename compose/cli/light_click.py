"""Imports click without `inspect`, which brings `ast`, `dis` and `tokenize`: 5 ms of a command that isn't handed over.

click takes `inspect.cleandoc` for each help text, and more of it for what we don't do. What it gets here is the same
for a text of one line, and the real thing for everything else.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

_NAME = "inspect"


class _Inspect(types.ModuleType):
    """Stands for `inspect` until somebody wants more of it than the indentation of one line."""

    def cleandoc(self, text: str) -> str:
        """Return what inspect.cleandoc does."""
        if "\n" in text:
            return str(self._real().cleandoc(text))
        return text.expandtabs().lstrip()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def _real(self) -> types.ModuleType:
        if sys.modules.get(_NAME) is self:  # while click is imported
            del sys.modules[_NAME]
        return importlib.import_module(_NAME)


def load() -> None:
    """Import click; nobody but click sees what stands for `inspect`. Before other threads are there."""
    if _NAME in sys.modules or "click" in sys.modules:
        return
    stand_in = _Inspect(_NAME)
    sys.modules[_NAME] = stand_in
    try:
        importlib.import_module("click")
    finally:
        if sys.modules.get(_NAME) is stand_in:
            del sys.modules[_NAME]
