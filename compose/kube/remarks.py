"""What is to be said about a compose file on its way to a cluster, each with its place in the file."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pycompose.config.tree import locate
from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from pycompose.config.tree import Map, Path
    from pycompose.errors import Location


class Severity(Enum):
    """How much it matters: an error lets nothing be written, a warning is a loss, a note a difference."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to say. `location` has the path of the attribute, and its file, line and column where it has some."""

    severity: Severity
    text: str
    location: Location

    def __str__(self) -> str:
        place = self.location
        return f"{place}: {place.path}: {self.text}" if place.line else f"{place.path}: {self.text}"

    def to_json(self) -> dict[str, object]:
        """Return it with its place as separate fields."""
        place = self.location
        return {
            "severity": self.severity.value,
            "text": self.text,
            "path": place.path,
            "file": place.file,
            "line": place.line,
            "column": place.column,
        }


@dataclass(slots=True)
class Remarks:
    """Collects what is found; `tree` is the canonical model, whose nodes know where they stood."""

    tree: Map
    found: list[Remark] = field(default_factory=list)

    def error(self, path: Path, text: str) -> None:
        """Say why nothing can be made of it."""
        self._add(Severity.ERROR, path, text)

    def warning(self, path: Path, text: str) -> None:
        """Say what is lost."""
        self._add(Severity.WARNING, path, text)

    def note(self, path: Path, text: str) -> None:
        """Say what is otherwise in a cluster."""
        self._add(Severity.NOTE, path, text)

    def _add(self, severity: Severity, path: Path, text: str) -> None:
        remark = Remark(severity, text, locate(self.tree, path, of_key=True))
        if remark not in self.found:
            self.found.append(remark)
