"""Under docker's names: its plugin, its words, its programs."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from pycompose.dockercli.plugin import PROGRAM_WORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Hosts

COMPOSE = "services: {web: {image: busybox, command: sleep inf, init: true}}"


@pytest.fixture
def host(hosts: Hosts, busybox_tar: Path) -> Host:
    """Make a machine with an image and a project."""
    found = hosts()
    found.run("image", "import", busybox_tar, "busybox").ok()
    found.project({"compose.yaml": COMPOSE})
    return found


def test_the_plugin_ends_with_docker(host: Host) -> None:
    """Docker's command line has no other way to interrupt it: it closes a socket of its own."""
    folder = host.folder / "demo"
    config = host.folder / "config"
    done = host.run("system", "plugin", "install", env={"DOCKER_CONFIG": str(config)}).ok()
    assert done.stdout == f"{config}/cli-plugins/docker-compose\n"
    name = f"@docker_cli_{os.getpid()}"
    # Abstract names belong to a network namespace, and the machine has its own.
    with host.inside(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        server.bind(f"\0{name[1:]}")
        server.listen(1)
        environment = {"DOCKER_CLI_PLUGIN_SOCKET": name, "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
        running = host.spawn(PROGRAM_WORD, "compose", "up", cwd=folder, env=environment)
        connection, _ = server.accept()
        running.expect("Attaching to")
        connection.close()
        assert running.wait() == 130
    assert host.run("ps", "-q", cwd=folder).ok().stdout == ""
    host.run("down", cwd=folder).ok()


def test_the_plugin_completes(host: Host) -> None:
    """As docker's shell completion asks for it."""
    folder = host.folder / "demo"
    config = {"DOCKER_CONFIG": str(host.folder / "config")}
    host.run("system", "plugin", "install", env=config).ok()
    script = host.folder / "config/cli-plugins/docker-compose"
    done = host.command([script, "__complete", "compose", "stop", "w"], cwd=folder).ok()
    assert done.stdout == "web\t\n:4\n"
    assert (
        "logs\tView output from containers\n"
        in host.command([script, "__complete", "compose", ""]).ok().stdout
    )


def test_a_plugin_of_others_stays(host: Host) -> None:
    """Until it is said that it needn't."""
    path = host.folder / "plugins/docker-compose"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho another\n")
    assert "not ours" in host.run("system", "plugin", "install", path.parent).exited(1).stderr
    assert host.command(["sh", path]).ok().stdout == "another\n"
    host.run("system", "plugin", "install", path.parent, "--force").ok()
    assert "SchemaVersion" in host.command([path, "docker-cli-plugin-metadata"]).ok().stdout
    assert host.run("system", "plugin", "remove", path.parent).ok().stdout == f"{path}\n"


def test_shims_are_dockers_programs(host: Host) -> None:
    """And only ours are replaced or removed."""
    folder, programs = host.folder / "demo", host.folder / "bin"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\necho another\n")
    refused = host.run("system", "shim", "install", programs)
    assert refused.code == 1
    assert "is there already, and not ours" in refused.stderr
    host.run("system", "shim", "install", programs, "--force").ok()
    host.command([programs / "docker", "compose", "up", "-d"], cwd=folder).ok()
    shown = host.command([programs / "docker", "ps", "--format", "{{.Names}}"]).ok().stdout
    assert shown == "demo-web-1\n"
    assert host.command([programs / "docker", "exec", "demo-web-1", "echo", "hi"]).ok().stdout == "hi\n"
    assert host.command([programs / "docker-compose", "version", "--short"]).ok().stdout.startswith("5.")
    unknown = host.command([programs / "docker", "swarm", "init"])
    assert unknown.code == 1
    assert unknown.stderr.startswith("error: docker swarm: nothing here does this\n")
    host.command([programs / "docker-compose", "down", "-t", "0"], cwd=folder).ok()
    (programs / "docker-compose").write_text("mine\n")
    assert host.run("system", "shim", "remove", programs).ok().stdout == f"{programs}/docker\n"
    assert host.run("system", "shim", "remove", "--name", "docker-compose", programs).code == 1
    assert (programs / "docker-compose").read_text() == "mine\n"
