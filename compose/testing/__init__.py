"""Test environments from compose files: `with Compose("compose.yaml") as stack: …`.

Everything that tests use is offered here. It is loaded on first use, so that importing the package, which pytest does
in each run, costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycompose.testing.errors import NotReady, StackFailed
    from pycompose.testing.fixtures import compose_fixture
    from pycompose.testing.results import OutputLine, ProcessFailed, ProcessResult, ServiceReport
    from pycompose.testing.service import StackService
    from pycompose.testing.stack import Compose
    from pycompose.testing.waiting import (
        Wait,
        all_of,
        any_of,
        check,
        command,
        completed,
        file,
        healthy,
        http,
        log,
        running,
        tcp,
    )

_PLACES = {
    "Compose": "stack",
    "NotReady": "errors",
    "OutputLine": "results",
    "ProcessFailed": "results",
    "ProcessResult": "results",
    "ServiceReport": "results",
    "StackFailed": "errors",
    "StackService": "service",
    "Wait": "waiting",
    "all_of": "waiting",
    "any_of": "waiting",
    "check": "waiting",
    "command": "waiting",
    "completed": "waiting",
    "compose_fixture": "fixtures",
    "file": "waiting",
    "healthy": "waiting",
    "http": "waiting",
    "log": "waiting",
    "running": "waiting",
    "tcp": "waiting",
}

__all__ = [
    "Compose",
    "NotReady",
    "OutputLine",
    "ProcessFailed",
    "ProcessResult",
    "ServiceReport",
    "StackFailed",
    "StackService",
    "Wait",
    "all_of",
    "any_of",
    "check",
    "command",
    "completed",
    "compose_fixture",
    "file",
    "healthy",
    "http",
    "log",
    "running",
    "tcp",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
