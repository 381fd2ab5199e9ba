"""The store: images in and out, many at once, killed half-way, and what it forgets."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import ArchiveError, DigestMismatch, ImageError, NoSuchImage
from pycompose.engine.images import gc
from pycompose.engine.images.archives.importer import import_rootfs
from pycompose.engine.images.archives.load import load, load_reference
from pycompose.engine.images.archives.save import save
from pycompose.engine.images.layers.workers import DownloadFailed, GrowingBlob, Worker
from pycompose.engine.images.layout import ImageLayout
from pycompose.engine.images.reference import parse
from pycompose.engine.images.spec import ImageConfig
from pycompose.engine.images.store import ImageStore

from tests.linux.engine.images.conftest import make_layout
from tests.support.layers import directory, file, hardlink, merged, names, symlink, tar
from tests.support.registry import skopeo
from tests.support.requires import requires
from tests.support.rootfs import build_tar
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.paths import StatePaths

pytestmark = requires("root", "overlay", "skopeo", "static-busybox")

SMALL = tar(directory("bin"), file("bin/sh", "x", mode=0o755), symlink("sh", "bin/sh"))
BOTTOM = tar(directory("etc"), file("etc/motd", "hello"), directory("tmp", mode=0o1777))
TOP = tar(file("etc/.wh.motd"), file("tmp/new", "x"))


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """Write an outer tar with these files."""
    with tarfile.open(path, "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def rest(store: ImageStore) -> list[str]:
    """Return scratch, layers and names: what a failure must not leave."""
    return [
        *os.listdir(store.paths.images / "tmp"),
        *os.listdir(store.paths.images / "layers"),
        *(entry.digest for entry in store.layout.index()),
    ]


@pytest.mark.parametrize("pack", (bytes, gzip.compress))
def test_a_root_file_system_becomes_an_image(
    store: ImageStore, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """Its config is what the changes say; skopeo reads the store as the OCI layout it is."""
    image = import_rootfs(
        store, io.BytesIO(pack(SMALL)), "app:1", config=ImageConfig(cmd=("sh",), env=("A=1",)), message="why"
    )

    (lower,) = image.trees[0].lowers
    assert names(Path(lower)) == ["bin/", "bin/sh", "sh"]
    assert (image.config.cmd, image.config.env, image.reference) == (("sh",), ("A=1",), "app:1")
    assert store.resolve("app:1") == image
    skopeo("copy", f"oci:{store.paths.images}:docker.io/library/app:1", f"oci:{tmp_path}/out:1")
    assert json.loads(skopeo("inspect", "--config", f"oci:{tmp_path}/out:1"))["config"]["Cmd"] == ["sh"]


def test_a_busybox_can_be_imported(store: ImageStore, tmp_path: Path) -> None:
    """A real root file system: hundreds of links, the sticky /tmp, the private /root."""
    image = import_rootfs(store, build_tar(tmp_path / "bb.tar", tmp_path / "tree"), "busybox")

    root = Path(image.trees[0].lowers[0])
    assert os.readlink(root / "bin/sh") == "busybox"
    assert ((root / "tmp").stat().st_mode & 0o7777, (root / "root").stat().st_mode & 0o777) == (0o1777, 0o700)
    assert image.size_bytes > 1_000_000


@pytest.mark.parametrize(
    ("data", "reason"),
    (
        (b"", None),
        (b"garbage " * 100, "at its start: (not a tar archive|bad checksum)"),
        (gzip.compress(SMALL)[:-20], "gzip data is truncated"),
        (gzip.compress(SMALL) + b"more", "trailing garbage after the gzip data"),
        (SMALL + b"more", "trailing garbage after the end of the archive"),
        (tar(file("../evil")), r"entry '../evil': its name contains '\.\.'"),
        (tar(hardlink("l", "/etc/shadow")), "entry 'l': a hard link to 'etc/shadow', which no layer has"),
    ),
)
def test_bad_archives_leave_nothing(store: ImageStore, data: bytes, reason: str | None) -> None:
    """The message says what and where; the store is as before."""
    if reason is None:
        import_rootfs(store, io.BytesIO(data), "empty")
        return
    with pytest.raises(ArchiveError, match=reason):
        import_rootfs(store, io.BytesIO(data), "bad:1")

    assert rest(store) == []


def test_saved_images_load_again(store: ImageStore, host_paths: StatePaths, tmp_path: Path) -> None:
    """Same id, same layers; several images in one archive, read from a stream, compressed."""
    first = import_rootfs(store, io.BytesIO(SMALL), "app:1")
    second = import_rootfs(store, io.BytesIO(BOTTOM), "other:2")
    out = io.BytesIO()
    save(store, ["app:1", "other:2"], out)
    store.prune(everything=True)
    assert rest(store) == []

    loaded = load(store, io.BytesIO(gzip.compress(out.getvalue())))

    assert [image.id for image in loaded] == [first.id, second.id]
    assert store.resolve("other:2").id == second.id


def test_skopeos_archives_load(store: ImageStore, tmp_path: Path) -> None:
    """docker-archive and oci-archive, and layers that lie on each other."""
    layout = make_layout(
        tmp_path / "oci", [(gzip.compress(BOTTOM), BOTTOM, "gzip"), (TOP, TOP, "")], Cmd=["sh"]
    )
    skopeo("copy", f"oci:{layout}", f"docker-archive:{tmp_path}/docker.tar:app:docker")
    skopeo("copy", f"oci:{layout}", f"oci-archive:{tmp_path}/oci.tar:app:oci")

    (from_docker,) = load(store, tmp_path / "docker.tar")
    (from_oci,) = load(store, tmp_path / "oci.tar")

    assert from_docker.reference == "app:docker"
    assert from_docker.trees == from_oci.trees
    with merged(store.paths.root, *map(Path, from_oci.trees[0].lowers)) as root:
        assert names(root) == ["etc/", "tmp/", "tmp/new"]
        assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_old_docker_archives_load(store: ImageStore, tmp_path: Path) -> None:
    """Docker save before 25: a directory per layer, equal layers as links."""
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    from pycompose.engine.images.manifest import sha256  # noqa: PLC0415

    config["rootfs"]["diff_ids"] = [sha256(BOTTOM), sha256(BOTTOM)]  # type: ignore[index]
    text = json.dumps(config).encode()
    name = f"{sha256(text)[7:]}.json"
    path = tmp_path / "old.tar"
    manifest = [{"Config": name, "RepoTags": ["old:1"], "Layers": ["aa/layer.tar", "bb/layer.tar"]}]
    with tarfile.open(path, "w") as out:
        for member, data in (
            ("aa/layer.tar", BOTTOM),
            (name, text),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("bb/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../aa/layer.tar"
        out.addfile(link)

    (image,) = load(store, path)

    assert image.reference == "old:1"
    assert len(image.trees[0].lowers) == 2


def test_files_as_references(store: ImageStore, tmp_path: Path) -> None:
    """`oci:DIR` is found once it is loaded, and looked for again when it has changed."""
    make_layout(tmp_path / "img", [(BOTTOM, BOTTOM, "")])
    reference = parse("oci:img").anchored(tmp_path)
    with pytest.raises(NoSuchImage, match=r"no such image in the local store"):
        store.resolve("oci:img", base_dir=tmp_path)

    image = load_reference(store, reference)
    assert store.resolve("oci:img", base_dir=tmp_path) == image

    os.utime(tmp_path / "img/index.json")
    with pytest.raises(NoSuchImage):
        store.resolve("oci:img", base_dir=tmp_path)
    assert load_reference(store, reference).id == image.id


BAD_ARCHIVES: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing": ({"readme": b"hi"}, "neither a docker archive nor an OCI layout"),
    "not JSON": ({"manifest.json": b"{"}, "manifest.json: not JSON"),
    "no list": ({"manifest.json": b"{}"}, "expected a list"),
    "malformed": (
        {"manifest.json": b'[{"Config": 3, "Layers": []}]'},
        "Config, RepoTags or Layers are malformed",
    ),
    "missing": (
        {"manifest.json": b'[{"Config": "c.json", "Layers": []}]'},
        "'c.json' is missing in the archive",
    ),
    "outside": (
        {"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'},
        "is missing in the archive",
    ),
    "layers": (
        {
            "manifest.json": b'[{"Config": "c.json", "Layers": ["x/layer.tar"]}]',
            "c.json": b'{"rootfs": {"diff_ids": []}}',
        },
        "1 layers, the configuration has 0",
    ),
    "a name": ({"../evil": b"x"}, r"entry '../evil': its name contains '\.\.'"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_bad_image_archives_are_refused(store: ImageStore, tmp_path: Path, case: str) -> None:
    """With the archive's name in front; nothing stays."""
    members, reason = BAD_ARCHIVES[case]

    with pytest.raises(ArchiveError, match=rf"bad\.tar: .*{reason}"):
        load(store, archive(tmp_path / "bad.tar", members))

    assert rest(store) == []


