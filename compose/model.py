"""What a compose file means, as typed values: made by config/bind.py, read by everything else.

All defaults are filled in, all paths are absolute, all names are resolved (`networks[...].name` is the name on the
machine, the key is the name in the file). Units are in the names.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from pycompose.engine.config import Limits, Rlimit
from pycompose.engine.dataclass import dataclass, field
from pycompose.errors import Location

# How the image of a `type: image` volume is named among the images of a project's services.
MOUNT_PREFIX = "image:"
# The service's extension that waits for the grace period although process 1 can't have got the stop signal.
STOP_WAIT = "x-stop-wait"
# The service's extension that limits what it may do by Docker's socket, and what it speaks of.
SOCKET = "x-socket"
SOCKET_NOUNS = ("containers", "exec", "events", "images", "networks", "volumes", "build", "system")
# The extension of a mount that says which user of the machine is which one of the container.
IDMAP = "x-idmap"


def split_security_option(option: str) -> tuple[str, str]:
    """Return key and value ("" when it has none) of a `security_opt`: `key=value`, or `key:value` as of old."""
    key, _, value = option.partition("=" if "=" in option else ":")
    return key.strip(), value.strip()


class Condition(Enum):
    """What `depends_on` waits for."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One `depends_on` entry, also those implied by links, volumes_from and shared namespaces."""

    service: str
    condition: Condition = Condition.STARTED
    restart: bool = False
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One published or exposed port. `published` is None for "any free one", else an inclusive range of host ports."""

    target: int
    published: tuple[int, int] | None = None
    host_ip: str = ""
    protocol: str = "tcp"
    name: str = ""
    mode: str = "ingress"
    app_protocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceVolume:
    """One entry of `services.*.volumes`, long form. `kind`: bind, volume, tmpfs, image.

    `source` is an absolute path (bind), a volume key (volume, "" = anonymous) or an image reference (image).
    `uid_map` and `gid_map` (`x-idmap`) are ranges of ids: that of the machine, that in the container, how many.
    """

    kind: str
    target: str
    source: str = ""
    read_only: bool = False
    subpath: str = ""
    nocopy: bool = False
    create_host_path: bool = True
    propagation: str = ""
    recursive: str = ""
    selinux: str = ""
    tmpfs_size_bytes: int | None = None
    tmpfs_mode: int | None = None
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """A secret or config as a service uses it: `source` is the top-level key, `target` absolute in the container.

    What isn't said of owner and mode is as the file has it, else root's and 0444.
    """

    source: str
    target: str
    uid: str = ""
    gid: str = ""
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileObject:
    """A top-level secret or config; exactly one of file, variable, content, external is used.

    `environment` is the value of `variable`, None when it isn't set.
    """

    key: str
    name: str
    file: str | None = None
    environment: str | None = None
    variable: str = ""
    content: str | None = None
    external: bool = False
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A healthcheck. `test` is the full list: ("CMD", …), ("CMD-SHELL", text) or ("NONE",).

    None means "not said": the image's healthcheck fills it, then the defaults of health.py.
    """

    test: tuple[str, ...] | None = None
    interval_s: float | None = None
    timeout_s: float | None = None
    start_period_s: float | None = None
    start_interval_s: float | None = None
    retries: int | None = None
    disable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Restart policy: `kind` no, always, on-failure, unless-stopped; `max_attempts` None is unlimited."""

    kind: str = "no"
    max_attempts: int | None = None
    delay_s: float | None = None
    window_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How a service sits on one network. `network` is the key in the file.

    `links` are (container, alias) that only requests of the Engine API and `network connect` have.
    """

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    mac_address: str = ""
    interface_name: str = ""
    priority: int = 0
    gw_priority: int = 0
    driver_opts: dict[str, str] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A `post_start`, `pre_stop` or `pre_start` entry."""

    command: tuple[str, ...]
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: tuple[str, ...] = ()
    image: str = ""
    per_replica: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """`logging:` as written."""

    driver: str = ""
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMapping:
    """One `devices:` entry."""

    source: str
    target: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """Devices by what they can do, or by name: `gpus`, `deploy…reservations.devices`, `devices: vendor.com/class=name`.

    `count` is -1 for all, and doesn't matter with `device_ids`; the driver "cdi" takes qualified names.
    """

    driver: str = ""
    capabilities: tuple[str, ...] = ()
    count: int = 0
    device_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRule:
    """One `develop.watch` entry; `initial_sync` is None where nothing is said. `extensions` are its `x-*` keys.

    `at` is where it stands, without its path; `written` is the path before its links were followed.
    """

    path: str
    action: str
    target: str = ""
    written: str = ""
    ignore: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    initial_sync: bool | None = None
    exec: Hook | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    at: Location = field(default_factory=Location)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """`build:`; `tree` is the canonical mapping for what isn't typed yet."""

    context: str
    dockerfile: str = "Dockerfile"
    tree: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. `command`/`entrypoint`: None is "from the image", () is "cleared".

    `environment` holds KEY → value, None for a key to be removed; env_file is already folded in. `hash` is the
    config hash (hashing.py) of the canonical tree. `network_mode` is "" unless given. `replicas` is scale or
    deploy.replicas. `extensions` are the `x-*` keys.
    """

    name: str
    image: str = ""
    build: Build | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    user: str = ""
    group_add: tuple[str, ...] = ()
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    container_name: str = ""
    replicas: int = 1
    depends_on: tuple[Dependency, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    external_links: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[ServiceVolume, ...] = ()
    volumes_from: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    networks: tuple[Endpoint, ...] = ()
    network_mode: str = ""
    mac_address: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    health: Health | None = None
    restart: Restart = field(default_factory=Restart)
    stop_signal: str = ""
    stop_grace_s: float | None = None
    limits: Limits = field(default_factory=Limits)
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int = 0
    shm_bytes: int | None = None
    sysctls: dict[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    read_only: bool = False
    security_opt: tuple[str, ...] = ()
    devices: tuple[DeviceMapping, ...] = ()
    device_requests: tuple[DeviceRequest, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroup: str = ""
    cgroup_parent: str = ""
    userns_mode: str = ""
    init: bool = False
    tty: bool = False
    stdin_open: bool = False
    platform: str = ""
    pull_policy: str = ""
    logging: Logging = field(default_factory=Logging)
    attach: bool = True
    profiles: tuple[str, ...] = ()
    pre_start: tuple[Hook, ...] = ()
    post_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    watch: tuple[WatchRule, ...] = ()
    update_order: str = "stop-first"
    provider: dict[str, Any] | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    hash: str = ""

    def joined_containers(self) -> list[str]:
        """Return the names in `container:NAME` of its namespaces and volumes_from."""
        modes = (self.network_mode, self.pid, self.ipc, *self.volumes_from)
        return [mode.split(":")[1] for mode in modes if mode.startswith("container:")]


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamPool:
    """One `ipam.config` entry; all as written."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = field(default_factory=dict)


