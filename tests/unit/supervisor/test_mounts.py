"""From `volumes:`, `secrets:` and `configs:` to mounts, with real volumes in a folder of the test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.config import ContainerConfig, Mount, MountKind, Process, RootfsTree
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import VolumeError
from pycompose.engine.paths import StatePaths
from pycompose.labels import CONFIG_HASH, PROJECT, VOLUME
from pycompose.model import FileObject, FileReference, Project, Service, ServiceVolume, Volume
from pycompose.supervisor.runtime.mounts import (
    MountBuilder,
    anonymous_by_target,
    ensure_volume,
    rewrite_files,
)
from pycompose.volumes.store import VolumeSpec, VolumeStore

from tests.unit.supervisor.examples import image, project

if TYPE_CHECKING:
    from pycompose.engine.images.spec import Image

ID = "c" * 64
ME: dict[str, Any] = {"uid": str(os.getuid()), "gid": str(os.getgid())}


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """State in a folder of the test."""
    return StatePaths(root=tmp_path / "root", run=tmp_path / "run")


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Return a layer of an image with a file in /data."""
    (tmp_path / "layer/data").mkdir(parents=True)
    (tmp_path / "layer/data/file").write_text("from the image", encoding="ascii")
    return tmp_path / "layer"


def builder(paths: StatePaths, layer: Path, service: Service, **more: Any) -> MountBuilder:
    found = image(volumes=more.pop("volumes", ()))
    wanted: Project = more.pop("project", project(service))
    return MountBuilder(
        paths,
        wanted,
        service,
        replace(found, trees=(RootfsTree(lowers=(str(layer),)),)),
        ID,
        more.pop("inherited", {}),
        more.pop("resolve_image", _nothing),
        **more,
    )


def _nothing(reference: str) -> Image:
    raise AssertionError(reference)


def volume(kind: str, target: str, source: str = "", **more: Any) -> ServiceVolume:
    return ServiceVolume(kind=kind, target=target, source=source, **more)


def service(*volumes: ServiceVolume, **more: Any) -> Service:
    return Service(name="db", volumes=volumes, **more)


def with_volume(name: str = "demo_data", **more: Any) -> dict[str, Volume]:
    return {"data": Volume(key="data", name=name, hash="h1", **more)}


# ---------------------------------------------------------------------- volumes


def test_a_named_volume_is_filled_from_the_image(paths: StatePaths, layer: Path) -> None:
    """Once, while it is empty."""
    wanted = project(one := service(volume("volume", "/data", "data", read_only=True)), volumes=with_volume())
    ensure_volume(paths, wanted, wanted.volumes["data"])
    (mount,) = builder(paths, layer, one, project=wanted).build()
    data = VolumeStore(paths).data("demo_data")

    assert mount == Mount(kind=MountKind.BIND, source=str(data), target="/data", read_only=True)
    assert (data / "file").read_text(encoding="ascii") == "from the image"


@pytest.mark.parametrize("case", ("nocopy", "device"))
def test_a_volume_may_not_be_filled(paths: StatePaths, layer: Path, case: str) -> None:
    """Because the file says so, or because its data lies elsewhere."""
    options = {"device": "/srv", "type": "none", "o": "bind"} if case == "device" else {}
    VolumeStore(paths).ensure(VolumeSpec(name="demo_data", options=options))
    one = service(volume("volume", "/data", "data", nocopy=case == "nocopy"))
    builder(paths, layer, one, project=project(one, volumes=with_volume())).build()

    assert list(VolumeStore(paths).data("demo_data").iterdir()) == []


def test_a_volume_that_is_gone_is_not_made_behind_ones_back(paths: StatePaths, layer: Path) -> None:
    """Making volumes is an operation of the plan."""
    one = service(volume("volume", "/data", "data"))

    with pytest.raises(VolumeError, match="volume demo_data: not found"):
        builder(paths, layer, one, project=project(one, volumes=with_volume())).build()


