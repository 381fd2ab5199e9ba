"""Attacks by what comes from elsewhere: archives, image configurations, compose files, names."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256

from tests.support.attack import OUT, SECRET, precious
from tests.support.layers import Member, device, directory, file, hardlink, symlink, tar
from tests.support.scenario import Host

SIMPLE = "services:\n  app:\n    image: {image}\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n"


@pytest.fixture
def prey(busy: Host) -> Iterator[Path]:
    """Make something precious on the machine, at a place that its containers don't have."""
    with precious(busy.folder / "precious") as place:
        yield place


def image(host: Host, name: str, *members: Member, changes: tuple[str, ...] = ()) -> None:
    """Import a root file system that is busybox with more in it."""
    (host.folder / f"{name}.tar").write_bytes(tar(*members))
    host.project({"Dockerfile": f"FROM busybox\nADD {name}.tar /\n" + "\n".join(changes)}, name)
    (host.folder / f"{name}.tar").rename(host.folder / name / f"{name}.tar")
    host.run("image", "build", "-t", name, host.folder / name).ok()


# Entries that lead out, each in a way that some unpacker once followed; PREY is the machine's directory.
ARCHIVES: dict[str, list[Member]] = {
    "cve_2007_4559 dots": [file("../../../../../../../../PREY/secret", "evil")],
    "cve_2007_4559 absolute": [file("/PREY/secret", "evil")],
    "cve_2014_9357 link to a directory": [symlink("way", "/PREY"), file("way/secret", "evil")],
    "cve_2014_9358 name of the store": [file("../../manifest.json", "{}"), file("../repositories", "{}")],
    "cve_2018_15664 link below a directory": [
        directory("a"), symlink("a/b", f"{OUT}/PREY/etc"), file("a/b/passwd", "evil"),
    ],
    "cve_2021_32760 mode through a hard link": [hardlink("x", "/PREY/secret", mode=0o777)],
    "cve_2021_32760 mode through a link": [symlink("x", "/PREY/secret"), file("x/../x", "", mode=0o777)],
    "cve_2025_4517 a link behind long ones": [
        *(directory("/".join(["d" * 200] * n)) for n in range(1, 20)),
        symlink("short", "/".join(["d" * 200] * 19)),
        symlink("out", f"short/{OUT}/{OUT}/PREY"),
        file("out/secret", "evil"),
    ],
    "cve_2019_13139 a name that is an option": [file("--checkpoint-action=exec=touch /PREY/evil", "")],
    "device": [device("vda", 254, 0, kind=tarfile.BLKTYPE), symlink("y", "vda")],
}  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ("import", "cp", "add"))
def test_cve_2007_4559_cve_2014_9357_cve_2018_15664_cve_2019_13139_cve_2021_32760_cve_2025_4517_archives(
    busy: Host, prey: Path, how: str
) -> None:
    """Imported as an image, copied into a running container, added by a build: nothing of the machine's changes."""
    folder = busy.project(
        {"compose.yaml": SIMPLE.format(image="busybox"), "Dockerfile": "FROM busybox\nADD evil.tar /\n"}
    )
    busy.run("up", "-d", cwd=folder).ok()
    look = ("sh", "-c", "cat /way/secret /a/b/passwd /x /out/secret 2>/dev/null; true")
    for case, members in ARCHIVES.items():
        print(case)
        (folder / "evil.tar").write_bytes(tar(*(aimed(info, data, prey) for info, data in members)))
        if how == "cp":
            busy.command(["sh", "-c", "pycompose cp - app:/ <evil.tar"], cwd=folder)
            said = busy.run("exec", "-T", "app", *look, cwd=folder).ok().stdout
        elif how == "import":
            busy.run("image", "import", "evil.tar", "evil", cwd=folder)
            said = busy.run("cp", "app:/x", "-", cwd=folder).stdout
        else:
            done = busy.run("image", "build", "-t", "evil", ".", cwd=folder)
            said = busy.run("container", "run", "--rm", "evil", *look).stdout if done.code == 0 else ""
        assert SECRET not in said, case
    busy.run("down", cwd=folder).ok()


def aimed(info: tarfile.TarInfo, data: bytes, prey: Path) -> Member:
    """Return a copy of a member with the machine's directory in the place of PREY."""
    copied = tarfile.TarInfo(info.name.replace("PREY", str(prey).lstrip("/")))
    for name in ("type", "size", "mtime", "mode", "devmajor", "devminor"):
        setattr(copied, name, getattr(info, name))
    copied.linkname = info.linkname.replace("PREY", str(prey).lstrip("/"))
    return copied, data


