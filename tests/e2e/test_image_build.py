"""`image build`: docker's flags, contexts on standard input, outputs, the cache's commands."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.scenario import Host


def inside(host: Host, script: str, image: str = "it") -> str:
    """Return what `script` prints in a container of the image."""
    return host.run("container", "run", "--rm", "--network", "none", image, "sh", "-c", script).ok().stdout


def test_flags(busy: Host, tmp_path: Path) -> None:
    """Names, target, arguments, labels, contexts, secrets, hosts, limits; id and metadata as files."""
    folder = busy.project(
        {
            "Dockerfile": "FROM busybox AS one\nARG A\nRUN echo $A >/a; grep -c 9.9.9.9 /etc/hosts >>/a\n"
            "RUN ulimit -n >>/a\n"
            "RUN df -k /dev/shm | tail -1 | awk '{print $2}' >>/a\n"
            "RUN --mount=type=secret,id=s cat /run/secrets/s >>/a\nCOPY --from=more x /x\nFROM one\nRUN false\n",
            "more/x": "more\n",
            "s": "secret\n",
        }
    )
    busy.run(
        "image", "build", "-t", "it", "-t", "it:two", "--target", "one", "--build-arg", "A=1", "--label", "l=v",
        "--build-context", "more=more", "--secret", "id=s,src=s", "--add-host", "h:9.9.9.9", "--ulimit", "nofile=77",
        "--shm-size", "1m", "--iidfile", "id", "--metadata-file", "meta", ".", cwd=folder,
    ).ok()  # fmt: skip

    assert inside(busy, "cat /a /x") == "1\n1\n77\n1024\nsecret\nmore\n"
    (shown,) = json.loads(busy.run("image", "inspect", "it:two").ok().stdout)
    assert shown["Config"]["Labels"] == {"l": "v"}
    assert (folder / "id").read_text() == shown["Id"]
    assert json.loads((folder / "meta").read_text())["image.name"] == "it,it:two"


def test_standard_input(busy: Host, tmp_path: Path) -> None:
    """A Dockerfile, a tar of a context, a Dockerfile beside a context."""
    busy.run("image", "build", "-t", "it", "-", stdin="FROM busybox\nRUN echo stdin >/a\n").ok()
    assert inside(busy, "cat /a") == "stdin\n"
    folder = busy.project({"f": "from context\n"})
    busy.run("image", "build", "-t", "it", "-f", "-", ".", cwd=folder, stdin="FROM busybox\nCOPY f /a\n").ok()
    assert inside(busy, "cat /a") == "from context\n"
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY f /b\n", encoding="ascii")
    with tarfile.open(tmp_path / "context.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    script = f"pycompose image build -q -t it - <{tmp_path}/context.tar.gz"
    built = busy.command(["sh", "-c", script]).ok()
    assert built.stdout.startswith("sha256:")
    assert inside(busy, "cat /b") == "from context\n"


def test_outputs(busy: Host, tmp_path: Path) -> None:
    """A folder, a tar, archives that load again."""
    folder = busy.project({"Dockerfile": "FROM scratch\nCOPY f /d/f\n", "f": "file\n"})
    busy.run("image", "build", "-o", "out", ".", cwd=folder).ok()
    assert (folder / "out/d/f").read_text() == "file\n"
    busy.run("image", "build", "-o", "type=tar,dest=it.tar", ".", cwd=folder).ok()
    with tarfile.open(folder / "it.tar") as tar:
        assert "d/f" in tar.getnames()
    for kind in ("oci", "docker"):
        busy.run("image", "build", "-t", "it", "-o", f"type={kind},dest=archive.tar", ".", cwd=folder).ok()
        busy.run("image", "rm", "-f", "it").ok()
        busy.run("image", "load", "-i", folder / "archive.tar").ok()
    done = busy.run("image", "build", "-o", "type=lokal,dest=x", ".", cwd=folder)
    assert "did you mean 'local'?" in done.stderr


def test_archives_are_unpacked_by_add_only(busy: Host, tmp_path: Path) -> None:
    """ADD unpacks local archives of every compression; COPY and --unpack=false don't."""
    folder = busy.project({"in/x": "x\n"})
    os.chmod(folder / "in/x", 0o640)
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(folder / "in", arcname="in")
    plain = (folder / "a.tar").read_bytes()
    for pack, name in ((gzip.compress, "a.tgz"), (lzma.compress, "a.xz"), (bz2.compress, "a.bz2")):
        (folder / name).write_bytes(pack(plain))
    (folder / "not.gz").write_bytes(b"\x1f\x8b no archive")
    (folder / "Dockerfile").write_text(
        "FROM busybox\nADD a.tar /1/\nADD a.tgz /2/\nADD a.xz /3/\nADD a.bz2 /4\nCOPY a.tar /5/\n"
        "ADD --unpack=false a.tar /6/\nADD not.gz /7/\n",
        encoding="ascii",
    )
    busy.run("image", "build", "-t", "it", ".", cwd=folder).ok()

    assert inside(busy, "cat /1/in/x /2/in/x /3/in/x /4/in/x; ls /5 /6 /7; stat -c %a /1/in/x") == (
        "x\nx\nx\nx\n/5:\na.tar\n\n/6:\na.tar\n\n/7:\nnot.gz\n640\n"
    )


def test_the_cache_can_be_seen_and_removed(busy: Host) -> None:
    """What images stand on stays, unless all is asked for."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN --mount=type=cache,target=/c echo 1 >/c/x\n"})
    busy.run("image", "build", "-t", "it", ".", cwd=folder).ok()
    rows = busy.run("builder", "du", "--format", "json").ok().stdout
    assert "exec.cachemount" in rows
    assert "RUN --mount=type=cache" in rows
    assert "Total reclaimed space: 0B" in busy.run("builder", "prune", "-f").ok().stdout
    busy.run("image", "rm", "it").ok()
    assert "Deleted build cache objects" in busy.run("builder", "prune", "-af").ok().stdout
    assert busy.run("builder", "du", "--format", "json").ok().stdout.strip() in ("", "[]")


@pytest.mark.parametrize(
    ("flags", "message"),
    (
        (["--secret", "id=s,sorce=x"], "unknown key 'sorce'"),
        (["--secret", "nonsense"], "is not of the form id=ID,src=FILE"),
        (["--add-host", "h"], "is not of the form name:address"),
        (["--ulimit", "nofile=many"], "is not of the form name=soft:hard"),
        (["--network", "nosuch"], "builds know default, none and host"),
        (["--platform", "linux/s390x"], "this machine runs"),
        (["--target", "nosuch"], "target stage 'nosuch' could not be found"),
        (["--build-context", "x=/nowhere"], "is no directory"),
        (["--allow", "everything"], "unknown entitlement"),
        (["-f", "nowhere"], "failed to read dockerfile"),
    ),
)
def test_flags_that_cannot_be_meant(busy: Host, flags: list[str], message: str) -> None:
    """They are errors before anything runs."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN true\n"})
    done = busy.run("image", "build", *flags, ".", cwd=folder)

    assert done.code == 1
    assert message in done.stderr
