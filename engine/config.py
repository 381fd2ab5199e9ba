"""What the engine is given: one container as plain data, written to `containers/ID/config.json`.

Everything is decided before it gets here: names are resolved to numbers where that needs no look into the
rootfs, sources are absolute, defaults are filled in. The engine adds only what belongs to every container
(default mounts, devices, masks: rootfs.py).
"""

from __future__ import annotations

import operator
import sys
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, TypeVar

from pycompose.engine.dataclass import dataclass, field, fields, is_dataclass

DEFAULT_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
DEFAULT_SHM_BYTES = 64 * 1024 * 1024
# Words in place of a seccomp profile.
BUILTIN, UNCONFINED = "builtin", "unconfined"

T = TypeVar("T")


class MountKind(Enum):
    """What is mounted: a host file or directory, an empty tmpfs, or layers under a writable one that is thrown away."""

    BIND = "bind"
    TMPFS = "tmpfs"
    OVERLAY = "overlay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount the user asked for (volume, bind, tmpfs, secret), in the container at `target`.

    `source` is an absolute host path (BIND), or an existing directory for what is written (OVERLAY, over `lowers`,
    topmost first). `subpath` is resolved below what is mounted and may not leave it.
    What is mounted below it comes with it unless `submounts` is False; `read_only` holds there too unless `recursive`
    is False. `options` are tmpfs options (`mode=1777`, `size=64m`,
    `noexec`…), or bind flags (`nosuid`, `nodev`, `noexec`). `uid_map` and `gid_map` (id of the host, id in the
    container, count) say whose the files of a bind are; with () ids are what they are.
    """

    kind: MountKind
    target: str
    source: str = ""
    subpath: str = ""
    read_only: bool = False
    submounts: bool = True
    recursive: bool = True
    propagation: str = "rprivate"
    options: tuple[str, ...] = ()
    create_source: bool = False
    lowers: tuple[str, ...] = ()
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RootfsTree:
    """One overlay of the rootfs: absolute `lowers`, topmost first, at `target`.

    Images from files and registries have one tree at "/". The image `host` has one more per shared directory
    of the machine (`/usr`, `/opt`). Each has its own upper and work in `containers/ID/rw/N/`.
    """

    target: str = "/"
    lowers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`user[:group]` as written ("", "0", "app", "1000:1000", "app:www"), looked up inside the rootfs at start."""

    spec: str = ""
    additional_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlimit:
    """One `ulimits:` entry; -1 is infinity."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process inside the container: pid 1, an exec, a health probe.

    `env` holds "KEY=value" in order; the engine adds PATH, HOSTNAME (not without `tells_hostname`), HOME and TERM as
    Docker does (moby container/container.go `CreateDaemonEnvironment`; HOME is runc's).
    `linked` comes before them: what a start has found out about containers that this one is linked to.
    `capabilities` are names without CAP_, `apparmor` is the profile to enter ("" for none). `init` puts a reaper as
    pid 1 before `args`.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = field(default_factory=User)
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    no_new_privs: bool = False
    apparmor: str = ""
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int = 0
    tty: bool = False
    stdin_open: bool = False
    init: bool = False
    tells_hostname: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node at `target`, with cgroup `permissions` out of "rwm".

    It is that of the host at `source` (absolute), or, with a `kind` ("b" or "c"), the one of these numbers. `mode`,
    `uid` and `gid` are the host's where None.
    """

    source: str
    target: str
    permissions: str = "rwm"
    kind: str = ""
    major: int = 0
    minor: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OciHook:
    """A program of the machine that prepares a container when its files are mounted (container/hooks.py)."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRate:
    """One throttle of blkio_config: bytes or operations per second on the block device at `path`."""

    path: str
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits; None writes nothing. Units in the names; `cpus` is a fraction of processors.

    Formulas and file names per cgroup version: engine/cgroups/limits.py.
    """

    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpus: float | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    cpu_shares: int | None = None
    cpu_rt_runtime_us: int | None = None
    cpu_rt_period_us: int | None = None
    cpuset: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    blkio_weight: int | None = None
    blkio_weight_device: tuple[DeviceRate, ...] = ()
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespaces:
    """Which namespaces are the container's own.

    Each value is "private", "host", or "container:ID" (join that container's). For `network`, "private" means the
    namespace that networking has pinned at StatePaths.netns(ID) before the start; `ipc` knows "shareable" and
    "none" too.
    """

    network: str = "private"
    pid: str = "private"
    ipc: str = "private"
    uts: str = "private"
    cgroup: str = "private"
    user: str = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The hardening switches of one container.

    `seccomp` is UNCONFINED, a profile in Docker's JSON, or BUILTIN, which "" means too.
    """

    privileged: bool = False
    read_only_rootfs: bool = False
    seccomp: str = ""
    system_paths_unconfined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """`logging:`: the driver is one of logs/driver.py's; sizes in bytes, 0 is unlimited.

    Drivers that send lines away use the rest: whether a file is kept beside (`cache`), the `tag` ("" is the short id),
    and for syslog the `address` ("" is the local socket; names are resolved), `facility` number, and `format`.
    """

    driver: str = "json-file"
    max_bytes: int = 0
    max_files: int = 1
    cache: bool = True
    tag: str = ""
    address: str = ""
    facility: int = 3
    format: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """One container, complete. `id` is 64 lower-case hex digits; `name` is unique on the machine.

    `files` are generated small files, bind-mounted from the container's run directory: target → file name there
    (`/etc/hosts` → `hosts`). `stop_signal` is a number. `created_ns` is CLOCK_REALTIME.
    """

    id: str
    name: str
    project: str
    image: str = ""
    image_id: str = ""
    rootfs: tuple[RootfsTree, ...]
    process: Process
    mounts: tuple[Mount, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    domainname: str = ""
    namespaces: Namespaces = field(default_factory=Namespaces)
    security: Security = field(default_factory=Security)
    limits: Limits = field(default_factory=Limits)
    cgroup_parent: str = ""
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    hooks: tuple[OciHook, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    shm_bytes: int = DEFAULT_SHM_BYTES
    stop_signal: int = 15
    stop_grace_s: float = 10.0
    log: LogConfig = field(default_factory=LogConfig)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    created_ns: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` is the inverse."""
        return typing.cast("dict[str, Any]", plain(self))


