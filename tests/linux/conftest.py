"""Tests that need root and the kernel: they run in a private host (tests/support/host.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.cgroups.hosts import Kind, detect, forget
from pycompose.engine.paths import StatePaths

from tests.support.host import host_paths, private_host
from tests.support.lab import PROJECT, Lab
from tests.support.namespaces import mount, umount
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


@pytest.fixture
def lab(host_paths: StatePaths, busybox_rootfs: Path) -> Iterator[Lab]:
    """Return a running keeper that knows how to make busybox containers."""
    host_paths.project(PROJECT).mkdir(parents=True)
    machine = Lab(paths=host_paths, rootfs=busybox_rootfs)
    machine.start()
    yield machine
    machine.close()


@pytest.fixture(params=("as it is", "v1 alone"))
def kind(request: pytest.FixtureRequest, private_host: Path) -> Iterator[Kind]:
    """Give the hierarchies to test on; our mount namespace is private, so cgroup2 can be taken out.

    To be asked for before `lab`, whose keeper looks at what is mounted.
    """
    machine = detect()
    if request.param == "as it is":
        yield machine.kind
        return
    if machine.kind is not Kind.HYBRID:
        pytest.skip("needs a hybrid machine, whose cgroup2 can be left out")
    assert machine.unified
    umount(machine.unified)
    forget()
    yield detect().kind
    mount("cgroup2", machine.unified, "cgroup2")
    forget()
