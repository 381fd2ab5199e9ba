"""`image build`: docker's flags, contexts on standard input, outputs, the cache's commands."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import re
import signal
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

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


def test_a_control_group_above_the_steps(busy: Host) -> None:
    """`--cgroup-parent`: the processes of steps are below it, which goes with the build; a bad one is an error."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN --network=none sleep 1000\n"})
    refused = busy.run("image", "build", "--cgroup-parent", "../x", ".", cwd=folder).exited(1)
    assert "Dockerfile:2: cgroup_parent: cannot use ../x: it has .." in refused.stderr

    def processes() -> list[str]:
        groups = Path("/sys/fs/cgroup").glob(f"**/{busy.paths.cgroup_parent}/above/**/cgroup.procs")
        return [line for group in groups for line in group.read_text(encoding="ascii").split()]

    building = busy.spawn("image", "build", "--cgroup-parent", "above", ".", cwd=folder)
    eventually(processes)
    building.process.send_signal(signal.SIGINT)
    building.wait()
    eventually(lambda: not processes())


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


def test_a_layout_in_a_folder_and_annotations(busy: Host) -> None:
    """`tar=false` writes an OCI layout where it lies; annotations are in the manifest, and in the index's entry."""
    folder = busy.project({"Dockerfile": "FROM scratch\nCOPY f /d/f\n", "f": "file\n"})
    annotate = ["--annotation", "org.x=a b", "--annotation", "manifest-descriptor:org.y=c"]
    layout = ["-o", "type=oci,dest=out,tar=false,annotation.org.z=d"]
    busy.run("image", "build", "-t", "it", *annotate, *layout, ".", cwd=folder).ok()

    (entry,) = json.loads((folder / "out/index.json").read_text())["manifests"]
    manifest = json.loads((folder / "out/blobs" / entry["digest"].replace(":", "/")).read_text())
    assert manifest["annotations"] == {"org.x": "a b", "org.z": "d"}
    assert entry["annotations"]["org.y"] == "c"
    for blob in (folder / "out/blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    assert json.loads((folder / "out/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}

    busy.run("image", "build", "-t", "upon", "--build-context", "base=oci-layout://out", "-", cwd=folder,
             stdin="FROM base\nCOPY --from=busybox /bin /bin\n").ok()  # fmt: skip
    assert inside(busy, "cat /d/f", "upon") == "file\n"
    busy.run("image", "save", "-o", folder / "saved.tar", "it").ok()
    with tarfile.open(folder / "saved.tar") as tar:
        kept = tar.extractfile(f"blobs/{entry['digest'].replace(':', '/')}")
        assert kept is not None
        assert json.loads(kept.read()) == manifest
    done = busy.run("image", "build", *annotate, "-o", "out2", ".", cwd=folder).ok()
    assert "--annotation has no effect with type=local: no manifest is written" in done.stderr


