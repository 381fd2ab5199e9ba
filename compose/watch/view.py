"""What the rules of one service make of the manifest: which file belongs where in its containers."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompose.watch.manifest import FileEntry, SourceManifest
    from pycompose.watch.rules import FileRule


class Item(NamedTuple):
    """What belongs at a place in a container: the file outside as it is now, and the rule that says where it is.

    One that is `held` is left as it is in the container: `initial_sync: false`, and it hasn't changed since.
    """

    entry: FileEntry
    rule: FileRule
    held: bool = False

    def source(self, place: str) -> str:
        """Return where outside the file at `place` is: not kept, for there may be very many."""
        return self.rule.source(place) or ""


class View:
    """Place in the container → Item, for one service."""

    def __init__(self, rules: Sequence[FileRule]) -> None:
        self.rules = tuple(rule for rule in rules if rule.syncs)
        self.items: dict[str, Item] = {}

    def fill(self, manifest: SourceManifest) -> None:
        """Take in everything that is there when the watcher starts."""
        self._take(manifest.files(), manifest, beginning=True)

    def update(self, changed: Iterable[str], manifest: SourceManifest) -> set[str]:
        """Take in what has changed outside; return the places that it concerns."""
        return self._take(changed, manifest, beginning=False)

    def turn(self, rules: Sequence[FileRule], manifest: SourceManifest) -> set[str]:
        """Follow the same rules where their paths lead elsewhere by now; return the places that it concerns."""
        old, self.items = self.items, {}
        self.rules = tuple(rule for rule in rules if rule.syncs)
        self._take(manifest.files(), manifest, beginning=False)
        for place, item in self.items.items():
            before = old.get(place)
            if before is not None and before.held and before.entry == item.entry:
                self.items[place] = item._replace(held=True)
        return {place for place in {*old, *self.items} if old.get(place) != self.items.get(place)}

    def origin(self, place: str) -> tuple[FileRule, str] | None:
        """Return the rule that a place in the container is of, and where outside its file would lie."""
        for rule in self.rules:
            if (source := rule.source(place)) is not None:
                return rule, source
        return None

    def _take(self, paths: Iterable[str], manifest: SourceManifest, *, beginning: bool) -> set[str]:
        concerned = set()
        for path in paths:
            for rule in self.rules:
                relative = rule.relative(path)
                if relative is None or not rule.matcher.takes(relative):
                    continue
                place = rule.place(path)
                item = _item(rule, path, manifest, held=beginning and not rule.initial)
                old = self.items.get(place)
                if item is not None:
                    # Of two rules for one place the last one wins, whichever file has changed.
                    if old is None or old.rule.index <= rule.index:
                        self.items[place] = item
                        concerned.add(place)
                elif old is not None and old.rule is rule:
                    concerned.add(place)
                    if (other := self._other(place, manifest)) is not None:
                        self.items[place] = other
                    else:
                        del self.items[place]
        return concerned

    def _other(self, place: str, manifest: SourceManifest) -> Item | None:
        """Return what another rule has for a place whose file has gone: two rules may have one target."""
        for rule in reversed(self.rules):
            source = rule.source(place)
            if (
                source is not None
                and rule.takes(source)
                and (found := _item(rule, source, manifest)) is not None
            ):
                return found
        return None


def _item(rule: FileRule, path: str, manifest: SourceManifest, *, held: bool = False) -> Item | None:
    """Return what a rule has at `path`, None for nothing that a container gets."""
    entry = manifest.get(path)
    if entry is None or not entry.copied:
        return None
    if path == rule.path and not stat.S_ISREG(entry.mode):
        # The rule's own directory is made with what is in it, and has the image's mode; a link there leads nowhere.
        return None
    return Item(entry, rule, held)
