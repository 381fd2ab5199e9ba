"""Which images an archive has: docker's old and new form, OCI layouts, and those that lie."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.errors import ArchiveError, DigestMismatch, ImageError
from pycompose.engine.images.archives.archive import (
    DirectorySource,
    FoundImage,
    Source,
    TarSource,
    images_in,
)
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from pycompose.engine.images.spec import Platform

INDEX = "application/vnd.oci.image.index.v1+json"
NAME = "org.opencontainers.image.ref.name"
DEEP = "a" * 64


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layout:
    """An OCI layout as files by name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
        self.entries: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        """Add a blob and return its descriptor."""
        self.files[f"blobs/sha256/{digest(data)[7:]}"] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def image(self, content: str, architecture: str = "amd64") -> dict[str, Any]:
        """Add an image and return the descriptor of its manifest."""
        document = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(content.encode())]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.blob(json.dumps(document).encode(), OCI_CONFIG),
            "layers": [self.blob(content.encode(), OCI_LAYER)],
        }
        found = self.blob(json.dumps(manifest).encode(), OCI_MANIFEST)
        return {**found, "platform": {"os": "linux", "architecture": architecture}}

    def index(self, *entries: dict[str, Any]) -> bytes:
        """Return an index of these entries."""
        return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()

    def written(self, *entries: dict[str, Any]) -> dict[str, bytes]:
        """Return the files with an index of these entries."""
        return {**self.files, "index.json": self.index(*entries)}


