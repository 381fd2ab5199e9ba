"""A private host inside the test process: its own mounts and network, state roots on tmpfs.

tests/linux calls the engine in-process, so the process itself moves, once, for the rest of the session.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.paths import StatePaths

from tests.support.leftovers import Watch
from tests.support.namespaces import CLONE_NEWNET, CLONE_NEWNS, mount, private_machine, umount, unshare

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)


def enter() -> Path:
    """Move this process into new mount and network namespaces; return a directory on a tmpfs of its own.

    Namespaces belong to threads: only threads started afterwards follow.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the private host must be entered by the main thread")
    base = Path(tempfile.mkdtemp(prefix="pycompose-host-"))
    scratch = base / "scratch"
    scratch.mkdir()
    unshare(CLONE_NEWNS | CLONE_NEWNET)
    private_machine(scratch)
    mount("pycompose-tests", base, "tmpfs", data="mode=0755")
    return base


@pytest.fixture(scope="session")
def private_host() -> Iterator[Path]:
    """Move the session into its private host; the tmpfs directory for state."""
    base = enter()
    yield base
    umount(base)
    (base / "scratch").rmdir()
    base.rmdir()


@pytest.fixture
def host_paths(private_host: Path, request: pytest.FixtureRequest) -> Iterator[StatePaths]:
    """Fresh state roots and a cgroup name of its own; fails the test for everything it leaves behind."""
    number = next(_numbers)
    top = private_host / f"t{number}"
    paths = StatePaths(root=top / "lib", run=top / "run", cgroup_parent=f"pycompose-t{os.getpid()}-{number}")
    for directory, mode in ((paths.root, 0o755), (paths.run, 0o755)):
        directory.mkdir(parents=True)
        mount("pycompose-test", directory, "tmpfs", data=f"mode={mode:04o}")
    watch = Watch(paths=paths)
    watch.baseline()
    yield paths
    report = request.node.stash.get(PASSED, None)
    left = watch.wait() if report else []
    watch.clean()
    for directory in (paths.run, paths.root):
        umount(directory)
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


PASSED = pytest.StashKey[bool]()
