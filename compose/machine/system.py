"""What `pycompose system …` does: the machine as a whole, what it has and what it uses."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.client.events import all_events
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.machine import images, volumes
from pycompose.machine.rows import directory_bytes
from pycompose.state.users import all_containers
from pycompose.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.client.context import Context
    from pycompose.client.query_options import EventsOptions
    from pycompose.client.views import EventView


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """One line of `system df`: how many there are, how many in use, their bytes, and what `prune` could free."""

    kind: str
    total: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


def usage(context: Context) -> list[DiskUse]:
    """Return what images, containers and volumes take. Raises ImageError."""
    disk = images.disk_usage(context)
    of_images = DiskUse(
        kind="Images",
        total=disk.images,
        active=disk.in_use,
        size_bytes=disk.layers_bytes + disk.blobs_bytes,
        reclaimable_bytes=disk.reclaimable_bytes,
    )
    return [
        of_images,
        _summed("Containers", container_sizes(context)),
        _summed("Local Volumes", volume_sizes(context)),
    ]


def events(context: Context, options: EventsOptions, filters: Iterable[str] = ()) -> Iterator[EventView]:
    """Yield what happens to containers, as `all_events`.

    `filters` are container=NAME or ID, event=ACTION, image=NAME, service=NAME, type=container; several of one key are
    alternatives. Raises PycomposeError for another one.
    """
    wanted: dict[str, set[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key not in _EVENT_FILTERS or not equals:
            raise PycomposeError(
                f"--filter {text}: cannot be used", hint=f"known: {', '.join(_EVENT_FILTERS)}"
            )
        wanted.setdefault(key, set()).add(value)
    for view in all_events(context, options):
        if all(any(_EVENT_FILTERS[key](view, value) for value in values) for key, values in wanted.items()):
            yield view


_EVENT_FILTERS: dict[str, Callable[[EventView, str], bool]] = {
    "container": lambda view, value: (
        value == view.attributes["name"] or (bool(value) and view.container_id.startswith(value))
    ),
    "event": lambda view, value: view.action.partition(":")[0] == value or view.action == value,
    "image": lambda view, value: view.attributes["image"] == value,
    "service": lambda view, value: view.service == value,
    "type": lambda _view, value: value == "container",
}


def _summed(kind: str, sizes: list[tuple[str, int, bool]]) -> DiskUse:
    return DiskUse(
        kind=kind,
        total=len(sizes),
        active=sum(used for _, _, used in sizes),
        size_bytes=sum(size for _, size, _ in sizes),
        reclaimable_bytes=sum(size for _, size, used in sizes if not used),
    )


def container_sizes(context: Context) -> list[tuple[str, int, bool]]:
    """Return (name, bytes of what it has written and logged, whether it runs) of each container."""
    return [
        (
            container.name,
            directory_bytes(context.paths.container(container.id)),
            container.running,
        )
        for container in all_containers(context.paths)
    ]


def volume_sizes(context: Context) -> list[tuple[str, int, bool]]:
    """Return (name, bytes, whether a container refers to it) of each volume."""
    return [
        (row.name, directory_bytes(Path(row.mountpoint)), bool(row.users)) for row in volumes.rows(context)
    ]


def information(context: Context) -> dict[str, Any]:
    """Return what there is on the machine and what it can do, with the names of `docker info`."""
    found = list(all_containers(context.paths))
    states = [container.state.status for container in found]
    cgroup2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "Containers": len(found),
        "ContainersRunning": states.count(Status.RUNNING),
        "ContainersPaused": states.count(Status.PAUSED),
        "ContainersStopped": sum(s not in (Status.RUNNING, Status.PAUSED) for s in states),
        "Images": len({row.id for row in images.rows(context)}),
        "Driver": "overlay",
        "RootDir": str(context.paths.root),
        "RunDir": str(context.paths.run),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if cgroup2 else "1",
        "KernelVersion": platform.release(),
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": os.cpu_count() or 1,
        "MemTotal": memory,
        "Name": platform.node(),
        "ServerVersion": VERSION,
    }


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
