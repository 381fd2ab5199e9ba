"""What differs on purpose when an ordinary user runs what the tests expect of root: tests/e2e/as_user.toml."""

from __future__ import annotations

import fnmatch
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIST = Path(__file__).parents[1] / "e2e/as_user.toml"


@dataclass(frozen=True, kw_only=True)
class AsUser:
    """One difference; `tests` are patterns of fnmatch for those that expect root's ways, below tests/e2e."""

    id: str
    root: str
    user: str
    why: str
    tests: list[str]
    sometimes: str = ""

    def is_about(self, nodeid: str) -> bool:
        """Tell whether a test expects root's ways."""
        name = nodeid.removeprefix("tests/e2e/")
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.tests)


@cache
def differences() -> list[AsUser]:
    """Return the list."""
    return [AsUser(**entry) for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["difference"]]
