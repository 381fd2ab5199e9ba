"""What `up` and `scale` would do, and why, as the planner says it: shown before it is done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pycompose.api.errors import ApiError
from pycompose.page import commandline

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.page.commandline import ProjectOrigin
    from pycompose.page.rows import Row

# A cause that only leads to another step of the plan.
_OTHER_STEP = re.compile(r"#\d+")
# What is told of containers that are as the file says, but for running.
_NO_CHANGE = frozenset(
    {"Running", "Started", "Starting", "Waiting", "Healthy", "Exited", "Stopped", "Stopping"}
)
_SERVICE = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
MOST_REPLICAS = 1000


def words_of(asked: dict[str, Any]) -> list[str]:
    """Return the command that `{"scale": {SERVICE: N}}`, or `{"build", "removeOrphans"}`, asks for. Raises ApiError."""
    scale = asked.get("scale")
    if scale:
        if not isinstance(scale, dict) or not all(_is_scale(*item) for item in scale.items()):
            raise ApiError(400, f"scale: services and how many of each, 0 to {MOST_REPLICAS}")
        return ["scale", *(f"{name}={number}" for name, number in scale.items())]
    flags = (("build", "--build"), ("removeOrphans", "--remove-orphans"))
    return ["up", "-d", *(flag for key, flag in flags if asked.get(key))]


def _is_scale(name: object, number: object) -> bool:
    named = isinstance(name, str) and _SERVICE.fullmatch(name) is not None
    return named and type(number) is int and 0 <= number <= MOST_REPLICAS


def plan(context: Context, files: ProjectOrigin, words: list[str]) -> list[Row]:
    """Return what a command would do: each thing (`what`) once, with what it does to it, and why.

    Raises PycomposeError for a compose file that can't be read.
    """
    steps: dict[str, Row] = {}
    awaited: set[str] = set()

    def told(event: dict[str, Any]) -> None:
        what, text = str(event.get("id", "")), str(event.get("text", ""))
        if event.get("status") == "Warning":
            steps.setdefault(f"{what} {text}", {"what": what, "does": [text], "why": "", "warning": True})
            return
        if text == "Waiting":
            awaited.add(what)
        elif what in awaited and event.get("status") == "Done":  # nothing is done to what somebody waits for
            awaited.discard(what)
            return
        step = steps.setdefault(what, {"what": what, "does": [], "why": "", "warning": False})
        if event.get("status") == "Done" and text not in step["does"]:
            step["does"].append(text)
        cause = str(event.get("details", "")).removeprefix("(").removesuffix(")")
        if cause and not step["why"] and not _OTHER_STEP.search(cause):
            step["why"] = cause

    commandline.run(context, files, [*words, "--dry-run"], told)
    return [step for step in steps.values() if step["does"] not in ([], ["Running"])]


def changes(steps: list[Row]) -> list[Row]:
    """Return the steps that are there for the compose file's sake, not for what has ended or waits to be started."""
    return [step for step in steps if not step["warning"] and not _NO_CHANGE.issuperset(step["does"])]