def test_a_blob_that_lies_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """Its name in the layout is its digest, its content isn't."""
    layout = make_layout(tmp_path / "oci", [(BOTTOM, BOTTOM, "")])
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.read_bytes() == BOTTOM:
            blob.write_bytes(TOP)

    with pytest.raises(DigestMismatch, match=r"wrong content: expected sha256:"):
        load(store, layout)

    assert rest(store) == []


def test_names_move_and_nameless_images_are_pruned(store: ImageStore) -> None:
    """As with docker: the old image stays until it is pruned, unless it has another name."""
    first = import_rootfs(store, io.BytesIO(SMALL), "app:1")
    store.tag("app:1", "kept:1")
    second = import_rootfs(store, io.BytesIO(BOTTOM), "app:1")
    third = import_rootfs(store, io.BytesIO(TOP), "app:1")

    assert store.resolve("app:1").id == third.id
    assert store.resolve("kept:1").id == first.id
    assert [item.image.id for item in store.list() if item.reference is None] == [second.id]
    assert store.resolve(second.id[7:19]).id == second.id
    assert store.prune().deleted == (second.id,)
    assert {item.image.id for item in store.list()} == {first.id, third.id}


def test_removing_takes_names_then_the_image(store: ImageStore) -> None:
    """An id with several names needs --force; the layer goes with the last one."""
    image = import_rootfs(store, io.BytesIO(SMALL), "a:1")
    store.tag("a:1", "b:1")

    with pytest.raises(ImageError, match=r"it has 2 names"):
        store.remove(image.id)
    assert store.remove("a:1").deleted == ()
    done = store.remove("b:1")

    assert (done.untagged, done.deleted, done.reclaimed.layers) == (("b:1",), (image.id,), 1)
    assert rest(store) == []
    assert os.listdir(store.paths.images / "blobs/sha256") == []


