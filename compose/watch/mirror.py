"""One container's copy: what we have put into it, and what there is to do until it is what the rules say.

What we have put is written down beside the container (`watched` in its directory, removed with it), each name before
the file: whoever comes after a kill knows what to take away. A record is `+PLACE` or `-PLACE`, ended by a zero byte;
`PLACE/` is a directory that we have made, and not only found: it has the mode of the one outside.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.config import User
from pycompose.engine.container.users import resolve_user
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import EngineError
from pycompose.watch import deep
from pycompose.watch.content import Changing
from pycompose.watch.reports import READ_ONLY
from pycompose.watch.writer import MOST_COMPARED, ContainerTree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pycompose.watch.manifest import FileEntry
    from pycompose.watch.rules import FileRule
    from pycompose.watch.view import Item, View
    from pycompose.watch.writer import Owner

LEDGER = "watched"
# A file of so many bytes that changes while it is copied is tried again after so many seconds, not at once: a download
# would be copied from its beginning for as long as it takes, and others would wait each time.
LARGE = 1 << 20
CHANGING_S = 0.25
# Why files can't be written, in words.
REASONS = {
    errno.ENOSPC: "no space left in the container",
    errno.EDQUOT: "the container's quota is used up",
    errno.EROFS: READ_ONLY,
}


@dataclass(slots=True)
class SyncOutcome:
    """What a sync has done.

    `written` are the sources of what was put or taken away, by the index of the rule; `failures` the reasons by place;
    `again` the sources that have to be looked at once more, `later` those after CHANGING_S.
    """

    written: dict[int, list[str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many files it has changed."""
        return sum(map(len, self.written.values()))

    def wrote(self, rule: FileRule, source: str) -> None:
        """Note a change."""
        self.written.setdefault(rule.index, []).append(source)


