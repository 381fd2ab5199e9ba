"""POST /commit: an image of a container as it is."""

from __future__ import annotations

from typing import Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer
from pycompose.api.shapes import CREATE, checked
from pycompose.client.options import CommitOptions
from pycompose.machine import containers

_WORDS = ("Cmd", "Entrypoint")


def _config(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a body says of the image; a command may be a text, as for a container."""
    found = {key: value for key, value in body.items() if value is not None}
    return {
        key: [value] if key in _WORDS and isinstance(value, str) else value for key, value in found.items()
    }


def commit(call: ApiCall) -> ApiAnswer:
    """POST /commit."""
    from pycompose.client import export  # noqa: PLC0415 - brings the image store

    name = query.text(call, "container")
    if not name:
        raise ApiError(400, 'invalid name or ID supplied: ""')
    container = containers.find(call.context, name)
    target = query.text(call, "repo")
    if target and (number := query.text(call, "tag")):
        target = f"{target}:{number}"
    options = CommitOptions(
        service=container.service,
        container=container.id,
        reference=target,
        author=query.text(call, "author"),
        message=query.text(call, "comment"),
        changes=tuple(call.query.get("changes", [])),
        config=_config(checked(call.document(), CREATE)),
        pause=query.flag(call, "pause", default=True),
    )
    return answer({"Id": export.commit(call.context, container.config.project, options)}, 201)