@pytest.mark.timeout(240)
def test_cve_2022_23648_a_volume_that_leads_out(busy: Host, prey: Path) -> None:
    """A new volume is filled with what the image has at its place, however that is written."""
    place = str(prey)
    links = (symlink("link", f"{OUT}{place}"), symlink("way", place))
    dots = f"/x/../../../..{place}"
    for number, target in enumerate((dots, "/link", "/way")):
        image(busy, f"evil{number}", *links, changes=(f'VOLUME ["{target}"]',))
        look = ("sh", "-c", f"ls -A {target} {place}; cat {target}/secret")
        for more in ((), ("-v", f"named{number}:{target}")):
            said = busy.run("container", "run", "--rm", *more, f"evil{number}", *look).exited(1).stdout
            assert [line for line in said.splitlines() if line and not line.endswith(":")] == []
        data = busy.paths.volume(f"named{number}") / "_data"
        assert busy.inside(partial(os.listdir, data)) == []
        busy.run("volume", "rm", f"named{number}").ok()


def test_cve_2026_53488_labels_of_an_image_command_nobody(busy: Host) -> None:
    """An image that calls itself a container of a project, or sets what the engine itself sets, is data."""
    labels = {
        "com.docker.compose.project": "victim", "com.docker.compose.service": "app",
        "com.docker.compose.oneoff": "False", "com.docker.compose.container-number": "1",
        "io.podman.annotations.privileged": "TRUE", "pycompose.hooks": "/bin/false",
        "io.containerd.runtime": "/evil", "org.opencontainers.image.ref.name": "../../evil", "log-driver": "/evil",
    }  # fmt: skip
    image(busy, "evil", changes=tuple(f'LABEL "{key}"="{value}"' for key, value in labels.items()))
    victim = busy.project({"compose.yaml": SIMPLE.format(image="busybox")}, "victim")
    busy.run("up", "-d", cwd=victim).ok()
    before = busy.run("ps", "-aq", cwd=victim).ok().stdout

    busy.run("container", "run", "-d", "--name", "impostor", "evil", "sleep", "1000").ok()

    assert busy.run("ps", "-aq", cwd=victim).ok().stdout == before
    shown = busy.run("container", "inspect", "impostor").ok().json()[0]
    assert shown["HostConfig"]["Privileged"] is False
    assert shown["HostConfig"]["LogConfig"]["Type"] == "json-file"
    busy.run("up", "-d", "--remove-orphans", cwd=victim).ok()
    busy.run("down", "--remove-orphans", cwd=victim).ok()
    assert busy.run("container", "inspect", "-f", "{{.State.Running}}", "impostor").ok().stdout == "true\n"
    busy.run("container", "rm", "-f", "impostor").ok()


def oci_archive(target: Path, **change: Any) -> None:
    """Write an OCI archive; `change` replaces or adds parts: index, manifest, config, layer, files."""
    blobs: dict[str, bytes] = {}

    def put(data: bytes) -> dict[str, Any]:
        blobs[f"blobs/sha256/{sha256(data)[7:]}"] = data
        return {"digest": sha256(data), "size": len(data)}

    layer = change.get("layer", tar(file("hello", "x")))
    config = change.get("config") or {
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
    }  # fmt: skip
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, **put(raw)},
        "layers": [{"mediaType": OCI_LAYER, **put(layer)}],
        **change.get("manifest", {}),
    }
    entry = {"mediaType": OCI_MANIFEST, **put(json.dumps(manifest).encode()), **change.get("entry", {})}
    index = change.get("index") or json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(target, "w") as archive:
        for name, data in {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **blobs, **change.get("files", {}),
        }.items():  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


BOMBS: dict[str, dict[str, Any]] = {
    "an index of 64 MiB": {"index": b'{"schemaVersion": 2, "manifests": [' + b" " * (64 << 20) + b"]}"},
    "an index that is nested": {"index": b"[" * 200_000},
    "a configuration of 64 MiB": {"config": b'{"x": "' + b"x" * (64 << 20) + b'"}'},
    "a configuration that is nested": {"config": b'{"a":' * 100_000},
    "a thousand layers": {
        "manifest": {"layers": [{"mediaType": OCI_LAYER, "digest": sha256(b"x"), "size": 1}] * 1000}
    },
    "a number without end": {"index": b'{"schemaVersion": ' + b"9" * 1_000_000 + b"}"},
}


