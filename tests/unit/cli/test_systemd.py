"""The unit of a project: quoted for systemd, and starting what restart policies ask for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pycompose.cli.commands.systemd import assignment, containers_unit, quoted, restarted, unit
from pycompose.cli.main import main
from pycompose.model import Project, Restart, Service

PROJECT = Project(
    name="shop",
    directory="/srv/my shop/100%",
    files=("/srv/my shop/100%/compose.yaml",),
    env_files=("/srv/$HOME.env",),
    profiles=("front",),
    services={
        "web": Service(name="web", restart=Restart(kind="always")),
        "db": Service(name="db", restart=Restart(kind="unless-stopped")),
        "job": Service(name="job", restart=Restart(kind="on-failure")),
        "once": Service(name="once"),
    },
)


@pytest.mark.parametrize(
    ("words", "line"),
    (
        (["a", "-b", "/c.d"], "a -b /c.d"),
        (["two words"], '"two words"'),
        (["100%"], '"100%%"'),
        (["$HOME"], '"$$HOME"'),
        (['say "hi"', "back\\slash"], '"say \\"hi\\"" "back\\\\slash"'),
        ([""], '""'),
    ),
)
def test_words_survive_systemd(words: list[str], line: str) -> None:
    """Specifiers, variables, quotes and blanks mean nothing."""
    assert quoted(words) == line


def test_variables_are_not_expanded() -> None:
    """In Environment= a dollar is a dollar, a percent sign has to be doubled."""
    assert assignment("A", 'x $y 5% "z"') == '"A=x $y 5%% \\"z\\""'


def test_only_what_docker_starts_with_the_machine() -> None:
    """`always` and `unless-stopped`, not `on-failure`."""
    assert restarted(PROJECT) == ["db", "web"]


def test_the_unit_names_everything_by_path() -> None:
    """Nothing of it depends on where or by whom it was made."""
    text = unit(PROJECT, ["/usr/bin/pycompose"], ["web"], {"PYCOMPOSE_ROOT": "/data", "HOME": "/root"})

    assert "WorkingDirectory=/srv/my shop/100%%\n" in text
    assert 'Environment="PYCOMPOSE_ROOT=/data"\n' in text
    assert "HOME=/root" not in text
    (start,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert start.startswith(
        'ExecStart=/usr/bin/pycompose --progress plain --project-directory "/srv/my shop/'
    )
    assert start.endswith("up --detach --no-recreate --no-build --yes web")


def test_the_unit_of_containers_asks_for_their_return() -> None:
    """Not for a start and a stop of all: their policies decide."""
    text = containers_unit(["/usr/bin/pycompose"], {"PYCOMPOSE_RUN": "/run/other"})

    assert "ExecStart=/usr/bin/pycompose container boot\n" in text
    assert "ExecStop=/usr/bin/pycompose container shutdown\n" in text
    assert 'Environment="PYCOMPOSE_RUN=/run/other"\n' in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Systemd itself reads it without a complaint."""
    path = tmp_path / "pycompose-shop.service"
    other = tmp_path / "pycompose.service"
    path.write_text(unit(PROJECT, ["/bin/true"], ["web"], {"PYCOMPOSE_ROOT": "/da ta"}), encoding="utf-8")
    other.write_text(containers_unit(["/bin/true"], {}), encoding="utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", path, other], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if ".service" in line and "pycompose" in line] == []


def test_units_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--install` writes the unit and has systemd enable it; without systemd nothing is written."""
    monkeypatch.setattr("pycompose.cli.commands.systemd.UNITS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["systemd", "--install", "--containers"]) == 1
    assert not list(tmp_path.glob("*.service"))
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n', encoding="ascii")
    program.chmod(0o755)

    assert main(["systemd", "--install", "--containers"]) == 0
    (found,) = tmp_path.glob("*.service")
    assert "container boot" in found.read_text(encoding="utf-8")
    assert (tmp_path / "asked").read_text(encoding="ascii").splitlines() == [
        "daemon-reload",
        f"enable {found.name}",
    ]
