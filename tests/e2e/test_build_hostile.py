"""Dockerfiles, contexts and archives that reach out of where they belong: nothing of the machine is read or changed."""

from __future__ import annotations

import base64
import gzip
import io
import os
import socket
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.scenario import Host

COMPOSE = "services:\n  web:\n    build: .\n    image: built\n"
# Of the machine, and of no image and no context.
CANARY = "/srv/canary"


@pytest.fixture
def canary(busy: Host) -> Iterator[Host]:
    """Yield a machine with files whose content must not get into an image, and that must stay as they are."""

    def make() -> None:
        Path(CANARY).mkdir(parents=True)
        Path(CANARY, "secret").write_text("of the machine\n", encoding="ascii")

    busy.command(["mount", "-t", "tmpfs", "none", "/srv"]).ok()
    busy.inside(make)
    yield busy
    busy.command(["umount", "/srv"]).ok()


def project(host: Host, dockerfile: str, **files: str) -> Path:
    """Make a project."""
    return host.project({"compose.yaml": COMPOSE, "Dockerfile": dockerfile, **files})


def inside(host: Host, script: str) -> str:
    """Return what `script` prints in a container of the image."""
    return host.run("container", "run", "--rm", "--network", "none", "built", "sh", "-c", script).ok().stdout


def unharmed(host: Host) -> bool:
    """Tell whether the machine's files are as they were."""
    return host.inside(
        lambda: (
            [path.name for path in Path(CANARY).iterdir()] == ["secret"]
            and Path(CANARY, "secret").read_text(encoding="ascii") == "of the machine\n"
        )
    )


@pytest.mark.parametrize(
    "lines",
    (
        "COPY link /out",
        "COPY link/secret /out",
        "COPY up/srv/canary/secret /out",
        "COPY ../../../../srv/canary/secret /out",
        "COPY /srv/canary/secret /out",
        "COPY --parents link/secret /out/",
        "ADD link/secret /out",
        "COPY --from=more link/secret /out",
        "RUN --mount=type=bind,source=link,target=/m cp -r /m /out",
        "RUN --mount=type=bind,source=../../../../srv,target=/m cp -r /m /out",
        "RUN --mount=type=bind,source=up/srv,target=/m cp -r /m /out",
        "RUN --mount=type=bind,target=/m cp /m/link/secret /out",
        "RUN --mount=type=bind,from=more,source=link,target=/m cp -r /m /out",
        "RUN --mount=type=cache,target=/c,from=more,source=link cp -r /c /out",
        "RUN ln -s /srv/canary /l; ln -s /../.. /u\nFROM busybox\nCOPY --from=0 /l/secret /u/srv/canary/secret /out/",
    ),
)
def test_sources_that_lead_out(canary: Host, lines: str) -> None:
    """A link in the context, in another one or in a stage leads nowhere else: an error, or nothing of the machine."""
    folder = project(canary, f"FROM busybox\n{lines}\n", **{"more/x": "x"})
    for where in (folder, folder / "more"):
        (where / "link").symlink_to(CANARY)
        (where / "up").symlink_to("../../../../../../../../..")
    (folder / "compose.yaml").write_text(
        COMPOSE.replace("build: .", "build: {context: ., additional_contexts: {more: ./more}}"),
        encoding="ascii",
    )
    done = canary.run("build", cwd=folder)

    assert "Traceback" not in done.stderr
    if done.code == 0:
        assert "of the machine" not in inside(canary, "cat /out /out/* /out/*/* 2>/dev/null; true")
    else:
        assert "error: Dockerfile:" in done.stderr
    assert unharmed(canary)


@pytest.mark.parametrize(
    "lines",
    (
        "RUN ln -s /srv/canary /link\nCOPY file /link/secret",
        "RUN ln -s /srv/canary /link\nCOPY file /link/",
        "RUN ln -s /../../../../../srv/canary /link\nCOPY file /link/secret",
        "RUN ln -s /srv/canary/secret /link\nCOPY file /link",
        "COPY file /../../../../srv/canary/secret",
        "WORKDIR /../../../srv/canary\nCOPY file secret",
        "RUN ln -s /srv/canary /link\nWORKDIR /link/deep\nCOPY file secret",
        "RUN ln -s /srv/canary /link\nADD a.tar /link/",
        "RUN ln -s /proc/self/root/srv/canary /link\nCOPY file /link/secret",
        "RUN ln -s /srv/canary /link\nRUN --mount=type=cache,target=/link/c echo x >/link/c/secret",
        "RUN ln -s /srv/canary /link\nRUN --mount=type=tmpfs,target=/link touch /link/secret",
    ),
)
def test_targets_that_lead_out(canary: Host, lines: str) -> None:
    """Links in a stage's file system end in it."""
    folder = project(canary, f"FROM busybox\n{lines}\n", file="of the context\n")
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(folder / "file", arcname="secret")
    done = canary.run("build", cwd=folder)

    assert "Traceback" not in done.stderr
    assert unharmed(canary)
    if done.code == 0 and "--mount" not in lines and "/proc" not in lines:  # which hides what is below
        said = inside(canary, "cat /srv/canary/* /srv/canary/*/* 2>/dev/null; true")
        assert "of the context\n" in said


