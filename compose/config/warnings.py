"""What a load has to say without failing: collected here, shown by the caller."""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass
from pycompose.errors import Location


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """One thing to say about the compose files, and where it comes from."""

    text: str
    location: Location


class Warnings:
    """The warnings of one load, each said once."""

    def __init__(self) -> None:
        self._items: list[ConfigWarning] = []
        self._seen: set[object] = set()

    def add(self, text: str, location: Location, *, once: str | None = None) -> None:
        """Add a warning, unless the same one, or one with the same `once`, is there."""
        key = once or (text, location)
        if key not in self._seen:
            self._seen.add(key)
            self._items.append(ConfigWarning(text, location))

    def unset(self, name: str, location: Location) -> None:
        """Say, once per name, that a variable has no value."""
        self.add(f'the "{name}" variable is not set: using an empty string', location, once=f"unset:{name}")

    def all(self) -> tuple[ConfigWarning, ...]:
        """Return them in the order of their discovery."""
        return tuple(self._items)
