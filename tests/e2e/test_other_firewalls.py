"""Beside a firewall that drops what it does not know: `up` says so, and opens it where asked to and safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.http import fetch
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, Host, Hosts, eventually

pytestmark = requires("ip", "iptables-legacy")

WEB = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo "I am web" >/srv/index.html; exec httpd -f -p 80 -h /srv']
    stop_signal: SIGKILL
    ports: ["8080:80"]
"""


@pytest.fixture
def host(hosts: Hosts, busybox_tar: Path) -> Host:
    """Make a machine that another one can reach."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    return host


def reached(host: Host) -> bool:
    """Tell whether the other machine gets an answer."""
    try:
        return host.outside(lambda: fetch(f"http://{HOST_ADDRESS}:8080/", timeout_s=1)) == "I am web\n"
    except OSError:
        return False


@pytest.mark.parametrize("program", ("iptables-nft", "iptables-legacy"))
def test_up_warns_and_opens(host: Host, program: str) -> None:
    """The warning has the remedy; the flag puts two marked rules in, which go with the project."""
    project = host.project({"compose.yaml": WEB})
    host.command([program, "-P", "FORWARD", "DROP"]).ok()
    before = host.command([program, "-S"]).ok().stdout
    said = host.run("up", "-d", cwd=project).ok().stderr
    assert "iptables -I FORWARD -i pc-+ -j ACCEPT" in said
    assert "up --open-firewall" in said
    eventually(lambda: host.inside(lambda: fetch("http://127.0.0.1:8080/")) == "I am web\n")
    assert not reached(host)
    said = host.run("up", "-d", "--open-firewall", cwd=project).ok().stderr
    assert "firewall" not in said
    assert host.command([program, "-S"]).ok().stdout.count('--comment "pycompose demo" -j ACCEPT') == 2
    eventually(lambda: reached(host))
    host.run("up", "-d", cwd=project, env={"PYCOMPOSE_OPEN_FIREWALL": "1"}).ok()
    host.run("down", cwd=project).ok()
    assert host.command([program, "-S"]).ok().stdout == before
    host.command([program, "-P", "FORWARD", "ACCEPT"]).ok()


def test_dockers_own_chain_is_used(host: Host) -> None:
    """Where Docker is, the rules go where Docker leaves them."""
    project = host.project({"compose.yaml": WEB})
    for words in ("-P FORWARD DROP", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER"):
        host.command(["iptables-nft", *words.split()]).ok()
    said = host.run("up", "-d", cwd=project).ok().stderr
    assert "iptables -I DOCKER-USER -i pc-+ -j ACCEPT" in said
    host.run("up", "-d", "--open-firewall", cwd=project).ok()
    listed = host.command(["iptables-nft", "-S", "DOCKER-USER"]).ok().stdout
    assert listed.count('--comment "pycompose demo" -j ACCEPT') == 2
    # What Docker's own networks let in is for Docker to say: asked before we are let through.
    assert "-o docker0" in listed
    assert "-o br-+" in listed
    assert listed.rindex('"pycompose demo" -j RETURN') < listed.index('"pycompose demo" -j ACCEPT')
    eventually(lambda: reached(host))
    host.run("down", cwd=project).ok()
    assert "pycompose" not in host.command(["iptables-nft", "-S"]).ok().stdout


def test_what_another_program_looks_after_is_left_alone(host: Host) -> None:
    """A reload of ufw would undo it: that has to be told ufw."""
    project = host.project({"compose.yaml": WEB})
    for words in ("-P FORWARD DROP", "-N ufw-before-forward"):
        host.command(["iptables-nft", *words.split()]).ok()
    said = host.run("up", "-d", "--open-firewall", cwd=project).ok().stderr
    assert "ufw looks after it" in said
    assert "pycompose" not in host.command(["iptables-nft", "-S"]).ok().stdout
    host.run("down", cwd=project).ok()
