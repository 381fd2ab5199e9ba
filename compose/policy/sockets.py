"""What a container may do with the Engine API that its service mounts: `:ro` and `x-socket`, as data for its server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass
from pycompose.model import SOCKET

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAccess:
    """The wall of one socket.

    `allow` None is everything, else the nouns of model.SOCKET_NOUNS; `project` "" is every project, else the only one
    that there is to see.
    """

    read_only: bool = False
    allow: tuple[str, ...] | None = None
    project: str = ""

    def to_text(self) -> str:
        """Return it as an argument of the server."""
        return json.dumps(plain(self))

    @classmethod
    def from_text(cls, text: str) -> SocketAccess:
        """Return what `to_text` made the text of."""
        return from_json(cls, json.loads(text))


def access(extensions: Mapping[str, Any], project: str, *, read_only: bool) -> SocketAccess:
    """Return what a container of a project may do: `extensions` are its service's, checked by config/runnable.py."""
    given = extensions.get(SOCKET) or {}
    allow = given.get("allow")
    return SocketAccess(
        read_only=read_only,
        allow=None if allow is None else tuple(allow),
        project=project if given.get("projects") == OWN else "",
    )
