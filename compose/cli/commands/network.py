"""`pycompose network …`: the machine's networks, with docker's names, flags and output."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli import groups
from pycompose.cli.completion import names_of
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.invocation import Invocation
from pycompose.cli.one_by_one import each
from pycompose.cli.options import TimestampType, format_option
from pycompose.engine.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Mapping

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


@click.group(cls=groups.ManagementGroup, help="Manage networks.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Hold the commands below."""
    groups.refuse_dry_run(ctx)


@command.command("create", help="Create a network, for `external: true` in compose files.")
@click.argument("name")
@click.option("-d", "--driver", default="bridge", metavar="NAME", help="bridge, macvlan or ipvlan.")
@click.option("--subnet", "subnets", multiple=True, metavar="CIDR", help="Its addresses (repeat for IPv6).")
@click.option("--gateway", "gateways", multiple=True, metavar="IP", help="The machine's address on it.")
@click.option("--ip-range", "ranges", multiple=True, metavar="CIDR", help="Where containers get theirs from.")
@click.option(
    "--aux-address", "aux", multiple=True, metavar="NAME=IP", help="An address that somebody else has."
)
@click.option("--internal", is_flag=True, help="Without a way out.")
@click.option("--ipv6", is_flag=True, help="With IPv6.")
@click.option("--attachable", is_flag=True, help="Shown by inspect; containers can always join.")
@click.option("--config-only", is_flag=True, help="Make no network, but settings for others.")
@click.option("--config-from", default="", metavar="NAME", help="With the settings of a --config-only one.")
@click.option("--scope", type=click.Choice(("local", "swarm")), default="local", help="Only local.")
@click.option("--ingress", is_flag=True, hidden=True)
@click.option("--ipam-driver", default="default", metavar="NAME", help="Only default.")
@click.option("--ipam-opt", "ipam_options", multiple=True, metavar="KEY=VALUE", hidden=True)
@groups.labels_option
@groups.options_option
@click.pass_obj
def create(invocation: Invocation, /, **args: Any) -> None:
    """Make the network and print its id."""
    from pycompose.machine import network_creation

    _refuse_clusters(args)
    options = groups.pairs(args["options"])
    if args["ipam_options"]:
        invocation.warn("--ipam-opt has no effect: the one driver for addresses takes no options")
    if options and not args["config_only"]:
        _warn_of_idle(invocation, args["driver"], options)
    request = network_creation.NetworkRequest(
        name=args["name"],
        driver=args["driver"],
        subnets=args["subnets"],
        gateways=args["gateways"],
        ranges=args["ranges"],
        aux=groups.pairs(args["aux"]),
        internal=args["internal"],
        ipv6=args["ipv6"],
        attachable=args["attachable"],
        config_only=args["config_only"],
        config_from=args["config_from"],
        ipam_options=groups.pairs(args["ipam_options"]),
        options=options,
        labels=groups.pairs(args["labels"]),
    )
    click.echo(network_creation.create(invocation.context(), request))


def _warn_of_idle(invocation: Invocation, driver: str, options: Mapping[str, str]) -> None:
    from pycompose.config.unsupported import idle_network_options

    if idle := idle_network_options(driver, options):
        invocation.warn(f"--opt {', '.join(idle)} without effect: the driver {driver} has none of it")


def _refuse_clusters(args: Mapping[str, Any]) -> None:
    """Raise NetworkError for what only a cluster has, and for other sources of addresses, in docker's words."""
    name = args["name"]
    if args["ingress"]:
        raise NetworkError(f"network {name}: create: an ingress network is for Swarm clusters")
    if args["scope"] == "swarm":
        raise NetworkError(
            f"network {name}: create: cannot create a swarm scoped network when swarm is not active"
        )
    if args["ipam_driver"] != "default":
        raise NetworkError(f'network {name}: create: plugin "{args["ipam_driver"]}" not found')


@command.command("ls", help="List networks.")
@groups.filter_option("dangling, driver, id, label, name, scope, type.", short=True)
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
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@click.pass_obj
def inspect(invocation: Invocation, /, *, names: tuple[str, ...], template: str, verbose: bool) -> None:
    """Show what is known of networks."""
    from pycompose.machine.inspect import inspect

    if verbose:
        invocation.warn("--verbose has no effect: it is for Swarm clusters")
    context = invocation.context()
    groups.show_each(names, lambda name: inspect(context, [name], "network"), template)


@command.command("rm", help="Remove networks that no container refers to.")
@groups.names_argument
@click.option("-f", "--force", is_flag=True, help="A network that isn't there is no error.")
@click.pass_obj
def rm(invocation: Invocation, /, *, names: tuple[str, ...], force: bool) -> None:
    """Remove what can be removed, then say what could not."""
    from pycompose.machine import networks

    each(names, lambda name: networks.remove(invocation.context(), name, force=force))


@command.command("prune", help="Remove networks that no container refers to.")
@groups.filter_option("label, label!, until (2026-01-02T13:23:37Z, or 24h: made before).")
@groups.force_option
@click.pass_obj
def prune(invocation: Invocation, /, *, filters: tuple[str, ...], force: bool) -> None:
    """Ask and remove."""
    from pycompose.machine import networks

    found = groups.prune_filters(filters, "until")
    moments = [TimestampType().convert(text, None, None) for text in found["until"]]
    if groups.confirmed("all networks that no container refers to", force=force):
        done = networks.prune(
            invocation.context(),
            labels=found["label"],
            without=found["label!"],
            before_ns=min(moments, default=0),
        )
        groups.show_pruned("Deleted Networks", done)


@command.command("connect", help="Put a container on one more network, running or not.")
@click.argument("network", shell_complete=names_of("network"))
@click.argument("container", shell_complete=names_of("container"))
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="One more name of it there.")
@click.option("--ip", default="", metavar="IP", help="Its IPv4 address.")
@click.option("--ip6", default="", metavar="IP", help="Its IPv6 address.")
@click.option(
    "--link", "links", multiple=True, metavar="CONTAINER[:ALIAS]", help="What it calls another one."
)
@click.option("--link-local-ip", "link_local", multiple=True, metavar="IP", help="A link-local address more.")
@click.option(
    "--driver-opt", "options", multiple=True, metavar="KEY=VALUE", help="An option of the driver for it."
)
@click.pass_obj
def connect(invocation: Invocation, /, *, network: str, container: str, **args: Any) -> None:
    """Connect it."""
    from pycompose.config.unsupported import idle_endpoint_options
    from pycompose.machine import container_changes

    options = groups.pairs(args.pop("options"))
    if idle := idle_endpoint_options(options):
        invocation.warn(f"--driver-opt {', '.join(idle)} without effect: no driver here has it")
    container_changes.connect(invocation.context(), network, container, options=options, **args)


@command.command("disconnect", help="Take a container off a network.")
@click.argument("network", shell_complete=names_of("network"))
@click.argument("container", shell_complete=names_of("container"))
@click.option("-f", "--force", is_flag=True, hidden=True)
@click.pass_obj
def disconnect(invocation: Invocation, /, *, network: str, container: str, force: bool) -> None:
    """Disconnect it."""
    from pycompose.machine import container_changes

    if force:
        invocation.warn("--force has no effect: whatever is connected can be disconnected")
    container_changes.disconnect(invocation.context(), network, container)