# The network that `network_mode: bridge` and containers without a project are on: one for the whole machine.
DEFAULT_BRIDGE = "bridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A top-level network."""

    key: str
    name: str
    driver: str = "bridge"
    external: bool = False
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    ipam: tuple[IpamPool, ...] = ()
    ipam_options: dict[str, str] = field(default_factory=dict)
    driver_opts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A top-level volume."""

    key: str
    name: str
    driver: str = "local"
    external: bool = False
    driver_opts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A whole project after profiles and selection.

    `services` are the enabled ones, `disabled_services` those that profiles switch off. `files` are the compose
    files as given, absolute. `environment` is what interpolation saw. `separator` stands in names of containers and
    images: "_" with `--compatibility`. `isolated`: a copy that may run beside others.
    """

    name: str
    directory: str
    files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    services: dict[str, Service] = field(default_factory=dict)
    disabled_services: dict[str, Service] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    secrets: dict[str, FileObject] = field(default_factory=dict)
    configs: dict[str, FileObject] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    separator: str = "-"
    isolated: bool = False

    def joined(self, *parts: str) -> str:
        """Return the name on the machine of something of the project: `project-service-1`."""
        return self.separator.join((self.name, *parts))

    def container_owners(self) -> dict[str, str]:
        """Return the names of the containers that `services` have, each with its service."""
        return {
            service.container_name or self.joined(service.name, str(number)): service.name
            for service in self.services.values()
            for number in range(1, service.replicas + 1)
        }
