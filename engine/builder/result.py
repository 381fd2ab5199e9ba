"""A finished stage becomes an image: configuration, history and manifest as BuildKit writes them."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.cacheformat import INLINE_FIELD, CachedStep, document_of, inline, layer_blob
from pycompose.engine.builder.solve import BuildResult, StageResult
from pycompose.engine.images.manifest import HOST_BASE, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from pycompose.engine.images.spec import Image, Platform, config_to_oci, machine

if TYPE_CHECKING:
    from pycompose.engine.builder.bases import Base
    from pycompose.engine.builder.snapshot import Layer
    from pycompose.engine.images.reference import Reference
    from pycompose.engine.images.store import ImageStore

COMMENT = "buildkit.dockerfile.v0"


def write_image(store: ImageStore, result: BuildResult, names: tuple[Reference, ...]) -> Image:
    """Enter the image into the store under all its names; one without a name is entered without. Raises ImageError."""
    manifest = manifest_of(store, result)
    image = None
    for name in names or (None,):
        image = store.add(manifest, name)
        if name is not None:
            store.note("tag", image, name.familiar)
    assert image is not None  # noqa: S101 - one round at least
    return image


def manifest_of(store: ImageStore, result: BuildResult) -> bytes:
    """Return the manifest of the target, its configuration put into the store."""
    document = configuration_of(result)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    base, layers = _chain(result)
    below = [item.to_json() for item in base.layers] if base else []
    own = [{"mediaType": OCI_LAYER, "digest": layer.diff_id, "size": layer.tar_bytes} for layer in layers]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": store.layout.put_blob(data), "size": len(data)},
        "layers": [*below, *own],
    }
    if result.request.annotations:
        manifest["annotations"] = dict(result.request.annotations)
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()


def configuration_of(result: BuildResult) -> dict[str, Any]:
    """Return the image configuration of the target (image-spec config.md, and Docker's fields)."""
    target = result.target
    stage = target.stage
    base, layers = _chain(result)
    history = _history(result, base)
    config = config_to_oci(stage.config)
    labels = {**stage.config.labels, **result.request.labels}
    if labels:
        config["Labels"] = dict(sorted(labels.items()))
    if stage.on_build:
        config["OnBuild"] = list(stage.on_build)
    platform = Platform.parse(result.request.platform) if result.request.platform else machine()
    old = base.document if base else {}
    created = history[-1]["created"] if history else _time(time.time())
    below = [str(item) for item in (old.get("rootfs") or {}).get("diff_ids", ())]
    document: dict[str, Any] = {
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [*below, *(layer.diff_id for layer in layers)]},
        "history": [*(old.get("history") or []), *history],
    }
    if platform.variant:
        document["variant"] = platform.variant
    if stage.author:
        document["author"] = stage.author
    if target.snapshot.identity:
        document[HOST_BASE] = target.snapshot.identity
    elif result.request.inline_cache:
        document[INLINE_FIELD] = _inline(result, base, below, layers)
    return document


def _inline(result: BuildResult, base: Base | None, below: list[str], layers: list[Layer]) -> str:
    """Return what the image's layers came of, for `cache_from` elsewhere."""
    blobs = dict(zip(below, base.layers if base else (), strict=True))
    blobs |= {layer.diff_id: layer_blob(layer.diff_id, layer.tar_bytes) for layer in layers}
    return inline(document_of(cached_steps(result, everything=False), blobs))


def _stages(result: BuildResult) -> list[StageResult]:
    """Return the target and the stages it stands on, lowest first."""
    chain = [result.target]
    while (below := chain[0].stage.base_stage) is not None:
        chain.insert(0, result.stages[below])
    return chain


def _chain(result: BuildResult) -> tuple[Base | None, list[Layer]]:
    stages = _stages(result)
    return stages[0].base, [layer for stage in stages for layer in stage.layers if layer is not None]


def _history(result: BuildResult, base: Base | None) -> list[dict[str, Any]]:
    """Return one entry per instruction; those that changed no files are as old as what is below them."""
    epoch = result.request.source_date_epoch
    created = str((base.document if base else {}).get("created") or _time(0))
    if epoch is not None:
        created = _time(epoch)
    entries = []
    for stage in _stages(result):
        for step, layer in zip(stage.stage.steps, stage.layers, strict=True):
            if layer is not None and epoch is None:
                created = _time(layer.created_s)
            if not step.history:
                continue
            entry: dict[str, Any] = {"created": created, "created_by": step.history, "comment": COMMENT}
            if layer is None:
                entry["empty_layer"] = True
            entries.append(entry)
    return entries


def cached_steps(result: BuildResult, *, everything: bool) -> list[CachedStep]:
    """Return the steps of the image, or of all stages, lowest first; not those upon this machine's own system."""
    found: dict[str, CachedStep] = {}
    stages = [result.stages[number] for number in sorted(result.stages)] if everything else _stages(result)
    for stage in stages:
        below = ""
        for key, layer in zip(stage.keys, stage.layers, strict=True):
            if layer is None or not key or stage.snapshot.identity:
                continue
            found[key] = CachedStep(
                key=key,
                diff_id=layer.diff_id,
                chain_id=layer.chain_id,
                created_s=layer.created_s,
                below=below,
            )
            below = key
    return list(found.values())


def _time(seconds: float) -> str:
    stamp = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return stamp.isoformat(timespec="microseconds" if stamp.microsecond else "seconds").replace("+00:00", "Z")
