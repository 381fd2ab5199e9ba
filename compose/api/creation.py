"""POST /containers/create: what Docker's body says, in the words of `container create`, which has the rest."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from typing import TYPE_CHECKING, Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, answer
from pycompose.api.shapes import CREATE, checked, restart_policy
from pycompose.client.options import ContainerRunOptions
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError, NoSuchImage, PycomposeError
from pycompose.labels import GIVEN, PREFIX
from pycompose.machine import images, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.events import Event

Json = dict[str, Any]

_RUNTIMES = frozenset({"", "runc", "io.containerd.runc.v2", "pycompose"})
# Where a field of HostConfig says what a key of a service does, in its form: text of a number, text, list, switch.
_NUMBERS = {
    "Memory": "mem_limit", "MemorySwap": "memswap_limit", "MemoryReservation": "mem_reservation",
    "CpuShares": "cpu_shares", "CpuPeriod": "cpu_period", "CpuQuota": "cpu_quota",
    "CpuRealtimePeriod": "cpu_rt_period", "CpuRealtimeRuntime": "cpu_rt_runtime", "ShmSize": "shm_size",
    "PidsLimit": "pids_limit",
}  # fmt: skip
_COUNTS = {"BlkioWeight": "blkio_config_weight", "OomScoreAdj": "oom_score_adj"}
_TEXTS = {
    "CpusetCpus": "cpuset", "IpcMode": "ipc", "PidMode": "pid", "UTSMode": "uts", "UsernsMode": "userns_mode",
    "CgroupnsMode": "cgroup",
}  # fmt: skip
_LISTS = {
    "CapAdd": "cap_add", "CapDrop": "cap_drop", "Dns": "dns", "DnsOptions": "dns_opt", "DnsSearch": "dns_search",
    "ExtraHosts": "extra_hosts", "GroupAdd": "group_add", "SecurityOpt": "security_opt",
    "DeviceCgroupRules": "device_cgroup_rules", "VolumesFrom": "volumes_from",
}  # fmt: skip
_SWITCHES = {"Privileged": "privileged", "ReadonlyRootfs": "read_only", "OomKillDisable": "oom_kill_disable"}
_RATES = {
    "BlkioWeightDevice": ("blkio_config_weight_device", "Weight"),
    "BlkioDeviceReadBps": ("blkio_config_device_read_bps", "Rate"),
    "BlkioDeviceWriteBps": ("blkio_config_device_write_bps", "Rate"),
    "BlkioDeviceReadIOps": ("blkio_config_device_read_iops", "Rate"),
    "BlkioDeviceWriteIOps": ("blkio_config_device_write_iops", "Rate"),
}


def create(call: ApiCall) -> ApiAnswer:
    """POST /containers/create."""
    body = checked(call.document(), CREATE)
    options, notes = asked(body, query.text(call, "name").removeprefix("/"), call.context.paths.cgroup_parent)
    if platform := query.text(call, "platform"):
        options = replace(options, keys={**options.keys, "platform": platform})
    # Who asks for an image that isn't here is told so in these words, pulls it, and asks again.
    (image,) = images.inspect(call.context, [options.image])
    warnings = [*notes, *_kept_variables(body, image)]

    def sink(event: Event) -> None:
        if not event.subject:
            warnings.append(event.text)

    context = replace(call.context, sink=sink)
    try:
        with _blaming_the_request():
            session = run.make(context, options)
    except NoSuchImage as exc:  # it is there, by what `inspect` has just said
        if not platform:
            raise
        words = "was found but does not match the specified platform: wanted"
        raise ApiError(404, f"image with reference {options.image} {words} {platform}") from exc
    session.close()
    return answer({"Id": session.container, "Warnings": warnings}, 201)


@contextlib.contextmanager
def _blaming_the_request() -> Iterator[None]:
    """Make 400 of what is wrong with the options; and of a network that isn't there: 404 has clients pull the image."""
    try:
        yield
    except PycomposeError as exc:
        if isinstance(exc, NetworkError) and "not found" in exc.message:
            raise ApiError(400, exc.message.replace(": ", " ", 1)) from exc
        if type(exc) is PycomposeError and not exc.message.startswith("volume driver"):
            raise ApiError(400, f"{exc.message} ({exc.hint})" if exc.hint else exc.message) from exc
        raise


