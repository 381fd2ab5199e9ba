"""What every level of the tests shares: `requires`, the order of the levels, whether a test has passed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support.host import PASSED
from tests.support.leftovers import PATIENCE
from tests.support.requires import check

if TYPE_CHECKING:
    from collections.abc import Generator

# The levels that move the process into other namespaces come after those that want the machine as it is.
LEVELS = ("unit", "e2e", "linux", "guest")
HERE = Path(__file__).parent

# Every run tries the same examples, so that a red one is about the change at hand. PYCOMPOSE_EXAMPLES tries others.
settings.register_profile("same", deadline=None, derandomize="PYCOMPOSE_EXAMPLES" not in os.environ)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose what the scenarios of tests/e2e/scenarios run on."""
    parser.addoption(
        "--against",
        choices=("pycompose", "docker", "both", "socket"),
        default="pycompose",
        help="engine of the scenarios; docker needs Docker in namespaces of its own (tests/support/engines.py), "
        "socket is the real Docker Compose upon `pycompose system serve`",
    )
    parser.addoption(
        "--as-user", action="store_true", help="run the scenarios' commands as an ordinary user, without root"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark behind `@requires`."""
    config.addinivalue_line("markers", "requires(*names): what the test needs; see tests/support/requires.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the levels in their order, and give each test's own limit an emulated machine's time."""

    def level(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        return LEVELS.index(folder) if folder in LEVELS else len(LEVELS)

    items.sort(key=level)
    for item in items if PATIENCE > 1 else ():
        limit = item.get_closest_marker("timeout")
        if limit is not None:
            item.add_marker(pytest.mark.timeout(limit.args[0] * PATIENCE), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail before any fixture is set up."""
    check(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note on the item whether its body passed, for fixtures that check more only then."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report
