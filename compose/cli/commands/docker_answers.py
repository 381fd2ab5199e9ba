"""What docker's command line tells of itself: its version, contexts and builders, of which there is one each here."""

from __future__ import annotations

from typing import Any

import click
from pycompose.cli import groups
from pycompose.cli.display.format import Layout, dumps, show
from pycompose.cli.options import format_option
from pycompose.engine.errors import PycomposeError
from pycompose.machine.versions import MIN_API_VERSION, architecture, common, server_version
from pycompose.version import API_VERSION, ENGINE_VERSION, VERSION

DEFAULT = "default"
# Where docker's clients look unless they are told another place; `system serve --socket` can answer there.
SOCKET = "unix:///var/run/docker.sock"
CONTEXTS = Layout(
    columns=("Mark", "Description", "DockerEndpoint", "Error"),
    titles={
        "Mark": "NAME",
        "Name": "NAME",
        "Description": "DESCRIPTION",
        "DockerEndpoint": "DOCKER ENDPOINT",
        "Error": "ERROR",
        "Current": "CURRENT",
    },
    hidden=frozenset({"Mark"}),
)
BUILDERS = Layout(
    columns=("Mark", "Status", "BuildKit", "Platforms"),
    titles={
        "Mark": "NAME/NODE",
        "Name": "NAME/NODE",
        "Driver": "DRIVER/ENDPOINT",
        "Status": "STATUS",
        "BuildKit": "BUILDKIT",
        "Platforms": "PLATFORMS",
    },
    hidden=frozenset({"Mark", "Status", "BuildKit", "Platforms"}),
)


def line() -> str:
    """Return what `docker --version` prints; programs take it to pieces."""
    return f"Docker version {ENGINE_VERSION}, build pycompose-{VERSION}"


def version() -> dict[str, Any]:
    """Return what `docker version` tells: client and server are one program here."""
    return {
        "Client": {**common(), "DefaultAPIVersion": API_VERSION, "Context": DEFAULT},
        "Server": server_version(),
    }


def rendered_version(template: str) -> str:
    """Return `version()` by a template, whose names are those of Go's structs: APIVersion is ApiVersion in JSON.

    Raises GoTemplateSyntaxError, and PycomposeError for a field that isn't there.
    """
    from pycompose.cli.display.format import parse  # noqa: PLC0415 - few ask
    from pycompose.cli.gotemplate.values import GoStruct  # noqa: PLC0415 - as above

    sides = {
        name: GoStruct({**side, "APIVersion": API_VERSION}, hidden=frozenset({"APIVersion"}))
        for name, side in version().items()
    }
    return parse(template).render(sides)


def version_text() -> str:
    """Return what `docker version` prints."""
    where = f"linux/{architecture()}"
    return f"""\
Client: pycompose {VERSION}
 Version:           {ENGINE_VERSION}
 API version:       {API_VERSION}
 OS/Arch:           {where}
 Context:           {DEFAULT}

Server: pycompose {VERSION}
 Engine:
  Version:          {ENGINE_VERSION}
  API version:      {API_VERSION} (minimum version {MIN_API_VERSION})
  OS/Arch:          {where}
"""


def _here(name: str, what: str) -> None:
    if name not in ("", DEFAULT):
        raise PycomposeError(f'{what} "{name}": not found', hint=f"there is one: {DEFAULT}")


@click.group()
def answers() -> None:
    """Hold the commands below, which exist under docker's name only."""


@answers.command("version")
@groups.template_option
def show_version(template: str) -> None:
    """Print the versions of client and server."""
    if template == "json":
        click.echo(dumps(version()))
    elif template:
        click.echo(rendered_version(template))
    else:
        click.echo(version_text(), nl=False)


@answers.group("context")
def context() -> None:
    """Hold what is asked about contexts."""


@context.command("ls")
@groups.quiet_option
@format_option()
def context_ls(*, quiet: bool, how: str) -> None:
    """List the one."""
    row = {
        "Mark": f"{DEFAULT} *",
        "Name": DEFAULT,
        "Description": "This machine",
        "DockerEndpoint": SOCKET,
        "Error": "",
        "Current": True,
    }
    click.echo(f"{DEFAULT}\n" if quiet else show([row], how, CONTEXTS), nl=False)


context.add_command(context_ls, "list")


@context.command("show")
def context_show() -> None:
    """Print the name of the one in use."""
    click.echo(DEFAULT)


@context.command("use")
@click.argument("name")
def context_use(name: str) -> None:
    """Use what is in use."""
    _here(name, "context")
    click.echo(name)


@context.command("inspect")
@click.argument("names", nargs=-1)
@groups.template_option
def context_inspect(names: tuple[str, ...], *, template: str) -> None:
    """Print where the one leads to."""
    for name in names:
        _here(name, "context")
    found = {
        "Name": DEFAULT,
        "Metadata": {},
        "Endpoints": {"docker": {"Host": SOCKET, "SkipTLSVerify": False}},
        "TLSMaterial": {},
        "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
    }
    groups.show_documents([found for _ in names or (DEFAULT,)], template)


@answers.group("buildx")
def buildx() -> None:
    """Hold what is asked about builders; `docker buildx build` is `image build` (dockercli/words.py)."""


@buildx.command("version")
def buildx_version() -> None:
    """Print a version, which is how programs ask whether there is a buildx."""
    click.echo(f"github.com/docker/buildx pycompose-{VERSION}")


def _builder() -> dict[str, Any]:
    platforms = [f"linux/{architecture()}"]
    node = {"Name": DEFAULT, "Endpoint": DEFAULT, "Status": "running", "Platforms": platforms}
    return {
        "Mark": f"{DEFAULT}*",
        "Name": DEFAULT,
        "Driver": "docker",
        "Status": "running",
        "BuildKit": f"pycompose {VERSION}",
        "Platforms": ", ".join(platforms),
        "Dynamic": False,
        "Nodes": [node],
    }


@buildx.command("ls")
@format_option()
def buildx_ls(*, how: str) -> None:
    """List the one."""
    click.echo(show([_builder()], how, BUILDERS), nl=False)


@buildx.command("use")
@click.argument("name")
def buildx_use(name: str) -> None:
    """Use what is in use."""
    _here(name, "builder")


@buildx.command("inspect")
@click.argument("name", default="")
@click.option("--bootstrap", is_flag=True)
def buildx_inspect(name: str, *, bootstrap: bool) -> None:  # noqa: ARG001 - it is up
    """Print what there is of the one."""
    _here(name, "builder")
    found = _builder()
    click.echo(f"Name:   {DEFAULT}\nDriver: {found['Driver']}\n\nNodes:")
    click.echo(f"Name:      {DEFAULT}\nEndpoint:  {DEFAULT}\nStatus:    {found['Status']}")
    click.echo(f"Platforms: {found['Platforms']}")