class Ledger:
    """The names of what we have put into a container."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LEDGER

    def read(self) -> set[str]:
        """Return the places that are ours; nothing for a container that we have never seen."""
        found: set[str] = set()
        try:
            data = self._path.read_bytes()
        except OSError:
            return found
        for record in data.split(b"\0")[:-1]:  # what was cut off never happened
            place = os.fsdecode(record[1:])
            if record[:1] == b"+":
                found.add(place)
            else:
                found.discard(place)
        return found

    def append(self, more: Iterable[str], less: Iterable[str]) -> None:
        """Note what comes and what has gone. Raises OSError."""
        data = b"".join(
            [b"+%b\0" % os.fsencode(place) for place in more]
            + [b"-%b\0" % os.fsencode(place) for place in less]
        )
        if data:
            with self._path.open("ab", buffering=0) as file:
                file.write(data)


class Mirror:
    """What one container has of the view of its service."""

    def __init__(self, directory: Path) -> None:
        """`directory` is where the container's state lies."""
        self._ledger = Ledger(directory)
        noted = self._ledger.read()
        self._made = {place[:-1] for place in noted if place.endswith("/")}
        # What we have put, and for which file outside; None: not known, or it couldn't be written.
        self._applied: dict[str, FileEntry | None] = dict.fromkeys(
            place for place in noted if not place.endswith("/")
        )
        self._adopted: dict[str, FileEntry] = {}
        self._failed: set[str] = set()
        # Large files that are being written: until when (s of the monotonic clock) they are left alone.
        self._changing: dict[str, float] = {}
        # Copied so soon after they were written that they may have been written once more since, looking the same.
        self._doubtful: set[str] = set()
        self._known = False

    def forget(self) -> None:
        """Compare everything with what is really there, the next time."""
        self._known = False

    def adopt(self, place: str, entry: FileEntry) -> None:
        """Note that `place` has been copied from here to the file outside that is `entry` now. Raises OSError."""
        self._ledger.append([place], ())
        self._applied[place] = self._adopted[place] = entry

    def same(self, place: str, entry: FileEntry | None) -> bool:
        """Tell whether the file outside is what it was when it was last copied, or has never been there."""
        return self._applied.get(place) == entry

    def behind(self, view: View) -> set[str]:
        """Return the places where the container isn't yet what `view` says, as far as we know."""
        applied = self._applied if self._known else {}
        wrong = {
            place for place, item in view.items.items() if not item.held and applied.get(place) != item.entry
        }
        return wrong | {place for place in self._applied if place not in view.items} | self._failed

    def sync(self, root: int, view: View, places: set[str] | None = None) -> SyncOutcome:
        """Bring the container behind `root` up to date: at `places` (changed outside), or (None) wherever it isn't.

        Files that can't be written are in the outcome, and are tried again by the next sync. Raises OSError when
        nothing can be noted.
        """
        outcome = SyncOutcome()
        wanted = self.behind(view) if places is None or not self._known else places | self._failed
        now_s = time.monotonic()
        self._changing = {place: until_s for place, until_s in self._changing.items() if until_s > now_s}
        self._failed = {place for place in wanted & self._changing.keys() if place in view.items}
        here = [
            place
            for place in wanted - self._changing.keys()
            if (item := view.items.get(place))
            and not item.held
            and self._adopted.get(place) != item.entry  # as often as it is heard of
        ]
        for place in here:
            self._adopted.pop(place, None)
        gone = [place for place in wanted if place not in view.items]
        self._ledger.append((place for place in here if place not in self._applied), ())
        for place in here:
            self._applied.setdefault(place)
        owners: dict[str, Owner | None] = {"": None}
        with ContainerTree(root) as tree:
            # What is in a directory goes before it, and what takes its place comes after.
            for place in sorted(gone, reverse=True):
                self._remove(tree, place, view, outcome)
            for place in sorted(here):
                self._put(root, tree, place, view.items[place], outcome, owners)
        gone = [place for place in gone if place not in self._failed]
        self._ledger.append((), gone)
        self._ledger.append((), (f"{place}/" for place in gone if place in self._made))
        for place in gone:
            self._applied.pop(place, None)
        self._made.difference_update(gone)
        self._known = True
        return outcome

    def _remove(self, tree: ContainerTree, place: str, view: View, outcome: SyncOutcome) -> None:
        try:
            if tree.remove(place) and (found := view.origin(place)):
                outcome.wrote(*found)
        except OSError as exc:
            self._fail(place, exc, outcome)
        else:
            self._doubtful.discard(place)

    def _put(
        self,
        root: int,
        tree: ContainerTree,
        place: str,
        item: Item,
        outcome: SyncOutcome,
        owners: dict[str, Owner | None],
    ) -> None:
        source = item.source(place)
        try:
            owner = item.rule.owner
            if owner not in owners:
                ids = resolve_user(root, User(spec=owner))
                owners[owner] = (ids.uid, ids.gid)
            made = place in self._made
            # Nothing has changed that can be seen: somebody may have written twice within a tick of the clock.
            anew = self._known and self._applied.get(place) == item.entry
            if anew:
                if place not in self._doubtful:
                    return
                self._doubtful.discard(place)
                if not tree.outdated(place, source, item.entry):
                    return
            if (
                item.entry.size <= MOST_COMPARED
                and not item.entry.directory
                and item.entry.young(time.time_ns())
            ):
                self._doubtful.add(place)
            known = self._known
            if tree.put(place, source, item.entry, owners[owner], known=known, made=made, anew=anew):
                outcome.wrote(item.rule, source)
                if item.entry.directory and not made:
                    self._made.add(place)
                    self._ledger.append((f"{place}/",), ())
        except (OSError, EngineError) as exc:
            if isinstance(exc, Changing) or not _exists(source):
                # It has changed since we looked, and is about to be looked at again.
                self._failed.add(place)
                if isinstance(exc, Changing) and item.entry.size >= LARGE:
                    self._changing[place] = time.monotonic() + CHANGING_S
                    outcome.later.append(source)
                else:
                    outcome.again.append(source)
            else:
                self._fail(place, exc, outcome, source=source)
        else:
            self._applied[place] = item.entry

    def _fail(
        self, place: str, exc: OSError | EngineError, outcome: SyncOutcome, *, source: str = ""
    ) -> None:
        self._failed.add(place)
        if isinstance(exc, EngineError):
            outcome.failures[place] = exc.message
            return
        reason = REASONS.get(exc.errno or 0) or os.strerror(exc.errno or 0)
        outcome.failures[place] = f"cannot be read here: {reason}" if exc.filename == source else reason


def _exists(path: str) -> bool:
    try:
        deep.reached(os.lstat, path)
    except OSError:
        return False
    return True
