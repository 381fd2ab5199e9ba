"""A registry with a few images for the tests of this folder, on the private host's loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256
from pycompose.engine.images.registry.settings import RegistrySettings
from pycompose.engine.images.store import ImageStore

from tests.support.namespaces import link_up
from tests.support.registry import RunningRegistry, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.paths import StatePaths


@pytest.fixture(scope="session")
def loopback(private_host: Path) -> None:
    """Switch the private host's loopback on."""
    link_up("lo")


@pytest.fixture(scope="session")
def plain_registry(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """Run a registry without TLS and passwords."""
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def store(host_paths: StatePaths) -> ImageStore:
    """Return an empty store."""
    return ImageStore(host_paths)


@pytest.fixture
def settings(tmp_path: Path) -> RegistrySettings:
    """Return settings that know of nothing but loopback."""
    return RegistrySettings(environment={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


def make_layout(directory: Path, layers: list[tuple[bytes, bytes, str]], **config: Any) -> Path:
    """Write an OCI layout with one image; a layer is (blob, its plain tar, compression)."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, Any]:
        digest = sha256(data)
        (blobs / digest[7:]).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [sha256(plain) for _, plain, _ in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, **put(json.dumps(document).encode())},
        "layers": [
            {"mediaType": OCI_LAYER + (f"+{kind}" if kind else ""), **put(blob)} for blob, _, kind in layers
        ],
    }
    entry = {"mediaType": OCI_MANIFEST, **put(json.dumps(manifest).encode())}
    (directory / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": [entry]}), encoding="ascii"
    )
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="ascii")
    return directory
