"""Which services and containers a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.errors import unknown_service
from pycompose.state.snapshot import observe_containers
from pycompose.state.users import all_containers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.client.options import StatsOptions, TopOptions
    from pycompose.config.load import Loaded
    from pycompose.model import Project
    from pycompose.policy.observed import ObservedContainer


def enabled(project: Project, names: Iterable[str]) -> Project:
    """Return the project with the services of `names` that profiles switch off enabled; raises UnknownService."""
    services, disabled = dict(project.services), dict(project.disabled_services)
    for name in names:
        if name in disabled:
            services[name] = disabled.pop(name)
        elif name not in services:
            raise unknown_service(name, {**services, **disabled})
    return replace(project, services=services, disabled_services=disabled)


def scaled(project: Project, counts: Iterable[tuple[str, int]]) -> Project:
    """Return the project with other replica counts; raises UnknownService, PycomposeError."""
    services = dict(project.services)
    for name, count in counts:
        if name not in services:
            raise unknown_service(name, services)
        services[name] = replace(services[name], replicas=count)
    for service in services.values():
        if service.container_name and service.replicas > 1:
            raise PycomposeError(
                f"service {service.name}: cannot run {service.replicas} containers: container_name "
                f'"{service.container_name}" can only be given to one',
                hint="remove container_name",
            )
    return replace(project, services=services)


def check_known(loaded: Loaded | None, services: Iterable[str]) -> None:
    """Raise UnknownService for a name that the compose file, if there is one, doesn't have."""
    known = {**loaded.tree["services"], **loaded.disabled} if loaded else {}
    for name in services if loaded else ():
        if name not in known:
            raise unknown_service(name, known)


def in_scope(loaded: Loaded | None, services: Iterable[str]) -> list[str]:
    """Return the services that a command is about, nothing for all there are; raises UnknownService."""
    check_known(loaded, services)
    return list(services) or (list(loaded.project.services) if loaded else [])


def chosen_containers(
    context: Context, project_name: str, options: StatsOptions | TopOptions
) -> list[ObservedContainer]:
    """Return a project's containers (those of all projects for ""), as far as they are asked for."""
    if project_name:
        found, _ = observe_containers(context.paths, project_name)
    else:
        found = list(all_containers(context.paths))
    return [
        container
        for container in found
        if (not options.services or container.service in options.services)
        and (not options.ids or container.id in options.ids)
    ]


def running_containers(
    context: Context, project_name: str, options: StatsOptions | TopOptions
) -> list[ObservedContainer]:
    """Return those of `chosen_containers` that have processes."""
    found = chosen_containers(context, project_name, options)
    return [c for c in found if c.state.status in (Status.RUNNING, Status.PAUSED)]
