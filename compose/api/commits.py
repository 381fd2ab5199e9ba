"""POST /commit: an image of a container as it is."""

from __future__ import annotations

from pycompose.api import query
from pycompose.api.http import ApiAnswer, ApiCall, answer
from pycompose.client.options import CommitOptions
from pycompose.machine import containers


def commit(call: ApiCall) -> ApiAnswer:
    """POST /commit."""
    from pycompose.client import export  # noqa: PLC0415 - brings the image store

    container = containers.find(call.context, query.text(call, "container"))
    target = query.text(call, "repo")
    if target and (number := query.text(call, "tag")):
        target = f"{target}:{number}"
    options = CommitOptions(
        service=container.service,
        container=container.id,
        reference=target,
        author=query.text(call, "author"),
        message=query.text(call, "comment"),
        changes=tuple(
            line for text in call.query.get("changes", []) for line in text.splitlines() if line.strip()
        ),
        pause=query.flag(call, "pause", default=True),
    )
    return answer({"Id": export.commit(call.context, container.config.project, options)}, 201)
