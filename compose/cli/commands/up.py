"""`pycompose up`: declare the flags, refuse what contradicts itself, and stay attached or not."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import (
    ScaleType,
    complete_services,
    dry_run_option,
    image_flags,
    recreate_flags,
    services_argument,
    timeout_option,
)
from pycompose.client.options import UpOptions
from pycompose.engine.errors import PycomposeError

# (flags that exclude each other, as (parameter, flag) pairs of the left and the right side)
_EXCLUSIVE = (
    ("build", "no_build"),
    ("force_recreate", "no_recreate"),
    ("renew_anon_volumes", "no_recreate"),
    ("always_recreate_deps", "no_recreate"),
    ("abort_on_container_exit", "abort_on_container_failure"),
    ("attach", "attach_dependencies"),
    ("detach", "attach"),
    ("detach", "attach_dependencies"),
    ("detach", "abort_on_container_exit"),
    ("detach", "abort_on_container_failure"),
    ("detach", "exit_code_from"),
    ("detach", "watch"),
    ("wait", "watch"),
    ("no_start", "watch"),
    ("wait", "attach"),
    ("wait", "attach_dependencies"),
    ("wait", "abort_on_container_exit"),
    ("wait", "abort_on_container_failure"),
    ("wait", "exit_code_from"),
)


def refuse(args: dict[str, Any]) -> None:
    """Raise PycomposeError for flags that contradict each other, as Docker Compose does."""
    for left, right in _EXCLUSIVE:
        if args.get(left) and args.get(right):
            names = [f"--{name.replace('_', '-')}" for name in (left, right)]
            raise PycomposeError(f"{names[0]} and {names[1]}: cannot be combined")


@click.command(help="Create and start containers.")
@services_argument()
@click.option("-d", "--detach", is_flag=True, help="In the background.")
@image_flags()
@recreate_flags()
@click.option("--always-recreate-deps", is_flag=True, help="Recreate what the services depend on, too.")
@click.option("-V", "--renew-anon-volumes", is_flag=True, help="Anonymous volumes start empty again.")
@click.option("--no-deps", is_flag=True, help="Without what the services depend on.")
@click.option("--no-start", is_flag=True, help="Create only.")
@click.option("--scale", type=ScaleType(), multiple=True, metavar="SERVICE=NUM", help="Number of containers.")
@timeout_option()
@click.option("--timestamps", is_flag=True, help="Output with time stamps.")
@click.option("--no-color", is_flag=True, help="Output without colours.")
@click.option("--no-log-prefix", is_flag=True, help="Output without the containers' names.")
@click.option("--attach", multiple=True, metavar="SERVICE", help="Show output of these only.",
              shell_complete=complete_services)  # fmt: skip
@click.option("--no-attach", multiple=True, metavar="SERVICE", help="Don't show output of these.",
              shell_complete=complete_services)  # fmt: skip
@click.option("--attach-dependencies", is_flag=True, help="Show output of dependencies, too.")
@click.option("--abort-on-container-exit", is_flag=True, help="Stop all when one container ends.")
@click.option("--abort-on-container-failure", is_flag=True, help="Stop all when one container fails.")
@click.option("--exit-code-from", default="", metavar="SERVICE", help="Return its exit code; stop all then.",
              shell_complete=complete_services)  # fmt: skip
@click.option("--wait", is_flag=True, help="Until running or healthy, then leave them in the background.")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Give up waiting after this time.",
)
@click.option("-w", "--watch", is_flag=True, help="Keep files in containers like those here (develop.watch).")
@click.option("--menu/--no-menu", default=None, help="Keys while attached (also: COMPOSE_MENU).")
@click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")
@click.option("--isolated", is_flag=True,
              help="As a copy with names, networks, volumes and ports of its own, beside any others.")  # fmt: skip
@click.option("--random-ports", is_flag=True, help="Publish on free ports in place of the fixed ones.")
@click.option("--page", is_flag=True, help="Print the address of a web page that shows the project.")
@click.option("--write-ports", metavar="FILE", type=click.Path(), default="",
              help="Write where ports are published: as JSON to FILE.json, else as variables.")  # fmt: skip
@click.option(
    "--open-firewall",
    is_flag=True,
    help="Have iptables or Docker let the project's networks through (also: PYCOMPOSE_OPEN_FIREWALL).",
)
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> int:
    """Load, create, start; then show output until the end, or return."""
    from pycompose.client import changes, supervisor  # noqa: PLC0415 - --help doesn't need it

    refuse(args)
    background = args["detach"] or args["wait"]
    if args["write_ports"] and not background:
        raise PycomposeError("--write-ports: needs --detach or --wait")
    invocation.isolated, invocation.random_ports = args["isolated"], args["random_ports"]
    supervisor.prepare(invocation.context(), invocation.project_name)
    started_ns = time.time_ns()
    loaded = invocation.load(args["services"])
    options = up_options(invocation, args)
    if args["page"] and not invocation.dry_run:
        from pycompose.page.background import background_page  # noqa: PLC0415 - rarely

        print(f"page: {background_page(invocation.context(), loaded.name)}", file=sys.stderr, flush=True)
    if background or args["no_start"] or invocation.dry_run:
        if args["isolated"]:
            print(loaded.name, flush=True)  # first: whatever goes wrong, it is known what to take down
        with invocation.showing("up", steps=None if args["isolated"] else sys.stdout) as sink:
            changes.up(invocation.context(sink), loaded, options)
        if args["write_ports"] and not invocation.dry_run:
            from pycompose.client.ports_file import write_ports  # noqa: PLC0415 - rarely

            write_ports(invocation.context(), loaded.name, args["write_ports"])
        return 0
    from pycompose.cli.attached import AttachedUp, attached_options  # noqa: PLC0415 - only when attached

    try:
        return AttachedUp(invocation, loaded, options, attached_options(invocation, args), started_ns).run()
    finally:
        if args["isolated"]:
            print(f"to remove it: pycompose -p {loaded.name} down -v", file=sys.stderr)


def up_options(invocation: Invocation, args: dict[str, Any]) -> UpOptions:
    """Return what the use case needs of the flags and variables."""
    remove = args["remove_orphans"] or invocation.switch("COMPOSE_REMOVE_ORPHANS")
    ignore = invocation.switch("COMPOSE_IGNORE_ORPHANS")
    if remove and ignore:
        raise PycomposeError("COMPOSE_IGNORE_ORPHANS and --remove-orphans: cannot be combined")
    return UpOptions(
        services=args["services"],
        build=args["build"],
        no_build=args["no_build"],
        pull=args["pull"] or "",
        quiet_pull=args["quiet_pull"],
        quiet_build=args["quiet_build"],
        force_recreate=args["force_recreate"],
        no_recreate=args["no_recreate"],
        always_recreate_deps=args["always_recreate_deps"],
        renew_anon_volumes=args["renew_anon_volumes"],
        no_deps=args["no_deps"],
        no_start=args["no_start"],
        scale=args["scale"],
        remove_orphans=remove,
        ignore_orphans=ignore,
        open_firewall=args["open_firewall"] or invocation.switch("PYCOMPOSE_OPEN_FIREWALL"),
        timeout_s=args["timeout"],
        wait=args["wait"],
        wait_timeout_s=args["wait_timeout"],
        all_resources=invocation.all_resources,
        yes=args["yes"],
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
