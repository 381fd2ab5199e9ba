"""One verdict of `doctor`, and the four ways to make one."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.doctor.facts import Reason

ASK_ROOT = "`sudo pycompose doctor` tells"


class State(Enum):
    """`limited` works with less than it could, `missing` is needed; `unknown` can only be told by root."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One verdict: what was found, what that limits, and how to mend it ("" where all is well)."""

    check: str
    state: State
    found: str
    limits: str = ""
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the fields by name."""
        return {
            "check": self.check,
            "state": self.state.value,
            "found": self.found,
            "limits": self.limits,
            "mend": self.mend,
        }


def ok(check: str, found: str) -> Row:
    """Return that all is well."""
    return Row(check=check, state=State.OK, found=found)


def limited(check: str, found: str, limits: str, mend: str) -> Row:
    """Return that it works with less."""
    return Row(check=check, state=State.LIMITED, found=found, limits=limits, mend=mend)


def missing(check: str, found: str, limits: str, mend: str) -> Row:
    """Return that it doesn't work."""
    return Row(check=check, state=State.MISSING, found=found, limits=limits, mend=mend)


def unknown(check: str, found: str = "not tried: it needs root") -> Row:
    """Return that only root could tell."""
    return Row(check=check, state=State.UNKNOWN, found=found, mend=ASK_ROOT)


def failures(steps: Mapping[str, Reason]) -> str:
    """Return what failed and why, as one line."""
    return ", ".join(f"{name}: {reason}" for name, reason in steps.items() if reason)


def untried(steps: Mapping[str, Reason]) -> bool:
    """Tell whether nothing was tried."""
    return all(reason is None for reason in steps.values())