def named(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {**entry, "annotations": {NAME: name}}


def packed(files: dict[str, bytes], links: dict[str, tuple[bytes, str]] | None = None) -> bytes:
    """Return a tar; `links` are name → (type, target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, (kind, target) in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return out.getvalue()


@pytest.fixture(params=("tar", "tar.gz", "directory"))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return what makes a source of files: in a tar, in a compressed one, in a directory."""

    def make(files: dict[str, bytes]) -> Source:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        if request.param == "directory":
            for name, data in files.items():
                (tmp_path / "layout" / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "layout" / name).write_bytes(data)
            return DirectorySource(tmp_path / "layout", scratch, "x")
        data = packed(files)
        return TarSource(io.BytesIO(gzip.compress(data) if request.param == "tar.gz" else data), scratch, "x")

    return make


def tar_source(tmp_path: Path, data: bytes) -> TarSource:
    (tmp_path / "scratch").mkdir()
    return TarSource(io.BytesIO(data), tmp_path / "scratch", "x")


def contents(found: list[FoundImage], source: Source) -> list[str]:
    return [source.member(layer.name).path.read_text() for image in found for layer in image.layers]


def test_an_oci_layout(source: Any) -> None:
    """Names come from annotations; of an index the platform that is asked for; unnamed ones count too."""
    layout = Layout()
    both = layout.blob(layout.index(layout.image("intel"), layout.image("arm", "arm64")), INDEX)
    made = source(layout.written(named(both, "app:1"), layout.image("plain")))
    found = images_in(made, Platform.parse("linux/arm64"))

    assert [image.names for image in found] == [("app:1",), ()]
    assert contents(found, made) == ["arm", "plain"]
    assert all(image.manifest is not None for image in found)


def test_dockers_new_form_has_both(source: Any) -> None:
    """Names are those of manifest.json, which may be several; the rest is the layout's."""
    layout = Layout()
    entry = layout.image("one")
    config = json.loads(layout.files[f"blobs/sha256/{entry['digest'][7:]}"])["config"]["digest"][7:]
    tags = [{"Config": f"blobs/sha256/{config}", "RepoTags": ["app:1", "app:latest"], "Layers": []}]
    made = source({**layout.written(named(entry, "1")), "manifest.json": json.dumps(tags).encode()})

    (found,) = images_in(made)
    assert found.names == ("app:1", "app:latest")
    assert images_in(made, wanted="latest") == [found]
    with pytest.raises(ArchiveError, match="x: it has no image 'app:2'"):
        images_in(made, wanted="app:2")


def test_dockers_old_form(tmp_path: Path) -> None:
    """Layers by name, equal ones as links to the first; without a manifest of its own."""
    config = b'{"rootfs": {"diff_ids": []}}'
    name = f"{digest(config)[7:]}.json"
    manifest = [
        {"Config": name, "RepoTags": ["app:1"], "Layers": ["a/layer.tar", "b/layer.tar", "c/./layer.tar"]},
        {"Config": name, "RepoTags": None, "Layers": []},
    ]
    data = packed(
        {"a/layer.tar": b"layer", name: config, "manifest.json": json.dumps(manifest).encode()},
        {"b/layer.tar": (tarfile.SYMTYPE, "../a/layer.tar"), "c/layer.tar": (tarfile.LNKTYPE, "a/layer.tar")},
    )
    made = tar_source(tmp_path, data)
    found = images_in(made)

    assert [(image.names, image.manifest) for image in found] == [(("app:1",), None), ((), None)]
    assert contents(found, made) == ["layer"] * 3


@pytest.mark.parametrize(
    ("files", "error", "message"),
    (
        ({}, ArchiveError, "neither a docker archive nor an OCI layout"),
        ({"manifest.json": b"["}, ArchiveError, "manifest.json: not JSON"),
        ({"manifest.json": b"[" * 5000}, ArchiveError, "manifest.json: not JSON"),
        ({"manifest.json": b"{}"}, ArchiveError, "expected a list of objects"),
        ({"manifest.json": b'[{"Config": 1, "Layers": []}]'}, ArchiveError, "are malformed"),
        ({"manifest.json": b'[{"Config": "c", "Layers": [1]}]'}, ArchiveError, "are malformed"),
        ({"manifest.json": b'[{"Config": "c", "Layers": []}]'}, ArchiveError, "'c' is missing|'c': No such"),
        (
            {"manifest.json": f'[{{"Config": "{DEEP}.json", "Layers": []}}]'.encode(), f"{DEEP}.json": b"{}"},
            DigestMismatch,
            DEEP,
        ),
        ({"oci-layout": b"{}", "index.json": b"x"}, ImageError, "x: index.json"),
        ({"manifest.json": b" " * (5 << 20)}, ArchiveError, "limit is|larger than"),
    ),
)
def test_those_that_are_none(
    source: Any, files: dict[str, bytes], error: type[ImageError], message: str
) -> None:
    """Each message begins with the archive's name."""
    made = source(files)
    with pytest.raises(error, match=message) as caught:
        images_in(made)

    assert str(caught.value).startswith("x: ")


def test_a_blob_that_lies(source: Any) -> None:
    """What it says of itself is looked at: another manifest under the name of the right one."""
    layout = Layout()
    entry = layout.image("one")
    name = f"blobs/sha256/{entry['digest'][7:]}"
    files = layout.written(entry)
    files[name] = files[name].replace(b'"schemaVersion": 2', b'"schemaVersion":  2')

    with pytest.raises(DigestMismatch):
        images_in(source(files))


def test_members_that_are_taken_are_files_inside(tmp_path: Path) -> None:
    """Names of files never become names of ours; links lead to members alone."""
    data = packed(
        {"manifest.json": b'[{"Config": "c", "RepoTags": [], "Layers": ["out"]}]', "c": b"{}"},
        {"out": (tarfile.SYMTYPE, "/etc/passwd")},
    )
    made = tar_source(tmp_path, data)
    (found,) = images_in(made)
    with pytest.raises(ArchiveError, match="'out' is missing in the archive"):
        made.member(found.layers[0].name)
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == ["member-0", "member-1"]

    with pytest.raises(ArchiveError, match=r"x: entry '\.\./evil': "):
        TarSource(io.BytesIO(packed({"../evil": b""})), tmp_path / "scratch", "x")


def test_a_layouts_files_are_files(tmp_path: Path) -> None:
    """Neither links, which may lead anywhere, nor pipes, which would be waited for."""
    (tmp_path / "oci-layout").write_text("{}")
    (tmp_path / "index.json").symlink_to("/etc/passwd")
    source = DirectorySource(tmp_path, tmp_path, "x")
    with pytest.raises(ArchiveError, match=r"x: 'index.json': Too many levels"):
        images_in(source)
    with pytest.raises(ArchiveError, match=r"x: '\.' is not a file"):
        source.read(".")
