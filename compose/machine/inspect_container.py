"""A container in the shape of Docker's API: what `inspect` shows of it.

Fields that have no meaning here are left out rather than invented. Moments are RFC 3339 with nanoseconds; one that
never was is year 1, as Go prints it.
"""

from __future__ import annotations

import datetime as dt
import signal
from typing import TYPE_CHECKING, Any

from pycompose.client.listings import container_view
from pycompose.engine.container.rootfs import protections
from pycompose.engine.errors import NoSuchContainer
from pycompose.engine.machine import has_apparmor
from pycompose.engine.state import Status
from pycompose.machine import containers
from pycompose.machine.inspect_endpoints import network_settings
from pycompose.machine.rows import directory_bytes
from pycompose.policy.health import DEFAULT_START_INTERVAL_S
from pycompose.state.links import links_of, sets_variables
from pycompose.state.records import ServiceRecord, read_service
from pycompose.state.snapshot import shown_labels
from pycompose.state.users import source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompose.client.context import Context
    from pycompose.engine.config import ContainerConfig, DeviceRate, Limits, LogConfig
    from pycompose.model import DeviceRequest, Logging
    from pycompose.policy.health import HealthSpec
    from pycompose.policy.observed import ObservedContainer

NEVER = "0001-01-01T00:00:00Z"
# What Docker gives a container that says nothing, and leaves out.
GRACE_S = 10.0
_NS = 1_000_000_000

Json = dict[str, Any]


def stamp(moment_ns: int) -> str:
    """Return CLOCK_REALTIME nanoseconds as the API writes them."""
    if not moment_ns:
        return NEVER
    seconds, rest = divmod(moment_ns, _NS)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def container(context: Context, text: str, *, size: bool = False) -> Json:
    """Return what Docker says of a container. Raises NoSuchContainer."""
    found = containers.find(context, text)
    config = found.config
    record = _record(context, found)
    directory, etc = context.paths.container(config.id), context.paths.etc(config.id)
    upper = directory / "rw/0/upper"
    document: Json = {
        "Id": config.id,
        "Created": stamp(config.created_ns),
        "Path": config.process.args[0],
        "Args": list(config.process.args[1:]),
        "State": _state(context, found),
        "Image": config.image_id,
        "ResolvConfPath": str(etc / "resolv.conf"),
        "HostnamePath": str(etc / "hostname"),
        "HostsPath": str(etc / "hosts"),
        "LogPath": str(directory / "log"),
        "Name": f"/{config.name}",
        "RestartCount": found.runtime.restarts,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": config.process.apparmor or ("unconfined" if has_apparmor() else ""),
        "ExecIDs": None,
        "HostConfig": _host_config(context, config, record),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": ":".join(config.rootfs[0].lowers),
                # Nowhere else on the machine is it mounted (proc_pid_root(5)).
                "MergedDir": f"/proc/{found.state.pid}/root" if found.running else "",
                "UpperDir": str(upper),
                "WorkDir": str(upper.with_name("work")),
            },
        },
        "Mounts": _mounts(context, config),
        "Config": _config(config, record),
        "NetworkSettings": network_settings(context, found, record),
    }
    if size:
        document["SizeRw"] = directory_bytes(directory / "rw")
    return document


def _record(context: Context, found: ObservedContainer) -> ServiceRecord:
    try:
        return read_service(context.paths, found.id)
    except FileNotFoundError:
        raise NoSuchContainer(f"container {found.name}: is being removed") from None


def _state(context: Context, found: ObservedContainer) -> Json:
    state = found.state
    word = container_view(context, found).state
    running = state.status in (Status.RUNNING, Status.PAUSED)
    document: Json = {
        "Status": word,
        "Running": running or word == "restarting",
        "Paused": state.status is Status.PAUSED,
        "Restarting": word == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": False,
        "Pid": state.pid if running else 0,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": stamp(state.started_ns),
        "FinishedAt": stamp(state.finished_ns),
    }
    if found.health:
        document["Health"] = {
            "Status": found.health.get("status", "starting"),
            "FailingStreak": found.health.get("failing_streak", 0),
            "Log": [
                {
                    "Start": stamp(result["start_ns"]),
                    "End": stamp(result["end_ns"]),
                    "ExitCode": result["exit_code"],
                    "Output": result["output"],
                }
                for result in found.health.get("results", ())
            ],
        }
    return document


