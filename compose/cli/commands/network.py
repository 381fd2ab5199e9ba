"""`pycompose network …`: the machine's networks, with docker's names, flags and output."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli import groups
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import format_option

if TYPE_CHECKING:
    from pycompose.machine.rows import NetworkRow

SHORT_ID = 12
LS = Layout(
    columns=("ID", "Name", "Driver", "Scope"),
    titles={
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
    },
)


def fields(row: NetworkRow, *, full: bool = False) -> dict[str, Any]:
    """Return a network with the names of docker's `network ls`."""
    return {
        "ID": row.id if full else row.id[:SHORT_ID],
        "Name": row.name,
        "Driver": row.driver,
        "Scope": "local",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(row.labels.items())),
        "CreatedAt": humanize.moment(row.created_ns),
        "IPv6": str(row.ipv6).lower(),
        "Internal": str(row.internal).lower(),
    }


@click.group(help="Manage networks.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Hold the commands below."""
    groups.refuse_dry_run(ctx)


@command.command("create", help="Create a network, for `external: true` in compose files.")
@click.argument("name")
@click.option("-d", "--driver", default="bridge", metavar="NAME", help="Only bridge.")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Its addresses (repeat for IPv6).")
@click.option("--gateway", "gateways", multiple=True, metavar="IP", help="The machine's address on it.")
@click.option("--ip-range", "ranges", multiple=True, metavar="CIDR", help="Where containers get theirs from.")
@click.option("--internal", is_flag=True, help="Without a way out.")
@click.option("--ipv6", is_flag=True, help="With IPv6.")
@click.option("--attachable", is_flag=True, hidden=True)
@groups.labels_option
@groups.options_option
@click.pass_obj
def create(invocation: Invocation, /, **args: Any) -> None:
    """Make the network and print its id."""
    from pycompose.machine import networks

    request = networks.NetworkRequest(
        name=args["name"],
        driver=args["driver"],
        subnets=args["subnets"],
        gateways=args["gateways"],
        ranges=args["ranges"],
        internal=args["internal"],
        ipv6=args["ipv6"],
        options=groups.pairs(args["options"]),
        labels=groups.pairs(args["labels"]),
    )
    click.echo(networks.create(invocation.context(), request))


@command.command("ls", help="List networks.")
@groups.filter_option("dangling, driver, id, label, name.", short=True)
@groups.quiet_option
@groups.no_trunc_option
@format_option()
@click.pass_obj
def ls(invocation: Invocation, /, *, filters: tuple[str, ...], quiet: bool, no_trunc: bool, how: str) -> None:
    """Show the networks."""
    from pycompose.machine import networks

    rows = [fields(row, full=no_trunc) for row in networks.rows(invocation.context(), filters)]
    if quiet:
        click.echo("".join(f"{row['ID']}\n" for row in rows), nl=False)
        return
    click.echo(show(rows, how, LS), nl=False)


@command.command("inspect", help="Show all about networks as JSON.")
@groups.names_argument
@groups.template_option
@click.pass_obj
def inspect(invocation: Invocation, /, *, names: tuple[str, ...], template: str) -> None:
    """Show what is known of networks."""
    from pycompose.machine.inspect import inspect

    groups.show_documents(inspect(invocation.context(), names, "network"), template)


@command.command("rm", help="Remove networks that no container refers to.")
@groups.names_argument
@click.option("-f", "--force", is_flag=True, help="A network that isn't there is no error.")
@click.pass_obj
def rm(invocation: Invocation, /, *, names: tuple[str, ...], force: bool) -> None:
    """Remove what can be removed, then say what could not."""
    from pycompose.machine import networks

    groups.each(names, lambda name: networks.remove(invocation.context(), name, force=force))


@command.command("prune", help="Remove networks that no container refers to.")
@groups.filter_option("label.")
@groups.force_option
@click.pass_obj
def prune(invocation: Invocation, /, *, filters: tuple[str, ...], force: bool) -> None:
    """Ask and remove."""
    from pycompose.machine import networks

    labels = groups.label_filters(filters)
    if groups.confirmed("all networks that no container refers to", force=force):
        groups.show_pruned("Deleted Networks", networks.prune(invocation.context(), labels=labels))


@command.command("connect", help="Put a container on one more network, running or not.")
@click.argument("network")
@click.argument("container")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="One more name of it there.")
@click.option("--ip", default="", metavar="IP", help="Its IPv4 address.")
@click.option("--ip6", default="", metavar="IP", help="Its IPv6 address.")
@click.pass_obj
def connect(
    invocation: Invocation, /, *, network: str, container: str, aliases: tuple[str, ...], ip: str, ip6: str
) -> None:
    """Connect it."""
    from pycompose.machine import container_changes

    container_changes.connect(invocation.context(), network, container, aliases=aliases, ip=ip, ip6=ip6)


@command.command("disconnect", help="Take a container off a network.")
@click.argument("network")
@click.argument("container")
@click.option("-f", "--force", is_flag=True, hidden=True)
@click.pass_obj
def disconnect(invocation: Invocation, /, *, network: str, container: str, force: bool) -> None:
    """Disconnect it."""
    from pycompose.machine import container_changes

    del force
    container_changes.disconnect(invocation.context(), network, container)
