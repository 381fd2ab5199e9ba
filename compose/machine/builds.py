"""`image build` and the build cache, apart from any project."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pycompose.engine.builder import pruning
from pycompose.engine.builder.cache import BuildCache
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.engine.images.store import ImageStore
from pycompose.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.client.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow:
    """One line of `builder du`; times in seconds since the epoch, 0 when nobody knows."""

    id: str
    kind: str
    size_bytes: int
    created_s: float
    used_s: float
    in_use: bool
    title: str


def cache_rows(context: Context) -> list[CacheRow]:
    """Return what the build cache holds, used last first, then cache mounts and what was fetched."""
    store, cache = _cache(context)
    rows = [
        CacheRow(
            id=record.key,
            kind="regular",
            size_bytes=record.size_bytes,
            created_s=record.created_s,
            used_s=record.used_s,
            in_use=record.in_use,
            title=record.title,
        )
        for record in pruning.records(cache, store.layout)
    ]
    return rows + [
        CacheRow(
            id=folder.path.name,
            kind=folder.kind,
            size_bytes=folder.size_bytes,
            created_s=0.0,
            used_s=folder.used_s,
            in_use=False,
            title=folder.title,
        )
        for folder in pruning.folders(cache)
    ]


def prune_cache(
    context: Context, *, everything: bool, filters: Sequence[str] = (), keep_bytes: int | None = None
) -> pruning.Pruned:
    """Remove what isn't needed (`builder prune`, `system prune`). Raises PycomposeError for an unknown filter."""
    before_s = None
    for item in filters:
        name, _, value = item.partition("=")
        if name not in ("until", "unused-for"):
            raise PycomposeError(f"invalid filter {name!r}", hint="the build cache knows until=AGE")
        try:
            before_s = time.time() - parse_duration(value)
        except ValueError as exc:
            raise PycomposeError(f"filter {item}: cannot be used", hint=str(exc)) from exc
    store, cache = _cache(context)
    return pruning.prune(
        cache, store.layout, context.paths, everything=everything, before_s=before_s, keep_bytes=keep_bytes
    )


def _cache(context: Context) -> tuple[ImageStore, BuildCache]:
    store = ImageStore(context.paths)
    return store, BuildCache(context.paths.builder, store.layout)
