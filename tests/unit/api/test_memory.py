"""What a server remembers of containers is never older than their files, nor than their processes."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.config import ContainerConfig, Process, plain
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import ContainerState, Status, boot_id, start_ticks
from pycompose.engine.statefiles import write_json
from pycompose.state import memory
from pycompose.state.snapshot import read_container

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.policy.observed import ObservedContainer

ID = "a" * 64
LONG_AGO_NS = 1_700_000_000_123_456_789


@pytest.fixture(autouse=True)
def remembering() -> Iterator[None]:
    """Let what is read be kept, for the test."""
    memory.remember()
    yield
    memory.forget()


class Files:
    """The files of one container."""

    def __init__(self, folder: Path) -> None:
        self.paths = StatePaths(root=folder / "lib", run=folder / "run")
        self.lasting, self.running = self.paths.container(ID), self.paths.container_run(ID)
        self.lasting.mkdir(parents=True)
        self.running.mkdir(parents=True)
        self.name("one")

    def name(self, name: str) -> None:
        """Write its configuration."""
        config = ContainerConfig(id=ID, name=name, project="p", rootfs=(), process=Process(args=("true",)))
        write_json(self.lasting / "config.json", plain(config), durable=False)

    def state(self, pid: int) -> None:
        """Write that process `pid` runs."""
        state = ContainerState(
            id=ID, status=Status.RUNNING, pid=pid, boot_id=boot_id(), start_ticks=start_ticks(pid)
        )
        write_json(self.running / "state.json", plain(state), durable=False)

    def rest(self) -> None:
        """Wait until the last change is so long ago that what is read is kept."""
        eventually(lambda: self.read() is self.read())

    def read(self) -> ObservedContainer:
        """Return what is read of it."""
        found = read_container(self.paths, ID)
        assert found is not None
        return found


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Give a container that hasn't run."""
    return Files(tmp_path)


def test_what_rests_is_read_once(files: Files) -> None:
    files.rest()
    assert files.read() is files.read()
    memory.forget()
    assert files.read() is not files.read()


@pytest.mark.parametrize("rests", (False, True))
def test_a_changed_file_is_read_at_once(files: Files, *, rests: bool) -> None:
    """Also within one tick of the file system's clock, and by whoever has read just before."""
    for name in ("one", "two", "one"):
        files.name(name)
        for _ in range(2):
            assert files.read().name == name
        if rests:
            files.rest()
            assert files.read().name == name
    files.state(os.getpid())
    assert files.read().state.status is Status.RUNNING
    (files.lasting / "config.json").unlink()
    assert read_container(files.paths, ID) is None


def test_a_process_that_ends_is_seen(files: Files) -> None:
    """Nobody is left who would write it down, so no file changes."""
    process = subprocess.Popen(["sleep", "1000"])
    try:
        files.state(process.pid)
        files.rest()
        assert files.read() is files.read()
        assert files.read().running
    finally:
        process.kill()
        process.wait()
    assert files.read().state.status is Status.EXITED
    assert not files.read().state.exit_code_known


def test_clocks_of_file_systems(files: Files) -> None:
    """A folder that has changed within a tick of its clock may change again and look the same."""
    now_ns = time.time_ns()
    second_ns = now_ns // 10**9 * 10**9
    assert not memory.settled(memory.mark(str(files.lasting)), now_ns)
    assert memory.settled((1, LONG_AGO_NS), now_ns)
    assert not memory.settled((1, second_ns - 10**9), now_ns)
    assert not memory.settled((1, now_ns + 10**9), now_ns)
    assert memory.settled(memory.NO_FOLDER, now_ns)
