"""What `pycompose system …` does: the machine as a whole, what it has and what it uses."""

from __future__ import annotations

import os
import platform
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.cdi.registry import DIRECTORIES as CDI_DIRECTORIES
from pycompose.client.events import all_events
from pycompose.engine.dataclass import dataclass
from pycompose.engine.digests import sha256
from pycompose.engine.errors import PycomposeError
from pycompose.engine.machine import has_apparmor
from pycompose.engine.state import Status
from pycompose.machine import builds, images, volumes
from pycompose.machine.inspect_container import stamp
from pycompose.machine.rows import directory_bytes, matches_labels
from pycompose.state.users import all_containers
from pycompose.version import ENGINE_VERSION, VERSION

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
        _build_cache(context),
    ]


def _build_cache(context: Context) -> DiskUse:
    """Return what the build cache takes; layers that images stand on are counted there, and can't be freed."""
    rows = builds.cache_rows(context)
    free = [row for row in rows if not row.in_use]
    return DiskUse(
        kind="Build Cache",
        total=len(rows),
        active=len(rows) - len(free),
        size_bytes=sum(row.size_bytes for row in rows),
        reclaimable_bytes=sum(row.size_bytes for row in free),
    )


def events(context: Context, options: EventsOptions, filters: Iterable[str] = ()) -> Iterator[EventView]:
    """Yield what happens to containers, images, networks and volumes, as `all_events`.

    `filters` are container=NAME or ID, event=ACTION, image=NAME, label=KEY[=VALUE], network=NAME or ID, service=NAME,
    type=KIND, volume=NAME. All labels have to be there, of another key one of its values. Raises PycomposeError for
    another filter.
    """
    wanted = event_test(filters)
    yield from filter(wanted, all_events(context, options))


def event_test(filters: Iterable[str]) -> Callable[[EventView], bool]:
    """Return what tells whether an event passes the filters of `events`. Raises PycomposeError for another filter."""
    wanted: dict[str, set[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key not in _EVENT_FILTERS or not equals:
            raise PycomposeError(
                f"--filter {text}: cannot be used", hint=f"known: {', '.join(_EVENT_FILTERS)}"
            )
        wanted.setdefault(key, set()).add(value)
    return lambda view: all(
        (all if key == "label" else any)(_EVENT_FILTERS[key](view, value) for value in values)
        for key, values in wanted.items()
    )


def event_document(view: EventView) -> dict[str, Any]:
    """Return an event as Docker's API has it; containers and images have the fields of old, too."""
    old = {"status": view.action, "id": view.container_id}
    return {
        **(old if view.kind in ("container", "image") else {}),
        **({"from": view.attributes["image"]} if view.kind == "container" else {}),
        "Type": view.kind,
        "Action": view.action,
        "Actor": {"ID": view.container_id, "Attributes": view.attributes},
        "scope": "local",
        "time": view.time_ns // 1_000_000_000,
        "timeNano": view.time_ns,
    }


_EVENT_FILTERS: dict[str, Callable[[EventView, str], bool]] = {
    "container": lambda view, value: _is(view, "container", value),
    "event": lambda view, value: view.action.partition(":")[0] == value or view.action == value,
    "image": lambda view, value: view.attributes.get("image") == value or _is(view, "image", value),
    "label": lambda view, value: matches_labels(view.attributes, value),
    "network": lambda view, value: _is(view, "network", value),
    "scope": lambda _view, value: value == "local",
    "service": lambda view, value: view.service == value,
    "type": lambda view, value: view.kind == value,
    "volume": lambda view, value: _is(view, "volume", value),
}


def _is(view: EventView, kind: str, value: str) -> bool:
    """Tell whether an event is of this one: a name, or how an id begins; `busybox` is any of its tags."""
    if view.kind != kind or not value:
        return False
    name = view.attributes.get("name", "")
    bare, colon, tag = name.rpartition(":")
    untagged = bare if kind == "image" and colon and "/" not in tag else name
    return value in (name, untagged) or view.container_id.startswith(value)


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


# The fields of proxies by their variables.
_PROXIES = {"HttpProxy": "HTTP_PROXY", "HttpsProxy": "HTTPS_PROXY", "NoProxy": "NO_PROXY"}
# What Docker says of a machine's control groups and routes; `doctor` looks closer.
_ALWAYS = (
    "MemoryLimit",
    "SwapLimit",
    "CpuCfsPeriod",
    "CpuCfsQuota",
    "CPUShares",
    "CPUSet",
    "PidsLimit",
    "IPv4Forwarding",
)


def information(context: Context) -> dict[str, Any]:
    """Return what there is on the machine and what it can do, with the names of `docker info`."""
    found = list(all_containers(context.paths))
    states = [container.state.status for container in found]
    cgroup2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "ID": _machine_id(),
        "Containers": len(found),
        "ContainersRunning": states.count(Status.RUNNING),
        "ContainersPaused": states.count(Status.PAUSED),
        "ContainersStopped": sum(s not in (Status.RUNNING, Status.PAUSED) for s in states),
        "Images": len({row.id for row in images.rows(context)}),
        "Driver": "overlay",
        "DockerRootDir": str(context.paths.root),
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
        "ServerVersion": ENGINE_VERSION,
        "PycomposeVersion": VERSION,
        "SecurityOptions": [*(["name=apparmor"] if has_apparmor() else []), "name=seccomp,profile=builtin"],
        **dict.fromkeys(_ALWAYS, True),
        "Debug": False,
        "SystemTime": stamp(time.time_ns()),
        "InitBinary": "docker-init",
        "GenericResources": None,
        **_rest(context, cgroup2=cgroup2),
        "Runtimes": {"runc": {"path": "pycompose"}},
        "DefaultRuntime": "runc",
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "ipvlan", "macvlan", "null"],
            "Authorization": None,
            "Log": ["journald", "json-file", "local", "none", "syslog"],
        },
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Labels": [],
        "ExperimentalBuild": False,
        "LiveRestoreEnabled": True,
        "Warnings": None,
    }


def _rest(context: Context, *, cgroup2: bool) -> dict[str, Any]:
    """Return what programs find in the types that they read `docker info` into, and people seldom look at."""
    return {
        "BridgeNfIptables": True,
        "BridgeNfIp6tables": True,
        "OomKillDisable": not cgroup2,
        "KernelMemoryTCP": False,
        "DriverStatus": [["Backing Filesystem", "overlay"]],
        "OSVersion": _os_version(),
        "Isolation": "",
        "CDISpecDirs": list(CDI_DIRECTORIES),
        # Of the daemon, which there is none of.
        "NEventsListener": 0,
        "NFd": 0,
        "NGoroutines": 0,
        **{name: context.environment.get(variable, "") for name, variable in _PROXIES.items()},
    }


def _machine_id() -> str:
    """Return a name of this machine that stays, "" where it has none (machine-id(5), hashed as it wants to be)."""
    try:
        text = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return str(uuid.UUID(bytes=sha256(b"pycompose" + text).digest()[:16])) if text else ""


def _os_version() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_ID", "")
    except OSError:
        return ""


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