def test_archives_that_reach_out(canary: Host) -> None:
    """Members above the top, absolute ones, links followed by what goes through them: as layers are read."""
    folder = project(canary, "FROM busybox\nADD a.tar /into/\n")

    def member(name: str, **fields: object) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        for key, value in fields.items():
            setattr(info, key, value)
        return info

    nasty = (
        [member("../../srv/canary/new")],
        [member("/srv/canary/new")],
        [member("l", type=tarfile.SYMTYPE, linkname=CANARY), member("l/new")],
        [member("l", type=tarfile.SYMTYPE, linkname="../../../../../srv/canary"), member("l/new")],
        [member("h", type=tarfile.LNKTYPE, linkname="../../srv/canary/secret")],
        [member("h", type=tarfile.LNKTYPE, linkname="/srv/canary/secret")],
        [member("d/../../../srv/canary/new")],
    )
    for members in nasty:
        with tarfile.open(folder / "a.tar", "w") as tar:
            for info in members:
                tar.addfile(info, io.BytesIO(b""))
        done = canary.run("build", cwd=folder)
        assert "Traceback" not in done.stderr
        assert unharmed(canary)
        if done.code == 0:
            assert "of the machine" not in inside(canary, "cat /into/* /into/*/* 2>/dev/null; true")


def test_an_archive_that_would_fill_the_disk(busy: Host) -> None:
    """Two gigabytes of zeros in two megabytes are refused, with the place."""
    folder = project(busy, "FROM busybox\nADD bomb.tgz /into/\n")
    head = tarfile.TarInfo("zeros")
    head.size = 2 << 30
    block = gzip.compress(bytes(1 << 20))
    (folder / "bomb.tgz").write_bytes(gzip.compress(head.tobuf()) + block * (2 << 10))  # members of one file
    done = busy.run("build", cwd=folder, timeout_s=120)
    assert done.code == 1
    assert "error: Dockerfile:2: /bomb.tgz: cannot unpack" in done.stderr


