"""A second engine on the same machine: the real Docker, with its bridge, its rules and its policy.

`PYCOMPOSE_DOCKERD_ROOT` is a root filesystem with dockerd in it (that of the lab's peers).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import fetch
from tests.support.namespaces import MS_BIND, mount
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, Host, Hosts, Result, eventually

ROOT = os.environ.get("PYCOMPOSE_DOCKERD_ROOT", "")
MS_REC = 0x4000
pytestmark = [
    requires("ip", "nft"),
    pytest.mark.skipif(not ROOT, reason="needs PYCOMPOSE_DOCKERD_ROOT, a root filesystem with dockerd"),
]
WEB = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo "I am ours" >/srv/index.html; exec httpd -f -p 80 -h /srv']
    stop_signal: SIGKILL
    ports: ["8080:80"]
  other: {image: busybox, command: [sleep, "1000"], stop_signal: SIGKILL, networks: [extra]}
networks: {extra: {}}
"""


class Docker:
    """A dockerd in the namespaces of a private machine, in a root of its own."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._root = host.folder / "docker"
        self._root.mkdir()
        host.inside(self._mount)
        options = (
            "--storage-driver",
            "vfs",
            "--exec-opt",
            "native.cgroupdriver=cgroupfs",
            "--data-root",
            "/run/data",
        )
        parent = f"--cgroup-parent=/{host.paths.cgroup_parent}-docker"
        script = f"exec dockerd {' '.join(options)} {parent} >/run/dockerd.log 2>&1 </dev/null"
        host.command(["chroot", self._root, "sh", "-c", f"setsid sh -c '{script}' &"]).ok()
        eventually(lambda: self("info").code == 0, 40)

    def __call__(self, *words: str) -> Result:
        """Run one of docker's commands."""
        return self._host.command(["chroot", self._root, "docker", *words])

    def _mount(self) -> None:
        mount(ROOT, self._root, flags=MS_BIND | MS_REC)
        for name in ("proc", "sys", "dev"):
            mount(f"/{name}", self._root / name, flags=MS_BIND | MS_REC)
        for name in ("run", "tmp", "var/lib/docker"):
            mount("tmpfs", self._root / name, "tmpfs")

    def close(self) -> None:
        """End it and what it has started."""
        for container in self("ps", "-aq").stdout.split():
            self("rm", "-f", container)
        for text in ("dockerd", "containerd"):
            for pid in self._host.processes(text):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        eventually(lambda: not self._host.processes("containerd"), 30)
        for words in (
            ["ip", "link", "delete", "docker0"],
            ["nft", "flush", "ruleset"],
            ["umount", "--recursive", "--lazy", self._root],
        ):
            self._host.command(words)
        for group in Path("/sys/fs/cgroup").rglob(f"{self._host.paths.cgroup_parent}-docker"):
            with contextlib.suppress(OSError):
                group.rmdir()


@pytest.fixture
def both(hosts: Hosts, busybox_tar: Path) -> Iterator[tuple[Host, Docker]]:
    """Give a machine that both are on, with a neighbour and the image `busybox` for each."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    docker = Docker(host)
    tar = host.folder / "docker/tmp/busybox.tar"
    host.inside(lambda: tar.write_bytes(busybox_tar.read_bytes()))
    docker("import", "/tmp/busybox.tar", "busybox").ok()
    yield host, docker
    docker.close()


def got(host: Host, port: int) -> str:
    """Return what the neighbour gets from a port of the machine, "" without an answer."""
    try:
        return host.outside(lambda: fetch(f"http://{HOST_ADDRESS}:{port}/", timeout_s=1)).strip()
    except OSError:
        return ""


@pytest.mark.timeout(240)
def test_both_work_side_by_side(both: tuple[Host, Docker]) -> None:
    """Docker's policy drops what it doesn't know: that is said, and opened. Subnets differ, neither harms the other."""
    host, docker = both
    serve = "echo I am theirs >/srv/index.html; httpd -p 81 -h /srv; exec httpd -f -p 80 -h /srv"
    docker("run", "-d", "--name", "theirs", "-p", "9090:80", "busybox", "sh", "-c", serve).ok()
    eventually(lambda: got(host, 9090) == "I am theirs")
    folder = host.project({"compose.yaml": WEB})
    said = host.run("up", "-d", cwd=folder).ok().stderr
    assert "DOCKER-USER" in said
    assert got(host, 8080) == ""
    host.run("up", "-d", "--open-firewall", cwd=folder).ok()
    eventually(lambda: got(host, 8080) == "I am ours")
    assert got(host, 9090) == "I am theirs"
    theirs = (
        docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}").ok().stdout
    )
    ours = host.run("network", "inspect", "demo_default", "demo_extra").ok().json()
    subnets = [ipaddress.ip_network(one["IPAM"]["Config"][0]["Subnet"]) for one in ours]
    assert not any(one.overlaps(ipaddress.ip_network(theirs.strip())) for one in subnets)
    # Neither's containers reach the other's but by published ports: opening the firewall has opened Docker's to nobody.
    address = docker("inspect", "theirs", "--format", "{{.NetworkSettings.IPAddress}}").ok().stdout.strip()
    for target, answer in ((f"{address}:81", ""), (f"{HOST_ADDRESS}:9090", "I am theirs\n")):
        words = ("exec", "-T", "web", "timeout", "2", "wget", "-qO-", f"http://{target}/")
        assert host.run(*words, cwd=folder).stdout == answer
    host.run("down", cwd=folder).ok()
    assert "pycompose" not in host.command(["nft", "list", "ruleset"]).ok().stdout
    assert got(host, 9090) == "I am theirs"
