"""Use cases that look at running containers: `top`, `stats`, `events`, `wait`, `volumes`."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from pycompose.client.views import EventView, ProcessView, StatsView, VolumeView, Waited
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.engine.state import Status
from pycompose.errors import NotRunning
from pycompose.ipc.client import connect, connect_or_start
from pycompose.policy.observed import ObservedContainer
from pycompose.state.snapshot import observe_containers, projects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.client.changes import Context
    from pycompose.client.options import EventsOptions, StatsOptions, TopOptions, VolumesOptions, WaitOptions
    from pycompose.engine.cgroups.base import Cgroup
    from pycompose.engine.cgroups.stats import Sample, StatsReader


# How often a project without a supervisor is looked at: nothing in the kernel tells that one will begin to listen.
SUPERVISOR_POLL_S = 0.2


def _chosen(
    context: Context, project_name: str, options: StatsOptions | TopOptions
) -> list[ObservedContainer]:
    """Return a project's containers (those of all projects for ""), as far as they are asked for."""
    if project_name:
        found, _ = observe_containers(context.paths, project_name)
    else:
        from pycompose.machine.volumes import all_containers  # noqa: PLC0415 - for the management commands

        found = list(all_containers(context.paths))
    return [
        container
        for container in found
        if (not options.services or container.service in options.services)
        and (not options.ids or container.id in options.ids)
    ]


def _running(
    context: Context, project_name: str, options: StatsOptions | TopOptions
) -> list[ObservedContainer]:
    found = _chosen(context, project_name, options)
    return [c for c in found if c.state.status in (Status.RUNNING, Status.PAUSED)]


def _group(context: Context, container: ObservedContainer) -> Cgroup:
    return open_existing(context.paths, container.id, parent=container.config.cgroup_parent)


# ---------------------------------------------------------------------- processes


def top(context: Context, project_name: str, options: TopOptions) -> list[ProcessView]:
    """Return the processes of the running containers, by container and pid (proc_pid_stat(5))."""
    ticks = os.sysconf("SC_CLK_TCK")
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    views = []
    for container in _running(context, project_name, options):
        for pid in sorted(_group(context, container).procs()):
            with contextlib.suppress(OSError, ValueError):
                views.append(_process(container, pid, ticks, boot_ns))
    return views


def ps_table(context: Context, container: ObservedContainer, arguments: Sequence[str]) -> list[list[str]]:
    """Return what the machine's `ps ARGUMENTS` says of a container's processes, titles first, as `docker top` does.

    Raises PycomposeError when there is no ps, when it doesn't understand, or shows no PID to tell the processes by.
    """
    import subprocess  # noqa: PLC0415 - only here

    pids = {str(pid) for pid in _group(context, container).procs()}
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


def stats(context: Context, project_name: str, options: StatsOptions) -> Iterator[list[StatsView]]:
    """Yield one list of samples after another, each `interval_s` after the last; without `stream` one list."""
    from pycompose.engine.cgroups.stats import StatsReader  # noqa: PLC0415 - only here

    readers: dict[str, tuple[StatsReader, Sample]] = {}
    try:
        while True:
            containers = _running(context, project_name, options)
            for container in containers:
                if container.id not in readers:
                    # On the host's network the counters would be the machine's.
                    own = container.config.namespaces.network != "host"
                    reader = StatsReader(_group(context, container), container.state.pid if own else None)
                    readers[container.id] = (reader, reader.sample())
            time.sleep(options.interval_s)  # a rate needs two samples with time between them
            views = [_stats_view(container, readers) for container in containers]
            if options.all:
                views += _stopped(context, project_name, options, {container.id for container in containers})
            yield sorted(views, key=lambda view: view.container)
            if not options.stream:
                return
    finally:
        for reader, _ in readers.values():
            reader.close()


def _stats_view(container: ObservedContainer, readers: dict[str, tuple[StatsReader, Sample]]) -> StatsView:
    from pycompose.engine.cgroups.stats import cpu_percent  # noqa: PLC0415 - only here

    reader, before = readers[container.id]
    after = reader.sample()
    readers[container.id] = (reader, after)
    return StatsView(
        container_id=container.id,
        container=container.name,
        service=container.service,
        number=container.number,
        cpu_percent=cpu_percent(before, after),
        memory_bytes=after.memory_bytes,
        memory_limit_bytes=after.memory_limit_bytes,
        network_received_bytes=after.net_rx_bytes,
        network_sent_bytes=after.net_tx_bytes,
        block_read_bytes=after.block_read_bytes,
        block_written_bytes=after.block_write_bytes,
        pids=after.pids,
    )


def _stopped(
    context: Context, project_name: str, options: StatsOptions, running: set[str]
) -> Iterator[StatsView]:
    for container in _chosen(context, project_name, options):
        if container.id not in running:
            yield StatsView(
                container_id=container.id,
                container=container.name,
                service=container.service,
                number=container.number,
                running=False,
            )


# ---------------------------------------------------------------------- events and ends


def events(context: Context, project_name: str, options: EventsOptions) -> Iterator[EventView]:
    """Yield what happens to the containers: the journal from `since_ns` on, then live until `until_ns`.

    A project that isn't up yet, or that goes down and comes up again, is waited for.
    """
    last_ns = time.time_ns()
    if options.since_ns:
        for event in _journal(context, project_name):
            if event["time_ns"] >= options.since_ns and _within(event, options):
                yield _event_view(event)
    while not options.until_ns or time.time_ns() < options.until_ns:
        for event in _live(context, project_name, last_ns, options.until_ns):
            last_ns = max(last_ns, event["time_ns"])
            if _within(event, options):
                yield _event_view(event)
        time.sleep(SUPERVISOR_POLL_S)


