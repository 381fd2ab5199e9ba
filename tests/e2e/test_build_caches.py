"""Caches from and to elsewhere: what one state root has built, another one takes over."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.requires import requires
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.scenario import Host

DOCKERFILE = """\
FROM busybox AS tools
RUN echo tool >/tool
FROM busybox
WORKDIR /w
COPY f /f
RUN date +%s%N >/when; mkdir -m 700 /d; rm /bin/wget
COPY --from=tools /tool /tool
"""


@pytest.fixture
def other(busy: Host, busybox_tar: Path, tmp_path: Path) -> dict[str, str]:
    """Return the variables of a second state root on the machine, with the same base image."""
    saved = tmp_path / "saved.tar"
    busy.run("image", "save", "-o", saved, "busybox").ok()
    variables = {"PYCOMPOSE_ROOT": str(tmp_path / "other"), "PYCOMPOSE_RUN": str(tmp_path / "run")}
    busy.run("image", "load", "-i", saved, env=variables).ok()
    return variables


@pytest.fixture
def registry(busy: Host, tmp_path: Path) -> Iterator[str]:
    """Run Debian's docker-registry on the machine; yield where."""
    host = "127.0.0.1:5077"
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
        f"http: {{secret: x, addr: '{host}'}}\n",
        encoding="ascii",
    )
    script = f"OTEL_TRACES_EXPORTER=none docker-registry serve {config} >{tmp_path}/log 2>&1 & echo $!"
    pid = busy.command(["sh", "-c", script]).ok().stdout.strip()
    try:
        eventually(lambda: busy.inside(lambda: _answers(host)))
        yield host
    finally:
        busy.command(["sh", "-c", f"kill {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.05; done"])


def _answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def context(host: Host) -> Path:
    """Make a context."""
    return host.project({"Dockerfile": DOCKERFILE, "f": "f\n"}, "context")


def build(host: Host, *flags: str, env: Mapping[str, str] | None = None) -> str:
    """Build it; return what is said."""
    return host.run(
        "image", "build", "-t", "it", *flags, ".", cwd=host.folder / "context", env=env
    ).ok().stderr  # fmt: skip


def inside(host: Host, script: str, env: Mapping[str, str] | None = None) -> str:
    """Return what `script` prints in a container of the image."""
    return host.run(
        "container", "run", "--rm", "--network", "none", "it", "sh", "-c", script, env=env
    ).ok().stdout  # fmt: skip


def same(host: Host, other: Mapping[str, str], said: str) -> None:
    """Compare the image of the other root, all of whose steps came from the cache, with ours."""
    assert said.count("CACHED") == 5, said
    show = ("image", "inspect", "-f", "{{json .RootFS}}{{.Created}}", "it")
    assert host.run(*show, env=other).ok().stdout == host.run(*show).ok().stdout
    script = "cat /when /f /tool; stat -c %a /d; ls /bin/wget 2>&1 | grep -c 'No such'; pwd"
    assert inside(host, script, other) == inside(host, script)


