"""End to end: the installed `pycompose`, on a private machine per test (tests/support/scenario.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.host import PASSED
from tests.support.requires import requires
from tests.support.rootfs import build_tar
from tests.support.scenario import Host, Hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every scenario needs root, overlays and the small root filesystem."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(requires("root", "overlay", "static-busybox"))


@pytest.fixture
def hosts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Make private machines; the test fails for everything that is left on one of them.

    KEEP_FAILED=1 keeps the state of a failed test's machines in its temporary folder.
    """
    hosts = Hosts(folder=tmp_path)
    yield hosts
    passed = request.node.stash.get(PASSED, False)
    left = []
    for host in hosts.made:
        left += host.watch.wait() if passed else []
        if not passed or left:
            print(host.logs())
            if os.environ.get("KEEP_FAILED") == "1":
                host.keep(host.folder / "state")
                print(f"kept in {host.folder}")
        host.close()
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def host(hosts: Hosts) -> Host:
    """One private machine."""
    return hosts()


@pytest.fixture
def busy(host: Host, busybox_tar: Path) -> Host:
    """Return a machine that has the image `busybox`."""
    host.run("image", "import", busybox_tar, "busybox").ok()
    return host


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a root filesystem archive of static busybox, for `pycompose image import`."""
    folder = tmp_path_factory.mktemp("busybox")
    return build_tar(folder / "busybox.tar", folder / "tree")
