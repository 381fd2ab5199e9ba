"""Manifests, indexes and image configurations: parsed strictly, because they come from strangers.

image-spec manifest.md, image-index.md; Docker's schema 2 is the same shape under other media types. A
document that claims to be two things at once is refused (CVE-2021-41190), so are foreign layer URLs
(CVE-2020-15157).
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import DigestMismatch, ImageError
from pycompose.engine.images.spec import Platform, machine

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
LAYER_TYPES = {
    OCI_LAYER: "",
    f"{OCI_LAYER}+gzip": "gzip",
    f"{OCI_LAYER}+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_CONFIG_BYTES = 8 * 1024 * 1024
MAX_LAYERS = 127
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def sha256(data: bytes) -> str:
    """Return the digest of `data` as `sha256:HEX`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def verify(data: bytes, digest: str, what: str) -> bytes:
    """Return `data`. Raises DigestMismatch when its digest is another one than `digest`."""
    if (found := sha256(data)) != digest:
        raise DigestMismatch(f"{what}: wrong content: expected {digest}, found {found}")
    return data


# Key of an image configuration; image-spec config.md lets implementations add fields.
HOST_BASE = "io.pycompose.host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to content (image-spec descriptor.md)."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.removeprefix("sha256:")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform is not None:
            out["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                out["platform"]["variant"] = self.platform.variant
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image for one platform: its configuration and its layers, lowest first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The parts of an image configuration that the store needs; `document` is all of it."""

    diff_ids: tuple[str, ...]
    platform: Platform
    created: str
    document: dict[str, Any]

    @property
    def host(self) -> str:
        """What names the system that the image was built upon (`FROM host`), "" for an image with all its layers."""
        value = self.document.get(HOST_BASE, "")
        return value if isinstance(value, str) and _DIGEST.fullmatch(value) else ""

    @property
    def chain(self) -> tuple[str, ...]:
        """The chain id of each layer, lowest first; above `host` their names begin with the system's."""
        if self.host:
            return chain_ids((self.host, *self.diff_ids))[1:]
        return chain_ids(self.diff_ids)


def parse_descriptor(value: Any, what: str) -> Descriptor:
    """Return the descriptor in the JSON `value`. Raises ImageError."""
    if not isinstance(value, dict):
        raise ImageError(f"{what}: descriptor: expected an object")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not media_type:
        raise ImageError(f"{what}: descriptor: no mediaType")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ImageError(f"{what}: descriptor: digest {digest!r} is not sha256")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ImageError(f"{what}: descriptor {digest}: bad size {size!r}")
    if value.get("urls"):
        raise ImageError(
            f"{what}: layer {digest} lies at a foreign URL: refused",
            hint="such layers (Windows base images) are not supported; credentials could leak to that host",
        )
    annotations = value.get("annotations") or {}
    if not isinstance(annotations, dict) or not all(isinstance(item, str) for item in annotations.values()):
        raise ImageError(f"{what}: descriptor {digest}: annotations are not strings")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        platform=_parse_platform(value.get("platform"), what),
        annotations=annotations,
    )


def _parse_platform(value: Any, what: str) -> Platform | None:
    if value is None:
        return None
    parts: list[Any] = [None]
    if isinstance(value, dict):
        parts = [value.get(key, "") for key in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) for part in parts):
        raise ImageError(f"{what}: platform is malformed")
    return Platform(os=parts[0], architecture=parts[1], variant=parts[2])


def _load(data: bytes, what: str, limit: int) -> dict[str, Any]:
    if len(data) > limit:
        raise ImageError(f"{what}: {len(data)} bytes, the limit is {limit}")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ImageError(f"{what}: not JSON") from exc
    if not isinstance(value, dict):
        raise ImageError(f"{what}: expected a JSON object")
    return value


def media_type_of(data: bytes, declared: str, what: str) -> str:
    """Return what kind of document `data` is: one of INDEX_TYPES or MANIFEST_TYPES.

    `declared` is the Content-Type or the descriptor's type, "" when unknown. Raises ImageError when the
    document contradicts it or itself, or is Docker's schema 1.
    """
    value = _load(data, what, MAX_MANIFEST_BYTES)
    if value.get("schemaVersion") != 2:
        raise ImageError(
            f"{what}: manifest schema {value.get('schemaVersion')!r} is not supported",
            hint="push the image again with a current tool; schema 1 went out of use in 2017",
        )
    declared = declared.partition(";")[0].strip()
    if declared not in INDEX_TYPES + MANIFEST_TYPES:
        declared = ""
    own = value.get("mediaType", "")
    if "manifests" in value and ("layers" in value or "config" in value):
        raise ImageError(f"{what}: the document is an index and a manifest at once: refused")
    kind = own or declared or (OCI_INDEX if "manifests" in value else OCI_MANIFEST)
    if declared and declared != kind:
        raise ImageError(f"{what}: announced as {declared}, but says {own}: refused")
    if kind not in INDEX_TYPES + MANIFEST_TYPES:
        raise ImageError(f"{what}: media type {kind!r} is not an image")
    if (kind in INDEX_TYPES) != ("manifests" in value):
        raise ImageError(f"{what}: content does not fit its media type {kind}: refused")
    return str(kind)


