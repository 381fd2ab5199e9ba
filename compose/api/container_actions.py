"""POST and DELETE /containers/NAME/…: what changes one."""

from __future__ import annotations

from typing import Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer, done
from pycompose.api.shapes import UPDATE, checked, restart_policy
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import StateError
from pycompose.engine.state import Status
from pycompose.machine import container_changes, containers

# Go's negative timeout is no end of patience; nobody's patience is longer than a year.
_FOR_EVER_S = 365 * 86400.0
# Fields of the body of `update`, and those of Limits that they are; a factor where the unit differs.
_LIMITS = {
    "CpuShares": "cpu_shares",
    "Memory": "memory_bytes",
    "CpuPeriod": "cpu_period_us",
    "CpuQuota": "cpu_quota_us",
    "CpuRealtimePeriod": "cpu_rt_period_us",
    "CpuRealtimeRuntime": "cpu_rt_runtime_us",
    "CpusetCpus": "cpuset",
    "CpusetMems": "cpuset_mems",
    "BlkioWeight": "blkio_weight",
    "MemoryReservation": "memory_reservation_bytes",
    "MemorySwap": "memory_swap_bytes",
    "PidsLimit": "pids",
}


def _timeout_s(call: ApiCall) -> float | None:
    """Return the patience of `?t=`, None for the container's own."""
    seconds = query.number(call, "t")
    if seconds is None:
        return None
    return _FOR_EVER_S if seconds < 0 else float(seconds)


def start(call: ApiCall) -> ApiAnswer:
    """POST …/start: 304 when it runs."""
    name = call.names[0]
    status = containers.find(call.context, name).state.status
    if status is Status.PAUSED:
        raise StateError("cannot start a paused container, try unpause instead")
    if status is Status.RUNNING:
        return done(304)
    container_changes.start(call.context, name)
    return done()


def stop(call: ApiCall) -> ApiAnswer:
    """POST …/stop: 304 when it doesn't run."""
    name = call.names[0]
    if not containers.find(call.context, name).running:
        return done(304)
    container_changes.stop(call.context, name, _timeout_s(call), query.text(call, "signal"))
    return done()


def restart(call: ApiCall) -> ApiAnswer:
    """POST …/restart."""
    container_changes.restart(call.context, call.names[0], _timeout_s(call), query.text(call, "signal"))
    return done()


def kill(call: ApiCall) -> ApiAnswer:
    """POST …/kill."""
    name = call.names[0]
    if not containers.find(call.context, name).running:
        raise StateError(f"cannot kill container: {name}: container {name} is not running")
    container_changes.kill(call.context, name, query.text(call, "signal") or "SIGKILL")
    return done()


def pause(call: ApiCall) -> ApiAnswer:
    """POST …/pause."""
    container_changes.pause(call.context, call.names[0], on=True)
    return done()


def unpause(call: ApiCall) -> ApiAnswer:
    """POST …/unpause."""
    container_changes.pause(call.context, call.names[0], on=False)
    return done()


def rename(call: ApiCall) -> ApiAnswer:
    """POST …/rename."""
    name = query.text(call, "name").removeprefix("/")
    if not name:
        raise ApiError(400, "Neither old nor new names may be empty")
    container_changes.rename(call.context, call.names[0], name)
    return done()


def update(call: ApiCall) -> ApiAnswer:
    """POST …/update: limits and restart policy; 0 and "" are what isn't given."""
    body = checked(call.document(), UPDATE)
    limits: dict[str, Any] = {ours: body[theirs] for theirs, ours in _LIMITS.items() if body.get(theirs)}
    if body.get("NanoCpus"):
        limits["cpus"] = body["NanoCpus"] / 1e9
    warnings: list[str] = []
    context = replace(call.context, sink=lambda event: warnings.append(event.details))
    container_changes.update(context, call.names[0], limits, restart_policy(body.get("RestartPolicy") or {}))
    return answer({"Warnings": warnings or None})


def remove(call: ApiCall) -> ApiAnswer:
    """DELETE /containers/NAME."""
    if query.flag(call, "link"):
        raise ApiError(400, "link: a link goes with its container, and can't be removed alone")
    name = call.names[0]
    found = containers.find(call.context, name)
    force = query.flag(call, "force")
    if found.running and not force:
        raise StateError(
            f'cannot remove container "{found.name}": container is running: stop the container before removing '
            "or force remove"
        )
    container_changes.remove(call.context, found.id, force=force, volumes=query.flag(call, "v"))
    return done()


def prune(call: ApiCall) -> ApiAnswer:
    """POST /containers/prune."""
    labels, without = query.label_filters(query.sparing(call, "label", "until"))
    removed = container_changes.prune(
        call.context, labels=labels, without=without, before_ns=query.until(call)
    )
    return answer({"ContainersDeleted": list(removed.ids) or None, "SpaceReclaimed": removed.freed_bytes})
