"""Builds that can't be: one clear error with its place, nothing left behind, and the earlier image keeps its name."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.namespaces import mount
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

COMPOSE = "services:\n  x: {image: it, build: {context: .KEYS}}\nSECRETS"
IDENTITY = ("image", "inspect", "-f", "{{.Id}}", "it")


def project(host: Host, dockerfile: str, keys: str = "", secrets: str = "") -> Path:
    """Make (again) a project whose service has this Dockerfile and these keys of `build:`."""
    return host.project(
        {
            "Dockerfile": dockerfile,
            "compose.yaml": COMPOSE.replace("KEYS", keys).replace("SECRETS", secrets),
            "file": "file\n",
        }
    )


@pytest.mark.parametrize(
    ("dockerfile", "keys", "secrets", "message"),
    (
        (
            "FROM busybox\nCOPY nosuch /x\n",
            "",
            "",
            'error: Dockerfile:2: "/nosuch": not found in the build context',
        ),
        (
            "FROM busybox\n",
            ", target: nosuch",
            "",
            "error: Dockerfile: target stage 'nosuch' could not be found",
        ),
        ("FROM busybox\n", ", dockerfile: nosuch", "", "failed to read dockerfile: "),
        ("FROM busybox\n", ", additional_contexts: {a: ./nosuch}", "", "context a: "),
        (
            "FROM busybox\n",
            ", additional_contexts: {a: 'service:nosuch'}",
            "",
            "refers to undefined service nosuch",
        ),
        ("FROM busybox AS z\nCOPY --from=a /x /y\nFROM busybox AS a\nFROM z\n", "", "", "Dockerfile:2:13: "),
        ("FROM busybox AS a\nCOPY --from=a /x /y\n", "", "", "circular dependency detected on stage: a"),
        (
            "FROM busybox AS a\nRUN --mount=from=0,target=/m true\n",
            "",
            "",
            "a stage that comes later or itself",
        ),
        (
            "FROM busybox\nRUN --mount=type=secret,id=s,required cat /run/secrets/s\n",
            ", secrets: [s]",
            "secrets: {s: {file: ./nosuch}}\n",
            "nosuch",
        ),
        (
            "FROM busybox\nRUN --mount=type=secret,id=s,required true\n",
            ", secrets: [s]",
            "secrets: {s: {environment: NOSUCH}}\n",
            "Dockerfile:2: secret s: environment variable NOSUCH is not set",
        ),
        ("FROM busybox\n", ", secrets: [s]", "secrets: {s: {external: true}}\n", "secret s: is external"),
        ("FROM busybox\n", ", ulimits: {nofil: 1}", "", "invalid ulimit type: nofil"),
        (
            "FROM busybox\nARG S=a\nCOPY --from=$S /x /y\n",
            "",
            "",
            "variable expansion is not supported for --from",
        ),
        (
            "FROM busybox\nRUN --mount=from=${S},target=/x true\n",
            "",
            "",
            "Dockerfile:2:5: variable expansion is",
        ),
        ("FROM busybox\n", ", ssh: [k=./nosuch]", "", "ssh k: "),
        ("FROM busybox\nSTOPSIGNAL SIGFOO\n", "", "", "Dockerfile:2: invalid signal: SIGFOO"),
        (
            "FROM busybox\nRUN --mount=type=ssh,required true\n",
            "",
            "",
            "Dockerfile:2: ssh agent default: not given",
        ),
        ("FROM nosuch:1\n", "", "", "error: Dockerfile:1:6: image nosuch:1: "),
        ("FROM 127.0.0.1:1/nosuch\n", "", "", "error: Dockerfile:1:6: "),
        ("FROM busybox\nCOPY --from=nosuch:1 /x /y\n", "", "", "error: Dockerfile:2: image nosuch:1: "),
        ("FROM busybox\nCOPY --exclude=[a . /x\n", "", "", "Dockerfile:2: syntax error in pattern: [a"),
        ("FROM busybox\nCOPY x[a /x\n", "", "", "Dockerfile:2: syntax error in pattern: x[a"),
        ("FROM busybox\nRUN exit 3\n", "", "", "Dockerfile:2: process"),
        ('FROM busybox\nRUN ["/nosuch"]\n', "", "", "Dockerfile:2: "),
        ("FROM busybox\nUSER nobody_here\nRUN true\n", "", "", "Dockerfile:3: "),
        ("FROM busybox\nADD --unpack=true file /x\n", "", "", "Dockerfile:2: /file: --unpack: is no archive"),
    ),
)
def test_the_earlier_image_stays(busy: Host, dockerfile: str, keys: str, secrets: str, message: str) -> None:
    """Whatever is wrong."""
    folder = project(busy, "FROM busybox\nRUN echo earlier >/f\n")
    busy.run("build", cwd=folder).ok()
    before = busy.run(*IDENTITY).ok().stdout
    project(busy, dockerfile, keys, secrets)
    done = busy.run("build", cwd=folder).exited(1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert busy.run(*IDENTITY).ok().stdout == before
    assert busy.command(["ls", "-A", busy.paths.images / "tmp"]).ok().stdout == ""


def test_an_empty_context(busy: Host) -> None:
    """`build: ""` says nothing of where the files are."""
    folder = busy.project({"compose.yaml": "services: {a: {build: ''}}\n", "Dockerfile": "FROM busybox\n"})
    assert "please specify build context" in busy.run("build", cwd=folder).exited(1).stderr


def test_platforms_that_are_left_out(busy: Host) -> None:
    """The image of this machine is built; that the others aren't is said."""
    section = "{context: ., platforms: [linux/amd64, linux/arm64, linux/s390x]}"
    folder = busy.project(
        {
            "compose.yaml": f"services: {{a: {{image: it, build: {section}}}}}\n",
            "Dockerfile": "FROM busybox\n",
        }
    )
    done = busy.run("--progress", "plain", "build", cwd=folder).ok()
    assert re.search(
        r"platforms: (linux/\w+, ){1,2}linux/\w+ not built: this machine runs linux/", done.stderr
    )


