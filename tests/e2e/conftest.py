"""End to end: the installed `pycompose`, on a private machine per test (tests/support/scenario.py)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import as_user
from tests.support.host import PASSED
from tests.support.ordinary import OrdinaryHost, Users
from tests.support.requires import requires
from tests.support.rootfs import build_tar
from tests.support.scenario import Host, Hosts
from tests.support.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every scenario needs root, overlays and the small root filesystem."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(requires("root", "overlay", "static-busybox"))
            if item.config.getoption("--as-user"):
                _expect_less(item)


def _expect_less(item: pytest.Item) -> None:
    """Expect of an ordinary user what differs on purpose: where it doesn't any more, the list is wrong."""
    for entry in as_user.differences():
        if entry.is_about(item.nodeid):
            item.add_marker(pytest.mark.xfail(strict=not entry.sometimes, reason=f"{entry.id}: {entry.user}"))


@pytest.fixture
def hosts(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Make private machines; the test fails for everything that is left on one of them.

    KEEP_FAILED=1 keeps the state of a failed test's machines in its temporary folder.
    """
    as_user = bool(request.config.getoption("--as-user"))
    hosts = Hosts(folder=tmp_path, kind=OrdinaryHost if as_user else Host)
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
def busy(host: Host, busybox_tar: Path, busybox_state: Path, request: pytest.FixtureRequest) -> Host:
    """Return a machine that has the image `busybox`: the first of a session imports it, the others get its state."""
    if request.config.getoption("--as-user"):
        host.run("image", "import", host.readable(busybox_tar), "busybox").ok()
    elif busybox_state.exists():
        host.restore(busybox_state)
    else:
        host.run("image", "import", busybox_tar, "busybox").ok()
        host.save(busybox_state)
    return host


@pytest.fixture
def users(tmp_path: Path, busybox_tar: Path, request: pytest.FixtureRequest) -> Iterator[Users]:
    """Make machines whose user, who isn't root, has the image `busybox`."""
    users = Users(folder=tmp_path, archive=busybox_tar)
    yield users
    for machine in users.made:
        if not request.node.stash.get(PASSED, False):
            print(machine.logs())
        machine.close()


@pytest.fixture
def user(users: Users) -> OrdinaryHost:
    """Return a machine of an ordinary user without a way out."""
    return users()


@pytest.fixture
def served(busy: Host) -> Iterator[Served]:
    """Serve the Engine API on a machine that has `busybox`."""
    served = Served(busy)
    yield served
    served.close()


@pytest.fixture
def sdk(served: Served) -> Iterator[docker.DockerClient]:
    """Give the SDK, connected to it."""
    import docker  # noqa: PLC0415 - for the few that use it

    client = docker.DockerClient(base_url=served.url, version="auto", timeout=40)
    yield client
    client.close()


@pytest.fixture(scope="session")
def busybox_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the state root of a machine that has `busybox` is kept, once there is one."""
    return tmp_path_factory.mktemp("busybox-state") / "state"


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a root filesystem archive of static busybox, for `pycompose image import`."""
    folder = tmp_path_factory.mktemp("busybox")
    return build_tar(folder / "busybox.tar", folder / "tree")
