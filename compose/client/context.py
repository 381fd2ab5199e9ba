"""What every use case is given by its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycompose.engine.builder.request import OnFailure
    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink


def _decline(_question: str) -> bool:
    """Answer for a caller who can't be asked."""
    return False


@dataclass(slots=True)
class Context:
    """Where state lies, where events go, the caller's environment, and how to ask whether data may be lost.

    `on_failure` is called with a step of a build that has failed, while it can still be looked at.
    """

    paths: StatePaths
    sink: Sink
    environment: Mapping[str, str] = field(default_factory=dict)
    confirm: Callable[[str], bool] = _decline
    on_failure: OnFailure | None = None