def _config(config: ContainerConfig, record: ServiceRecord) -> Json:
    service, process = record.service, config.process
    entrypoint, command = service.entrypoint, service.command
    # What the image brought stands in the arguments too; which part of them was its entrypoint isn't known.
    if entrypoint is None and command is not None:
        entrypoint = process.args[: len(process.args) - len(command)]
    elif command is None:
        command = process.args[len(entrypoint or ()) :]
    document: Json = {
        "Hostname": config.hostname,
        "Domainname": config.domainname,
        "User": process.user.spec,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {key: {} for key in record.exposed},
        "Tty": process.tty,
        "OpenStdin": process.stdin_open,
        "StdinOnce": False,
        "Env": list(process.env),
        "Cmd": list(command or ()) or None,
        "Image": config.image,
        "Volumes": None,
        "WorkingDir": process.cwd,
        "Entrypoint": list(entrypoint or ()) or None,
        "OnBuild": None,
        "Labels": shown_labels(config),
        "StopSignal": _signal_name(config.stop_signal),
    }
    if config.stop_grace_s != GRACE_S:
        document["StopTimeout"] = round(config.stop_grace_s)
    if record.health is not None:
        document["Healthcheck"] = _healthcheck(record, record.health)
    return document


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _healthcheck(record: ServiceRecord, spec: HealthSpec) -> Json:
    said = record.service.health.test if record.service.health else None
    document = {
        "Test": list(said or ("CMD", *spec.args)),
        "Interval": round(spec.interval_s * _NS),
        "Timeout": round(spec.timeout_s * _NS),
        "Retries": spec.retries,
    }
    if spec.start_period_s:
        document["StartPeriod"] = round(spec.start_period_s * _NS)
    if spec.start_interval_s != DEFAULT_START_INTERVAL_S:
        document["StartInterval"] = round(spec.start_interval_s * _NS)
    return document


def _log_options(log: LogConfig, wanted: Logging) -> Json:
    """Return the options of the log driver that are in force, by Docker's names."""
    options = {
        "max-size": log.max_bytes or "",
        "max-file": log.max_files if log.max_bytes else "",
        "cache-disabled": "" if log.cache else "true",
        "tag": log.tag,
    }
    if log.driver == "syslog":
        options |= {
            "syslog-address": log.address,
            "syslog-format": log.format,
            "syslog-facility": log.facility,
        }
    options |= {key: value for key, value in wanted.options.items() if key.startswith(("env", "labels"))}
    return {key: str(value) for key, value in options.items() if value != ""}


def _host_config(context: Context, config: ContainerConfig, record: ServiceRecord) -> Json:
    service, limits = record.service, config.limits
    restart = service.restart
    masked, read_only = protections(config)
    return {
        "Binds": _binds(context, config, record),
        "ContainerIDFile": "",
        "LogConfig": {
            "Type": config.log.driver,
            "Config": _log_options(config.log, service.logging),
        },
        "NetworkMode": service.network_mode or _first_network(record),
        "PortBindings": _bindings(record),
        "RestartPolicy": {
            "Name": restart.kind,
            "MaximumRetryCount": restart.max_attempts or 0,
        },
        "AutoRemove": record.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list(service.volumes_from) or None,
        "ConsoleSize": [0, 0],
        "CapAdd": _capabilities(service.cap_add),
        "CapDrop": _capabilities(service.cap_drop),
        "CgroupnsMode": config.namespaces.cgroup,
        "Dns": list(service.dns) or None,
        "DnsOptions": list(service.dns_opt) or None,
        "DnsSearch": list(service.dns_search) or None,
        "ExtraHosts": [f"{host}:{address}" for host, address in service.extra_hosts] or None,
        "GroupAdd": list(service.group_add) or None,
        "IpcMode": config.namespaces.ipc,
        "Cgroup": "",
        "Links": _links(context, config, record) or None,
        "OomScoreAdj": config.process.oom_score_adj,
        "PidMode": "" if config.namespaces.pid == "private" else config.namespaces.pid,
        "Privileged": config.security.privileged,
        "PublishAllPorts": False,
        "ReadonlyRootfs": config.security.read_only_rootfs,
        "SecurityOpt": list(service.security_opt) or None,
        "Tmpfs": {target: rest for target, _, rest in (entry.partition(":") for entry in service.tmpfs)},
        "UTSMode": "" if config.namespaces.uts == "private" else config.namespaces.uts,
        "UsernsMode": service.userns_mode,
        "ShmSize": config.shm_bytes,
        "Runtime": "pycompose",
        "Isolation": "",
        "Devices": [
            {"PathOnHost": d.source, "PathInContainer": d.target, "CgroupPermissions": d.permissions}
            for d in service.devices
        ]
        or None,
        "DeviceCgroupRules": list(config.device_cgroup_rules) or None,
        "DeviceRequests": [_request(one) for one in service.device_requests] or None,
        "Ulimits": [{"Name": r.name, "Soft": r.soft, "Hard": r.hard} for r in config.process.rlimits] or None,
        **_limits(limits),
        "MaskedPaths": list(masked),
        "ReadonlyPaths": list(read_only),
        "CgroupParent": config.cgroup_parent or context.paths.cgroup_parent,
        **({"Sysctls": config.sysctls} if config.sysctls else {}),
        **({"Init": True} if config.process.init else {}),
        **({"Annotations": config.annotations} if config.annotations else {}),
    }