def test_an_image_in_use_stays(store: ImageStore) -> None:
    """A container's config.json keeps its layers, also when the image is removed by force."""
    image = import_rootfs(store, io.BytesIO(SMALL), "a:1")
    container = store.paths.container("c" * 64)
    container.mkdir(parents=True)
    config = {"name": "demo-a-1", "image_id": image.id, "rootfs": [{"lowers": list(image.trees[0].lowers)}]}
    (container / "config.json").write_text(json.dumps(config))

    with pytest.raises(ImageError, match=r"container demo-a-1 uses it"):
        store.remove("a:1")
    assert store.prune(everything=True).deleted == ()
    store.remove("a:1", force=True)

    assert Path(image.trees[0].lowers[0]).is_dir()
    shutil.rmtree(container)
    gc.sweep(store.layout, store.paths, young_s=0.0)
    assert not Path(image.trees[0].lowers[0]).exists()


def test_many_writers_at_once(store: ImageStore) -> None:
    """No entry is lost, and the index is whole at every moment."""
    stop = threading.Event()
    broken: list[Exception] = []

    def watch() -> None:
        layout = ImageLayout(store.paths.images)
        while not stop.is_set():
            try:
                layout.index()
            except ImageError as exc:
                broken.append(exc)

    def work(number: int) -> None:
        import_rootfs(ImageStore(store.paths), io.BytesIO(tar(file("f", str(number % 3)))), f"app:{number}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()

    assert broken == []
    assert len(store.list()) == 6
    assert len(os.listdir(store.paths.images / "layers")) == 3


def test_scratch_that_is_still_unpacked_into_is_left_for_the_next_sweep(store: ImageStore) -> None:
    """Its owner was killed, the unpacking process lives for a moment."""
    store.layout.prepare()
    staging = store.paths.images / "tmp/import-dead/layer"
    staging.mkdir(parents=True)
    growing = GrowingBlob()
    growing.advance(0)
    with Worker() as worker, ThreadPoolExecutor(1) as beside:
        blob = os.open(os.devnull, os.O_RDONLY)
        unpacked = beside.submit(worker.unpack, blob, "", staging, growing)
        try:
            eventually((staging / "diff").is_dir)
            store.prune()
            assert (staging / "diff").is_dir()
        finally:
            growing.fail()
        assert isinstance(unpacked.exception(), DownloadFailed)

    store.prune()
    assert os.listdir(store.paths.images / "tmp") == []


KILLED = """
import sys
from pathlib import Path
from pycompose.engine.images.archives.importer import import_rootfs
from pycompose.engine.images.spec import ImageConfig
from pycompose.engine.images.store import ImageStore
from pycompose.engine.paths import StatePaths
store = ImageStore(StatePaths(root=Path(sys.argv[1])))
print("go", flush=True)
for number in range(100):
    import_rootfs(store, Path(sys.argv[2]), f"app:{number}", config=ImageConfig(env=(f"N={number}",)))
    store.remove(f"app:{number - 1}") if number else None
"""


def test_killed_at_any_point_the_store_is_usable(store: ImageStore, tmp_path: Path) -> None:
    """Kill -9 after a growing time; the next run works, and its sweep takes what was left."""
    source = tmp_path / "rootfs.tar"
    source.write_bytes(tar(*(file(f"f{number}", b"x" * 10_000) for number in range(300))))
    for delay_ms in (0, 60, 120, 180, 240, 300):
        command = [sys.executable, "-c", KILLED, str(store.paths.root), str(source)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            threading.Event().wait(delay_ms / 1000)
            process.send_signal(signal.SIGKILL)

        import_rootfs(store, io.BytesIO(SMALL), "after:1")
        assert store.resolve("after:1").size_bytes == 1
        assert all(item.image.size_bytes for item in store.list())

    def swept() -> bool:
        store.prune(everything=True)
        return rest(store) == []

    eventually(swept)  # who unpacked for one that was killed is killed as well, a moment later
    assert os.listdir(store.paths.images / "blobs/sha256") == []
