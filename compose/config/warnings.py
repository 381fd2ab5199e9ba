"""What a load has to say without failing: collected here, shown by the caller."""

from __future__ import annotations

from pycompose.errors import ConfigWarning, Location


class Warnings:
    """The warnings of one load, each said once, and where variables without a value are used."""

    def __init__(self) -> None:
        self._items: list[ConfigWarning] = []
        self._seen: set[object] = set()
        self._unset: list[tuple[str, Location]] = []

    def add(self, text: str, location: Location, *, once: str | None = None) -> None:
        """Add a warning, unless the same one, or one with the same `once`, is there."""
        key = once or (text, location)
        if key not in self._seen:
            self._seen.add(key)
            self._items.append(ConfigWarning(text, location))

    def unset(self, name: str, location: Location) -> None:
        """Say, once per name, that a variable has no value."""
        self._unset.append((name, location))
        self.add(f'the "{name}" variable is not set: using an empty string', location, once=f"unset:{name}")

    def unset_at(self, place: Location) -> list[str]:
        """Return the names of the variables without a value in what stands at a place, or in a resource there."""
        inside = f"{place.path}."
        names = [
            name
            for name, where in self._unset
            if (where.file, where.line, where.column) == (place.file, place.line, place.column)
            or (inside.count(".") > 1 and where.file == place.file and where.path.startswith(inside))
        ]
        return list(dict.fromkeys(names))

    def all(self) -> tuple[ConfigWarning, ...]:
        """Return them in the order of their discovery."""
        return tuple(self._items)