def test_cve_2026_47262_documents_that_exhaust_their_reader(busy: Host) -> None:
    """Manifests and configurations have a size, and a depth; what is beyond is an error, not a traceback."""
    before = busy.run("image", "ls", "-q").ok().stdout
    for case, change in BOMBS.items():
        oci_archive(busy.folder / "bomb.tar", **change)

        done = busy.command(["sh", "-c", "ulimit -v 1500000; exec pycompose image load -i bomb.tar"])

        assert (case, done.code, done.stderr[:7]) == (case, 1, "error: ")
    assert busy.run("image", "ls", "-q").ok().stdout == before


def docker_archive(target: Path, entry: dict[str, Any], *members: Member) -> None:
    """Write what `docker save` writes, for one image."""
    manifest = json.dumps([{"RepoTags": ["evil:latest"], "Layers": [], **entry}])
    target.write_bytes(tar(file("manifest.json", manifest), *members))


# What an archive calls its parts by, and the members that they may be; PREY is the machine's directory.
IDS: dict[str, tuple[dict[str, Any], list[Member]]] = {
    "a configuration by dots": ({"Config": f"{OUT}/PREY/secret"}, []),
    "a configuration by its whole path": ({"Config": "/PREY/secret"}, []),
    "a configuration that is a link": ({"Config": "config.json"}, [symlink("config.json", "/PREY/secret")]),
    "a layer by dots": (
        {"Config": "c", "Layers": [f"{OUT}/PREY/secret"]},
        [file("c", json.dumps({"rootfs": {"type": "layers", "diff_ids": [sha256(b"x")]}}))],
    ),
    "a layer that is a link": (
        {"Config": "c", "Layers": ["layer.tar"]},
        [
            file("c", json.dumps({"rootfs": {"type": "layers", "diff_ids": [sha256(b"x")]}})),
            symlink("layer.tar", "/PREY/secret"),
        ],
    ),
    "a layer whose id is a path": (
        {"Config": "c", "Layers": ["layer.tar"]},
        [
            file("c", json.dumps({"rootfs": {"type": "layers", "diff_ids": [f"sha256:{OUT}/PREY/evil"]}})),
            file("layer.tar", ""),
        ],
    ),
}  # fmt: skip


def test_cve_2014_9358_ids_of_images_that_are_paths(busy: Host, prey: Path) -> None:
    """A digest is hexadecimal digits: no id, of an archive in either format, reads or writes elsewhere."""
    before = busy.run("image", "ls", "-q").ok().stdout
    place = str(prey).lstrip("/")
    for case, (entry, members) in IDS.items():
        aimed_entry = json.loads(json.dumps(entry).replace("PREY", place))
        aimed_members = (aimed(info, data.replace(b"PREY", place.encode()), prey) for info, data in members)
        docker_archive(busy.folder / "evil.tar", aimed_entry, *aimed_members)

        done = busy.run("image", "load", "-i", "evil.tar").exited(1)

        assert (case, done.stderr[:7], SECRET in done.stderr) == (case, "error: ", False)
    for digest in (
        f"sha256:{OUT}/{place}/secret",
        f"sha256:{'A' * 64}",
        f"../{place}/secret:x",
        "sha256:",
        "",
    ):
        part = {"mediaType": OCI_LAYER, "digest": digest, "size": len(SECRET) + 1}
        for change in (
            {"entry": {"digest": digest}},
            {"manifest": {"config": part}},
            {"manifest": {"layers": [part]}},
        ):
            oci_archive(busy.folder / "evil.tar", **change)

            done = busy.run("image", "load", "-i", "evil.tar").exited(1)

            assert (digest, change, done.stderr[:7]) == (digest, change, "error: ")
    for name in (f"sha256:{OUT}/{place}/secret", f"busybox@sha256:{OUT}/{place}"):
        assert busy.run("image", "rm", name).exited(1).stderr.startswith("error: ")
    assert busy.run("image", "ls", "-q").ok().stdout == before


CONFUSED: tuple[dict[str, Any], ...] = (
    {"manifests": []},
    {"mediaType": "application/vnd.oci.image.index.v1+json"},
)


