"""Secrets and configs as files for one container."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pycompose.engine.errors import VolumeError
from pycompose.volumes import injected_files
from pycompose.volumes.injected_files import InjectedFile, read_source, write_files


def secret(name: str, content: bytes, mode: int = 0o444) -> InjectedFile:
    return InjectedFile(
        name=name, target=f"/run/secrets/{name}", content=content, uid=os.getuid(), gid=os.getgid(), mode=mode
    )


def test_each_has_its_mode_and_a_read_only_mount(tmp_path: Path) -> None:
    """The directory is nobody else's; a second start replaces the files, whatever their mode."""
    directory = tmp_path / "files/id"
    write_files(directory, [secret("old", b"old", 0o400)])
    mounts = write_files(directory, [secret("a", b"one", 0o400), secret("b", b"two")])

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [(mount.target, mount.read_only) for mount in mounts] == [
        ("/run/secrets/a", True),
        ("/run/secrets/b", True),
    ]
    files = [Path(mount.source) for mount in mounts]
    assert [file.read_bytes() for file in files] == [b"one", b"two"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o400, 0o444]


def test_without_files_there_is_no_directory(tmp_path: Path) -> None:
    assert write_files(tmp_path / "none", []) == []
    assert not (tmp_path / "none").exists()


def test_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be read, or is larger than a secret has any reason to be, names the secret and the file."""
    monkeypatch.setattr(injected_files, "MAX_BYTES", 10)
    (tmp_path / "good").write_bytes(b"0123456789")
    (tmp_path / "large").write_bytes(b"0123456789+")

    assert read_source("secret s", str(tmp_path / "good")) == b"0123456789"
    with pytest.raises(VolumeError, match=r"secret s: .*/large is larger than"):
        read_source("secret s", str(tmp_path / "large"))
    with pytest.raises(VolumeError, match=r"secret s: cannot read .*/none: No such file"):
        read_source("secret s", str(tmp_path / "none"))
    with pytest.raises(VolumeError, match="Is a directory"):
        read_source("secret s", str(tmp_path))
