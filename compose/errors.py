"""Errors of the policy side: what is wrong with a compose file, and with the processes of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a compose file; line and column count from 1, 0 is unknown. `path` is `services.web.ports[0]`."""

    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """One thing to say about the compose files, and where it comes from."""

    text: str
    location: Location


class ConfigError(PycomposeError):
    """Something in a compose file or its environment: `compose.yaml:12:7: services.web.ports[0]: …`.

    `warnings` are what the load had to say before: an unset variable is often the explanation.
    """

    warnings: tuple[ConfigWarning, ...] = ()

    def __init__(self, message: str, *, location: Location | None = None, hint: str | None = None) -> None:
        self.location = location or Location()
        self.reason = message
        parts = [part for part in (str(self.location), self.location.path, message) if part]
        super().__init__(": ".join(parts), hint=hint)

    def to_json(self) -> dict[str, object]:
        """Return the error with its location as separate fields."""
        place = self.location
        return {
            **super().to_json(),
            "file": place.file,
            "line": place.line,
            "column": place.column,
            "path": place.path,
            "reason": self.reason,
        }


class ConfigErrors(ConfigError):  # noqa: N818 - several
    """Several independent errors of one load, reported together."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__(errors[0].reason, location=errors[0].location, hint=errors[0].hint)
        self.errors = errors


class YamlError(ConfigError):
    """The text is not YAML, or uses YAML in a way compose files may not."""


class SchemaError(ConfigError):
    """A key or value that the compose specification does not allow."""


class InterpolationError(ConfigError):
    """A `${…}` that is malformed, or a required variable that is missing."""


class DependencyCycle(ConfigError):  # noqa: N818 - the tree of engine/errors.py reads as sentences
    """Services that wait for each other; the message is the path."""


class UnknownService(ConfigError):  # noqa: N818
    """A service name on the command line that the project doesn't have."""


def unknown_service(name: str, services: Iterable[str]) -> UnknownService:
    """Return the error for a service that isn't among `services`, with the nearest one."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    known = sorted(services)
    close = get_close_matches(name, known, 1)
    hint = f'did you mean "{close[0]}"?' if close else f"services: {', '.join(known) or 'none'}"
    return UnknownService(f"no such service: {name}", hint=hint)


class SupervisorError(PycomposeError):
    """The project's supervisor or keeper cannot be reached or started."""


class NotRunning(SupervisorError):  # noqa: N818
    """Nobody listens on the project's control socket."""


class ProtocolMismatch(SupervisorError):  # noqa: N818
    """The other side speaks another protocol number."""
