"""What makes a service ready if nobody has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.model import Condition
from pycompose.testing import waiting
from pycompose.testing.errors import NotReady

if TYPE_CHECKING:
    from pycompose.model import Project


def default_wait(name: str, project: Project) -> waiting.Wait:
    """Return what makes a service ready if nobody has said so.

    Somebody's one-shot is one for those, too, who don't start that somebody, or not yet.
    """
    everybody = (*project.services.values(), *project.disabled_services.values())
    if any(
        item.service == name and item.condition is Condition.COMPLETED
        for service in everybody
        for item in service.depends_on
    ):
        return waiting.completed()

    def look(service: waiting.Waitable) -> str:
        for view in service.containers():
            if view.state == "exited" and view.exit_code == 0:
                continue
            if view.state == "exited":
                raise NotReady(f"service {name}: has ended with exit code {view.exit_code}")
            if view.state != "running":
                return f"{view.name} is {view.state}"
            if view.health not in ("", "healthy"):
                if view.health == "unhealthy":
                    raise NotReady(f"service {name}: is unhealthy")
                return f"{view.name} is {view.health}"
        return ""

    return waiting.Wait("ready", look, ends=True)
