"""Tests that need root and the kernel: they run in a private host (tests/support/host.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.host import host_paths, private_host
from tests.support.requires import requires
from tests.support.rootfs import build_rootfs

__all__ = ["host_paths", "private_host"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs root and leaves the machine's own mounts and network alone."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(requires("root"))


@pytest.fixture(autouse=True)
def _in_private_host(private_host: Path) -> None:
    """No test of this folder ever runs on the real mounts and network."""


@pytest.fixture(scope="session")
def busybox_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a root filesystem of static busybox; share it, don't change it."""
    return build_rootfs(tmp_path_factory.mktemp("rootfs") / "busybox")
