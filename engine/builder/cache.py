"""What builds have made before: a key (what a step does, to which content) → the layer that came of it.

```
builder/             0700
  records/KEY.json   {chain_id, diff_id, created_s, made_in_s, title}; its mtime is its last use
  explain/NAME.json  the steps of the last build of a Dockerfile with their keys' ingredients, for `--explain`
  listings/NAME      the files that such a step has read (listing.py)
  digests/KEY.json   digests of what was copied out of a stage or an image, which can't change
  contexts/HASH      what was read of a context's directories (statcache.py)
  mounts/ID/…        cache mounts (mounts.py)
  trimmed            its mtime is when the cache was last looked through for what is too much (pruning.py)
  sources/ID/…       what was fetched from elsewhere (fetching.py)
```
A record whose layer has gone is no record. The sweep of the image store spares layers that a record names, and
`collect` drops the records that were used longest ago when there are too many bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.snapshot import Layer, Snapshot, known_layer
from pycompose.engine.dataclass import dataclass
from pycompose.engine.images.layout import replace_file
from pycompose.engine.statefiles import read_whole

if TYPE_CHECKING:
    from pycompose.engine.builder.listing import Listing
    from pycompose.engine.images.layout import ImageLayout

VERSION = "1"
FOLDERS = ("records", "explain", "listings", "digests", "contexts", "mounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRecord:
    """One record as `system df` and `builder prune` show it; times in seconds since the epoch."""

    key: str
    chain_id: str
    size_bytes: int
    created_s: float
    used_s: float
    title: str
    in_use: bool = False


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the key that `parts`, plain JSON values, make."""
    text = json.dumps({"version": VERSION, **parts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class BuildCache:
    """The records below one folder. Safe to use from several threads and processes: a file each, replaced whole."""

    def __init__(self, folder: Path, layout: ImageLayout) -> None:
        self.folder = folder
        self._records = folder / "records"
        self._layout = layout
        # Whether this process has added records.
        self.added = False

    def prepare(self) -> None:
        """Make the folders. Raises OSError."""
        for name in FOLDERS:
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(self.folder, 0o700)

    def _path(self, key: str) -> Path:
        return self._records / f"{key}.json"

    def find(self, key: str, parent: Snapshot) -> Layer | None:
        """Return the layer that a step with this key gave above `parent`, None when it has to be made."""
        path = self._path(key)
        try:
            record = json.loads(read_whole(path))
            chain_id = parent.next_chain_id(record["diff_id"])
        except (OSError, ValueError, KeyError):
            return None
        layer = known_layer(self._layout, chain_id)
        if layer is not None:
            with contextlib.suppress(OSError):
                os.utime(path)
        return layer

    def put(self, key: str, layer: Layer, *, title: str, made_in_s: float) -> None:
        """Remember what a step gave. Raises OSError."""
        record = {
            "chain_id": layer.chain_id,
            "diff_id": layer.diff_id,
            "size_bytes": layer.size_bytes,
            "created_s": time.time(),
            "made_in_s": round(made_in_s, 3),
            "title": title[:500],
        }
        replace_file(self._path(key), json.dumps(record).encode("utf-8", "surrogateescape"), durable=False)
        self.added = True

    def records(self) -> Iterator[CacheRecord]:
        """Yield what there is, in no order; a damaged record is removed."""
        try:
            names = os.listdir(self.folder / "records")
        except FileNotFoundError:
            return
        for name in names:
            if not name.endswith(".json") or name.startswith("."):
                continue
            path = self.folder / "records" / name
            try:
                record = json.loads(path.read_bytes())
                yield CacheRecord(
                    key=name.removesuffix(".json"),
                    chain_id=record["chain_id"],
                    size_bytes=int(record["size_bytes"]),
                    created_s=float(record["created_s"]),
                    used_s=path.stat().st_mtime,
                    title=str(record["title"]),
                )
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError):
                with contextlib.suppress(OSError):
                    path.unlink()

    def forget(self, key: str) -> None:
        """Remove a record; its layer goes with the next sweep of the store, unless an image has it."""
        with contextlib.suppress(FileNotFoundError):
            self._path(key).unlink()

    # What the last build of a Dockerfile was made of

    def ingredients(self, name: str) -> dict[str, Any]:
        """Return what `remember` wrote under `name`, {} when nothing was."""
        value = _read(self._explain_path(name))
        return value if isinstance(value, dict) else {}

    def remember(self, name: str, value: Mapping[str, Any], listings: Mapping[str, Listing]) -> None:
        """Write the ingredients of a build, and lists of files that they name, in place of those of the last one.

        A full disk costs the next explanation only.
        """
        path = self._explain_path(name)
        data = json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogateescape")
        after = _listed(value)
        before: set[str] = set()
        with contextlib.suppress(OSError):
            for one in after & listings.keys():
                try:
                    os.utime(self._listing_path(one))  # it is called by its digest
                except FileNotFoundError:
                    replace_file(self._listing_path(one), listings[one].text, durable=False)
            if path.exists() and path.read_bytes() == data:
                os.utime(path)
                return
            before = _listed(self.ingredients(name))
            replace_file(path, data, durable=False)
        for one in before - after:
            with contextlib.suppress(OSError):
                self._listing_path(one).unlink()

    def listing(self, name: str) -> bytes:
        """Return a list of files that was remembered, b"" when it wasn't."""
        with contextlib.suppress(OSError):
            return self._listing_path(name).read_bytes()
        return b""

    def _explain_path(self, name: str) -> Path:
        return self.folder / "explain" / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.json"

    def _listing_path(self, name: str) -> Path:
        return self.folder / "listings" / name.removeprefix("sha256:")

    # Digests of what can't change

    def note(self, key: str, value: Sequence[Any]) -> None:
        """Remember a digest; a full disk costs only time."""
        with contextlib.suppress(OSError):
            replace_file(self.folder / "digests" / f"{key}.json", json.dumps(value).encode(), durable=False)

    def noted(self, key: str) -> list[Any] | None:
        """Return what `note` was told, None when it wasn't."""
        value = _read(self.folder / "digests" / f"{key}.json")
        return value if isinstance(value, list) else None

    def forget_old(self, before_s: float) -> None:
        """Remove what only saves time or explains, and wasn't written since `before_s` (since the epoch).

        Also files that never got their names, because somebody was killed.
        """
        for folder in ("explain", "listings", "digests", "contexts", "records"):
            for entry in _entries(self.folder / folder):
                with contextlib.suppress(OSError):
                    keeps = folder == "records" and not entry.name.startswith(".")
                    if not keeps and entry.stat().st_mtime < before_s:
                        os.unlink(entry)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _listed(value: Mapping[str, Any]) -> set[str]:
    """Return the names of the lists of files that the ingredients of a build name."""
    parts = [step["parts"] for steps in (value.get("stages") or {}).values() for step in steps]
    mounts = [mount.get("content") for part in parts for mount in part.get("mounts") or ()]
    return {str(name) for name in (*mounts, *(part.get("listing") for part in parts)) if name}
