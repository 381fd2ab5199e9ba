"""Images as files: what `docker save` writes (old and new), OCI layouts as directory or tar, also compressed.

A tar is read once, with our own reader; only regular files (and the links that old archives use for equal
layers) are taken, under numbers, never under their own names. What a manifest names must be a member.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers import tarstream
from pycompose.engine.images.layers.compress import MAGIC_BYTES, Budget, detect, pieces
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.engine.images.layers.tree import components
from pycompose.engine.images.manifest import (
    INDEX_TYPES,
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    Descriptor,
    parse_index,
    parse_manifest,
    select,
    verify,
)
from pycompose.engine.images.spec import Platform

_PIECE = 1024 * 1024
MAX_MEMBERS = 100_000
_HEX_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive that is now a file of ours."""

    path: Path
    digest: str
    size: int


class TarSource:
    """The members of a tar, copied into `scratch`."""

    def __init__(self, file: BinaryIO, scratch: Path, what: str) -> None:
        self.what = what
        self._scratch = scratch
        self._members: dict[str, Member] = {}
        self._links: dict[str, str] = {}
        start = file.read(MAGIC_BYTES)
        source = _Prefixed(start, file)
        place = "at its start"
        try:
            reader = TarReader(pieces(source, detect(start), Budget()))
            for entry in reader:
                place = f"entry {os.fsdecode(entry.name)!r}"
                self._take(entry, reader)
        except ArchiveError as exc:
            raise ArchiveError(f"{what}: {place}: {exc.message}", hint=exc.hint) from exc

    def _take(self, entry: tarstream.Entry, reader: TarReader) -> None:
        if len(self._members) > MAX_MEMBERS:
            raise ArchiveError(f"more than {MAX_MEMBERS} files")
        name = "/".join(os.fsdecode(part) for part in components(entry.name))
        if entry.type == tarstream.SYMLINK:
            self._links[name] = os.path.normpath(
                os.path.join(os.path.dirname(name), os.fsdecode(entry.linkname))
            )
        elif entry.type == tarstream.HARDLINK:
            self._links[name] = "/".join(os.fsdecode(part) for part in components(entry.linkname))
        elif entry.type == tarstream.REGULAR and entry.sparse is None:
            path = self._scratch / f"member-{len(self._members)}"
            digest = hashlib.sha256()
            with open(path, "xb", buffering=0) as out:
                for chunk in reader.data():
                    digest.update(chunk)
                    _write_all(out, chunk)
            self._members[name] = Member(path, f"sha256:{digest.hexdigest()}", entry.size)

    def has(self, name: str) -> bool:
        """Tell whether the archive has such a file."""
        return self._links.get(name, name) in self._members

    def read(self, name: str, limit: int = MAX_MANIFEST_BYTES) -> bytes:
        """Return the content of a small file. Raises ArchiveError."""
        member = self.member(name)
        if member.size > limit:
            raise ArchiveError(f"{self.what}: {name}: {member.size} bytes, the limit is {limit}")
        return member.path.read_bytes()

    def member(self, name: str) -> Member:
        """Return a file by its name in the archive. Raises ArchiveError when it has none such."""
        member = self._members.get(self._links.get(name, name))
        if member is None:
            raise ArchiveError(f"{self.what}: {name!r} is missing in the archive")
        return member


