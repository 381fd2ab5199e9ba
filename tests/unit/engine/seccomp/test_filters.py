"""Filters on the disk: made once, checked when read, made again when they aren't whole."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.config import ContainerConfig, Process, Security
from pycompose.engine.errors import SeccompError
from pycompose.engine.linux import caps
from pycompose.engine.paths import StatePaths
from pycompose.engine.seccomp.build import build
from pycompose.engine.seccomp.filters import Filters
from pycompose.engine.statefiles import write_json

from tests.support.requires import requires

pytestmark = requires("x86_64")
PROFILE = json.dumps({"defaultAction": "SCMP_ACT_LOG", "flags": ["SECCOMP_FILTER_FLAG_LOG"]})


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    """Return state roots of its own."""
    return StatePaths(root=tmp_path / "root", run=tmp_path / "run")


def files(paths: StatePaths) -> list[Path]:
    """Return what is kept."""
    return sorted(paths.filters.iterdir())


def written(paths: StatePaths, **fields: Any) -> str:
    """Write the configuration of a container; return its id."""
    capabilities = fields.pop("capabilities", None)
    process = Process(args=("true",), **({} if capabilities is None else {"capabilities": capabilities}))
    config = ContainerConfig(id="a" * 64, name="a", project="p", rootfs=(), process=process, **fields)
    directory = paths.container(config.id)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", config.to_json(), durable=False)
    return config.id


def test_the_next_process_reads_what_the_first_has_made(paths: StatePaths) -> None:
    """One file per filter, for nobody else to read; what is there isn't built again."""
    assert [Filters(paths).get(1, ""), Filters(paths).get(0, PROFILE)] == [build(1, ""), build(0, PROFILE)]
    assert len(files(paths)) == 2
    assert stat.S_IMODE(paths.filters.stat().st_mode) == 0o700

    for path in files(paths):
        path.write_bytes(hashlib.sha256(b"another").digest() + b"another")
    assert [Filters(paths).get(1, ""), Filters(paths).get(0, PROFILE)] == [b"another", b"another"]
    assert Filters(paths).get(2, "") == build(2, "")


@pytest.mark.parametrize("damage", (b"", b"x", b"\0" * 32), ids=("empty", "short", "another digest"))
def test_a_damaged_file_is_made_again(paths: StatePaths, damage: bytes) -> None:
    """A crash leaves half a file: the kernel would refuse it for ever, or take less than the whole filter."""
    whole = Filters(paths).get(0, "")
    (path,) = files(paths)
    content = path.read_bytes()
    path.write_bytes(damage + content[len(damage) : len(content) // 2] if damage else b"")

    assert Filters(paths).get(0, "") == whole
    assert path.read_bytes() == content


def test_a_directory_that_cant_be_written_is_no_reason_not_to_start(paths: StatePaths) -> None:
    """It is a cache."""
    paths.root.mkdir()
    paths.filters.write_text("in the way")

    assert Filters(paths).get(0, "") == build(0, "")


def test_old_files_go_when_many_have_come_together(paths: StatePaths) -> None:
    """Each version of ours, each kernel and each profile leaves one."""
    paths.filters.mkdir(parents=True)
    for number in range(100):
        (paths.filters / f"{number:064}").touch()
    Filters(paths).get(0, "")

    assert len(files(paths)) == 1


def test_what_a_container_gets(paths: StatePaths) -> None:
    """By what its configuration asks for; nothing means the default policy for its capabilities."""
    filters = Filters(paths)
    default = caps.mask_of(Process(args=()).capabilities)

    assert filters.of_container(written(paths)) == build(default, "")
    assert filters.of_container(written(paths, security=Security(seccomp="builtin"))) == build(default, "")
    assert filters.of_container(written(paths, capabilities=())) == build(0, "")
    assert filters.of_container(written(paths, security=Security(seccomp=PROFILE))) == build(default, PROFILE)
    assert filters.of_container(written(paths, security=Security(seccomp="unconfined"))) == b""
    assert filters.of_container(written(paths, security=Security(privileged=True))) == b""
    assert filters.of_container(written(paths, security=Security(privileged=True, seccomp="builtin"))) == b""
    privileged = Security(privileged=True, seccomp=PROFILE)
    assert filters.of_container(written(paths, security=privileged)) == build(default, PROFILE)
    with pytest.raises(SeccompError, match="cannot read"):
        filters.of_container(written(paths, security=Security(seccomp="Unconfined")))


def test_flags_come_first() -> None:
    """As engine/linux/seccomp.py takes them apart."""
    assert build(0, PROFILE)[:4] == b"\x02\0\0\0"
    assert build(0, "")[:4] == b"\0\0\0\0"
    assert len(build(0, "")) % 8 == 4
