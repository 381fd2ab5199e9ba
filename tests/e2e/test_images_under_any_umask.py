"""What an image looks like doesn't depend on the umask of who brought it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

DOCKERFILE = (
    "FROM busybox\nWORKDIR /work/deep/er\nCOPY . /copied/to/here\nRUN mkdir /ran && touch /ran/file\n"
)
LOOK = "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -exec stat -c '%a %u:%g %n' {} +"


def listing(host: Host, folder: Path, umask: str, command: str) -> list[str]:
    """Return what an ordinary listing shows in a container of an image that `command` has made under a umask."""
    host.command(["sh", "-c", f"umask {umask}; {command}"], cwd=folder).ok()
    found = host.run("container", "run", "--rm", "x", "sh", "-c", LOOK).ok().stdout.splitlines()
    host.run("image", "rm", "x").ok()
    return sorted(found)


@pytest.mark.parametrize("how", ("import", "load", "build"))
def test_an_image_is_the_same_under_any_umask(busy: Host, busybox_tar: Path, how: str) -> None:
    """Imported, loaded, built."""
    folder = busy.project({"Dockerfile": DOCKERFILE, "file": "x", "sub/file": "y"})
    command = {
        "import": f"pycompose image import {busybox_tar} x",
        "load": "pycompose image load -i saved.tar",
        "build": "pycompose image build --no-cache -t x .",
    }[how]
    if how == "load":
        busy.run("image", "tag", "busybox", "x").ok()
        busy.run("image", "save", "-o", folder / "saved.tar", "x").ok()
        busy.run("image", "rm", "x", "busybox").ok()

    usual, closed = listing(busy, folder, "022", command), listing(busy, folder, "077", command)

    assert len(usual) > 10
    assert closed == usual


def test_the_image_host_is_open_to_ordinary_users(busy: Host) -> None:
    """Its skeleton is made by the first command that needs it."""
    folder = busy.project(
        {
            "compose.yaml": "services: {a: {image: host, user: '1000', command: [ls, -d, /var/tmp, /etc/passwd]}}"
        }
    )
    script = "umask 077; exec pycompose run --rm -T a"

    assert busy.command(["sh", "-c", script], cwd=folder).ok().stdout.split() == ["/etc/passwd", "/var/tmp"]
    busy.run("down", cwd=folder).ok()
