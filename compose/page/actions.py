"""What the page may do: the use cases of the command line, upon services by name, and the command line itself.

What needs no compose file is done here; what does is planned first, shown, and done as it was shown or not at all.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pycompose.api.errors import ApiError
from pycompose.client import changes
from pycompose.client.options import (
    KillOptions,
    PauseOptions,
    RestartOptions,
    StartOptions,
    StopOptions,
)
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.page import commandline, plans, resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context
    from pycompose.page.commandline import ProjectOrigin
    from pycompose.page.rows import Row
    from pycompose.page.shared import PageShared

# Without a compose file: they are about containers that exist.
ACTIONS: dict[str, Callable[[Context, str, tuple[str, ...]], Any]] = {
    "start": lambda context, name, services: changes.start(
        context, name, None, StartOptions(services=services)
    ),
    "stop": lambda context, name, services: changes.stop(context, name, None, StopOptions(services=services)),
    "restart": lambda context, name, services: changes.restart(
        context, name, None, RestartOptions(services=services)
    ),
    "kill": lambda context, name, services: changes.kill(context, name, None, KillOptions(services=services)),
    "pause": lambda context, name, services: changes.pause(
        context, name, None, PauseOptions(services=services)
    ),
    "unpause": lambda context, name, services: changes.unpause(
        context, name, None, PauseOptions(services=services)
    ),
}
VOLUME_ACTIONS: dict[str, Callable[[Context, str, str, str], None]] = {
    "snapshot": resources.snapshot,
    "restore": resources.restore,
}


def act(shared: PageShared, asked: dict[str, Any]) -> None:
    """Do what is asked: of ACTIONS upon `services`, of VOLUME_ACTIONS upon a `volume` and a `tag`, or `apply`.

    Raises ApiError, PycomposeError.
    """
    context = shared.context
    action, project = asked.get("action"), _project(asked)
    if action == "apply":
        apply(shared, project, asked)
    elif isinstance(action, str) and action in ACTIONS:
        if not project:
            raise ApiError(400, "project: a name")
        ACTIONS[action](context, project, _services(asked))
    elif isinstance(action, str) and action in VOLUME_ACTIONS:
        volume, tag = asked.get("volume"), asked.get("tag")
        if not isinstance(volume, str) or not isinstance(tag, str):
            raise ApiError(400, "volume, tag: names")
        VOLUME_ACTIONS[action](context, project, volume, tag)
    else:
        raise ApiError(400, f"action: one of {', '.join((*ACTIONS, *VOLUME_ACTIONS, 'apply'))}")


def plan(shared: PageShared, asked: dict[str, Any]) -> Row:
    """Return the steps of what is asked, as plans.words_of has it. Raises ApiError, PycomposeError."""
    origin = _origin(shared, _project(asked), asked)
    return {"steps": plans.plan(shared.context, origin, plans.words_of(asked)), "files": list(origin.files)}


def apply(shared: PageShared, project: str, asked: dict[str, Any]) -> None:
    """Do what was planned, if the plan is still the one that was shown (`steps`). Raises ApiError, PycomposeError."""
    origin = _origin(shared, project, asked)
    words = plans.words_of(asked)
    if plans.plan(shared.context, origin, words) != asked.get("steps"):
        raise ApiError(409, "something has changed meanwhile: look at the plan again")
    key = os.urandom(8).hex()
    works = shared.works
    works.begin(key, project, " ".join(words))
    try:
        commandline.run(shared.context, origin, words, lambda event: works.tell(key, event))
    except PycomposeError as exc:
        works.end(key, exc.message)
        raise
    works.end(key)


def _origin(shared: PageShared, project: str, asked: dict[str, Any]) -> ProjectOrigin:
    """Return the files of a project, with the `profiles` that are asked for, else those of the last `up`."""
    origin = shared.files.origin(project)
    profiles = asked.get("profiles")
    if profiles is None:
        return origin
    if not isinstance(profiles, list) or not all(isinstance(one, str) for one in profiles):
        raise ApiError(400, "profiles: a list of names")
    return replace(origin, profiles=tuple(profiles))


def _project(asked: dict[str, Any]) -> str:
    project = asked.get("project")
    if not isinstance(project, str) or "/" in project or project.startswith("."):
        raise ApiError(400, "project: a name")
    return project


def _services(asked: dict[str, Any]) -> tuple[str, ...]:
    services = asked.get("services")
    if not isinstance(services, list) or not services or not all(isinstance(one, str) for one in services):
        raise ApiError(400, "services: a list of names")
    return tuple(services)