def test_cve_2021_41190_a_document_of_two_kinds(busy: Host) -> None:
    """Whoever takes it for one thing and whoever takes it for the other would get different images under one digest."""
    for change in CONFUSED:
        oci_archive(busy.folder / "confused.tar", manifest=change)

        assert busy.run("image", "load", "-i", "confused.tar").exited(1).stderr.startswith("error: ")


NAMES = (
    "../../../etc/evil",
    "/etc/evil",
    "-evil",
    "evil\x1b[2J",
    "busybox:latest\nother",
    "a/../../b",
    "UPPER",
    "",
)


def test_cve_2026_53489_cve_2026_53492_cve_2026_50195_annotations_are_data(busy: Host, prey: Path) -> None:
    """An archive's word for an image's name makes no path, and no name that the user couldn't have given."""
    before = busy.run("image", "inspect", "busybox").ok().stdout
    for name in NAMES:
        keys = ("io.containerd.image.name", "org.opencontainers.image.ref.name", "io.evil.exec")
        oci_archive(
            busy.folder / "named.tar",
            entry={"annotations": dict.fromkeys(keys, name)},
            files={"checkpoint/config.dump": b"{}", f"{OUT}{prey}/secret": b"evil"},
        )

        done = busy.run("image", "load", "-i", "named.tar")

        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout + done.stderr
    listed = busy.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout.splitlines()
    assert set(listed) <= {"busybox:latest", "<none>:<none>"}
    assert busy.run("image", "inspect", "busybox").ok().stdout == before


REMOTE = (
    "include: [oci://127.0.0.1:9/evil]\nservices: {a: {image: busybox}}\n",
    "include: ['git@127.0.0.1:../../evil.git']\nservices: {a: {image: busybox}}\n",
    "services: {a: {extends: {file: 'https://127.0.0.1:9/../../evil.yaml', service: a}}}\n",
    "services: {a: {image: busybox, env_file: 'oci://127.0.0.1:9/../../../evil'}}\n",
)


def test_cve_2025_62725_a_compose_file_from_elsewhere(busy: Host) -> None:
    """What is to be fetched from elsewhere is refused, and writes no file."""
    for number, text in enumerate(REMOTE):
        folder = busy.project({"compose.yaml": text}, f"remote{number}")
        before = sorted(busy.folder.rglob("*"))

        for command in (("config",), ("up", "-d")):
            assert busy.run(*command, cwd=folder).exited(1).stderr.startswith("error: ")
        assert sorted(busy.folder.rglob("*")) == before


URLS = (
    "git@127.0.0.1:--upload-pack=touch PREY/evil",
    "ssh://-oProxyCommand=touch%20PREY/evil/x",
    "git://127.0.0.1:9/x#--upload-pack=touch PREY/evil:sub",
    "ext::sh -c 'touch PREY/evil'",
    "https://127.0.0.1:9/x.git#main:../../../../PREY",
    "--upload-pack=touch PREY/evil",
)


def test_cve_2019_13139_ghsa_hw3h_2gp9_cxpv_a_context_that_is_an_option(busy: Host, prey: Path) -> None:
    """An address is neither an option nor a command of the program that fetches; the error says what it couldn't."""
    for number, url in enumerate(URLS):
        address = url.replace("PREY", str(prey))
        text = json.dumps({"services": {"a": {"build": {"context": address}}}})
        folder = busy.project({"compose.yaml": text}, f"url{number}")

        assert busy.run("build", cwd=folder).exited(1).stderr.startswith("error: ")
        assert busy.run("image", "build", "--", address, cwd=folder).code != 0


def test_terminal_injection_by_output_and_names(busy: Host) -> None:
    """Names, labels and error texts with control characters don't reach a terminal as such."""
    evil = "\\x1b]0;owned\\x07\\x1b[2J"
    text = f'services:\n  app:\n    image: busybox\n    command: ["\\x1b[2Jevil"]\n    labels: {{note: "{evil}"}}\n'
    folder = busy.project({"compose.yaml": text})
    said = [busy.run("up", "-d", cwd=folder), busy.run("ps", "-a", cwd=folder), busy.run("ls", "-a")]
    said += [
        busy.run("container", "run", "--name", "x\x1b[2J", "busybox", "true"),
        busy.run("image", "inspect", "\x1b[2J"),
    ]
    said += [busy.run("up", "\x1b[2J", cwd=folder), busy.run("down", cwd=folder)]

    assert [done.command for done in said if "\x1b" in done.stdout + done.stderr] == []
