"""`pycompose container rename, update`: what can be changed of a container that exists."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import re
from typing import Any

import click
from pycompose.cli import groups
from pycompose.cli.invocation import Invocation
from pycompose.cli.one_by_one import each
from pycompose.cli.options import BytesType
from pycompose.engine.errors import PycomposeError

_POLICY = re.compile(r"(no|always|unless-stopped|on-failure)(?::(\d+))?\Z")


class RestartPolicyType(click.ParamType[dict[str, Any]]):
    """A restart policy."""

    name = "policy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Return the fields of model.Restart."""
        found = _POLICY.match(str(value))
        if found is None or (found[2] and found[1] != "on-failure"):
            self.fail(
                f"{value!r} is none; use no, always, unless-stopped, on-failure or on-failure:3", param, ctx
            )
        attempts = int(found[2]) if found[2] else None
        return {"kind": found[1], "max_attempts": attempts or None}


@click.command("rename", help="Give a container another name, until it is recreated.")
@groups.name_argument
@click.argument("new", metavar="NEW_NAME")
@click.pass_obj
def rename(invocation: Invocation, /, name: str, new: str) -> None:
    """Rename it."""
    from pycompose.machine import container_changes

    container_changes.rename(invocation.context(), name, new.removeprefix("/"))


@click.command("update", help="Change limits and the restart policy of containers, until they are recreated.")
@groups.names_argument
@click.option("--blkio-weight", type=click.IntRange(10, 1000), metavar="N", help="Weight of block I/O.")
@click.option("--cpu-period", "cpu_period_us", type=int, metavar="US", help="Period of the CPU quota.")
@click.option("--cpu-quota", "cpu_quota_us", type=int, metavar="US", help="CPU time per period.")
@click.option("--cpu-rt-period", "cpu_rt_period_us", type=int, metavar="US", help="Real-time period.")
@click.option("--cpu-rt-runtime", "cpu_rt_runtime_us", type=int, metavar="US", help="Real-time CPU time.")
@click.option("-c", "--cpu-shares", type=int, metavar="N", help="Weight of CPU time.")
@click.option("--cpus", type=click.FloatRange(min=0), metavar="N", help="Number of CPUs.")
@click.option("--cpuset-cpus", "cpuset", metavar="LIST", help="These CPUs (0-2,4).")
@click.option("--cpuset-mems", metavar="LIST", help="These memory nodes (0-1).")
@click.option("-m", "--memory", "memory_bytes", type=BytesType(), help="Memory limit.")
@click.option("--memory-reservation", "memory_reservation_bytes", type=BytesType(), help="Soft memory limit.")
@click.option("--memory-swap", "memory_swap_bytes", type=BytesType(), help="Memory plus swap, -1: no limit.")
@click.option("--pids-limit", "pids", type=int, metavar="N", help="Most processes, -1: no limit.")
@click.option("--restart", type=RestartPolicyType(), help="no, always, unless-stopped, on-failure[:N].")
@click.pass_obj
def update(invocation: Invocation, /, names: tuple[str, ...], **args: Any) -> None:
    """Change each and print its name."""
    from pycompose.machine import container_changes

    restart = args.pop("restart")
    limits = {key: value for key, value in args.items() if value is not None}
    if not limits and restart is None:
        raise PycomposeError("update: nothing to change", hint="see: pycompose container update --help")
    context = invocation.context()
    each(names, lambda name: container_changes.update(context, name, limits, restart))