def test_questions_about_a_dockerfile(busy: Host) -> None:
    """`--call`: what can be given, what can be built, what lint finds; as tables and as JSON; nothing is built."""
    text = "# A of it\nARG A=1\nFROM busybox:$A AS x\nRUN --mount=type=secret,id=s false\nFROM busybox as Y\n"
    folder = busy.project({"Dockerfile": text})
    build = ["image", "build", "."]
    outline = busy.run(*build, "--target", "x", "--call", "outline", "--build-arg", "A=2", cwd=folder).ok()
    assert outline.stdout == (
        "TARGET:   x\n\nBUILD ARG   VALUE   DESCRIPTION\nA           2       of it\n\nSECRET   REQUIRED\ns        \n\n"
    )
    targets = busy.run(*build, "--call=targets", cwd=folder).ok()
    assert targets.stdout == "TARGET        DESCRIPTION\nx             \ny (default)   \n"
    value = json.loads(busy.run(*build, "--call=targets,format=json", cwd=folder).ok().stdout)
    assert [target["name"] for target in value["targets"]] == ["x", "y"]
    found = json.loads(busy.run(*build, "--call=check,format=json", cwd=folder).exited(1).stdout)
    assert [
        (one["ruleName"], one["location"]["ranges"][0]["start"]["line"]) for one in found["warnings"]
    ] == [
        ("StageNameCasing", 5),
        ("FromAsCasing", 5),
    ]
    assert found["sources"][0]["filename"] == "Dockerfile"
    busy.run(*build, "--call=check,ignorestatus=true", cwd=folder).ok()
    assert busy.run("image", "ls", "-q", "it").ok().stdout == ""
    assert "did you mean 'outline'?" in busy.run(*build, "--call=outlin", cwd=folder).exited(1).stderr


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
        (["--annotation", "index:a=b"], "index annotations not supported for single platform export"),
    ),
)
def test_flags_that_cannot_be_meant(busy: Host, flags: list[str], message: str) -> None:
    """They are errors before anything runs."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN true\n"})
    done = busy.run("image", "build", *flags, ".", cwd=folder)

    assert done.code == 1
    assert message in done.stderr


def test_check(busy: Host) -> None:
    """What is found is shown with its place, nothing is built, and the code says whether there was something."""
    folder = busy.project({"Dockerfile": "FROM busybox as x\nRUN false\nCMD sleep 1\n"})
    done = busy.run("image", "build", "--check", ".", cwd=folder).exited(1)
    assert done.stdout.startswith(
        "Check complete, 2 warnings have been found!\n\nWARNING: FromAsCasing - https://"
    )
    assert (
        "Dockerfile:3\n--------------------\n   1 |     FROM busybox as x\n   2 |     RUN false\n   3 | >>> CMD"
        in (done.stdout)
    )
    (folder / "Dockerfile").write_text("FROM busybox\nRUN false\n", encoding="ascii")
    done = busy.run("image", "build", "--check", ".", cwd=folder).ok()
    assert done.stdout == "Check complete, no warnings found.\n"
    (folder / "Dockerfile").write_text("FROM busybox as x\nRUM true\n", encoding="ascii")
    done = busy.run("image", "build", "--check", ".", cwd=folder).exited(1)
    assert "FromAsCasing" in done.stdout
    assert "Dockerfile:2:1: unknown instruction: RUM" in done.stderr


def test_what_lint_finds_is_said_at_the_end(busy: Host) -> None:
    """In BuildKit's form; with `error=true` nothing is built."""
    folder = busy.project({"Dockerfile": "FROM busybox as x\nRUN true\nCMD sleep 1\n"})
    done = busy.run("image", "build", "-t", "it", ".", cwd=folder).ok()
    assert done.stderr.endswith(
        " 2 warnings found (use --check to expand):\n"
        " - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)\n"
        " - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS "
        "signals (line 3)\n Image it Built\n"
    )
    (folder / "Dockerfile").write_text("# check=error=true\nFROM busybox as x\nRUN false\n", encoding="ascii")
    done = busy.run("image", "build", ".", cwd=folder).exited(1)
    assert "Dockerfile:2: lint violation found for rules: FromAsCasing" in done.stderr
    assert "RUN false" not in done.stderr


def test_flags_of_old_scripts(busy: Host) -> None:
    """Switches take a value as Go's do, and what docker's builder had before BuildKit is taken with a word."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN echo one >/f\n"})
    busy.run("image", "build", "-t", "it", ".", cwd=folder).ok()
    flags = ["--rm=true", "--force-rm=1", "--squash=false", "--no-cache=false", "--pull=FALSE", "-c", "2"]
    again = busy.run("image", "build", *flags, "-t", "it", "--quiet=true", ".", cwd=folder).ok()
    anew = busy.run("image", "build", "--no-cache=true", "--progress=plain", ".", cwd=folder).ok()

    assert re.findall(r"WARN (--\S+) has no effect", again.stderr) == [
        "--rm",
        "--force-rm",
        "--cpu-shares",
    ]
    assert re.fullmatch("sha256:[0-9a-f]{64}\n", again.stdout)
    assert "CACHED" not in anew.stderr
    refused = busy.run("image", "build", "--rm=perhaps", ".", cwd=folder).exited(1)
    assert "--rm" in refused.stderr
    (folder / "compose.yaml").write_text("services: {web: {build: .}}\n", encoding="ascii")
    assert "CACHED" not in busy.run("build", "--no-cache=true", "--pull=false", cwd=folder).ok().stdout
