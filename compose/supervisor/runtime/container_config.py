"""From a service and its image to the container the engine is given: every rule of `docker run` that is only data.

No side effects: directories, addresses and volumes are made by containers.py, which passes what it made as `Parts`.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from pycompose.engine import apparmor
from pycompose.engine.config import (
    DEFAULT_CAPABILITIES,
    DEFAULT_SHM_BYTES,
    ContainerConfig,
    Device,
    Mount,
    MountKind,
    Namespaces,
    Process,
    Security,
    User,
)
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import EngineError
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.engine.linux.fs import clean
from pycompose.engine.machine import has_apparmor
from pycompose.labels import (
    CONFIG_FILES,
    CONFIG_HASH,
    DEPENDS_ON,
    ENVIRONMENT_FILE,
    HOOK,
    IMAGE,
    NUMBER,
    ONEOFF,
    PROJECT,
    REPLACE,
    SERVICE,
    VERSION,
    WORKING_DIR,
)
from pycompose.model import split_security_option
from pycompose.supervisor.runtime.log_config import log_config, tag_values
from pycompose.units import parse_bool

if TYPE_CHECKING:
    from pycompose.engine.images.spec import Image
    from pycompose.model import Project, Service

DEFAULT_GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What exists for the container already.

    `joined` maps "service:x" → container id, `hostname` is that of the container whose network is joined, `replaces`
    the id of the container that this one replaces, `hook` the kind of hook that it is for.
    """

    id: str
    name: str
    number: int
    mounts: tuple[Mount, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    created_ns: int = 0
    oneoff: bool = False
    hook: str = ""
    version: str = ""
    hostname: str = ""
    replaces: str = ""


def container_config(project: Project, service: Service, image: Image, parts: Parts) -> ContainerConfig:
    """Return the complete container; raises EngineError naming the service and the key."""
    return ContainerConfig(
        id=parts.id,
        name=parts.name,
        project=project.name,
        image=service.image or image.reference,
        image_id=image.id,
        rootfs=image.trees,
        process=_process(service, image),
        mounts=tuple(
            sorted((*parts.mounts, *tmpfs_mounts(service)), key=lambda m: m.target.rstrip("/").count("/"))
        ),
        files=parts.files,
        hostname=service.hostname or _default_hostname(service, parts),
        domainname=service.domainname,
        namespaces=_namespaces(service, parts),
        security=_security(service),
        limits=service.limits,
        cgroup_parent=service.cgroup_parent,
        devices=tuple(
            Device(source=d.source, target=d.target, permissions=d.permissions) for d in service.devices
        ),
        device_cgroup_rules=service.device_cgroup_rules,
        sysctls=service.sysctls,
        shm_bytes=DEFAULT_SHM_BYTES if service.shm_bytes is None else service.shm_bytes,
        stop_signal=signal_number(service.stop_signal or image.config.stop_signal or "SIGTERM"),
        stop_grace_s=DEFAULT_GRACE_S if service.stop_grace_s is None else service.stop_grace_s,
        log=log_config(service, tag_values(parts.id, parts.name, service.image or image.reference, image.id)),
        labels=_labels(project, service, image, parts),
        annotations=service.annotations,
        created_ns=parts.created_ns,
    )


def _default_hostname(service: Service, parts: Parts) -> str:
    """Return the short id, or the machine's name where its network or its names are shared, as Docker does."""
    if service.uts == "host":
        return ""
    return os.uname().nodename if service.network_mode == "host" else parts.hostname or parts.id[:12]


def _process(service: Service, image: Image) -> Process:
    entrypoint = image.config.entrypoint if service.entrypoint is None else service.entrypoint
    # An entrypoint of the service's own discards the image's command (compose-spec, "entrypoint").
    inherited = image.config.cmd if service.entrypoint is None else ()
    args = (*entrypoint, *(inherited if service.command is None else service.command))
    if not args:
        raise EngineError(
            f"service {service.name}: no command: neither the service nor image {image.reference} has one",
            hint="add `command:` to the service",
        )
    if service.working_dir and not service.working_dir.startswith("/"):
        raise EngineError(
            f"service {service.name}: working directory {service.working_dir!r} is not absolute",
            hint="begin it with a slash",
        )
    return Process(
        args=args,
        env=merge_environment(image.config.env, service.environment),
        cwd=clean(service.working_dir or image.config.working_dir),  # as Docker does
        user=User(spec=service.user or image.config.user, additional_groups=service.group_add),
        capabilities=capabilities(service),
        no_new_privs=_no_new_privileges(service),
        apparmor=_apparmor(service),
        rlimits=service.rlimits,
        oom_score_adj=service.oom_score_adj,
        tty=service.tty,
        stdin_open=service.stdin_open,
        init=service.init,
    )


def merge_environment(image: tuple[str, ...], service: dict[str, str | None]) -> tuple[str, ...]:
    """Return the image's variables with the service's over them: a same key keeps its place, None removes it."""
    merged: dict[str, str | None] = {}
    for entry in image:
        key, _, value = entry.partition("=")
        merged[key] = value
    merged.update(service)
    return tuple(f"{key}={value}" for key, value in merged.items() if value is not None)


def capabilities(service: Service) -> tuple[str, ...]:
    """Return the capability names after `cap_drop`, then `cap_add` (moby oci/caps); raises EngineError on a typo."""
    if service.privileged:
        return tuple(CAPABILITIES)
    result = list(DEFAULT_CAPABILITIES)
    drop = [_capability(service, name) for name in service.cap_drop]
    add = [_capability(service, name) for name in service.cap_add]
    result = [] if "ALL" in drop else [name for name in result if name not in drop]
    if "ALL" in add:
        return tuple(name for name in CAPABILITIES if name not in drop)
    return tuple(dict.fromkeys([*result, *add]))


def _capability(service: Service, text: str) -> str:
    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in CAPABILITIES:
        raise EngineError(
            f"service {service.name}: unknown capability {text!r}", hint="see capabilities(7) for the names"
        )
    return name


def signal_number(text: str) -> int:
    """Return the number of a signal given as "SIGTERM", "TERM", "15" or "RTMIN+3"; raises EngineError."""
    name = text.strip().upper().removeprefix("SIG")
    if name.isdigit() and 0 < int(name) < signal.NSIG:
        return int(name)
    base, _, offset = name.partition("+")
    try:
        number = int(signal.Signals[f"SIG{base}"])
        return number + int(offset or 0)
    except (KeyError, ValueError):
        raise EngineError(
            f"unknown signal {text!r}", hint="use a name such as SIGTERM, or a number"
        ) from None


def _option(service: Service, name: str) -> str | None:
    """Return the value of a `security_opt` ("" when it has none), None when it isn't there; the last one counts."""
    return dict(map(split_security_option, service.security_opt)).get(name)


def _no_new_privileges(service: Service) -> bool:
    value = _option(service, "no-new-privileges")
    return value is not None and (value == "" or parse_bool(value))


def _apparmor(service: Service) -> str:
    """Return the profile that is asked for, else the default one; "" for none, as where the kernel has no AppArmor."""
    profile = _option(service, "apparmor")
    if profile:
        return profile if profile != "unconfined" and has_apparmor() else ""
    return "" if service.privileged else apparmor.default_profile()


def _security(service: Service) -> Security:
    return Security(
        privileged=service.privileged,
        read_only_rootfs=service.read_only,
        seccomp=_option(service, "seccomp") or "",
        system_paths_unconfined=_option(service, "systempaths") == "unconfined",
    )


def _namespaces(service: Service, parts: Parts) -> Namespaces:
    def resolve(mode: str, default: str = "private") -> str:
        if mode in ("", "bridge", "none", "private") or mode.startswith("default"):
            return default
        return (
            f"container:{parts.joined[mode]}" if mode in parts.joined else mode
        )  # the engine refuses what it isn't

    ipc = service.ipc or "private"
    return Namespaces(
        network="private" if service.networks else resolve(service.network_mode),
        pid=resolve(service.pid),
        ipc=ipc if ipc in ("none", "shareable") else resolve(ipc),
        uts=resolve(service.uts),
        cgroup=resolve(service.cgroup),
        user="host",
    )


def tmpfs_mounts(service: Service) -> list[Mount]:
    """Return the mounts of `tmpfs:` (`/path[:options]`) with Docker's default flags; a later option of a pair wins."""
    mounts = []
    for entry in service.tmpfs:
        target, _, options = entry.partition(":")
        given = tuple(option for option in options.split(",") if option)
        mounts.append(
            Mount(kind=MountKind.TMPFS, target=target, options=("noexec", "nosuid", "nodev", *given))
        )
    return mounts


def _labels(project: Project, service: Service, image: Image, parts: Parts) -> dict[str, str]:
    depends = ",".join(
        f"{d.service}:{d.condition.value}:{'true' if d.restart else 'false'}" for d in service.depends_on
    )
    replica = {
        NUMBER: str(parts.number),
        CONFIG_HASH: service.hash,
        ONEOFF: "True" if parts.oneoff else "False",
    }
    own = {
        PROJECT: project.name,
        SERVICE: service.name,
        **({HOOK: parts.hook} if parts.hook else replica),
        DEPENDS_ON: depends,
        IMAGE: image.id,
        VERSION: parts.version,
        WORKING_DIR: project.directory,
        CONFIG_FILES: ",".join(project.files),
    }
    if parts.replaces:
        own[REPLACE] = parts.replaces
    if project.env_files:
        own[ENVIRONMENT_FILE] = ",".join(project.env_files)
    return {**image.config.labels, **service.labels, **own}
