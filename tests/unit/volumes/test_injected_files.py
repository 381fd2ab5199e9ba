"""Secrets and configs as files for one container."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pycompose.engine.errors import VolumeError
from pycompose.volumes import injected_files
from pycompose.volumes.injected_files import InjectedFile, mounts_of, read_source, write_files


def secret(name: str, content: bytes, mode: int = 0o444) -> InjectedFile:
    return InjectedFile(
        name=name, target=f"/run/secrets/{name}", content=content, uid=os.getuid(), gid=os.getgid(), mode=mode
    )


def test_each_has_its_mode_and_a_read_only_mount(tmp_path: Path) -> None:
    """The directory is nobody else's; a second start replaces the files, whatever their mode."""
    directory = tmp_path / "files/id"
    write_files(directory, [secret("old", b"old", 0o400)])
    files = [
        secret("a", b"one", 0o400),
        InjectedFile(name="m", target="/m", source="/etc/passwd"),
        secret("b", b"two"),
    ]
    write_files(directory, files)
    mounts = mounts_of(directory, files)

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [(mount.target, mount.read_only) for mount in mounts] == [
        ("/run/secrets/a", True),
        ("/m", True),
        ("/run/secrets/b", True),
    ]
    first, machines, last = (Path(mount.source) for mount in mounts)
    assert (first.read_bytes(), str(machines), last.read_bytes()) == (b"one", "/etc/passwd", b"two")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (first, last)] == [0o400, 0o444]


def test_without_files_there_is_no_directory(tmp_path: Path) -> None:
    write_files(tmp_path / "none", [InjectedFile(name="m", target="/m", source="/etc/passwd")])
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