def _binds(context: Context, config: ContainerConfig, record: ServiceRecord) -> list[str]:
    """Return named volumes and host folders in the form of `-v`; anonymous volumes are no binds."""
    root = f"{context.paths.volumes}/"
    found = []
    for mount in config.mounts:
        source = source_of(context.paths, config.id, mount)
        if source.startswith(root):
            source = source.removeprefix(root).split("/", 1)[0]
        if source and source not in record.anonymous_volumes:
            found.append(f"{source}:{mount.target}:{'ro' if mount.read_only else 'rw'}")
    return found


def _capabilities(names: Sequence[str]) -> list[str] | None:
    full = [name.upper().removeprefix("CAP_") for name in names]
    return [name if name == "ALL" else f"CAP_{name}" for name in full] or None


def _request(request: DeviceRequest) -> dict[str, Any]:
    """Return a request for devices; Docker's have no options here, and alternatives of capabilities."""
    return {
        "Driver": request.driver,
        "Count": request.count,
        "DeviceIDs": list(request.device_ids) or None,
        "Capabilities": [list(request.capabilities)] if request.capabilities else None,
        "Options": {} if request.capabilities else None,
    }


def _limits(limits: Limits) -> Json:
    return {
        "CpuShares": limits.cpu_shares or 0,
        "Memory": limits.memory_bytes or 0,
        "NanoCpus": round((limits.cpus or 0) * _NS),
        "CpuPeriod": limits.cpu_period_us or 0,
        "CpuQuota": limits.cpu_quota_us or 0,
        "CpuRealtimePeriod": limits.cpu_rt_period_us or 0,
        "CpuRealtimeRuntime": limits.cpu_rt_runtime_us or 0,
        "CpusetCpus": limits.cpuset or "",
        "CpusetMems": limits.cpuset_mems or "",
        "BlkioWeight": limits.blkio_weight or 0,
        "BlkioWeightDevice": _rates(limits.blkio_weight_device, "Weight"),
        "BlkioDeviceReadBps": _rates(limits.device_read_bps),
        "BlkioDeviceWriteBps": _rates(limits.device_write_bps),
        "BlkioDeviceReadIOps": _rates(limits.device_read_iops),
        "BlkioDeviceWriteIOps": _rates(limits.device_write_iops),
        "MemoryReservation": limits.memory_reservation_bytes or 0,
        "MemorySwap": limits.memory_swap_bytes or 0,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids,
        # Of Windows containers.
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _rates(found: Iterable[DeviceRate], number: str = "Rate") -> list[Json] | None:
    return [{"Path": item.path, number: item.rate} for item in found] or None


def _first_network(record: ServiceRecord) -> str:
    endpoints = record.service.networks
    return record.networks[endpoints[0].network].name if endpoints else "none"


def _links(context: Context, config: ContainerConfig, record: ServiceRecord) -> list[str]:
    """Return the links of the default bridge as Docker has them: /CONTAINER:/OWN/ALIAS."""
    if not sets_variables(record):
        return []
    found = links_of(context.paths, config.project, record)
    return [f"/{other}:/{config.name}/{alias}" for other, alias in found]


def _bindings(record: ServiceRecord) -> Json:
    """Return the ports that are asked for, whether the container runs or not."""
    bindings: dict[str, list[Json]] = {}
    for port in record.service.ports if record.publish else ():
        first, last = port.published or (0, 0)
        text = "" if not first else str(first) if first == last else f"{first}-{last}"
        bindings.setdefault(f"{port.target}/{port.protocol}", []).append(
            {"HostIp": port.host_ip, "HostPort": text}
        )
    return bindings


def _mounts(context: Context, config: ContainerConfig) -> list[Json]:
    root = f"{context.paths.volumes}/"
    found = []
    for mount in config.mounts:
        kind = "volume" if mount.source.startswith(root) else mount.kind.value
        entry: Json = {"Type": kind}
        if kind == "volume":
            entry |= {"Name": mount.source.removeprefix(root).split("/", 1)[0]}
        entry |= {"Source": source_of(context.paths, config.id, mount), "Destination": mount.target}
        if kind == "volume":
            entry |= {"Driver": "local"}
        entry |= {
            "Mode": "ro" if mount.read_only else "rw" if kind == "bind" else "",
            "RW": not mount.read_only,
            "Propagation": mount.propagation if kind == "bind" else "",
        }
        found.append(entry)
    return found