def plain(value: object) -> Any:
    """Return `value` (dataclasses, enums, tuples, dicts) as JSON values, leaving out fields at their default."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        kind: Any = type(value)
        get_all, known = _defaults(kind)
        return {
            name: plain(current)
            for (name, default), current in zip(known, get_all(value), strict=True)
            if current is not default and current != default
        }
    return value


@cache
def _defaults(kind: type) -> tuple[Callable[[object], tuple[Any, ...]], list[tuple[str, Any]]]:
    """Return what reads all fields of a dataclass at once, and the fields with their defaults.

    One without a default is unlike everything.
    """
    names = [item.name for item in fields(kind)]
    # attrgetter gives a tuple only for several names.
    get_all: Any = operator.attrgetter(*names) if len(names) > 1 else lambda value: _values(value, names)
    return get_all, [(item.name, item.initial()) for item in fields(kind)]


def _values(value: object, names: list[str]) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in names)


def from_json(kind: type[T], value: Any) -> T:
    """Return the `kind` (one of the dataclasses above) that `plain` turned into `value`.

    Unknown keys are ignored, so that an older process can read a newer file of the same schema.
    """
    convert = _converter(kind)
    return typing.cast("T", value if convert is None else convert(value))


Converter = Callable[[Any], Any]
_CONVERTERS: dict[Any, Converter | None] = {}


def _converter(kind: Any) -> Converter | None:
    """Return what makes a `kind` of its JSON value, None where that is the value itself; made once per kind."""
    if kind not in _CONVERTERS:
        _CONVERTERS[kind] = _make_converter(kind)
    return _CONVERTERS[kind]


def _make_converter(kind: Any) -> Converter | None:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is tuple:
        item = _converter(arguments[0])
        return tuple if item is None else lambda value: tuple(map(item, value))
    if origin is dict:
        entry = _converter(arguments[1])
        return None if entry is None else lambda value: {key: entry(one) for key, one in value.items()}
    if origin in (typing.Union, types.UnionType):
        (inner,) = [option for option in arguments if option is not type(None)]
        convert = _converter(inner)
        return None if convert is None else lambda value: None if value is None else convert(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _dataclass_converter(kind) if is_dataclass(kind) else None


@cache
def _annotated(module: str, text: str) -> Any:
    """Return what an annotation means in its module; typing.get_type_hints compiles each one again (10 ms for all)."""
    return eval(text, vars(sys.modules[module]))  # noqa: S307 - the text is our own source


def _dataclass_converter(kind: Any) -> Converter:
    converters = {item.name: _converter(_annotated(kind.__module__, item.type)) for item in fields(kind)}

    def build(value: Any) -> Any:
        arguments = {}
        for key, one in value.items():
            if key in converters:
                convert = converters[key]
                arguments[key] = one if convert is None else convert(one)
        return kind(**arguments)

    return build
