"""Scenarios: the same expectations of pycompose and of Docker Compose (`--against pycompose|docker|both`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import engines
from tests.support.engines import Engine
from tests.support.host import PASSED
from tests.support.rootfs import build_tar
from tests.support.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
AGAINST = {
    "pycompose": ("pycompose",),
    "docker": ("docker",),
    "both": ("pycompose", "docker"),
    "socket": ("socket",),
}


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark for what pycompose doesn't do yet as it must."""
    config.addinivalue_line("markers", "bug(name): pycompose fails this scenario; Docker Compose doesn't")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every scenario on the engines that `--against` names."""
    if "keeper" in metafunc.fixturenames:
        names = AGAINST[str(metafunc.config.getoption("--against"))]
        metafunc.parametrize("keeper", names, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Insist on sentences that say what must be: otherwise nobody knows whether a failure is one."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.name != "test_differences.py":
            text = getattr(getattr(item, "function", None), "__doc__", "") or ""
            assert re.search(r"\bmust\b", text), f"{item.nodeid}: the docstring has no 'X must Y'"
            item.add_marker(pytest.mark.timeout(150))
            _expect_bugs(item)


def _expect_bugs(item: pytest.Item) -> None:
    """Expect the failures that are known, of pycompose only."""
    engine = getattr(item, "callspec", None)
    if engine is not None and engine.params.get("keeper") == "pycompose":
        for mark in item.iter_markers("bug"):
            item.add_marker(pytest.mark.xfail(strict=True, reason=mark.args[0]))


class Keeper:
    """Keeps one engine as long as nothing goes wrong on it, and makes another one then."""

    def __init__(self, name: str, start: Callable[[], Engine]) -> None:
        self.name = name
        self.open: list[Scene] = []
        self._start = start
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine, started when needed."""
        self._engine = self._engine or self._start()
        return self._engine

    def scene(self) -> Scene:
        """Open a scene."""
        scene = Scene(engine=self.engine)
        self.open.append(scene)
        return scene

    def finish(self, scene: Scene) -> list[str]:
        """Close a scene; return what it has left behind, known only when it was the last one open."""
        scene.close()
        self.open.remove(scene)
        return [] if self.open else self.engine.left()

    def renew(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the images of all scenarios: `busybox`, and `busybox:other` with one file more."""
    folder = tmp_path_factory.mktemp("scenario-images")
    first = build_tar(folder / "busybox.tar", folder / "tree")
    (folder / "other").mkdir()
    tree = folder / "other"
    (tree / "etc").mkdir()
    (tree / "etc/other").write_text("other\n", encoding="ascii")
    second = build_tar(folder / "other.tar", tree)
    return {"busybox": first, "busybox:other": second}


@pytest.fixture(scope="module")
def keeper(
    request: pytest.FixtureRequest, images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keeper]:
    """Keep one engine for the scenarios of a module."""
    name: str = request.param
    if reason := engines.lack(name):
        pytest.skip(reason)
    as_user = bool(request.config.getoption("--as-user"))
    keeper = Keeper(
        name, lambda: engines.make(name, lambda: tmp_path_factory.mktemp("machine"), images, as_user=as_user)
    )
    yield keeper
    keeper.renew()


@pytest.fixture
def scene(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Give a scenario its project; it fails for everything that is left on the machine."""
    scene = keeper.scene()
    yield scene
    passed = request.node.stash.get(PASSED, False)
    if not passed and isinstance(scene.engine, engines.Pycompose):
        print(scene.engine.host.logs())
    left = keeper.finish(scene)
    if not keeper.open and (left or not passed):
        keeper.renew()
    if left and passed:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="class")
def stage(keeper: Keeper) -> Iterator[Scene]:
    """One project that the scenarios of a class look at together."""
    scene = keeper.scene()
    yield scene
    left = keeper.finish(scene)
    if left:
        keeper.renew()
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