def _kept_variables(body: Json, image: Json) -> Iterable[str]:
    """Yield what there is to say of NAME without a value, which takes a variable of the image away at Docker."""
    names = {entry.partition("=")[0] for entry in (image.get("Config") or {}).get("Env") or ()}
    for entry in body.get("Env") or ():
        if "=" not in entry and entry in names:
            yield f"Env: {entry}: has no value, and stays what the image says"


def asked(body: Json, name: str, cgroup_parent: str) -> tuple[ContainerRunOptions, list[str]]:
    """Return the container that a body describes, and what is to be said of it. Raises ApiError, PycomposeError.

    `cgroup_parent` is what `inspect` shows where none was given: clients send back what they have seen.
    """
    host: Json = body.get("HostConfig") or {}
    if not body.get("Image"):
        raise ApiError(400, "no image is named")
    _refuse(body, host)
    parent = host.get("CgroupParent") or ""
    keys = {
        **_process_keys(body),
        **_health_keys(body.get("Healthcheck") or {}),
        **_host_keys(host),
        **({"cgroup_parent": parent} if parent not in ("", cgroup_parent) else {}),
        "labels": _labels(body.get("Labels") or {}),
        "expose": list(body.get("ExposedPorts") or {}),
        "ports": list(_ports(host.get("PortBindings") or {})),
    }
    console = host.get("ConsoleSize") or [0, 0]
    entrypoint = body.get("Entrypoint")
    words = (entrypoint,) if isinstance(entrypoint, str) else tuple(entrypoint or ())
    command = body.get("Cmd")
    options = ContainerRunOptions(
        image=body["Image"],
        name=name,
        command=(command,) if isinstance(command, str) else tuple(command or ()),
        entrypoint=None if not words else () if words == ("",) else words,
        keys={key: value for key, value in keys.items() if value not in ([], "", None)},
        volumes=(*(host.get("Binds") or ()), *_anonymous(body, host)),
        mounts=tuple(_mount(mount) for mount in host.get("Mounts") or ()),
        networks=tuple(_networks(body, host)),
        links=_endpoint_links(body),
        ulimits=tuple(_ulimit(one) for one in host.get("Ulimits") or ()),
        gpus=_devices(host.get("DeviceRequests") or []),
        cpuset_mems=host.get("CpusetMems") or "",
        publish_all=bool(host.get("PublishAllPorts")),
        restart=restart_policy(host.get("RestartPolicy") or {}),
        remove=bool(host.get("AutoRemove")),
        rows=console[0],
        columns=console[1],
        pull="never",
        detach=True,
        start=False,
    )
    return options, _unheard(host)


def _refuse(body: Json, host: Json) -> None:
    """Raise ApiError for what Docker refuses, and nobody else here looks at before the start."""
    for entry in body.get("Env") or ():
        if not entry.partition("=")[0]:
            raise ApiError(400, f"invalid environment variable: {entry}")
    if (host.get("Runtime") or "") not in _RUNTIMES:
        raise ApiError(400, f"unknown or invalid runtime name: {host['Runtime']}")
    if (isolation := host.get("Isolation") or "default") != "default":
        raise ApiError(400, f'invalid isolation ({isolation}): linux only supports "default"')
    if unknown := sorted((host.get("StorageOpt") or {}).keys() - {"size"}):
        raise ApiError(400, f"unknown option {unknown[0]} of StorageOpt")


def _process_keys(body: Json) -> Json:
    stop = body.get("StopTimeout")
    return {
        "hostname": body.get("Hostname") or "",
        "domainname": body.get("Domainname") or "",
        "user": body.get("User") or "",
        "working_dir": body.get("WorkingDir") or "",
        "stop_signal": body.get("StopSignal") or "",
        "stop_grace_period": stop if stop is not None else "",
        "tty": bool(body.get("Tty")) or None,
        "stdin_open": bool(body.get("OpenStdin")) or None,
        "environment": [entry for entry in body.get("Env") or () if "=" in entry],
    }


def _health_keys(check: Json) -> Json:
    test = check.get("Test") or []
    if test == ["NONE"]:
        return {"healthcheck_disable": True}
    found: Json = {"healthcheck_test": list(test)}
    for theirs, ours in (
        ("Interval", "interval"),
        ("Timeout", "timeout"),
        ("StartPeriod", "start_period"),
        ("StartInterval", "start_interval"),
    ):
        if check.get(theirs):
            found[f"healthcheck_{ours}"] = f"{check[theirs]}ns"
    if check.get("Retries"):
        found["healthcheck_retries"] = check["Retries"]
    return found