def parse_manifest(data: bytes, what: str, declared: str = "") -> Manifest:
    """Return the manifest in `data`. Raises ImageError."""
    kind = media_type_of(data, declared, what)
    if kind not in MANIFEST_TYPES:
        raise ImageError(f"{what}: expected a manifest, found an index")
    value = _load(data, what, MAX_MANIFEST_BYTES)
    layers = value.get("layers")
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ImageError(f"{what}: manifest has no list of at most {MAX_LAYERS} layers")
    parsed = tuple(parse_descriptor(item, what) for item in layers)
    for layer in parsed:
        if layer.media_type not in LAYER_TYPES:
            raise ImageError(
                f"{what}: layer {layer.digest}: media type {layer.media_type!r} is not supported"
            )
    config = parse_descriptor(value.get("config"), what)
    if config.size > MAX_CONFIG_BYTES:
        raise ImageError(f"{what}: configuration of {config.size} bytes, the limit is {MAX_CONFIG_BYTES}")
    return Manifest(media_type=kind, config=config, layers=parsed)


def parse_index(data: bytes, what: str, declared: str = "") -> tuple[Descriptor, ...]:
    """Return the entries of the index in `data`. Raises ImageError."""
    if media_type_of(data, declared, what) not in INDEX_TYPES:
        raise ImageError(f"{what}: expected an index, found a manifest")
    entries = _load(data, what, MAX_MANIFEST_BYTES)["manifests"]
    if not isinstance(entries, list):
        raise ImageError(f"{what}: manifests: expected a list")
    return tuple(parse_descriptor(item, what) for item in entries)


def parse_configuration(data: bytes, what: str) -> Configuration:
    """Return the image configuration in `data`. Raises ImageError."""
    value = _load(data, what, MAX_CONFIG_BYTES)
    rootfs = value.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(
        isinstance(i, str) and _DIGEST.fullmatch(i) for i in diff_ids
    ):
        raise ImageError(f"{what}: configuration has no rootfs.diff_ids")
    if len(diff_ids) > MAX_LAYERS:
        raise ImageError(f"{what}: {len(diff_ids)} layers, the limit is {MAX_LAYERS}")
    created = value.get("created") or ""
    architecture, system, variant = (value.get(key) or "" for key in ("architecture", "os", "variant"))
    if not all(isinstance(item, str) for item in (created, architecture, system, variant)):
        raise ImageError(f"{what}: configuration: created, os and architecture are not strings")
    platform = Platform(os=system or "linux", architecture=architecture, variant=variant)
    return Configuration(diff_ids=tuple(diff_ids), platform=platform, created=created, document=value)


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the chain id of each layer, lowest first (image-spec config.md, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(sha256(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def select(entries: tuple[Descriptor, ...], wanted: Platform | None, what: str) -> Descriptor:
    """Return the manifest for `wanted` (None: this machine) among the entries of an index.

    Exact variant first, then the nearest lower one of arm, then one that names no variant. Attestations
    (`unknown/unknown`) never count. Raises ImageError listing what there is.
    """
    target = wanted or machine()
    candidates = [
        entry
        for entry in entries
        if entry.media_type in MANIFEST_TYPES
        and entry.platform is not None
        and (entry.platform.os, entry.platform.architecture) == (target.os, target.architecture)
    ]
    for variant in _acceptable_variants(target):
        for entry in candidates:
            if entry.platform is not None and entry.platform.variant == variant:
                return entry
    if len(entries) == 1 and entries[0].platform is None and entries[0].media_type in MANIFEST_TYPES:
        return entries[0]
    known = sorted({str(e.platform) for e in entries if e.platform and e.platform.os != "unknown"})
    raise ImageError(
        f"{what}: no image for platform {target}",
        hint=f"it has {', '.join(known)}; choose one with `platform:`" if known else None,
    )


def _acceptable_variants(target: Platform) -> list[str]:
    if target.architecture == "arm":
        level = int(target.variant[1:]) if target.variant[1:].isdigit() else 7
        return [f"v{number}" for number in range(level, 4, -1)] + [""]
    own = [target.variant] if target.variant else []
    return [*own, "", "v8" if target.architecture == "arm64" else "v1"]
