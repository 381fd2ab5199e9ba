"""What the key of a step is made of: everything that decides what the step makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.cache import key_of
from pycompose.engine.builder.ignore import exclude_patterns
from pycompose.engine.builder.listing import Listing, line
from pycompose.engine.builder.mountflags import BIND, StepMount
from pycompose.engine.builder.platforms import PROXIES
from pycompose.engine.builder.reading import Reader
from pycompose.engine.builder.request import HOSTNAME
from pycompose.engine.builder.steps import Copy, MakeDirectory, Run, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pycompose.engine.builder.cache import BuildCache
    from pycompose.engine.builder.held import Held
    from pycompose.engine.builder.ignore import Ignore
    from pycompose.engine.builder.request import BuildRequest
    from pycompose.engine.builder.snapshot import Snapshot
    from pycompose.engine.builder.sources import Sources
    from pycompose.engine.builder.tree import SourceTree


class StepKeys:
    """Knows the keys of the steps of one build; used by all of its threads."""

    def __init__(self, request: BuildRequest, sources: Sources, cache: BuildCache) -> None:
        self._request = request
        self._cache = cache
        self._sources = sources

    def parts(
        self,
        step: Step,
        parent: Snapshot,
        scratch: Callable[[], Path],
        listings: dict[str, Listing],
        held: Held | None = None,
    ) -> dict[str, Any]:
        """Return everything that decides what the step makes, as JSON values. Raises BuildError, OSError.

        `scratch` makes a directory, or returns the one that it has made. `listings` gets the lists of files
        (listing.py) that were read for it, by the names that they have there, and `held` what COPY would read again.
        """
        action = step.action
        epoch = self._request.latest_s
        match action:
            case Run():
                return {
                    "does": "run",
                    "on": parent.chain_id,
                    "args": action.args,
                    "env": [item for item in action.env if not _is_proxy(item)],
                    "user": action.user,
                    "cwd": action.cwd,
                    "network": action.network,
                    "insecure": action.insecure,
                    **({} if self._request.hostname == HOSTNAME else {"hostname": self._request.hostname}),
                    "scripts": [doc.text for doc in action.heredocs],
                    "mounts": [self._mount_key(mount, scratch, listings) for mount in action.mounts],
                    **_times(epoch),
                }
            case Copy():
                return {
                    "does": "add" if action.is_add else "copy",
                    "on": "" if action.link else parent.chain_id,
                    "to": action.target,
                    "chown": action.chown,
                    "chmod": action.chmod,
                    "parents": action.parents,
                    "unpack": action.unpack,
                    "link": action.link,
                    "epoch": epoch,
                    **self._copied(action, scratch, listings, held),
                    "documents": [[doc.name, doc.text] for doc in action.heredocs],
                }
            case MakeDirectory():
                return {
                    "does": "directory",
                    "on": parent.chain_id,
                    "path": action.path,
                    "user": action.user,
                    **_times(epoch),
                }
            case None:
                raise AssertionError("a step that changes files")

    def _copied(
        self,
        action: Copy,
        scratch: Callable[[], Path],
        listings: dict[str, Listing],
        held: Held | None,
    ) -> dict[str, Any]:
        """Return what is copied: for each source its paths and a digest; the name of the listing of it all."""
        if not action.sources:
            return {"files": [], "listing": ""}
        exclude = list(action.exclude)
        identity = self._sources.identity(action.origin, action.origin_stage)
        memory = key_of({"in": identity, "sources": action.sources, "exclude": exclude}) if identity else ""
        files = self._cache.noted(memory) if memory else None
        if files is not None:
            return {"files": files, "listing": key_of({"files": files})}
        listing = Listing()
        files = [self._fetched(source, action, listing) for source in action.remote_sources]
        if action.local_sources:
            patterns = exclude_patterns(exclude) if exclude else None
            with self._sources.tree(action.origin, action.origin_stage, scratch) as (tree, _name):
                found = [(source, tree.match(source)) for source in action.local_sources]
                files += [
                    [source, paths, exclude, listing.digest(_lines(tree, paths, patterns, listing, held))]
                    for source, paths in found
                ]
        if memory:
            self._cache.note(memory, files)
        name = key_of({"files": files})
        listings[name] = listing
        return {"files": files, "listing": name}

    def _fetched(self, source: str, action: Copy, listing: Listing) -> list[Any]:
        """Return what stands for a source from elsewhere: its name and content, not where it was got."""
        name, content, *more = self._sources.remote_content(source, action)
        listing.begin(name)
        shown = name.rpartition("/")[2]
        listing.digest([line(shown, "100000", "", "", "", " ".join(more), content.removeprefix("sha256:"))])
        return [name, content, *more, list(action.exclude)]

    def _mount_key(
        self, mount: StepMount, scratch: Callable[[], Path], listings: dict[str, Listing]
    ) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "kind": mount.kind, "target": mount.target, "id": mount.id, "env": mount.env,
            "read_only": mount.read_only,
        }  # fmt: skip
        if mount.kind != BIND:
            return parts
        number = int(mount.origin) if mount.origin.isdecimal() else None
        with self._sources.tree(mount.origin, number, scratch) as (tree, name):
            if name:
                return {**parts, "source": mount.source, "content": name}
            listing = Listing()
            digest = listing.digest(_lines(tree, tree.match(mount.source or "."), None, listing))
        listings[digest] = listing
        return {**parts, "source": mount.source, "content": digest}


def _lines(
    tree: SourceTree,
    paths: Sequence[str],
    exclude: Ignore | None,
    listing: Listing,
    held: Held | None = None,
) -> Iterator[bytes]:
    for path in paths:
        listing.begin(path)
        yield from Reader(tree, exclude, held).pieces(path)


def _times(epoch: int | None) -> dict[str, int]:
    return {} if epoch is None else {"epoch": epoch}


def _is_proxy(item: str) -> bool:
    return item.partition("=")[0] in PROXIES