def _host_keys(host: Json) -> Json:
    def taken(table: dict[str, str], form: Callable[[Any], Any]) -> Json:
        return {ours: form(host[theirs]) for theirs, ours in table.items() if host.get(theirs)}

    found = {**taken(_NUMBERS, str), **taken(_COUNTS, int), **taken(_TEXTS, str), **taken(_LISTS, list)}
    found |= taken(_SWITCHES, bool)
    for theirs, (ours, number) in _RATES.items():
        found[ours] = [f"{entry['Path']}:{entry[number]}" for entry in host.get(theirs) or ()]
    if host.get("NanoCpus"):
        found["cpus"] = str(host["NanoCpus"] / 1e9)
    if (swappiness := host.get("MemorySwappiness")) is not None and swappiness >= 0:
        found["mem_swappiness"] = str(swappiness)
    if host.get("Init") is not None:
        found["init"] = bool(host["Init"]) or None
    if (found.get("pids_limit") or "") == "-1":
        del found["pids_limit"]
    log = host.get("LogConfig") or {}
    found["logging_driver"] = log.get("Type") or ""
    found["logging_options"] = _pairs(log.get("Config") or {})
    found["annotations"] = _pairs(host.get("Annotations") or {})
    found["sysctls"] = _pairs(host.get("Sysctls") or {})
    tmpfs = (host.get("Tmpfs") or {}).items()
    found["tmpfs"] = [f"{target}:{options}" if options else target for target, options in tmpfs]
    found["devices"] = [
        f"{one['PathOnHost']}:{one.get('PathInContainer') or one['PathOnHost']}:{one.get('CgroupPermissions') or 'rwm'}"
        for one in host.get("Devices") or ()
    ]
    found["external_links"] = [_link(text) for text in host.get("Links") or ()]
    # What clients make of `systempaths=unconfined`; null is what Docker masks by itself.
    if host.get("MaskedPaths") == [] and host.get("ReadonlyPaths") == []:
        found["security_opt"] = [*found.get("security_opt", ()), "systempaths=unconfined"]
    return found


def _pairs(found: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in found.items()]


def _labels(labels: dict[str, str]) -> list[str]:
    """Return the labels; Compose's are this container's own, not those by which we know our projects'."""
    return [f"{GIVEN if key.startswith(PREFIX) else ''}{key}={value}" for key, value in labels.items()]


def _link(text: str) -> str:
    """Return a link as it was written: `inspect` shows /name:/container/alias."""
    name, _, alias = text.partition(":")
    alias = alias.rpartition("/")[2]
    return f"{name.removeprefix('/')}:{alias}" if alias else name.removeprefix("/")


def _ports(bindings: dict[str, list[Json] | None]) -> Iterable[str]:
    for target, places in bindings.items():
        number, _, protocol = target.partition("/")
        for place in places or [{}]:
            ip, port = place.get("HostIp") or "", place.get("HostPort") or ""
            ip = f"[{ip}]" if ":" in ip else ip
            head = f"{ip}:{port}:" if ip else f"{port}:" if port and port != "0" else ""
            yield f"{head}{number}/{protocol or 'tcp'}"


def _ulimit(one: Json) -> str:
    return f"{one['Name']}={one['Soft']}:{one['Hard']}"


def _devices(requests: list[Json]) -> str:
    """Return what `--gpus` would say. Raises ApiError for what it can't."""
    if not requests:
        return ""
    if len(requests) > 1:
        raise ApiError(400, "DeviceRequests: one of them can be made here")
    (request,) = requests
    kinds = [kind for kinds in request.get("Capabilities") or () for kind in kinds if kind != "gpu"]
    parts = [f"driver={request['Driver']}"] if request.get("Driver") else []
    if request.get("DeviceIDs"):
        parts += [_csv([f"device={','.join(request['DeviceIDs'])}"])]
    elif request.get("Count"):
        parts += ["count=all" if request["Count"] < 0 else f"count={request['Count']}"]
    parts += [_csv([f"capabilities={','.join(kinds)}"])] if kinds else []
    return ",".join(parts) or "all"