def test_what_is_no_file_in_a_context(busy: Host) -> None:
    """Nobody waits for a FIFO, reads a device, or copies a socket."""
    folder = project(
        busy,
        "FROM busybox\nCOPY dir /dir\nRUN ls /dir >/ls; stat -c '%F %t' /dir/* >/kinds\n",
        **{"dir/f": "f"},
    )
    os.mkfifo(folder / "dir/fifo")
    os.mknod(folder / "dir/zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    sock = socket.socket(socket.AF_UNIX)
    fd = os.open(folder / "dir", os.O_PATH)
    sock.bind(f"/proc/self/fd/{fd}/sock")
    os.close(fd)
    with sock:
        done = busy.run("build", cwd=folder)
        for name in ("fifo", "zero"):
            single = project(busy, f"FROM busybox\nCOPY dir/{name} /one\n")
            assert "is no regular file" in busy.run("build", cwd=single).stderr
    assert done.code == 0, done.stderr
    assert inside(busy, "cat /ls; cat /kinds").splitlines() == [
        "f", "fifo", "zero", "regular file 0", "fifo 0", "character special file 1",
    ]  # fmt: skip


def test_a_context_whose_name_is_an_option(busy: Host) -> None:
    """Overlays take lists of directories with colons, commas and backslashes between them: these are none."""
    folder = busy.project(
        {"Dockerfile": "FROM busybox\nCOPY f /f\nRUN --mount=type=bind,target=/m cat /m/f >/g\n", "f": "f\n"},
        "a:b,c\\d lowerdir=+x",
    )
    busy.run("image", "build", "-t", "built", ".", cwd=folder).ok()
    assert inside(busy, "cat /f /g") == "f\nf\n"


def test_ignore_files_that_would_take_for_ever(busy: Host) -> None:
    """Patterns that go back and back, and a hundred thousand of them."""
    bomb = "\n".join(
        ["**/" * 40 + "x!", "*a" * 40 + "!", "**a*" * 20 + "b", *(f"d{n}/f{n}" for n in range(100_000))]
    )
    deep = "/".join(["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] * 20)
    folder = project(busy, "FROM busybox\nCOPY . /all\n", **{".dockerignore": bomb, f"{deep}/f": "f"})
    busy.run("build", cwd=folder, timeout_s=60).ok()
    (folder / ".dockerignore").write_text("fine\n[\n", encoding="ascii")
    done = busy.run("build", cwd=folder)
    assert done.code == 1
    assert ".dockerignore" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_that_two_builds_want(busy: Host) -> None:
    """Locked: one after the other; private: each has its own; shared: both at once. Two commands, four builds."""
    # How many are in there at the end; where both have to be, each waits for the other.
    alone = "mkdir /c/{n} && sleep 0.7 && ls /c | wc -l >/seen && rmdir /c/{n}"
    together = "mkdir /c/{n} && until test -d /c/1 -a -d /c/2; do sleep 0.05; done && ls /c | wc -l >/seen"
    for sharing, expected in (("locked", {"1"}), ("private", {"1"}), ("shared", {"2"})):
        folders = []
        script = together if sharing == "shared" else alone
        for number in (1, 2):
            run = f"RUN --mount=type=cache,target=/c,id={sharing},sharing={sharing} {script.format(n=number)}"
            text = f"FROM busybox\n{run}\n"
            folders.append(busy.project({"Dockerfile": text}, f"{sharing}{number}"))
        running = [busy.spawn("image", "build", "-t", folder.name, ".", cwd=folder) for folder in folders]
        assert [one.wait(40) for one in running] == [0, 0], [one.transcript() for one in running]
        seen = {
            busy.run("container", "run", "--rm", "--network", "none", folder.name, "cat", "/seen")
            .ok()
            .stdout.strip()
            for folder in folders
        }
        if sharing != "shared":  # whether they meet is chance
            assert seen == expected
        busy.run("builder", "prune", "-af").ok()


def test_secrets_are_nowhere(busy: Host, tmp_path: Path) -> None:
    """By file, by variable, in a step that fails: not in the store, the runtime files, the progress, the image."""
    value = "swordfish-" + base64.b32encode(os.urandom(10)).decode()
    text = (
        "FROM busybox\n"
        "RUN --mount=type=secret,id=f cp /run/secrets/f /dev/shm/x && test -s /run/secrets/f\n"
        'RUN --mount=type=secret,id=v,env=V test -n "$V"\n'
        "RUN --mount=type=secret,id=f,target=/etc/deep/er/secret,mode=0444 test -s /etc/deep/er/secret\n"
    )
    folder = busy.project({"Dockerfile": text, "secret": value})
    flags = ("--secret", "id=f,src=secret", "--secret", "id=v,env=V", "--explain", "-v")
    said = []
    for extra in ((), ("--progress", "rawjson", "--no-cache")):
        done = busy.run(
            "image", "build", "-t", "built", *flags, *extra, ".", cwd=folder, env={"V": value}
        ).ok()
        said.append(done.stdout + done.stderr)
    (folder / "Dockerfile").write_text(f"{text}RUN --mount=type=secret,id=v,env=V exit 3\n", encoding="ascii")
    said.append(busy.run("image", "build", *flags, ".", cwd=folder, env={"V": value}).exited(1).stderr)
    (folder / "other").write_text(value * 2, encoding="ascii")  # another value is no other step
    cached = busy.run("image", "build", "-t", "built", "--secret", "id=f,src=other", "--secret", "id=v,src=other",
                      "--target", "", ".", cwd=folder)  # fmt: skip
    assert "RUN --mount=type=secret,id=f cp" in cached.stderr
    assert cached.stderr.count("CACHED") == 3

    assert not any(value in text for text in said)
    script = f"grep -rl {value} {busy.paths.root} {busy.paths.run} 2>/dev/null || echo nowhere"
    assert busy.command(["sh", "-c", script]).ok().stdout == "nowhere\n"
    busy.run("image", "save", "-o", tmp_path / "saved.tar", "built").ok()
    assert value.encode() not in (tmp_path / "saved.tar").read_bytes()
    assert inside(busy, "find /run; ls -d /etc/deep || true") == "/run\n"


def test_a_step_that_would_not_end(busy: Host) -> None:
    """One that ignores signals, forks, and holds its output open is gone with Ctrl+C."""
    script = "trap '' INT TERM HUP; (setsid sleep 1000 &) ; sleep 1000"
    folder = project(busy, f"FROM busybox\nRUN {script}\n")
    running = busy.spawn("build", cwd=folder)
    eventually(lambda: len(busy.processes("sleep 1000")) >= 2)
    running.process.send_signal(2)
    assert running.wait(20) != 0
    eventually(lambda: not busy.processes("sleep 1000"))


def test_more_layers_than_an_image_can_have(busy: Host) -> None:
    """They are counted before the first step is made; as many as there can be are built."""
    steps = "".join(f"COPY f /f{number}\n" for number in range(126))
    folder = project(busy, f"FROM busybox\n{steps}", f="f")
    busy.run("build", cwd=folder, timeout_s=120).ok()
    assert inside(busy, "ls / | grep -c ^f") == "126\n"
    (folder / "Dockerfile").write_text(f"FROM busybox\n{steps}RUN false\n", encoding="ascii")
    done = busy.run("build", cwd=folder)
    assert done.code == 1
    assert "error: Dockerfile:128: an image has at most 127 layers" in done.stderr
    assert "CACHED" not in done.stdout
