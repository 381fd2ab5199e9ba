"""`pycompose page`: a local web page of what runs."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.invocation import Invocation, checked_name
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.model import Project


@click.command(help="Show what runs, live, on a web page of this machine.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Where (default: any that is free).",
)
@click.option("--socket", "path", default="", metavar="PATH", help="On a unix socket, in place of a port.")
@click.option("--read-only", is_flag=True, help="Let the page look, and change nothing.")
@click.option("--project", default="", metavar="NAME", help="Only this project (default: all).")
@click.option("--background", is_flag=True, hidden=True)
@click.option("--describe", is_flag=True, hidden=True)
@click.pass_obj
def command(
    invocation: Invocation, /, *, port: int, path: str, read_only: bool, project: str, **hidden: bool
) -> None:
    """Print the page's address, and serve it until a signal comes; or print what the page needs of compose files."""
    if hidden["describe"]:
        click.echo(json.dumps(described(invocation)))
        return
    from pycompose.api.lean import load_asyncio  # noqa: PLC0415 - --help doesn't need it

    load_asyncio()
    from pycompose.page.server import PageOptions, serve  # noqa: PLC0415 - as above

    level = logging.DEBUG if invocation.debug else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    only = (
        checked_name(project or invocation.project_name or "") if project or invocation.project_name else ""
    )
    if port and path:
        raise PycomposeError("--port and --socket: cannot be combined")
    options = PageOptions(
        port=port,
        path=path,
        project=only,
        read_only=read_only,
        background=hidden["background"],
        start=None if hidden["background"] else start_of(invocation, only),
    )
    serve(invocation.context(), options, click.echo)


def start_of(invocation: Invocation, only: str) -> tuple[str, ...]:
    """Return the global flags that this command was called with, for the project where the page is opened."""
    found = [("-p", only)] if only else []
    found += [("-f", name) for name in invocation.files]
    found += [("--profile", name) for name in invocation.profiles]
    found += [("--env-file", name) for name in invocation.env_files]
    if invocation.project_directory:
        found.append(("--project-directory", invocation.project_directory))
    return tuple(word for pair in found for word in pair)


def described(invocation: Invocation) -> dict[str, Any]:
    """Return what the page shows of a project that has no containers, and which files that depends on.

    A file that can't be used is told in `error`, so that it can be looked at again when it is another one.
    """
    from pycompose.config.files import noting  # noqa: PLC0415 - the page itself reads no compose file

    with noting() as reads:
        try:
            project = invocation.load().project
            found = _said(project)
        except PycomposeError as exc:
            found = {"error": exc.message}
    names = dict.fromkeys(os.path.abspath(name) for name in reads if name != "-")
    return {"error": "", **found, "reads": list(names)}


def _said(project: Project) -> dict[str, Any]:
    every = {**project.services, **project.disabled_services}
    files: dict[str, list[str]] = {}
    for service in project.services.values():
        if service.build is not None and os.path.isabs(service.build.context):
            file = os.path.join(service.build.context, service.build.dockerfile)
            files.setdefault(os.path.normpath(file), []).append(service.name)
    return {
        "name": project.name,
        "directory": project.directory,
        "files": list(project.files),
        "envFiles": list(project.env_files),
        "active": list(project.profiles),
        "isolated": project.isolated,
        "profiles": sorted({name for service in every.values() for name in service.profiles}),
        "dockerfiles": files,
        "services": {
            service.name: {
                "image": service.image,
                "needs": [[need.service, need.condition.value] for need in service.depends_on],
            }
            for service in project.services.values()
        },
    }
