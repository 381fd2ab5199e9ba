"""The parts of a service that have structure of their own: canonical nodes → model values."""

from __future__ import annotations

import posixpath
from typing import Any

from pycompose.config.syntax.idmap import IdRange, parse_idmap
from pycompose.config.syntax.ports import port_range
from pycompose.config.tree import Map, Path, location, marks
from pycompose.model import (
    IDMAP,
    Condition,
    Dependency,
    DeviceMapping,
    DeviceRequest,
    Endpoint,
    FileReference,
    Health,
    Hook,
    Port,
    Restart,
    ServiceVolume,
    WatchRule,
)
from pycompose.units import parse_duration

_CONDITIONS = {"none": "no", "on-failure": "on-failure", "any": "always"}


def depends_on(node: Map) -> tuple[Dependency, ...]:
    """Return the dependencies of a service, in the order of the file."""
    return tuple(
        Dependency(
            service=name,
            condition=Condition(value.get("condition", "service_started")),
            restart=value.get("restart", False),
            required=value.get("required", True),
        )
        for name, value in (node.get("depends_on") or {}).items()
    )


def links(entries: Any) -> tuple[tuple[str, str], ...]:
    """Return (service, alias) of `links`."""
    out = []
    for entry in entries or ():
        name, _, alias = entry.partition(":")
        out.append((name, alias or name))
    return tuple(out)


def devices(entries: Any) -> tuple[DeviceMapping, ...]:
    """Return the device files; what is a name of the Container Device Interface is a request."""
    return tuple(
        DeviceMapping(
            source=entry.get("source", ""),
            target=entry.get("target") or entry.get("source", ""),
            permissions=entry.get("permissions") or "rwm",
        )
        for entry in entries or ()
        if not _is_name(entry)
    )


def device_requests(node: Map) -> list[tuple[Path, DeviceRequest]]:
    """Return what a service asks for by name or ability, each with its path in the service.

    That is `devices` with a qualified name, `gpus`, and the reservations of `deploy`.
    """
    reserved = ("deploy", "resources", "reservations", "devices")
    resources = (node.get("deploy") or {}).get("resources") or {}
    reservations = (resources.get("reservations") or {}).get("devices")
    return [
        *(
            (("devices", index), DeviceRequest(driver="cdi", device_ids=(entry["source"],)))
            for index, entry in enumerate(node.get("devices") or ())
            if _is_name(entry)
        ),
        *(((*reserved, index), _request(entry)) for index, entry in enumerate(reservations or ())),
        *((("gpus", index), _request(entry, "gpu")) for index, entry in enumerate(node.get("gpus") or ())),
    ]


def _is_name(device: Any) -> bool:
    """Tell whether an entry of `devices` is a qualified name; Compose asks that it has no target of its own."""
    source = device.get("source", "")
    if source.startswith("/") or "=" not in source or device.get("target", source) != source:
        return False
    from pycompose.cdi.spec import split_name  # noqa: PLC0415 - few need it

    return split_name(source) is not None


def _request(entry: Any, *implied: str) -> DeviceRequest:
    count = entry.get("count", 0)
    return DeviceRequest(
        driver=entry.get("driver", ""),
        capabilities=tuple(dict.fromkeys((*(entry.get("capabilities") or ()), *implied))),
        count=-1 if count == "all" else int(count),
        device_ids=tuple(entry.get("device_ids") or ()),
    )


def ports(entries: Any) -> tuple[Port, ...]:
    """Return the published ports; "0" and nothing mean any free one."""
    out = []
    for entry in entries or ():
        text = entry.get("published", "")
        published = port_range(text, "host port") if text and text != "0" else None
        out.append(
            Port(
                target=entry["target"],
                published=published,
                host_ip=entry.get("host_ip", ""),
                protocol=entry.get("protocol", "tcp"),
                name=entry.get("name", ""),
                mode=entry.get("mode", "ingress"),
                app_protocol=entry.get("app_protocol", ""),
            )
        )
    return tuple(out)


def exposed(entries: Any) -> tuple[str, ...]:
    """Return the exposed ports, one by one: `3000-3002/udp` is `3000/udp`, `3001/udp`, `3002/udp`."""
    out = []
    for entry in entries or ():
        text, slash, protocol = entry.partition("/")
        try:
            first, last = port_range(text, "exposed port")
        except ValueError:
            out.append(entry)
            continue
        out += [f"{port}{slash}{protocol}" for port in range(first, last + 1)]
    return tuple(out)


def mounts(entries: Any) -> tuple[ServiceVolume, ...]:
    """Return the mounts of `volumes:`."""
    return tuple(_mount(entry) for entry in entries or ())


