"""GET /containers/NAME/logs and …/stats: what a container says, and what it uses."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import JSON_TYPE, ApiAnswer, ApiCall, Outlet, dumps
from pycompose.cli.display.humanize import moment
from pycompose.client.query_options import LogsOptions
from pycompose.client.views import ContainerLogLine
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.cgroups.stats import Sample, StatsReader
from pycompose.engine.errors import CgroupError, NoSuchContainer
from pycompose.engine.logs.writer import is_kept
from pycompose.events import ContainerEvent
from pycompose.machine import containers
from pycompose.machine.inspect_container import NEVER, stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pycompose.policy.observed import ObservedContainer

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
_STREAMS = {"stdout": 1, "stderr": 2}
_BATCH_BYTES = 1 << 15
# How often somebody who follows and hears nothing is looked at.
_LOOK_S = 1.0

Json = dict[str, Any]


def framed(stream: str, data: bytes) -> bytes:
    """Return data with the header that tells its stream (Engine API, "Attach to a container": stream format)."""
    return bytes((_STREAMS[stream], 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def output_type(*, tty: bool, version: tuple[int, int]) -> str:
    """Return the type of an output; before API 1.42 there was one for both."""
    return RAW if tty or version < (1, 42) else MULTIPLEXED


# ---------------------------------------------------------------------- logs


def encoded(
    lines: Iterable[ContainerLogLine],
    shown: Collection[str],
    *,
    multiplexed: bool,
    stamps: bool = False,
    details: bytes = b"",
) -> Iterator[bytes]:
    """Yield the lines of the streams that are `shown`, as clients get them."""
    for line in lines:
        if line.stream in shown:
            head = moment(line.stamp_ns).encode() + b" " if stamps else b""
            data = head + details + line.data + b"\n"
            yield framed(line.stream, data) if multiplexed else data


def batches(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces joined to what is worth sending."""
    batch = bytearray()
    for piece in pieces:
        batch += piece
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)


def logs(call: ApiCall) -> ApiAnswer:
    """GET …/logs."""
    shown = {name for name in _STREAMS if query.flag(call, name)}
    if not shown:
        raise ApiError(400, "Bad parameters: you must choose at least one stream")
    container = containers.find(call.context, call.names[0])
    if not is_kept(container.config.log):
        raise ApiError(501, "configured logging driver does not support reading")
    tail = query.text(call, "tail", "all")
    lines = int(tail) if tail.isdecimal() else None
    options = LogsOptions(
        since_ns=query.moment(call, "since"), until_ns=query.moment(call, "until"), tail=lines
    )
    tty, stamps = container.config.process.tty, query.flag(call, "timestamps")
    details = b""
    if query.flag(call, "details"):
        details = containers.log_details(call.context, container.id).encode() + b" "

    def encode(found: Iterable[ContainerLogLine]) -> Iterator[bytes]:
        return encoded(found, shown, multiplexed=not tty, stamps=stamps, details=details)

    def stream(outlet: Outlet) -> None:
        if query.flag(call, "follow"):
            for batch in _followed(call, container, options, outlet):
                outlet.write(b"".join(encode(batch)))
        else:
            for piece in batches(encode(containers.logs(call.context, container.id, options))):
                outlet.write(piece)

    kind = output_type(tty=tty, version=call.version)
    during = functools.partial(call.services.followers.following, container.id)
    return ApiAnswer(headers=(("Content-Type", kind),), stream=stream, during=during)


def _followed(
    call: ApiCall, container: ObservedContainer, options: LogsOptions, outlet: Outlet
) -> Iterator[list[ContainerLogLine]]:
    """Yield the lines of a container until its run has ended, or the client has gone.

    Of the next run who wants them asks anew, as with moby, whose logs end with each run (container.Reset).
    """
    from pycompose.client.log_tail import LogTail  # noqa: PLC0415 - only to follow

    with LogTail(call.context, container.config.project) as tail:
        tail.add(container, since_ns=options.since_ns or None, lines=options.tail)
        first = True
        while first or (tail.alive and container.id in tail.active):
            waits_s = 0.0 if first else _LOOK_S
            first = False
            found = tail.wait(waits_s)
            lines = [item for item in found if isinstance(item, ContainerLogLine)]
            if options.until_ns and (
                time.time_ns() > options.until_ns or any(line.stamp_ns > options.until_ns for line in lines)
            ):
                yield [line for line in lines if line.stamp_ns <= options.until_ns]
                return
            if outlet.gone:
                return
            ends = (item for item in found if isinstance(item, ContainerEvent) and item.id == container.id)
            if (end := next((item for item in ends if item.action == "die"), None)) is not None:
                yield _of_run(call, end, [*lines, *tail.drop(container.id)])
                return
            if lines:
                yield lines
        yield tail.rest()


