"""A state root on an overlay, as inside a container: images whose layers hide things, and builds, work there, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.namespaces import mount, umount
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Hosts

DOCKERFILE = """
FROM busybox AS first
RUN mkdir /d /e && echo kept >/d/kept && echo gone >/d/gone && echo old >/e/old
RUN rm /d/gone && rm -r /e && mkdir -m 711 /e && echo new >/e/new
COPY word /d/word
FROM first
RUN --mount=type=bind,target=/context,rw --mount=type=cache,target=/cache \\
    cp /context/word /context/other && cp /context/other /cache/ && cp /cache/other /d/other
RUN rm /d/kept && chmod 1777 /e
"""
SHOW = ("sh", "-c", "cd /; ls -d d/* e/*; stat -c %a e; cat d/word d/other e/new")
SHOWN = "d/other\nd/word\ne/new\n1777\nhello\nhello\nnew\n"


def test_images_and_builds(hosts: Hosts, busybox_tar: Path) -> None:
    """What is built shows what it shall; so it does when it has come from a machine with an ordinary root, and back."""
    plain = hosts()
    inside = hosts(root=Path("/var/lib/elsewhere"))
    files = {"Dockerfile": DOCKERFILE, "word": "hello\n"}
    for host, other in ((plain, inside), (inside, plain)):
        host.run("image", "import", busybox_tar, "busybox").ok()
        folder = host.project(files)
        host.run("image", "build", "-t", "built", folder).ok()
        assert host.run("container", "run", "--rm", "built", *SHOW).ok().stdout == SHOWN
        host.run("image", "save", "-o", host.folder / "saved.tar", "built").ok()
        other.run("image", "rm", "-f", "built")
        other.run("image", "load", "-i", host.folder / "saved.tar").ok()
        assert other.run("container", "run", "--rm", "built", *SHOW).ok().stdout == SHOWN
        again = host.run("image", "build", "-t", "built", folder).ok()
        assert again.stderr.count("CACHED") == 5


def test_a_build_that_is_killed(hosts: Hosts, busybox_tar: Path) -> None:
    """What its steps had in memory goes with it, not with the next build."""
    host = hosts(root=Path("/var/lib/elsewhere"))
    host.run("image", "import", busybox_tar, "busybox").ok()
    folder = host.project({"Dockerfile": "FROM busybox\nRUN echo >/x; sleep 1000\n"})
    build = host.spawn("image", "build", folder)
    eventually(lambda: host.processes("sleep 1000"))
    assert host.inside(lambda: os.path.ismount(host.paths.layers))
    build.kill()
    eventually(lambda: not host.inside(host.paths.layers.exists), 60)


def test_the_machine_as_an_image(hosts: Hosts) -> None:
    """What not everybody may read stays hidden in `image: host`; a build upon it works."""
    host = hosts(root=Path("/var/lib/elsewhere"))
    host.inside(_private_folder)
    folder = host.project(
        {"Dockerfile": "FROM host\nRUN test ! -e /opt/private && rm /opt/gone && touch /usr/x\n"}
    )
    host.run("image", "build", "-t", "built", folder).ok()
    said = host.run("container", "run", "--rm", "built", "sh", "-c", "ls -d /usr/x /opt/*").ok()
    assert said.stdout == "/opt/shown\n/usr/x\n"
    host.inside(lambda: umount(Path("/opt")))


def _private_folder() -> None:
    mount("opt", "/opt", "tmpfs", data="mode=0755")
    Path("/opt/private").mkdir(mode=0o700)
    for name in ("gone", "shown"):
        Path("/opt", name).touch(mode=0o644)
