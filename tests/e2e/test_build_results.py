"""What builds give: the same image for the same input, whoever builds it; what mounts of stages show."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

EPOCH = "1700000000"
DOCKERFILE = """\
FROM busybox AS tools
RUN mkdir -p /t/a/b && echo tool >/t/a/b/tool && ln /t/a/b/tool /t/hard && ln -s tool /t/a/b/soft
FROM busybox
WORKDIR /work/deep
COPY . /c/
COPY --chown=7:8 --chmod=640 one /own/file
COPY --from=tools /t /t
ADD packed.tar /p/
RUN echo made >/made; mkdir /x /y; touch /x/1 /y/2; chmod 1777 /y; rm -r /c/sub; mkdir /c/sub; rm /bin/wget
RUN <<EOS
for i in 5 3 1 4 2; do echo $i >/x/$i; done
EOS
USER 12:34
RUN touch /y/user
VOLUME /v
"""


def context(folder: Path, *, backwards: bool) -> Path:
    """Make the same files in one order or the other, at different times."""
    files = {"one": "1\n", "sub/two": "2\n", "sub/three": "3\n", "Dockerfile": DOCKERFILE}
    for name in sorted(files, reverse=backwards):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name], encoding="utf-8")
        path.chmod(0o644)
        path.parent.chmod(0o755)
        os.utime(path, (1_800_000_000 + backwards, 1_800_000_000 + backwards))
    os.symlink("one", folder / "link")
    (folder / "packed.tar").write_bytes(bytes(10240))
    return folder


def test_the_same_input_gives_the_same_image(busy: Host, tmp_path: Path) -> None:
    """On another state root, with another host name, umask, place, time and order of files."""
    saved = tmp_path / "saved.tar"
    busy.run("image", "save", "-o", saved, "busybox").ok()
    other = {"PYCOMPOSE_ROOT": str(tmp_path / "other"), "PYCOMPOSE_RUN": str(tmp_path / "run")}
    busy.run("image", "load", "-i", saved, env=other).ok()
    epoch = {"SOURCE_DATE_EPOCH": EPOCH}
    here = context(tmp_path / "here", backwards=False)
    busy.run("image", "build", "-t", "it", ".", cwd=here, env=epoch).ok()
    there = context(tmp_path / "there", backwards=True)
    script = "hostname other; umask 077; exec pycompose image build -t it ."
    busy.command(["unshare", "-u", "sh", "-c", script], cwd=there, env={**other, **epoch}).ok()

    show = ("image", "inspect", "-f", "{{.Id}} {{.Created}} {{json .RootFS}}", "it")
    first = busy.run(*show).ok().stdout
    assert busy.run(*show, env=other).ok().stdout == first
    assert "2023-11-14T22:13:20Z" in first
    busy.run("image", "build", "--no-cache", "-t", "it", ".", cwd=here, env=epoch).ok()
    assert busy.run(*show).ok().stdout == first
    for kind in ("oci", "tar"):
        flags = ("-o", f"type={kind},dest=../{kind}.tar", "-t", "it")
        busy.run("image", "build", *flags, ".", cwd=here, env=epoch).ok()
        written = (tmp_path / f"{kind}.tar").read_bytes()
        busy.run("image", "build", *flags, ".", cwd=there, env={**other, **epoch}).ok()
        assert (tmp_path / f"{kind}.tar").read_bytes() == written


def test_the_epoch_is_an_argument(busy: Host) -> None:
    """From the environment or a flag, for a Dockerfile that declares it; by a compose file, too."""
    lines = "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH >/f; touch /g\n"
    compose = "services: {x: {image: it, build: .}}\n"
    folder = busy.project({"Dockerfile": lines, "compose.yaml": compose})
    show = ("container", "run", "--rm", "--network", "none", "it", "sh", "-c", "cat /f; stat -c %Y /g")
    for command in (("image", "build", "-t", "it", "."), ("build",)):
        busy.run(*command, cwd=folder, env={"SOURCE_DATE_EPOCH": EPOCH}).ok()
        assert busy.run(*show).ok().stdout == f"{EPOCH}\n{EPOCH}\n"
        flag = ("--build-arg", "SOURCE_DATE_EPOCH=1600000000")
        busy.run(command[0], *command[1:], *flag, cwd=folder).ok()
        assert busy.run(*show).ok().stdout == "1600000000\n1600000000\n"


def test_times_are_left_alone_when_asked(busy: Host) -> None:
    """`rewrite-timestamp=false` keeps what a step has written; `true` needs SOURCE_DATE_EPOCH, and says so."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN touch -d @1750000000 /f\n"})
    stat = ("container", "run", "--rm", "--network", "none", "it", "stat", "-c", "%Y", "/f")
    for value, expected in (("true", EPOCH), ("false", "1750000000")):
        flags = ["-t", "it", "-o", f"type=image,rewrite-timestamp={value}"]
        busy.run("image", "build", *flags, ".", cwd=folder, env={"SOURCE_DATE_EPOCH": EPOCH}).ok()
        assert busy.run(*stat).ok().stdout == f"{expected}\n"
    done = busy.run("image", "build", "-o", "type=image,rewrite-timestamp=true", ".", cwd=folder).ok()
    assert "rewrite-timestamp has no effect without SOURCE_DATE_EPOCH" in done.stderr
    done = busy.run("image", "build", "-o", "type=image,rewrite-timestamps=true", ".", cwd=folder).exited(1)
    assert "did you mean 'rewrite-timestamp'?" in done.stderr


def test_mounts_of_the_machine(busy: Host) -> None:
    """A stage upon the machine's own system shows all of it: the system is more than one overlay."""
    lines = (
        "FROM host AS h\nRUN touch /usr/added /added\nFROM busybox\n"
        "RUN --mount=from=h,target=/h ls /h/usr/bin/env /h/etc/passwd /h/usr/added /h/added >/out\n"
        "RUN --mount=from=h,source=/usr/bin,target=/b ls /b/env >>/out\n"
        "RUN --mount=from=host,source=usr,target=/u,rw ls /u/bin/env >>/out; touch /u/x\n"
    )
    folder = busy.project({"Dockerfile": lines})
    busy.run("image", "build", "-t", "it", ".", cwd=folder).ok()
    done = busy.run("container", "run", "--rm", "--network", "none", "it", "cat", "/out").ok()
    assert done.stdout.split() == [
        "/h/added", "/h/etc/passwd", "/h/usr/added", "/h/usr/bin/env", "/b/env", "/u/bin/env",
    ]  # fmt: skip
