"""`cache_from` and `cache_to`: `type=local,src=DIR`, `type=registry,ref=NAME`, `type=inline`, or a lone name."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError

GZIP, ZSTD, UNCOMPRESSED = PACKINGS = "gzip", "zstd", "uncompressed"
LOCAL, REGISTRY, INLINE = "local", "registry", "inline"
MIN, MAX = "min", "max"
# Of BuildKit's kinds those that speak with services that nobody here has.
_ELSEWHERE = ("gha", "s3", "azblob")
_FROM = {LOCAL: ("src", "digest", "tag"), REGISTRY: ("ref",)}
_TO = {
    LOCAL: ("dest", "mode", "tag", "ignore-error", "compression"),
    REGISTRY: ("ref", "mode", "ignore-error", "compression"),
    INLINE: (),
}
# Everything goes under OCI's types, described by one manifest, all layers packed in one way.
_FIXED = {"oci-mediatypes": "true", "image-manifest": "true", "force-compression": "true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """Where a cache is, or goes to. `mode` max takes the steps of all stages, min those of the image."""

    kind: str
    path: str = ""
    reference: str = ""
    tag: str = "latest"
    digest: str = ""
    mode: str = MIN
    packing: str = GZIP
    ignore_error: bool = False

    def __str__(self) -> str:
        return self.reference or self.path or "the image"


def cache_source(text: str, what: str, folder: Path) -> CachePlace:
    """Return what one entry of `cache_from` names; paths start at `folder`. Raises BuildError."""
    if "=" not in text:
        return CachePlace(kind=REGISTRY, reference=text)
    values = _values(text, what, _FROM)
    return _place(values, text, what, folder, values.get("src", ""), "src")


def cache_target(text: str, what: str, folder: Path) -> CachePlace:
    """Return what one entry of `cache_to` names; paths start at `folder`. Raises BuildError."""
    if "=" not in text:
        return CachePlace(kind=REGISTRY, reference=text)
    values = _values(text, what, _TO)
    for name, only in _FIXED.items():
        value = values.pop(name, only)
        if value != only:
            raise BuildError(f"{what}: {text}: {name}={value} is not possible", hint=f"it is {only} always")
    return _place(values, text, what, folder, values.get("dest", ""), "dest")


def _values(text: str, what: str, kinds: dict[str, tuple[str, ...]]) -> dict[str, str]:
    try:
        (fields,) = csv.reader(io.StringIO(text), strict=True)
        values = {name.strip().lower(): value for name, value in (field.split("=", 1) for field in fields)}
    except (csv.Error, ValueError) as exc:
        raise BuildError(f"{what}: {text}: is not of the form type=TYPE,name=value,…") from exc
    kind = values.setdefault("type", "")
    if kind in _ELSEWHERE:
        raise BuildError(
            f"{what}: type={kind}: caches of this kind are not possible", hint=f"possible: {', '.join(kinds)}"
        )
    if kind not in kinds:
        raise BuildError(
            f"{what}: {text}: unknown type {kind!r}",
            hint=suggestion(kind, list(kinds)) or f"possible: {', '.join(kinds)}",
        )
    known = ["type", *kinds[kind], *(_FIXED if kinds is _TO else ())]
    for name in values:
        if name not in known:
            raise BuildError(f"{what}: {text}: unknown key {name!r}", hint=suggestion(name, known))
    return values


def _place(
    values: dict[str, str], text: str, what: str, folder: Path, path: str, path_key: str
) -> CachePlace:
    kind = values["type"]
    if kind == LOCAL and not path:
        raise BuildError(f"{what}: {text}: {path_key} is missing", hint=f"add {path_key}=FOLDER")
    if kind == REGISTRY and not values.get("ref"):
        raise BuildError(f"{what}: {text}: ref is missing", hint="add ref=REGISTRY/NAME:TAG")
    mode = values.get("mode", MIN)
    if mode not in (MIN, MAX):
        raise BuildError(f"{what}: {text}: mode={mode}: it is min or max")
    packing = values.get("compression", GZIP)
    if packing not in PACKINGS:
        raise BuildError(f"{what}: {text}: compression={packing}: it is one of {', '.join(PACKINGS)}")
    return CachePlace(
        kind=kind,
        path=str(folder / Path(path).expanduser()) if path else "",
        reference=values.get("ref", ""),
        tag=values.get("tag") or "latest",
        digest=values.get("digest", ""),
        mode=mode,
        packing=packing,
        ignore_error=values.get("ignore-error", "false").lower() in ("1", "true"),
    )