def test_a_folder(busy: Host, other: dict[str, str], tmp_path: Path) -> None:
    """All stages with mode=max; in the shape of an OCI layout; what came of it can be saved."""
    context(busy)
    cache = tmp_path / "cache"
    assert "exporting cache to " in build(busy, f"--cache-to=type=local,dest={cache},mode=max")
    (entry,) = json.loads((cache / "index.json").read_text(encoding="utf-8"))["manifests"]
    manifest = json.loads((cache / "blobs/sha256" / entry["digest"][7:]).read_text(encoding="utf-8"))
    assert manifest["config"]["mediaType"] == "application/vnd.buildkit.cacheconfig.v0"
    document = json.loads(
        (cache / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text(encoding="utf-8")
    )
    assert len(document["records"]) == 5

    said = build(busy, f"--cache-from=type=local,src={cache}", env=other)
    assert "importing cache manifest from " in said
    same(busy, other, said)
    busy.run("image", "save", "-o", tmp_path / "again.tar", "it", env=other).ok()
    busy.run("image", "rm", "-f", "it").ok()
    busy.run("image", "load", "-i", tmp_path / "again.tar").ok()
    assert inside(busy, "cat /f /tool") == "f\ntool\n"
    # What is here already asks nobody.
    assert "importing" not in build(busy, f"--cache-from=type=local,src={cache}", env=other)


@pytest.mark.parametrize("packing", ("gzip", "zstd", "uncompressed"))
def test_packings(busy: Host, other: dict[str, str], tmp_path: Path, packing: str) -> None:
    """However layers are packed, they are the same afterwards."""
    context(busy)
    cache = tmp_path / "cache"
    build(busy, f"--cache-to=type=local,dest={cache},mode=max,compression={packing}")
    types = {"gzip": "tar+gzip", "zstd": "tar+zstd", "uncompressed": "tar"}
    blobs = [path.read_bytes() for path in (cache / "blobs/sha256").iterdir()]
    (manifest,) = [json.loads(data) for data in blobs if b'"schemaVersion"' in data]
    wanted = f"application/vnd.oci.image.layer.v1.{types[packing]}"
    assert {layer["mediaType"] for layer in manifest["layers"]} == {wanted}
    same(busy, other, build(busy, f"--cache-from=type=local,src={cache}", env=other))
    # Sizes in the manifest of an image that stands on it are those of its tars.
    busy.run("image", "save", "-o", tmp_path / "again.tar", "it", env=other).ok()


def test_min_leaves_other_stages_out(busy: Host, other: dict[str, str], tmp_path: Path) -> None:
    """And `tag` keeps several in one folder."""
    context(busy)
    cache = tmp_path / "cache"
    build(busy, f"--cache-to=type=local,dest={cache}", f"--cache-to=type=local,dest={cache},mode=max,tag=all")
    said = build(busy, f"--cache-from=type=local,src={cache}", env=other)
    # The tools are made again, from which COPY takes what it took before.
    assert said.count("CACHED") == 4, said
    index = json.loads((cache / "index.json").read_text(encoding="utf-8"))
    assert len(index["manifests"]) == 2


@requires("docker-registry")
def test_a_registry(busy: Host, other: dict[str, str], registry: str) -> None:
    """As a manifest of its own, and inside an image; by a compose file as well."""
    context(busy)
    reference = f"{registry}/cache/it:v1"
    build(busy, f"--cache-to=type=registry,ref={reference},mode=max")
    same(busy, other, build(busy, f"--cache-from=type=registry,ref={reference}", env=other))

    busy.run("image", "rm", "-f", "it", env=other).ok()
    busy.run("builder", "prune", "-af", env=other).ok()
    compose = {
        "services": {
            "x": {
                "image": f"{registry}/inline",
                "build": {"context": ".", "cache_from": [f"{registry}/inline"], "cache_to": ["type=inline"]},
            }
        }
    }
    (busy.folder / "context/compose.yaml").write_text(json.dumps(compose), encoding="utf-8")
    busy.run("build", "--push", cwd=busy.folder / "context").ok()
    said = busy.run("build", cwd=busy.folder / "context", env=other).ok().stdout
    assert "importing cache manifest from " in said
    # The stage that the image doesn't stand on is made again; what it gives is the same.
    assert said.count("CACHED") >= 4, said


def test_what_cannot_be_had_is_said(busy: Host, tmp_path: Path) -> None:
    """A cache that isn't there, or is damaged, costs nothing; one that can't be written fails the build."""
    context(busy)
    said = build(busy, f"--cache-from=type=local,src={tmp_path}/nowhere", "--cache-from", "127.0.0.1:1/x")
    assert f"cache_from {tmp_path}/nowhere" in said
    assert "cache_from 127.0.0.1:1/x" in said
    cache = tmp_path / "cache"
    build(busy, f"--cache-to=type=local,dest={cache},mode=max")
    layers = [
        blob for blob in (cache / "blobs/sha256").iterdir() if blob.read_bytes().startswith(b"\x1f\x8b")
    ]
    assert layers
    for blob in layers:
        blob.write_bytes(b"damaged")
    busy.run("builder", "prune", "-af").ok()
    busy.run("image", "rm", "-f", "it").ok()
    said = build(busy, f"--cache-from=type=local,src={cache}")
    assert f"cache_from {cache}: " in said
    assert "CACHED" not in said
    assert inside(busy, "cat /f /tool") == "f\ntool\n"

    (tmp_path / "file").touch()
    flag = f"--cache-to=type=local,dest={tmp_path}/file"
    done = busy.run("image", "build", flag, ".", cwd=busy.folder / "context").exited(1)
    assert f"cache_to {tmp_path}/file" in done.stderr
    build(busy, f"{flag},ignore-error=true")


@pytest.mark.parametrize(
    ("flag", "message"),
    (
        ("--cache-to=type=gha", "type=gha: caches of this kind are not possible"),
        ("--cache-from=type=s3,bucket=x", "type=s3: caches of this kind are not possible"),
        ("--cache-from=type=lokal,src=x", "unknown type 'lokal'"),
        ("--cache-from=type=local", "src is missing"),
        ("--cache-to=type=local,dest=x,mod=max", "unknown key 'mod'"),
        ("--cache-to=type=local,dest=x,mode=most", "it is min or max"),
        ("--cache-to=type=registry", "ref is missing"),
        ("--cache-to=type=local,dest=x,compression=lzma", "it is one of gzip, zstd, uncompressed"),
        ("--cache-to=type=local,dest=x,image-manifest=false", "image-manifest=false is not possible"),
    ),
)
def test_what_cannot_be_meant(busy: Host, flag: str, message: str) -> None:
    """It is an error before anything runs."""
    context(busy)
    done = busy.run("image", "build", flag, ".", cwd=busy.folder / "context").exited(1)
    assert message in done.stderr


@requires("docker-registry")
def test_a_build_that_is_pushed(busy: Host, other: dict[str, str], registry: str) -> None:
    """By --push, and by `--output` with a name; without a name there is nothing to push."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN echo hello >/said\n"})
    done = busy.run("image", "build", "--push", ".", cwd=folder).exited(1)
    assert "tag is needed when pushing to registry" in done.stderr

    forms = (
        ("--push", "-t", f"{registry}/it:1"),
        ("--output", "type=registry", "-t", f"{registry}/it:2"),
        ("--output", f"type=image,name={registry}/it:3,push=true"),
    )
    for number, flags in enumerate(forms, 1):
        busy.run("image", "build", *flags, ".", cwd=folder).ok()
        name = f"{registry}/it:{number}"
        busy.run("image", "pull", name, env=other).ok()
        said = busy.run("container", "run", "--rm", "--network", "none", name, "cat", "/said", env=other).ok()
        assert said.stdout == "hello\n"