def _mount(entry: Map) -> ServiceVolume:
    bind, volume = entry.get("bind") or {}, entry.get("volume") or {}
    tmpfs, image = entry.get("tmpfs") or {}, entry.get("image") or {}
    users, groups = _idmap(entry)
    return ServiceVolume(
        kind=entry.get("type", "volume"),
        target=entry.get("target", ""),
        source=entry.get("source", ""),
        read_only=entry.get("read_only", False),
        subpath=volume.get("subpath") or image.get("subpath") or "",
        nocopy=volume.get("nocopy", False),
        create_host_path=bind.get("create_host_path", True),
        propagation=bind.get("propagation", ""),
        recursive=bind.get("recursive", ""),
        selinux=bind.get("selinux", ""),
        tmpfs_size_bytes=int(tmpfs["size"]) if "size" in tmpfs else None,
        tmpfs_mode=tmpfs.get("mode"),
        uid_map=users,
        gid_map=groups,
        labels=dict(volume.get("labels") or {}),
    )


def _idmap(entry: Map) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]]:
    """Return the ranges of `x-idmap`; a malformed one stops whoever would mount something (runnable.py)."""
    try:
        return parse_idmap(entry[IDMAP]) if IDMAP in entry else ((), ())
    except ValueError:
        return (), ()


def file_references(entries: Any, directory: str) -> tuple[FileReference, ...]:
    """Return the secrets or configs of a service; a relative target is below `directory`."""
    return tuple(
        FileReference(
            source=entry.get("source", ""),
            target=posixpath.join(directory, entry.get("target") or entry.get("source", "")),
            uid=entry.get("uid", ""),
            gid=entry.get("gid", ""),
            mode=int(entry["mode"], 8) if "mode" in entry else None,
        )
        for entry in entries or ()
    )


def endpoints(node: Map) -> tuple[Endpoint, ...]:
    """Return the networks of a service, highest priority first."""
    found = []
    for name, value in (node.get("networks") or {}).items():
        entry = value or {}
        found.append(
            Endpoint(
                network=name,
                aliases=tuple(entry.get("aliases") or ()),
                ipv4_address=entry.get("ipv4_address", ""),
                ipv6_address=entry.get("ipv6_address", ""),
                link_local_ips=tuple(entry.get("link_local_ips") or ()),
                mac_address=entry.get("mac_address", ""),
                interface_name=entry.get("interface_name", ""),
                priority=entry.get("priority", 0),
                gw_priority=entry.get("gw_priority", 0),
                driver_opts=dict(entry.get("driver_opts") or {}),
            )
        )
    return tuple(sorted(found, key=lambda endpoint: (-endpoint.priority, endpoint.network)))


def health(node: Map) -> Health:
    """Return a healthcheck; what isn't said stays None."""
    test = tuple(node["test"]) if "test" in node else None
    return Health(
        test=test,
        interval_s=_seconds(node, "interval"),
        timeout_s=_seconds(node, "timeout"),
        start_period_s=_seconds(node, "start_period"),
        start_interval_s=_seconds(node, "start_interval"),
        retries=node.get("retries"),
        disable=node.get("disable", False) or test == ("NONE",),
    )


def restart(node: Map) -> Restart:
    """Return the restart policy: deploy.restart_policy beats `restart`."""
    policy = (node.get("deploy") or {}).get("restart_policy")
    if policy is not None:
        condition = str(policy.get("condition", "any"))
        return Restart(
            kind=_CONDITIONS.get(condition, condition),
            max_attempts=policy.get("max_attempts"),
            delay_s=_seconds(policy, "delay"),
            window_s=_seconds(policy, "window"),
        )
    kind, _, attempts = node.get("restart", "no").partition(":")
    return Restart(kind=kind or "no", max_attempts=int(attempts) if attempts.isdecimal() else None)


def hooks(entries: Any) -> tuple[Hook, ...]:
    """Return the entries of pre_start, post_start or pre_stop."""
    return tuple(hook(entry) for entry in entries or ())


def hook(entry: Map) -> Hook:
    """Return one hook; a bare variable is left out."""
    environment = entry.get("environment") or {}
    return Hook(
        command=tuple(entry.get("command") or ()),
        user=entry.get("user", ""),
        privileged=entry.get("privileged", False),
        working_dir=entry.get("working_dir", ""),
        environment=tuple(f"{key}={value}" for key, value in environment.items() if value is not None),
        image=entry.get("image", ""),
        per_replica=entry.get("per_replica", False),
    )


def watch_rules(node: Map) -> tuple[WatchRule, ...]:
    """Return the rules of develop.watch, else of its old spelling x-develop, which no phase has looked at."""
    develop = node.get("develop") or node.get("x-develop")
    entries = develop.get("watch") if isinstance(develop, dict) else None
    return tuple(
        WatchRule(
            path=str(entry.get("path", "")),
            written=getattr(entry.get("path"), "written", ""),
            action=str(entry.get("action", "")),
            target=str(entry.get("target", "")),
            ignore=_texts(entry.get("ignore")),
            include=_texts(entry.get("include")),
            initial_sync=entry.get("initial_sync"),
            exec=hook(entry["exec"]) if isinstance(entry.get("exec"), dict) else None,
            extensions={key: value for key, value in entry.items() if key.startswith("x-")},
            at=location(marks(entries, index)[1]),
        )
        for index, entry in enumerate(entries or ())
        if isinstance(entry, dict)
    )


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value or ()))


def _seconds(node: Map, key: str) -> float | None:
    return parse_duration(node[key]) if key in node else None
