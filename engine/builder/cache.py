"""What builds have made before: a key (what a step does, to which content) → the layer that came of it.

```
builder/             0700
  records/KEY.json   {chain_id, diff_id, created_s, made_in_s, title}; its mtime is its last use
  explain/NAME.json  the keys' ingredients of the last build of a Dockerfile, for `--explain`
  contexts/HASH.json digests of a context's files (statcache.py)
  mounts/ID/…        cache mounts (mounts.py)
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.snapshot import Layer, Snapshot, known_layer
from pycompose.engine.dataclass import dataclass
from pycompose.engine.images.layout import replace_file

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout

VERSION = "1"


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
        self._layout = layout
        # Whether this process has added records.
        self.added = False

    def prepare(self) -> None:
        """Make the folders. Raises OSError."""
        for name in ("records", "explain", "contexts", "mounts"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(self.folder, 0o700)

    def _path(self, key: str) -> Path:
        return self.folder / "records" / f"{key}.json"

    def find(self, key: str, parent: Snapshot) -> Layer | None:
        """Return the layer that a step with this key gave above `parent`, None when it has to be made."""
        path = self._path(key)
        try:
            record = json.loads(path.read_bytes())
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
        try:
            value = json.loads(self._explain_path(name).read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def remember(self, name: str, value: Mapping[str, Any]) -> None:
        """Write the ingredients of a build; a full disk costs the next explanation only."""
        with contextlib.suppress(OSError):
            data = json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogateescape")
            replace_file(self._explain_path(name), data, durable=False)

    def _explain_path(self, name: str) -> Path:
        return self.folder / "explain" / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.json"
