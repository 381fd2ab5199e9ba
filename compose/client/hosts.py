"""What `hosts` does: the names of a project's containers, for programs on the machine itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.state import hosts_file
from pycompose.state.snapshot import observe_containers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.client.context import Context
    from pycompose.policy.observed import EndpointRecord


def checked_domain(text: str) -> str:
    """Return what names may end in, without dots around it. Raises PycomposeError."""
    domain = text.strip(".")
    if not hosts_file.is_name(domain):
        raise PycomposeError(
            f"--domain {text!r}: not a domain", hint="letters, digits, '.', '-' and '_', such as test"
        )
    return domain


def lines(context: Context, project: str, domain: str) -> list[str]:
    """Return lines of hosts(5): the addresses of the running containers, with their names below `domain`."""
    return hosts_file.lines(context.paths, project, _endpoints(context, project), domain)


def keep(context: Context, project: str, *, file: str, domain: str) -> None:
    """Have those lines in a file from now on, as long as there is the project. Raises StateError."""
    hosts_file.enable(context.paths, project, _endpoints(context, project), file=file, domain=domain)


def remove(context: Context, project: str) -> None:
    """Take them out again. Raises StateError."""
    hosts_file.disable(context.paths, project)


def _endpoints(context: Context, project: str) -> Iterator[tuple[EndpointRecord, ...]]:
    for container in observe_containers(context.paths, project)[0]:
        if container.running:
            yield container.runtime.endpoints
