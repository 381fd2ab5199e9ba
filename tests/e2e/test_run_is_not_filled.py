"""A container can't use up the machine's /run, which is memory, and which every other project needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support.namespaces import mount, umount

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

ATTACK = """
services:
  attacker:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
"""
NEIGHBOUR = """
services:
  web: {image: busybox, command: [sleep, "1000"], stop_signal: SIGKILL}
  shares: {image: busybox, command: [cat, /etc/hosts], network_mode: "service:web"}
"""
FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
RUN_BYTES = 8 << 20


def used(host: Host) -> int:
    """Return how many bytes of /run/pycompose are used."""

    def ask() -> int:
        status = os.statvfs(host.paths.run)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    return host.inside(ask)


def test_the_generated_files_are_not_in_memory(busy: Host) -> None:
    """Each of the three is written until the file system is full, or 32 MiB: /run stays as it was."""
    busy.inside(lambda: mount("run", busy.paths.run, "tmpfs", data=f"mode=0755,size={RUN_BYTES}"))
    attack = busy.project({"compose.yaml": ATTACK}, "attack")
    neighbour = busy.project({"compose.yaml": NEIGHBOUR}, "neighbour")
    busy.run("up", "-d", cwd=attack).ok()
    before = used(busy)
    for name in FILES:
        script = f"dd if=/dev/zero of={name} bs=1M count=32"
        busy.run("exec", "-T", "attacker", "sh", "-c", script, cwd=attack).ok()

    assert used(busy) < before + 256 * 1024
    busy.run("up", "-d", cwd=neighbour).ok()
    busy.run("down", cwd=neighbour).ok()
    busy.run("down", cwd=attack).ok()
    busy.inside(lambda: umount(busy.paths.run))


def test_what_another_container_has_written_is_copied_in_part_only(busy: Host, tmp_path: Path) -> None:
    """Who joins a network gets a copy of the files; a huge one is cut."""
    folder = busy.project({"compose.yaml": NEIGHBOUR})
    busy.run("up", "-d", "web", cwd=folder).ok()
    fill = "dd if=/dev/zero of=/etc/hosts bs=1M count=32"
    busy.run("exec", "-T", "web", "sh", "-c", fill, cwd=folder).ok()

    assert len(busy.run("run", "--rm", "-T", "--no-deps", "shares", cwd=folder).ok().stdout) == 1 << 20
    busy.run("down", cwd=folder).ok()
