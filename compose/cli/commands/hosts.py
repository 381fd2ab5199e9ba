"""`pycompose hosts`: the names of containers, for the machine itself."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.engine.errors import PycomposeError

FILE = "/etc/hosts"


@click.command(help="Print the names of containers for /etc/hosts, or keep them there.")
@click.option(
    "--domain", default="localhost", metavar="NAME", help="What the names end in: web.demo.localhost."
)
@click.option("-w", "--write", is_flag=True, help="Keep them in /etc/hosts as long as there is the project.")
@click.option("--file", default=FILE, metavar="FILE", help="In another file than that.")
@click.option("--rm", "remove", is_flag=True, help="Take them out of there.")
@click.pass_obj
def command(invocation: Invocation, /, *, domain: str, write: bool, file: str, remove: bool) -> None:
    """Print the lines unless they are written or removed."""
    from pycompose.client import hosts  # noqa: PLC0415 - --help doesn't need it

    context, name = invocation.context(), invocation.name()
    domain = hosts.checked_domain(domain)
    if write and remove:
        raise PycomposeError("--write and --rm: one or the other")
    if remove:
        hosts.remove(context, name)
    elif write:
        hosts.keep(context, name, file=file, domain=domain)
    else:
        click.echo("".join(f"{line}\n" for line in hosts.lines(context, name, domain)), nl=False)
