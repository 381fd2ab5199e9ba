"""Which image a name means, who loses a name to whom, and what the garbage collector spares: the index as data."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.errors import ImageError, NoSuchImage
from pycompose.engine.images import gc
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, chain_ids
from pycompose.engine.images.reference import parse
from pycompose.engine.images.spec import Image, machine
from pycompose.engine.images.store import ImageStore
from pycompose.engine.paths import StatePaths
from pycompose.engine.statefiles import write_json


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = ImageStore(StatePaths(root=tmp_path / "lib", run=tmp_path / "run"))
    made.layout.prepare()
    return made


def add(store: ImageStore, name: str | None, content: str, *, digest: str = "", **platform: str) -> Image:
    """Enter an image with one layer that is made of nothing but its place in the store."""
    own = machine()
    diff_id = f"sha256:{content.encode().hex():0<64}"[:71]
    document: dict[str, Any] = {
        "architecture": platform.get("architecture", own.architecture),
        "os": "linux",
        "created": f"2026-01-01T00:00:0{len(store.list())}Z",
        "config": {"Cmd": [content]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    if platform.get("variant") or (own.variant and not platform):
        document["variant"] = platform.get("variant") or own.variant
    data = json.dumps(document).encode()
    layer = store.layout.put_blob(content.encode())
    (chain,) = chain_ids((diff_id,))
    os.makedirs(store.layout.layer(chain) / "diff", exist_ok=True)
    write_json(store.layout.layer(chain) / "meta.json", {"size_bytes": len(content)})
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": store.layout.put_blob(data), "size": len(data)},
        "layers": [{"mediaType": OCI_LAYER, "digest": layer, "size": len(content)}],
    }
    return store.add(
        json.dumps(manifest).encode(), parse(name) if name is not None else None, source_digest=digest
    )


def names(store: ImageStore) -> set[str]:
    return {str(item.reference) for item in store.list()}


def container(store: ImageStore, image: Image, name: str = "web-1") -> None:
    directory = store.paths.container(name)
    directory.mkdir(parents=True)
    config = {"id": name, "name": name, "image_id": image.id, "rootfs": [{"lowers": image.trees[0].lowers}]}
    (directory / "config.json").write_text(json.dumps(config))


def test_names_and_ids(store: ImageStore) -> None:
    """The familiar forms of a name, an id, and the beginning of one; nothing asks a network."""
    image = add(store, "app:1", "one")
    hexes = image.id.removeprefix("sha256:")

    for text in ("app:1", "docker.io/library/app:1", image.id, hexes, hexes[:12]):
        assert store.resolve(text).id == image.id
    for text in ("app", "app:2", "other/app:1", "sha256:" + "0" * 64):
        with pytest.raises(NoSuchImage):
            store.resolve(text)


def test_a_digest_is_the_registrys_or_ours(store: ImageStore) -> None:
    """And only with the name that it was pulled by."""
    pulled = "sha256:" + "a" * 64
    image = add(store, "registry.example/app:1", "one", digest=pulled)
    own = store.list()[0].entry.digest

    assert store.resolve(f"registry.example/app@{pulled}").id == image.id
    assert store.resolve(f"registry.example/app@{own}").id == image.id
    assert image.digests == (f"registry.example/app@{pulled}",)
    with pytest.raises(NoSuchImage):
        store.resolve(f"registry.example/other@{pulled}")


def test_a_name_moves_to_the_newer_image(store: ImageStore) -> None:
    """The older one stays, without a name, until it is pruned; another name of its keeps it."""
    first = add(store, "app:1", "one")
    store.tag("app:1", "app:old")
    second = add(store, "app:1", "two")
    third = add(store, "app:1", "three")

    assert store.resolve("app:1").id == third.id
    assert store.resolve("app:old").id == first.id
    assert store.resolve(second.id).reference == ""
    assert store.prune(before=time.time() - 60).deleted == ()
    assert store.prune().deleted == (second.id,)
    assert names(store) == {"app:1", "app:old"}


def test_an_image_that_has_its_name_already(store: ImageStore) -> None:
    """Nothing is written for it; for another name, or another origin, it is."""
    add(store, "app:1", "one")
    (entry,) = store.layout.index()
    manifest = store.layout.read_blob(entry.digest, 1 << 20)
    index = store.layout.root / "index.json"
    before = index.stat().st_ino, index.read_bytes()

    assert store.add(manifest, parse("app:1")).reference == "app:1"
    assert (index.stat().st_ino, index.read_bytes()) == before
    store.add(manifest, parse("app:1"), source_digest="sha256:" + "a" * 64)
    assert index.read_bytes() != before[1]
    store.add(manifest, parse("app:2"))
    assert names(store) == {"app:1", "app:2"}


def test_the_platform_that_is_asked_for(store: ImageStore) -> None:
    """Else this machine's, else any; a name may have several."""
    own = add(store, "app:1", "own")
    arm = add(store, "app:1", "arm", architecture="arm", variant="v6")
    only = add(store, "foreign:1", "riscv", architecture="riscv64")

    assert store.resolve("app:1").id == own.id
    assert store.resolve("app:1", platform="linux/arm/v7").id == arm.id
    assert store.resolve("foreign:1").id == only.id
    with pytest.raises(NoSuchImage, match="for linux/arm/v5"):
        store.resolve("app:1", platform="linux/arm/v5")