def test_what_the_image_declares_gets_a_volume_unless_something_is_there(
    paths: StatePaths, layer: Path
) -> None:
    """`VOLUME` of the image; a tmpfs or a bind at the same place, however it is spelled, goes before."""
    one = service(volume("bind", "/bound/", str(layer)), tmpfs=("/fast:size=1m",))
    build = builder(paths, layer, one, volumes=("/data", "/data/", "/bound", "/fast"))
    found = build.build()

    assert [mount.target for mount in found] == ["/bound/", "/data"]
    (name,) = build.anonymous
    assert found[1].source == str(VolumeStore(paths).data(name))
    assert VolumeStore(paths).get(name).anonymous  # type: ignore[union-attr]


def test_a_replacement_inherits_anonymous_volumes(paths: StatePaths, layer: Path) -> None:
    """By their target; one that is gone is replaced by a new one."""
    kept = VolumeStore(paths).ensure_anonymous("demo", {}).name
    one = service(volume("volume", "/a/"), volume("volume", "/b"))
    build = builder(paths, layer, one, inherited={"/a": kept, "/b": "0" * 64})
    build.build()

    assert build.anonymous[0] == kept
    assert build.anonymous[1] not in (kept, "0" * 64)


def test_which_anonymous_volume_was_where(paths: StatePaths) -> None:
    """Named volumes and binds are left out, sub-folders of volumes are found."""
    home = paths.volumes
    mounts = tuple(
        Mount(kind=MountKind.BIND, source=source, target=target)
        for source, target in ((f"{home}/anon/_data", "/a/"), (f"{home}/named/_data", "/b"), ("/srv", "/c"))
    )

    assert anonymous_by_target(mounts, ("anon",), home) == {"/a": "anon"}


def test_mounts_of_others_give_way_to_ones_own(paths: StatePaths, layer: Path) -> None:
    """`volumes_from`."""
    borrowed = tuple(Mount(kind=MountKind.BIND, source="/theirs", target=t) for t in ("/data/", "/more"))
    found = builder(paths, layer, service(volume("bind", "/data", str(layer))), borrowed=borrowed).build()

    assert [(mount.source, mount.target) for mount in found] == [(str(layer), "/data"), ("/theirs", "/more")]


# ---------------------------------------------------------------------- the other kinds


def test_a_missing_source_is_made_or_named(paths: StatePaths, layer: Path, tmp_path: Path) -> None:
    """As `create_host_path` says."""
    missing = tmp_path / "made/here"
    one = service(volume("bind", "/x", str(missing), create_host_path=False))
    with pytest.raises(VolumeError, match=f"service db: bind mount {missing} -> /x: .*does not exist"):
        builder(paths, layer, one).build()
    builder(paths, layer, service(volume("bind", "/x", str(missing)))).build()

    assert missing.is_dir()


def test_a_dangling_link_is_a_source(paths: StatePaths, layer: Path, tmp_path: Path) -> None:
    """Nothing is made where something is."""
    (tmp_path / "link").symlink_to("nowhere")
    builder(paths, layer, service(volume("bind", "/x", str(tmp_path / "link")))).build()

    assert not (tmp_path / "nowhere").exists()


def test_how_a_bind_is_mounted(paths: StatePaths, layer: Path) -> None:
    """With what is mounted below it, and private, unless the file says otherwise."""
    plain, alone, writable = builder(
        paths,
        layer,
        service(
            volume("bind", "/a", str(layer)),
            volume("bind", "/b", str(layer), recursive="disabled", propagation="private", read_only=True),
            volume("bind", "/c", str(layer), recursive="writable", read_only=True),
        ),
    ).build()

    assert (plain.submounts, plain.recursive, plain.propagation, plain.read_only) == (
        True,
        True,
        "rprivate",
        False,
    )
    assert (alone.submounts, alone.propagation, alone.read_only) == (False, "private", True)
    assert (writable.submounts, writable.recursive, writable.read_only) == (True, False, True)