def all_events(context: Context, options: EventsOptions) -> Iterator[EventView]:
    """Yield what happens to the containers of all projects, also of those that come later; see `events`."""
    began_ns = time.time_ns()
    found: queue.SimpleQueue[EventView] = queue.SimpleQueue()
    known: dict[str, threading.Thread] = {}

    def follow(name: str, since_ns: int) -> None:
        for view in events(context, name, replace(options, since_ns=since_ns)):
            found.put(view)

    while True:
        over = bool(options.until_ns) and time.time_ns() >= options.until_ns
        for name in projects(context.paths):
            if name not in known:
                # What a new project has done before we saw it stands in its journal.
                since_ns = options.since_ns or began_ns
                known[name] = threading.Thread(target=follow, args=(name, since_ns), daemon=True)
                known[name].start()
        if over:
            for thread in known.values():
                thread.join()
        with contextlib.suppress(queue.Empty):
            while True:
                yield found.get(timeout=0 if over else SUPERVISOR_POLL_S)
        if over:
            return


def _live(context: Context, project_name: str, after_ns: int, until_ns: int) -> Iterator[dict[str, Any]]:
    """Yield the supervisor's events after `after_ns`, until it ends or `until_ns` has come."""
    try:
        connection = connect(context.paths, project_name)
    except NotRunning:
        return
    with connection:
        connection.send({"op": "subscribe", "since_ns": after_ns + 1})
        while True:
            if until_ns:
                connection.socket.settimeout(max((until_ns - time.time_ns()) / 1e9, 0.001))
            try:
                message, _ = connection.receive()
            except (TimeoutError, BlockingIOError, NotRunning):
                return
            if "container" in message:
                yield message["container"]


def _within(event: dict[str, Any], options: EventsOptions) -> bool:
    """Tell whether an event is asked for; one-off containers aren't for `events` of a project, as in Compose."""
    if (event["oneoff"] and not options.oneoffs) or (
        options.until_ns and event["time_ns"] > options.until_ns
    ):
        return False
    return not options.services or event["service"] in options.services


def _journal(context: Context, project_name: str) -> Iterator[dict[str, Any]]:
    directory = context.paths.project(project_name)
    for name in ("events.1", "events.jsonl"):
        with contextlib.suppress(FileNotFoundError), (directory / name).open(encoding="utf-8") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)


def _event_view(event: dict[str, Any]) -> EventView:
    attributes = {key: value for key, value in event["attributes"].items() if key != "restarting"}
    return EventView(
        time_ns=event["time_ns"],
        action=event["action"],
        container_id=event["id"],
        service=event["service"],
        attributes={"image": event["image"], "name": event["name"], **attributes},
    )


def wait(context: Context, project_name: str, options: WaitOptions) -> Iterator[Waited]:
    """Yield each container of the services when it has stopped; a supervisor that dies meanwhile has a successor."""
    told: set[str] = set()
    while True:
        try:
            for waited in _wait(context, project_name, options):
                if waited.container_id not in told:
                    told.add(waited.container_id)
                    yield waited
        except NotRunning:
            time.sleep(SUPERVISOR_POLL_S)
            continue
        return


def _wait(context: Context, project_name: str, options: WaitOptions) -> Iterator[Waited]:
    """Ask one supervisor; raises NotRunning when it dies before it has told all."""
    try:
        connection = connect(context.paths, project_name)
    except NotRunning:
        found, _ = observe_containers(context.paths, project_name)
        if not any(c.state.status in (Status.RUNNING, Status.PAUSED) for c in found):
            yield from _already_ended(context, project_name, options)
            return
        connection = connect_or_start(context.paths, project_name)
    with connection:
        connection.send({"op": "wait", "services": list(options.services)})
        while True:
            message, _ = connection.receive()
            if "waited" in message:
                found = message["waited"]
                yield Waited(
                    container_id=found["id"],
                    container=found["name"],
                    service=found["service"],
                    exit_code=found["code"],
                )
            elif "result" in message:
                return


def _already_ended(context: Context, project_name: str, options: WaitOptions) -> Iterator[Waited]:
    """Without a supervisor nothing runs: what there is has stopped."""
    found, _ = observe_containers(context.paths, project_name)
    chosen = [c for c in found if c.service in options.services and not c.oneoff]
    if not chosen:
        raise NoSuchContainer(
            f"service {options.services[0]}: no container exists", hint="see `pycompose ps -a`"
        )
    for container in chosen:
        yield Waited(
            container_id=container.id,
            container=container.name,
            service=container.service,
            exit_code=container.state.exit_code,
        )


# ---------------------------------------------------------------------- volumes


def volumes(context: Context, project_name: str, options: VolumesOptions) -> list[VolumeView]:
    """Return the project's named volumes, or those that the containers of some services use."""
    from pycompose.volumes.store import VolumeStore  # noqa: PLC0415 - only here

    store = VolumeStore(context.paths)
    found, _ = observe_containers(context.paths, project_name)
    root = f"{context.paths.volumes}/"
    users: dict[str, int] = {}
    for container in found:
        if options.services and container.service not in options.services:
            continue
        for mount in container.config.mounts:
            if mount.source.startswith(root):
                name = mount.source.removeprefix(root).split("/", 1)[0]
                users[name] = users.get(name, 0) + 1
    names = set(users) if options.services else set(users) | {v.name for v in store.of_project(project_name)}
    views = []
    for name in sorted(names):
        with contextlib.suppress(PycomposeError):
            state = store.get(name)
            if state is not None and not state.anonymous:
                views.append(
                    VolumeView(
                        name=name,
                        driver=state.driver,
                        mountpoint=str(store.data(name)),
                        labels=state.labels,
                        links=users.get(name, 0),
                    )
                )
    return views
