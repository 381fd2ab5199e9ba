"""`top`: the processes of running containers, from /proc or by the machine's `ps`."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from pycompose.client.selection import running_containers
from pycompose.client.views import ProcessView
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.errors import PycomposeError
from pycompose.engine.linux import members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.client.context import Context
    from pycompose.client.options import TopOptions
    from pycompose.policy.observed import ObservedContainer


def top(context: Context, project_name: str, options: TopOptions) -> list[ProcessView]:
    """Return the processes of the running containers, by container and pid (proc_pid_stat(5))."""
    ticks = os.sysconf("SC_CLK_TCK")
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    views = []
    for container in running_containers(context, project_name, options):
        for pid in _pids(context, container):
            with contextlib.suppress(OSError, ValueError):
                views.append(_process(container, pid, ticks, boot_ns))
    return views


def ps_table(context: Context, container: ObservedContainer, arguments: Sequence[str]) -> list[list[str]]:
    """Return what the machine's `ps ARGUMENTS` says of a container's processes, titles first, as `docker top` does.

    Raises PycomposeError when there is no ps, when it doesn't understand, or shows no PID to tell the processes by.
    """
    import subprocess  # noqa: PLC0415 - for those who give options

    pids = {str(pid) for pid in _pids(context, container)}
    environment = {**context.environment, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            ["ps", *arguments], capture_output=True, text=True, errors="replace", env=environment, check=False
        )
    except OSError as exc:
        raise PycomposeError(
            f"ps: cannot run: {exc.strerror}", hint="install procps, or give no options"
        ) from exc
    if done.returncode != 0:
        reason = next(
            filter(None, map(str.strip, done.stderr.splitlines())), f"exited with {done.returncode}"
        )
        raise PycomposeError(f"ps {' '.join(arguments)}: {reason.removeprefix('error: ')}")
    titles, *lines = [line.split() for line in done.stdout.splitlines() if line.strip()] or [[]]
    if "PID" not in titles:
        raise PycomposeError(
            f"ps {' '.join(arguments)}: shows no PID to find the container's processes by",
            hint="add it, for example -o pid,comm",
        )
    column, last = titles.index("PID"), len(titles) - 1
    shown = [line for line in lines if len(line) > column and line[column] in pids]
    return [titles, *([*line[:last], " ".join(line[last:])] for line in shown)]


def _process(container: ObservedContainer, pid: int, ticks: int, boot_ns: int) -> ProcessView:
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read()
    name = text[text.index(b"(") + 1 : text.rindex(b")")]
    fields = text[text.rindex(b")") + 2 :].split()
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        command = file.read().rstrip(b"\0").replace(b"\0", b" ") or b"[" + name + b"]"
    started_ns = boot_ns + int(fields[19]) * 1_000_000_000 // ticks
    cpu_time_s = (int(fields[11]) + int(fields[12])) / ticks
    age_s = max((time.time_ns() - started_ns) / 1e9, 0.01)
    tty = int(fields[4])
    major, minor = os.major(tty), os.minor(tty)
    return ProcessView(
        container=container.name,
        service=container.service,
        number=container.number,
        uid=str(os.stat(f"/proc/{pid}").st_uid),
        pid=pid,
        ppid=int(fields[1]),
        cpu_percent=int(100 * cpu_time_s / age_s),
        started_ns=started_ns,
        tty=f"pts/{minor + 256 * (major - 136)}" if 136 <= major <= 143 else "?",
        cpu_time_s=cpu_time_s,
        command=command.decode(errors="replace"),
    )


def _pids(context: Context, container: ObservedContainer) -> list[int]:
    group = open_existing(context.paths, container.id, parent=container.config.cgroup_parent)
    if group.own:
        return sorted(group.procs())
    return members.of(container.state.pid, host_pids=container.config.namespaces.pid == "host")
