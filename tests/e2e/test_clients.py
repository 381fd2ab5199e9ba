"""Clients that people use, told by their own settings which program docker is; versions are pinned."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import PYCOMPOSE

if TYPE_CHECKING:
    from tests.support.scenario import Host

CLIENTS = Path(__file__).with_name("clients")
NPM_PACKAGES = ("@devcontainers/cli@0.89.0", "docker-compose@1.5.0")
NODE = Path(sysconfig.get_path("scripts"), "node")
COMPOSE = 'services: {web: {image: busybox, command: sleep inf, init: true, ports: ["80"]}}'
DEVCONTAINER = """{
  "dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/workspace",
  "postCreateCommand": "echo created >/workspace/made"
}"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the packages of npm."""
    folder = tmp_path_factory.mktemp("npm")
    argv = [NODE.with_name("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", *NPM_PACKAGES]
    path = f"{NODE.parent}:{os.environ['PATH']}"
    subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PATH": path})
    return folder / "node_modules"


@pytest.mark.timeout(180)
def test_devcontainers(busy: Host, modules: Path) -> None:
    """A container of a compose file is made, found by the labels that events tell of, and set up."""
    folder = busy.project(
        {
            ".devcontainer/devcontainer.json": DEVCONTAINER,
            ".devcontainer/compose.yaml": (
                "services: {app: {image: busybox, command: sleep infinity, init: true, volumes: ['..:/workspace']}}"
            ),
        },
        "dev",
    )
    busy.run("system", "shim", "install", busy.folder / "bin").ok()
    argv = [NODE, modules / ".bin/devcontainer"]
    flags = [
        "--docker-path", busy.folder / "bin/docker", "--docker-compose-path", busy.folder / "bin/docker-compose",
        "--workspace-folder", folder,
    ]  # fmt: skip
    assert '"outcome":"success"' in busy.command([*argv, "up", *flags], timeout_s=120).ok().stdout
    assert (folder / "made").read_text() == "created\n"
    again = busy.command([*argv, "up", *flags], timeout_s=120).ok().stdout
    assert '"outcome":"success"' in again
    inside = busy.command([*argv, "exec", *flags, "cat", "/workspace/made"], timeout_s=120).ok()
    assert inside.stdout == "created\n"
    busy.run("-p", "dev_devcontainer", "down", "-t", "0").ok()


@pytest.mark.timeout(120)
def test_docker_compose_of_npm(busy: Host, modules: Path) -> None:
    """Each of its calls."""
    folder = busy.project({"compose.yaml": COMPOSE}, "npm")
    script = shutil.copy(CLIENTS / "docker_compose.cjs", modules.parent)
    done = busy.command([NODE, script, folder, PYCOMPOSE], cwd=folder, timeout_s=90).ok()
    assert done.stdout == "18 of 18\n"


@pytest.mark.timeout(120)
def test_python_on_whales(busy: Host) -> None:
    """Its calls of docker and of compose, each with its effect."""
    folder = busy.project({"compose.yaml": COMPOSE}, "whales")
    scratch = busy.folder / "scratch"
    scratch.mkdir()
    argv = [sys.executable, CLIENTS / "whales.py", PYCOMPOSE, scratch]
    assert busy.command(argv, cwd=folder, timeout_s=90).ok().stdout.endswith("all of it\n")
