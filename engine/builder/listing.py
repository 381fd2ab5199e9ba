"""What a step has read, as lines: enough for a digest, and to tell later which file was another one.

One line per entry: name, type, mode, owner, link, device, digest of its content, with NULs between; times don't count.
The lines of a directory (itself, what is no directory in it) follow a head with its path inside the source of COPY,
those of each source a head that isn't hashed, so that a path can be shown. No name is empty: heads begin with a NUL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# Of a tree with more lines than these hold, only the digest is kept.
MOST_BYTES = 32 << 20
_NAMED = 3
_SHORT = 12


class Listing:
    """Collects the lines of one step; `text` is what is kept."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._bytes = 0

    def begin(self, source: str) -> None:
        """Start with the lines of another source."""
        self._keep(b"\0" + source.encode("utf-8", "surrogateescape") + b"\n")

    def _keep(self, line: bytes) -> None:
        self._bytes += len(line)
        if self._bytes <= MOST_BYTES:
            self._pieces.append(line)
        else:
            self._pieces.clear()

    def digest(self, lines: Iterable[bytes]) -> str:
        """Take the lines of a source, return their digest."""
        whole = hashlib.sha256()
        for line in lines:
            whole.update(line)
            self._keep(line)
        return whole.hexdigest()

    @property
    def text(self) -> bytes:
        """All that was collected, b"" when it was too much."""
        return b"".join(self._pieces)


def line(*fields: str) -> bytes:
    """Return one line."""
    return "\0".join(fields).encode("utf-8", "surrogateescape") + b"\n"


def head(inside: str, mode: str, owner: str) -> bytes:
    """Return what comes before the lines of a directory: its path inside the source, its own line."""
    return b"\0\0%s\0\n" % inside.encode("utf-8", "surrogateescape") + line(
        ".", "40000", mode, owner, "", "", ""
    )


def changes(old: bytes, new: bytes) -> list[str]:
    """Return what differs between two listings, a phrase per file; the first three by name, then how many more."""
    before, after = _entries(old), _entries(new)
    found = [
        phrase
        for path in sorted({*before, *after})
        if (phrase := _phrase(path, before.get(path), after.get(path)))
    ]
    if len(found) > _NAMED:
        more = len(found) - _NAMED
        return [*found[:_NAMED], f"and {more} more file{'s' if more > 1 else ''}"]
    return found


def _entries(text: bytes) -> dict[str, list[str]]:
    """Return path → type, mode, owner, link, device, digest."""
    found = {}
    source = ""
    # Where the lines are from inside the source; None when that is a file.
    inside: str | None = None
    for item in text.decode("utf-8", "surrogateescape").split("\n"):
        name, *fields = item.split("\0")
        if not name and len(fields) == 1:
            source, inside = fields[0], None
        elif not name and len(fields) == 3:
            inside = fields[1]
        elif len(fields) == 6:
            parts = (source,) if inside is None else (source, inside, "" if name == "." else name)
            found["/".join(part for part in parts if part)] = fields
    return found


def _phrase(path: str, before: list[str] | None, after: list[str] | None) -> str:
    path = path or "."
    if before is None:
        return f"{path} is new"
    if after is None:
        return f"{path} is gone"
    if before == after:
        return ""
    was, now = _content(before), _content(after)
    if was != now:
        return f"{path} changed ({was} -> {now})"
    for number, what in ((1, "mode"), (2, "owner")):
        if before[number] != after[number]:
            return f"{path}: {what} {before[number]} -> {after[number]}"
    return f"{path} changed"


def _content(entry: list[str]) -> str:
    kind, _mode, _owner, link, device, digest = entry
    return digest[:_SHORT] or (f"link to {link}" if link else "") or device or _KINDS.get(kind, kind)


_KINDS = {"40000": "directory", "10000": "FIFO", "120000": "link", "100000": "file"}