def test_a_tmpfs(paths: StatePaths, layer: Path) -> None:
    """Size in bytes, mode in octal."""
    (mount,) = builder(
        paths, layer, service(volume("tmpfs", "/t", tmpfs_size_bytes=4096, tmpfs_mode=0o1770))
    ).build()

    assert mount == Mount(
        kind=MountKind.TMPFS, target="/t", options=("noexec", "nosuid", "nodev", "size=4096", "mode=1770")
    )


def test_an_image_of_one_layer_can_be_mounted(paths: StatePaths, layer: Path) -> None:
    """Read-only; one of several layers would be an overlay of its own."""
    one = service(volume("image", "/x", "tools", subpath="bin"))
    tools = replace(image(), trees=(RootfsTree(lowers=("/tools",)),))
    two = replace(tools, trees=(RootfsTree(lowers=("/tools", "/more")),))

    assert builder(paths, layer, one, resolve_image={"tools": tools}.__getitem__).build() == (
        Mount(kind=MountKind.BIND, source="/tools", target="/x", subpath="bin", read_only=True),
    )
    with pytest.raises(VolumeError, match="cannot mount image tools: it has more than one layer"):
        builder(paths, layer, one, resolve_image={"tools": two}.__getitem__).build()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    (
        (volume("bind", "x", "/srv"), "mount path 'x' is not absolute"),
        (volume("npipe", "/x", "/srv"), "volume type 'npipe' doesn't exist on Linux"),
    ),
    ids=["relative", "kind"],
)
def test_what_cannot_be_mounted(paths: StatePaths, layer: Path, wrong: ServiceVolume, reason: str) -> None:
    """The error names the service."""
    with pytest.raises(VolumeError, match=f"service db: {reason}"):
        builder(paths, layer, service(wrong)).build()


# ---------------------------------------------------------------------- top-level volumes


def test_a_volume_is_made_with_labels_to_know_it_by(paths: StatePaths) -> None:
    """Ours go over the file's."""
    wanted = project(volumes=with_volume(labels={PROJECT: "forged", "own": "1"}))
    ensure_volume(paths, wanted, wanted.volumes["data"])
    found = VolumeStore(paths).get("demo_data")

    assert found is not None
    assert found.labels == {"own": "1", PROJECT: "demo", VOLUME: "data", CONFIG_HASH: "h1"}


def test_an_external_volume_has_to_be_there(paths: StatePaths) -> None:
    """It is neither made nor changed."""
    wanted = project(volumes=with_volume("outside", external=True))
    with pytest.raises(VolumeError, match='external volume "outside" not found'):
        ensure_volume(paths, wanted, wanted.volumes["data"])
    VolumeStore(paths).ensure(VolumeSpec(name="outside", labels={"theirs": "1"}))
    ensure_volume(paths, wanted, wanted.volumes["data"])

    assert VolumeStore(paths).get("outside").labels == {"theirs": "1"}  # type: ignore[union-attr]


# ---------------------------------------------------------------------- secrets and configs


def reference(source: str, **more: Any) -> FileReference:
    return FileReference(source=source, target=f"/run/secrets/{source}", **{**ME, **more})


def test_where_the_content_of_a_secret_comes_from(paths: StatePaths, layer: Path, tmp_path: Path) -> None:
    """From a file, from a variable, from the compose file itself; an empty one is one."""
    (tmp_path / "secret").write_bytes(b"\x00file")
    objects = {
        "a": FileObject(key="a", name="a", file=str(tmp_path / "secret")),
        "b": FileObject(key="b", name="b", variable="B", environment="from B"),
        "c": FileObject(key="c", name="c", content=""),
    }
    one = service(secrets=(reference("a", mode=0o400), reference("b")), configs=(reference("c"),))
    found = builder(paths, layer, one, project=project(one, secrets=objects, configs=objects)).build()
    contents = [Path(mount.source).read_bytes() for mount in found]

    assert contents == [b"\x00file", b"from B", b""]
    assert [os.stat(mount.source).st_mode & 0o777 for mount in found] == [0o400, 0o444, 0o444]
    assert all(mount.read_only and mount.source.startswith(str(paths.run)) for mount in found)


