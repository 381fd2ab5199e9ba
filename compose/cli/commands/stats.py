"""`pycompose stats`: what the containers use, again and again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display.format import Layout, show
from pycompose.cli.display.humanize import binary_size, size
from pycompose.cli.display.style import is_terminal
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, format_option, services_argument
from pycompose.client.query_options import StatsOptions

if TYPE_CHECKING:
    from pycompose.client.views import StatsView

SHORT_ID = 12
UNKNOWN = "--"
LAYOUT = Layout(
    columns=("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
    titles={
        "ID": "CONTAINER ID",
        "Container": "CONTAINER",
        "Name": "NAME",
        "Service": "SERVICE",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
)


def fields(view: StatsView, *, truncate: bool = True) -> dict[str, Any]:
    """Return a sample with Docker's names and texts; dashes for what nothing counts."""
    shown_id = view.container_id[:SHORT_ID] if truncate else view.container_id
    named = {"ID": shown_id, "Container": view.container_id, "Name": view.container, "Service": view.service}
    if not view.running:
        empty = f"{UNKNOWN} / {UNKNOWN}"
        return named | {
            "CPUPerc": UNKNOWN,
            "MemUsage": empty,
            "MemPerc": UNKNOWN,
            "NetIO": UNKNOWN,
            "BlockIO": UNKNOWN,
            "PIDs": UNKNOWN,
        }
    limit = view.memory_limit_bytes

    def counted(kind: str, text: str) -> str:
        return UNKNOWN if kind in view.uncounted else text

    block = counted("block", f"{size(view.block_read_bytes)} / {size(view.block_written_bytes)}")
    return named | {
        "CPUPerc": counted("cpu", f"{view.cpu_percent:.2f}%"),
        "MemUsage": f"{counted('memory', binary_size(view.memory_bytes))} / {binary_size(limit)}",
        "MemPerc": counted("memory", f"{100 * view.memory_bytes / limit if limit else 0:.2f}%"),
        "NetIO": f"{size(view.network_received_bytes)} / {size(view.network_sent_bytes)}",
        "BlockIO": block if block != UNKNOWN else f"{UNKNOWN} / {UNKNOWN}",
        "PIDs": counted("pids", str(view.pids)),
    }


@click.command(help="Display a live stream of what the containers use.")
@services_argument()
@click.option("-a", "--all", "everything", is_flag=True, help="Stopped containers too.")
@format_option()
@click.option("--no-stream", is_flag=True, help="Only once.")
@click.option("--no-trunc", is_flag=True, help="Don't shorten ids.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    services: tuple[str, ...],
    *,
    everything: bool,
    how: str,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    """Print every list of samples; on a terminal over the one before."""
    options = StatsOptions(services=services, all=everything, stream=not no_stream)
    display(invocation, invocation.name(), options, how, no_trunc=no_trunc)


def display(invocation: Invocation, project: str, options: StatsOptions, how: str, *, no_trunc: bool) -> None:
    """Show samples of a project's containers, of all projects' for "", until the user has seen enough."""
    from pycompose.client.stats import stats  # noqa: PLC0415 - --help doesn't need it

    redraw = options.stream and how in ("", "table") and is_terminal(sys.stdout)
    for views in stats(invocation.context(), project, options):
        text = show([fields(view, truncate=not no_trunc) for view in views], how, LAYOUT)
        sys.stdout.write(over(text.splitlines()) if redraw else text)
        sys.stdout.flush()


def over(lines: Sequence[str]) -> str:
    """Return the lines so that they replace the whole screen without flicker (ECMA-48 CUP, EL, ED)."""
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