def test_a_file_of_patterns_that_is_none(busy: Host) -> None:
    """Of the context and of another one: the line is told, by --check as well."""
    folder = busy.project(
        {".dockerignore": "x\n[a\n", "more/.dockerignore": "[b\n", "Dockerfile": "FROM busybox\n"}
    )
    for flags in ((), ("--check",)):
        done = busy.run("image", "build", *flags, ".", cwd=folder).exited(1)
        assert "error: .dockerignore:2: syntax error in pattern: [a" in done.stderr
    (folder / ".dockerignore").unlink()
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY --from=m . /x\n", encoding="ascii")
    done = busy.run("image", "build", "--build-context", "m=more", ".", cwd=folder).exited(1)
    assert "error: Dockerfile:2: .dockerignore:1: syntax error in pattern: [b" in done.stderr


def test_a_step_that_never_ends(busy: Host) -> None:
    """Ctrl+C ends it, and says so by the code."""
    folder = project(busy, "FROM busybox\nRUN echo earlier >/f\n")
    busy.run("build", cwd=folder).ok()
    before = busy.run(*IDENTITY).ok().stdout
    project(busy, "FROM busybox AS a\nRUN sleep 1001\nFROM busybox\nRUN sleep 1002\nCOPY --from=a /x /y\n")
    running = busy.spawn("build", cwd=folder)
    eventually(lambda: busy.processes("sleep 1001") and busy.processes("sleep 1002"))
    os.kill(running.process.pid, signal.SIGINT)
    assert running.process.wait(20) == 130
    eventually(lambda: not busy.processes("sleep 100"))
    assert busy.run(*IDENTITY).ok().stdout == before
    assert busy.command(["ls", "-A", busy.paths.images / "tmp"]).ok().stdout == ""


def test_a_full_disk(host: Host, busybox_tar: Path) -> None:
    """In RUN and in COPY: the place and the reason; with room again the same build goes on."""
    host.inside(lambda: _small(host))
    host.run("image", "import", busybox_tar, "busybox").ok()
    folder = project(host, "FROM busybox\nRUN echo earlier >/f\n")
    host.run("build", cwd=folder).ok()
    before = host.run(*IDENTITY).ok().stdout
    (folder / "large").write_bytes(bytes(64 << 20))
    for lines, place in (
        ("FROM busybox\nRUN dd if=/dev/zero of=/large bs=1M count=64\n", "Dockerfile:2: process"),
        ("FROM busybox\nCOPY large /large\n", "Dockerfile:2: "),
    ):
        project(host, lines)
        done = host.run("build", cwd=folder).exited(1)
        assert place in done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert host.run(*IDENTITY).ok().stdout == before
        assert host.command(["ls", "-A", host.paths.images / "tmp"]).ok().stdout == ""
    project(host, "FROM busybox\nRUN echo later >/f\n")
    host.run("build", cwd=folder).ok()
    assert host.run(*IDENTITY).ok().stdout != before
    assert host.watch.wait() in ([], [f"mount {host.paths.root}"])
    host.command(["umount", "-l", str(host.paths.root)]).ok()  # ours, not the builds'


def _small(host: Host) -> None:
    """Put the machine's state on a file system of 24 MiB."""
    host.paths.root.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", host.paths.root, "tmpfs", data="size=24m,mode=0755")
