"""Fixtures of one's own: `db = compose_fixture("compose.yaml", services=["db"], scope="module")` in a conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from pycompose.testing.plugin import STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.testing.stack import Compose, Files

    Scope = Literal["session", "package", "module", "class", "function"]


def compose_fixture(
    files: Files = (), *, scope: Scope = "session", reset: str = "", **options: Any
) -> Callable[..., Any]:
    """Return a fixture that is a stack; `options` are those of Compose. Its files are relative to the project's root.

    With `reset` ("restart", "recreate", "snapshot") it is put back before each test that uses it but the first.
    """

    def fixture(request: pytest.FixtureRequest) -> Iterator[Compose]:
        with request.config.stash[STATE].stack(request.config, files, reset=reset, **options) as stack:
            yield stack

    return pytest.fixture(scope=scope)(fixture)
