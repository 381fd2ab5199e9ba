"""What ends a request early."""

from __future__ import annotations

from pycompose.engine.errors import PycomposeError


class ApiError(PycomposeError):
    """An answer that isn't the one asked for; `status` is of RFC 9110."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClientGone(Exception):  # noqa: N818 - nobody's fault
    """Who has asked has hung up."""