def test_removing_by_name_and_by_id(store: ImageStore) -> None:
    """A name goes alone; the last one takes the image along; an id takes all names only when forced."""
    image = add(store, "app:1", "one")
    store.tag("app:1", "app:2")

    with pytest.raises(ImageError, match="it has 2 names"):
        store.remove(image.id[7:19])
    assert store.remove("app:1").deleted == ()
    last = store.remove("app:2")
    assert (last.deleted, len(last.untagged)) == ((image.id,), 1)
    assert store.list() == ()
    again = add(store, "app:1", "one")
    store.tag("app:1", "app:2")
    assert len(store.remove(again.id, force=True).untagged) == 2


def test_what_a_container_uses_stays(store: ImageStore) -> None:
    """Neither `rm` nor `prune` takes it, not even without a name; `force` takes the name, and leaves the layers."""
    used, idle = add(store, "app:1", "one"), add(store, "idle:1", "two")
    container(store, used)

    with pytest.raises(ImageError, match="container web-1 uses it"):
        store.remove("app:1")
    assert store.used_image_ids() == {used.id}
    assert store.prune(everything=True).deleted == (idle.id,)
    store.remove("app:1", force=True)
    assert [Path(lower).is_dir() for lower in used.trees[0].lowers] == [True]


def test_the_sweep_spares_what_is_young_or_half_done(store: ImageStore) -> None:
    """A download that goes on later, and what somebody who holds the lock is adding."""
    add(store, "app:1", "one")
    stray = store.layout.put_blob(b"stray")
    part = store.paths.images / "tmp/abc.part"
    part.write_bytes(b"half")

    assert gc.sweep(store.layout, store.paths) == gc.Reclaimed()
    with store.layout.adding():
        assert gc.sweep(store.layout, store.paths, young_s=0).busy
    swept = gc.sweep(store.layout, store.paths, young_s=-1)
    assert (swept.blobs, swept.layers, swept.size_bytes) == (1, 0, 5)
    assert not store.layout.has_blob(stray)
    assert part.exists()
    assert gc.sweep(store.layout, store.paths, partial_s=-1).size_bytes == 4
    assert store.resolve("app:1").size_bytes == 3


def test_an_image_with_missing_parts(store: ImageStore) -> None:
    """It is told when asked for, and left out of lists; a damaged index says how to go on."""
    image = add(store, "app:1", "one")
    os.unlink(store.layout.blob_path(image.id))

    assert store.list() == ()
    with pytest.raises(NoSuchImage, match="parts of it are missing"):
        store.resolve("app:1")
    (store.paths.images / "index.json").write_text("{")
    with pytest.raises(ImageError, match="cannot read the image index") as caught:
        store.resolve("app:1")
    assert "index.json.damaged" in str(caught.value.hint)
