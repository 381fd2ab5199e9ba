"""A keeper per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.paths import StatePaths

from tests.support.lab import PROJECT, Lab


@pytest.fixture
def lab(host_paths: StatePaths, busybox_rootfs: Path) -> Iterator[Lab]:
    """Return a running keeper that knows how to make busybox containers."""
    host_paths.project(PROJECT).mkdir(parents=True)
    machine = Lab(paths=host_paths, rootfs=busybox_rootfs)
    machine.start()
    yield machine
    machine.close()