class DirectorySource:
    """An OCI layout in a directory. Blobs are copied into `scratch` when they are asked for."""

    def __init__(self, directory: Path, scratch: Path, what: str) -> None:
        self.what = what
        self._directory = directory
        self._scratch = scratch
        self._count = 0

    def has(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self._directory / name).is_file()

    def read(self, name: str, limit: int = MAX_MANIFEST_BYTES) -> bytes:
        """Return the content of a small file. Raises ArchiveError."""
        with self._open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ArchiveError(f"{self.what}: {name}: larger than {limit} bytes")
        return data

    def member(self, name: str) -> Member:
        """Return a copy of a file. Raises ArchiveError, OSError."""
        path = self._scratch / f"copy-{self._count}"
        self._count += 1
        digest = hashlib.sha256()
        size = 0
        with self._open(name) as file, open(path, "xb", buffering=0) as out:
            while chunk := file.read(_PIECE):
                digest.update(chunk)
                size += len(chunk)
                _write_all(out, memoryview(chunk))
        return Member(path, f"sha256:{digest.hexdigest()}", size)

    def _open(self, name: str) -> BinaryIO:
        try:
            fd = os.open(self._directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as exc:
            raise ArchiveError(f"{self.what}: {name!r}: {exc.strerror}") from exc
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ArchiveError(f"{self.what}: {name!r} is not a file")
        return open(fd, "rb", buffering=0)


Source = TarSource | DirectorySource


class _Prefixed:
    """A file whose first bytes have been read already."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start = start
        self._file = file

    def read(self, size: int = _PIECE, /) -> bytes:
        if self._start:
            start, self._start = self._start, b""
            return start
        return self._file.read(size)


def _write_all(out: io.FileIO, chunk: memoryview) -> None:
    while chunk:
        chunk = chunk[out.write(chunk) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLayer:
    """One layer of an image in an archive; `digest` is "" when only its content tells."""

    name: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """One image of an archive. `manifest` is None where the archive has none (docker save before 25)."""

    names: tuple[str, ...]
    manifest: bytes | None
    config: bytes
    layers: tuple[FoundLayer, ...]


def images_in(source: Source, platform: Platform | None = None, wanted: str = "") -> list[FoundImage]:
    """Return the images of an archive, of an index the one for `platform`.

    With `wanted` only the one of that name. Raises ArchiveError, ImageError, DigestMismatch.
    """
    if source.has("index.json") and source.has("oci-layout"):
        found = _oci_images(source, platform, wanted if wanted.startswith("sha256:") else "")
    elif source.has("manifest.json"):
        found = _docker_images(source)
    else:
        raise ArchiveError(
            f"{source.what}: neither a docker archive nor an OCI layout: no manifest.json and no index.json",
            hint="a root file system is brought in with: pycompose image import",
        )
    if wanted.startswith("sha256:"):
        if not found:
            raise ArchiveError(f"{source.what}: it has no image {wanted!r}")
    elif wanted:
        found = [image for image in found if wanted in image.names] or _by_tag(found, wanted)
        if not found:
            raise ArchiveError(f"{source.what}: it has no image {wanted!r}")
    return found


def _by_tag(found: list[FoundImage], wanted: str) -> list[FoundImage]:
    return [image for image in found if any(name.endswith(f":{wanted}") for name in image.names)]


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _oci_images(source: Source, platform: Platform | None, digest: str) -> list[FoundImage]:
    """Return the images of an OCI layout; with a `digest`, the one whose entry has it."""
    tags = _repo_tags(source)
    images = []
    for entry in parse_index(source.read("index.json"), f"{source.what}: index.json"):
        if digest and entry.digest != digest:
            continue
        what = f"{source.what}: {entry.digest[:19]}"
        data, chosen = _descend(source, entry, platform, what)
        manifest = parse_manifest(data, what, chosen.media_type)
        names = tuple(entry.annotations[key] for key in _NAME_ANNOTATIONS if entry.annotations.get(key))[:1]
        config = verify(
            source.read(_blob(manifest.config.digest), MAX_CONFIG_BYTES), manifest.config.digest, what
        )
        images.append(
            FoundImage(
                names=tags.get(manifest.config.digest, names),
                manifest=data,
                config=config,
                layers=tuple(
                    FoundLayer(name=_blob(item.digest), digest=item.digest) for item in manifest.layers
                ),
            )
        )
    return images


def _descend(
    source: Source, entry: Descriptor, platform: Platform | None, what: str
) -> tuple[bytes, Descriptor]:
    """Return the manifest that an entry means, through at most two indexes."""
    data = verify(source.read(_blob(entry.digest)), entry.digest, what)
    for _ in range(2):
        if entry.media_type not in INDEX_TYPES:
            break
        entry = select(parse_index(data, what, entry.media_type), platform, what)
        data = verify(source.read(_blob(entry.digest)), entry.digest, what)
    return data, entry


def _repo_tags(source: Source) -> dict[str, tuple[str, ...]]:
    """Return the names by configuration digest from manifest.json beside an OCI layout.

    `docker save` writes both since version 25.
    """
    if not source.has("manifest.json"):
        return {}
    tags: dict[str, tuple[str, ...]] = {}
    for item in _docker_manifest(source):
        if (match := _HEX_NAME.fullmatch(item["Config"])) and item["RepoTags"]:
            tags[f"sha256:{match[1]}"] = tuple(item["RepoTags"])
    return tags


def _docker_manifest(source: Source) -> list[dict[str, Any]]:
    what = f"{source.what}: manifest.json"
    try:
        value = json.loads(source.read("manifest.json"))
    except (ValueError, RecursionError) as exc:
        raise ArchiveError(f"{what}: not JSON") from exc
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ArchiveError(f"{what}: expected a list of objects")
    for item in value:
        item["RepoTags"] = item.get("RepoTags") or []
        lists = [item["RepoTags"], item.get("Layers")]
        if not isinstance(item.get("Config"), str) or not all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists
        ):
            raise ArchiveError(f"{what}: Config, RepoTags or Layers are malformed")
    return value


def _docker_images(source: Source) -> list[FoundImage]:
    images = []
    for item in _docker_manifest(source):
        config = source.read(item["Config"], MAX_CONFIG_BYTES)
        if match := _HEX_NAME.fullmatch(item["Config"]):
            verify(config, f"sha256:{match[1]}", f"{source.what}: {item['Config']}")
        layers = tuple(FoundLayer(name=os.path.normpath(name)) for name in item["Layers"])
        images.append(FoundImage(names=tuple(item["RepoTags"]), manifest=None, config=config, layers=layers))
    return images