def _csv(fields: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue()


def _anonymous(body: Json, host: Json) -> Iterator[str]:
    """Yield the places of `Volumes` where nothing else is mounted (moby createContainerOSSpecificSettings).

    Docker's SDK for Python lists the places of its binds there, too.
    """
    taken = {os.path.normpath(mount.get("Target") or "") for mount in host.get("Mounts") or ()}
    for bind in host.get("Binds") or ():
        first, colon, rest = bind.partition(":")
        taken.add(os.path.normpath(rest.partition(":")[0] if colon else first))
    yield from (place for place in body.get("Volumes") or () if os.path.normpath(place) not in taken)


def _mount(mount: Json) -> str:
    """Return a mount as `--mount` has it. Raises ApiError for what that doesn't know."""
    bind, volume = mount.get("BindOptions") or {}, mount.get("VolumeOptions") or {}
    tmpfs = mount.get("TmpfsOptions") or {}
    driver = volume.get("DriverConfig") or {}
    if (driver.get("Name") or "local") != "local" or driver.get("Options"):
        raise ApiError(
            400, f"mount {mount.get('Target')}: make the volume first to give it a driver or options"
        )
    fields = [f"type={mount.get('Type') or 'volume'}"]
    fields += [f"source={mount['Source']}"] if mount.get("Source") else []
    fields += [f"target={mount.get('Target') or ''}"]
    fields += ["readonly"] if mount.get("ReadOnly") else []
    fields += [f"bind-propagation={bind['Propagation']}"] if bind.get("Propagation") else []
    fields += ["bind-create-src"] if bind.get("CreateMountpoint") else []
    fields += ["bind-recursive=disabled"] if bind.get("NonRecursive") else []
    for key, word in (("ReadOnlyNonRecursive", "writable"), ("ReadOnlyForceRecursive", "readonly")):
        if bind.get(key) and not mount.get("ReadOnly"):
            raise ApiError(
                400, f"mount {mount.get('Target')}: mount options conflict: !ReadOnly && BindOptions.{key}"
            )
        fields += [f"bind-recursive={word}"] if bind.get(key) else []
    fields += ["volume-nocopy"] if volume.get("NoCopy") else []
    fields += [f"volume-subpath={volume['Subpath']}"] if volume.get("Subpath") else []
    fields += [f"tmpfs-size={tmpfs['SizeBytes']}"] if tmpfs.get("SizeBytes") else []
    fields += [f"tmpfs-mode={tmpfs['Mode']:o}"] if tmpfs.get("Mode") else []
    return _csv(fields)


def _networks(body: Json, host: Json) -> Iterable[str]:
    """Yield the networks as `--network` has them: that of the mode first."""
    mode = host.get("NetworkMode") or "default"
    mode = "none" if body.get("NetworkDisabled") else "bridge" if mode == "default" else mode
    endpoints: Json = dict((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})
    if mode in ("host", "none") or mode.startswith("container:"):
        yield mode
        return
    first = endpoints.pop(mode, None) or (endpoints.pop("default", None) if mode == "bridge" else None)
    yield _network(mode, first or {}, body.get("MacAddress") or "")
    for name, endpoint in endpoints.items():
        yield _network(name, endpoint or {}, "")


def _endpoint_links(body: Json) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return what the container calls others on single networks."""
    endpoints: Json = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    found = {}
    for network, endpoint in endpoints.items():
        if links := (endpoint or {}).get("Links"):
            parts = (_link(text).partition(":") for text in links)
            found[network] = tuple((name, alias or name) for name, _, alias in parts)
    return found


def _network(name: str, endpoint: Json, mac: str) -> str:
    ipam = endpoint.get("IPAMConfig") or {}
    fields = [f"name={name}"]
    fields += [f"alias={alias}" for alias in endpoint.get("Aliases") or ()]
    for key, value in (
        ("ip", ipam.get("IPv4Address")),
        ("ip6", ipam.get("IPv6Address")),
        ("mac-address", endpoint.get("MacAddress") or mac),
    ):
        fields += [f"{key}={value}"] if value else []
    fields += [f"link-local-ip={address}" for address in ipam.get("LinkLocalIPs") or ()]
    return name if len(fields) == 1 else _csv(fields)


def _unheard(host: Json) -> list[str]:
    """Return what has no effect here, and would be expected to have one."""
    notes = []
    if host.get("VolumeDriver") not in (None, "", "local"):
        raise PycomposeError(f"volume driver {host['VolumeDriver']}: not found")
    if host.get("StorageOpt"):
        notes.append("StorageOpt: has no effect: containers write to the machine's own file system")
    return notes