def _of_run(call: ApiCall, end: ContainerEvent, lines: list[ContainerLogLine]) -> list[ContainerLogLine]:
    """Return the lines that aren't of the next run, which may have begun meanwhile."""
    try:
        started_ns = containers.find(call.context, end.id).state.started_ns
    except NoSuchContainer:
        return lines
    return [line for line in lines if line.stamp_ns < started_ns or started_ns < end.time_ns]


# ---------------------------------------------------------------------- stats


def stats(call: ApiCall) -> ApiAnswer:
    """GET …/stats: a sample each second, or with `stream=0` one, which `one-shot` doesn't wait a second for."""
    container = containers.find(call.context, call.names[0])
    repeated = query.flag(call, "stream", default=True)
    first_at_once = query.flag(call, "one-shot")

    def stream(outlet: Outlet) -> None:
        reader, before, read_ns = None, None, 0
        try:
            while True:
                found = containers.find(call.context, container.id)
                if reader is None and found.running and found.state.pid:
                    reader = _reader(call, found)
                now_ns = time.time_ns()
                sample = reader.sample() if reader is not None else None
                if before is not None or first_at_once or sample is None:
                    memory = reader.memory() if reader is not None else (0, {})
                    traffic = _traffic(found.state.pid) if sample is not None else {}
                    outlet.write(
                        dumps(_document(found, (before, read_ns), (sample, now_ns), memory, traffic))
                    )
                    if not repeated:
                        return
                before, read_ns = sample, now_ns
                time.sleep(_LOOK_S)
        except (CgroupError, NoSuchContainer):
            return  # it has ended: so does the answer
        finally:
            if reader is not None:
                reader.close()

    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), stream=stream)


def _reader(call: ApiCall, found: ObservedContainer) -> StatsReader:
    group = open_existing(call.context.paths, found.id, parent=found.config.cgroup_parent)
    return StatsReader(group, found.state.pid)


def _traffic(pid: int) -> Json:
    """Return the counters of each interface but lo (proc_pid_net(5))."""
    found: Json = {}
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in lines:
        name, colon, counters = line.partition(":")
        fields = [int(field) for field in counters.split()] if colon else []
        if len(fields) > 11 and name.strip() != "lo":
            names = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
            sent = ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped")
            found[name.strip()] = {
                **dict(zip(names, fields[:4], strict=True)),
                **dict(zip(sent, fields[8:12], strict=True)),
            }
    return found


def _document(
    found: ObservedContainer,
    before: tuple[Sample | None, int],
    now: tuple[Sample | None, int],
    memory: tuple[int, dict[str, int]],
    traffic: Json,
) -> Json:
    sample, read_ns = now
    usage, details = memory
    document: Json = {
        "read": stamp(read_ns) if sample else NEVER,
        "preread": stamp(before[1]) if before[0] else NEVER,
        "pids_stats": {"current": sample.pids} if sample else {},
        "blkio_stats": {
            "io_service_bytes_recursive": _block(sample),
            **dict.fromkeys(
                (
                    "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
                    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
                )
            ),
        },
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _processors(sample),
        "precpu_stats": _processors(before[0]),
        "memory_stats": (
            {"usage": usage, "stats": details, "limit": sample.memory_limit_bytes} if sample else {}
        ),
        "name": f"/{found.name}",
        "id": found.id,
    }  # fmt: skip
    return document | ({"networks": traffic} if traffic else {})


def _processors(sample: Sample | None) -> Json:
    throttling = {
        "periods": 0,
        "throttled_periods": sample.throttled_periods if sample else 0,
        "throttled_time": sample.throttled_ns if sample else 0,
    }
    usage = {"total_usage": sample.cpu_ns if sample else 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    whole = {"system_cpu_usage": sample.system_ns, "online_cpus": sample.online_cpus} if sample else {}
    return {"cpu_usage": usage, **whole, "throttling_data": throttling}


def _block(sample: Sample | None) -> list[Json] | None:
    if sample is None:
        return None
    return [
        {"major": 0, "minor": 0, "op": "read", "value": sample.block_read_bytes},
        {"major": 0, "minor": 0, "op": "write", "value": sample.block_write_bytes},
    ]