def test_a_file_keeps_what_is_not_asked_for(paths: StatePaths, layer: Path, tmp_path: Path) -> None:
    """The machine's own file is mounted; a copy with another mode has the file's owner."""
    path = tmp_path / "secret"
    path.write_text("s")
    path.chmod(0o640)
    objects = {"a": FileObject(key="a", name="a", file=str(path))}
    plain = FileReference(source="a", target="/plain")
    one = service(
        secrets=(plain, replace(plain, target="/mode", mode=0o400), replace(plain, target="/own", **ME))
    )
    bound, with_mode, with_owner = builder(paths, layer, one, project=project(one, secrets=objects)).build()

    assert bound == Mount(kind=MountKind.BIND, source=str(path), target="/plain", read_only=True)
    statuses = [os.stat(mount.source) for mount in (with_mode, with_owner)]
    assert [(s.st_mode & 0o777, s.st_uid) for s in statuses] == [(0o400, os.getuid()), (0o640, os.getuid())]


def test_copies_are_made_anew_for_a_start(paths: StatePaths, layer: Path, tmp_path: Path) -> None:
    """Also the copy that an older version mounted of a file that is a bind mount now."""
    path = tmp_path / "secret"
    path.write_text("old")
    objects = {
        "a": FileObject(key="a", name="a", file=str(path)),
        "b": FileObject(key="b", name="b", content="old"),
    }
    one = service(
        secrets=(FileReference(source="a", target="/a"), FileReference(source="b", target="/b", **ME))
    )
    (bound, made) = builder(paths, layer, one, project=project(one, secrets=objects)).build()
    path.write_text("new")
    now = project(one, secrets={**objects, "b": FileObject(key="b", name="b", content="new")})
    directory = Path(made.source).parent
    for mounts, wanted in (
        ((bound, made), {"1"}),
        ((replace(bound, source=str(directory / "0")), made), {"0", "1"}),
    ):
        config = ContainerConfig(
            id=directory.name, name="n", project="p", rootfs=(), process=Process(args=()), mounts=mounts
        )
        if os.geteuid() == 0 or wanted == {"1"}:
            rewrite_files(paths, now, one, config)
            assert {entry.name for entry in directory.iterdir()} == wanted

    assert Path(made.source).read_text() == "new"


@pytest.mark.parametrize(
    ("secret", "changes", "reason"),
    (
        (FileObject(key="a", name="a", variable="A"), {}, 'variable "A" required by secret "a" is not set'),
        (
            FileObject(key="a", name="a", external=True),
            {},
            "service db: secret a: unsupported external secret a",
        ),
        (FileObject(key="a", name="a", file="/nowhere/at/all"), {}, "service db: secret a: cannot read"),
        (FileObject(key="a", name="a", content="x"), {"uid": "root"}, "uid and gid have to be numbers"),
    ),
    ids=["variable", "external", "file", "uid"],
)
def test_a_secret_that_cannot_be(
    paths: StatePaths, layer: Path, secret: FileObject, changes: dict[str, str], reason: str
) -> None:
    """A container never starts without it."""
    one = service(secrets=(reference("a", **changes),))

    with pytest.raises(VolumeError, match=reason):
        builder(paths, layer, one, project=project(one, secrets={"a": secret})).build()


def test_a_volume_of_an_image_that_is_not_absolute(paths: StatePaths, layer: Path) -> None:
    """What somebody else has written into an image is refused by name."""
    with pytest.raises(VolumeError, match=r"service \w+: volume 'data' of image \S* ?is not absolute"):
        builder(paths, layer, service(), volumes=("data",)).build()
