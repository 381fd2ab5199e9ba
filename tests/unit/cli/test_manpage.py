"""Manual pages: one for each command, with all of its flags, as man shows them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import click
import pytest
from pycompose.cli.main import cli, main
from pycompose.cli.manpage import pages

from tests.effects.table import commands
from tests.support.requires import requires

if TYPE_CHECKING:
    from pathlib import Path


def test_every_command_has_a_page_with_its_flags() -> None:
    found = dict(pages(cli, "pycompose", "pycompose 1"))
    for words, command in commands().items():
        if command.hidden:
            continue
        text = found[f"{'-'.join(['pycompose', *words.split()])}.1"].replace("\\-", "-")
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert max(param.opts, key=len) in text, words


def test_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "--man-pages", str(tmp_path / "man1")]) == 0
    assert (tmp_path / "man1/pycompose-up.1").read_text().startswith('.TH "PYCOMPOSE\\-UP" 1')
    (tmp_path / "file").write_text("")
    assert main(["help", "--man-pages", str(tmp_path / "file/man1")]) == 1
    assert "cannot write" in capsys.readouterr().err


@requires("groff")
@pytest.mark.parametrize(
    "name", ("pycompose", "pycompose-image-build", "pycompose-completion", "pycompose-exec")
)
def test_man_shows_them(name: str) -> None:
    """Without a warning, and with hyphens that can be copied."""
    text = dict(pages(cli, "pycompose", "pycompose 1"))[f"{name}.1"]
    argv = ["groff", "-man", "-Tutf8", "-ww", "-P-c", "-b"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    shown = re.sub(".\x08", "", done.stdout)  # bold letters are printed twice
    assert "--help" in shown
    assert "NAME" in shown
