"""A build cache as a document: which step (its key) gave which layer. BuildKit's format, with keys of our own.

```
manifest   an image manifest: `config` is the document, `layers` are the blobs that it speaks of
document   {"layers":  [{"blob": DIGEST, "parent": INDEX or -1, "annotations": {mediaType, diffID, size, createdAt}}],
            "records": [{"digest": KEY, "results": [{"layer": INDEX, "createdAt": TIME}]}]}
```
BuildKit reads it (github.com/moby/buildkit, cache/remotecache/v1) and finds none of its own keys in it, as we find none
of ours in what it writes: keys are digests of how a builder describes a step. Inline, the document is a field of an
image's configuration and speaks of the image's layers.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.images.manifest import OCI_LAYER, OCI_MANIFEST, Descriptor, sha256

DOCUMENT = "application/vnd.buildkit.cacheconfig.v0"
INLINE_FIELD = "moby.buildkit.cache.v0"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedStep:
    """One step's layer: `chain_id` where it lies in this store, `below` the key's layer that it was made upon."""

    key: str
    diff_id: str
    chain_id: str
    created_s: float
    below: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteLayer:
    """What an imported cache has for a key: the layer's digest unpacked, and the blob to get."""

    diff_id: str
    blob: Descriptor
    created_s: float


def document_of(steps: Sequence[CachedStep], blobs: Mapping[str, Descriptor]) -> dict[str, Any]:
    """Return the document; `blobs` are the layers by diff id, in the order that indexes count."""
    order = {diff_id: index for index, diff_id in enumerate(blobs)}
    parents: dict[str, int] = {}
    layer_of = {step.key: step.diff_id for step in steps}
    created: dict[str, str] = {}
    for step in steps:
        parents.setdefault(step.diff_id, order[layer_of[step.below]] if step.below else -1)
        created.setdefault(step.diff_id, _time(step.created_s))
    layers = [
        {
            "blob": blob.digest,
            "parent": parents.get(diff_id, index - 1),
            "annotations": {
                "mediaType": blob.media_type,
                "diffID": diff_id,
                "size": blob.size,
                "createdAt": created.get(diff_id, _time(0)),
            },
        }
        for index, (diff_id, blob) in enumerate(blobs.items())
    ]
    records = [
        {
            "digest": f"sha256:{step.key}",
            "results": [{"layer": order[step.diff_id], "createdAt": _time(step.created_s)}],
        }
        for step in steps
    ]
    return {"layers": layers, "records": records}


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return the document's bytes, the same for the same document."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def manifest_of(document: bytes, blobs: Sequence[Descriptor]) -> bytes:
    """Return the manifest of a cache that is not part of an image."""
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": DOCUMENT, "digest": sha256(document), "size": len(document)},
            "layers": [
                {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size} for blob in blobs
            ],
        }
    )


def inline(document: Mapping[str, Any]) -> str:
    """Return the document as an image's configuration holds it."""
    return base64.b64encode(encoded(document)).decode()


def inline_of(configuration: Mapping[str, Any]) -> bytes:
    """Return the document in an image's configuration; b"" when there is none. Raises BuildError."""
    value = configuration.get(INLINE_FIELD)
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except binascii.Error as exc:
        raise BuildError(f"{INLINE_FIELD} is no base64") from exc


def parse(data: bytes, blobs: Sequence[Descriptor], diff_ids: Sequence[str] = ()) -> dict[str, RemoteLayer]:
    """Return key → layer of the document in `data`. Raises BuildError for one that can't be meant.

    `blobs` are what its manifest has; `diff_ids` theirs where the document doesn't say (inline).
    """
    known = {blob.digest: blob for blob in blobs}
    unpacked = dict(zip((blob.digest for blob in blobs), diff_ids, strict=False))
    try:
        value = json.loads(data)
        layers = [
            (str(item["blob"]), str((item.get("annotations") or {}).get("diffID") or ""))
            for item in value["layers"]
        ]
        found = {}
        for record in value["records"]:
            for result in record["results"][:1]:
                digest, diff_id = layers[int(result["layer"])]
                if digest not in known:
                    raise BuildError(f"it speaks of the layer {digest}, which its manifest doesn't have")
                found[str(record["digest"]).removeprefix("sha256:")] = RemoteLayer(
                    diff_id=unpacked.get(digest) or diff_id,
                    blob=known[digest],
                    created_s=dt.datetime.fromisoformat(str(result["createdAt"])).timestamp(),
                )
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as exc:
        raise BuildError("its document is damaged") from exc
    return found


def layer_blob(diff_id: str, size: int) -> Descriptor:
    """Return the descriptor of a layer as the tar that it is."""
    return Descriptor(media_type=OCI_LAYER, digest=diff_id, size=size)


def _time(seconds: float) -> str:
    stamp = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return stamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
