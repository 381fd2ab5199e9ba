"""Another version of pycompose takes a project over while it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.sources import FOLDERS

if TYPE_CHECKING:
    from tests.support.scenario import Host

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "echo started; exec httpd -f -p 80 -h /"]
    stop_signal: KILL
    ports: ["8080:80"]
    healthcheck: {test: [CMD, "true"], interval: 1s}
"""
TERMINAL = (
    "  terminal: {image: busybox, command: [cat], tty: true, stdin_open: true, stop_signal: KILL}\n"
    "  input: {image: busybox, command: [cat], stdin_open: true, stop_signal: KILL}\n"
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Install an older version beside the present one; return its interpreter."""
    folder = tmp_path / "old"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for package, source in sorted(FOLDERS.items()):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, site.joinpath(*package.split(".")), ignore=ignore, dirs_exist_ok=True)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    python = folder / "bin/python"
    _edit(python, "version.py", r'^VERSION = ".*"$', 'VERSION = "0.0.9"')
    return python


def _edit(python: Path, name: str, text: str, other: str) -> None:
    (file,) = python.parents[1].glob(f"lib/python*/site-packages/pycompose/{name}")
    source = file.read_text(encoding="utf-8")
    assert len(re.findall(text, source, re.MULTILINE)) == 1
    file.write_text(re.sub(text, other, source, flags=re.MULTILINE), encoding="utf-8")


def _starts(host: Host, names: list[str]) -> str:
    """Return what tells the containers' processes from later ones."""
    return host.run("container", "inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", *names).ok().stdout


@pytest.mark.parametrize("what", ("version", "control protocol", "keeper protocol"))
def test_the_new_version_takes_over(busy: Host, old: Path, what: str) -> None:
    """`up -d` of another version replaces the supervisor; containers, ports and health go on, terminals and inputs.

    A keeper whose protocol has changed hands them over before it is killed.
    """
    text = COMPOSE + TERMINAL
    if what == "control protocol":
        _edit(old, "ipc/protocol.py", r"^PROTOCOL = \d+$", "PROTOCOL = 0")
    if what == "keeper protocol":
        _edit(old, "engine/keeper/wire.py", r"^PROTOCOL = \d+$", "PROTOCOL = 1")
    folder = busy.project({"compose.yaml": text})
    busy.command([old, "-I", "-m", "pycompose", "up", "-d", "--wait"], cwd=folder).ok()
    before = busy.process("pycompose.supervisor")
    assert str(old) in Path(f"/proc/{before}/cmdline").read_text()
    names = busy.run("ps", "--format", "{{.Names}}", cwd=folder).ok().stdout.split()
    running = _starts(busy, names)

    busy.run("up", "-d", "--wait", cwd=folder).ok()

    after = busy.process("pycompose.supervisor")
    assert after != before
    assert str(old) not in Path(f"/proc/{after}/cmdline").read_text()
    assert _starts(busy, names) == running
    terminal = busy.spawn("attach", "terminal", cwd=folder, tty=True)
    terminal.send("echoed by cat\n")
    terminal.expect(r"(echoed by cat\s+){2}")
    terminal.send("\x10\x11")  # leaves it
    terminal.wait()
    busy.run("exec", "-T", "web", "wget", "-qO-", "http://127.0.0.1/etc/hostname", cwd=folder).ok()
    assert busy.run("logs", "--no-log-prefix", "web", cwd=folder).ok().stdout == "started\n"
    busy.run("restart", "-t", "0", cwd=folder).ok()
    assert _starts(busy, names) != running
    assert "Traceback" not in busy.logs()
    busy.run("down", cwd=folder).ok()
