"""Private keys in files as an agent: what it holds, how long it lives, what is no key."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pycompose.engine.builder.keyagent import key_agent
from pycompose.engine.errors import BuildError

from tests.support.scenario import eventually

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="ssh-agent isn't installed")


def new_key(path: Path, passphrase: str = "") -> str:
    """Make a key, return its public half's text."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path.with_suffix(".pub").read_text(encoding="utf-8").split()[1]


def listed(agent: str) -> subprocess.CompletedProcess[str]:
    """Ask an agent for its keys."""
    environment = {**os.environ, "SSH_AUTH_SOCK": agent}
    return subprocess.run(["ssh-add", "-L"], env=environment, capture_output=True, text=True, check=False)


def test_keys_in_files_make_an_agent(tmp_path: Path) -> None:
    """It has all of them, also one that others may read, and ends with the block."""
    first, second = new_key(tmp_path / "a"), new_key(tmp_path / "b")
    (tmp_path / "b").chmod(0o644)
    with key_agent([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path, "it") as agent:
        found = listed(agent).stdout
        assert first in found
        assert second in found
    eventually(lambda: listed(agent).returncode == 2)  # it is gone


@pytest.mark.parametrize("name", ("nosuch", "text", "locked"))
def test_what_is_no_key_is_named(tmp_path: Path, name: str) -> None:
    """A missing file, one that is no key, one with a passphrase."""
    (tmp_path / "text").write_text("no key\n", encoding="utf-8")
    new_key(tmp_path / "locked", "secret")
    with (
        pytest.raises(BuildError, match=f"it: {tmp_path / name}: "),
        key_agent([str(tmp_path / name)], tmp_path, "it"),
    ):
        pass
    eventually(lambda: listed(str(tmp_path / "agent")).returncode == 2)
