"""What the command line asks of the use cases: one frozen dataclass per command.

The fields mirror Docker Compose's flags (reference: its 2.40 `--help`). Durations are seconds as float,
moments are CLOCK_REALTIME nanoseconds, `services` is the selection by name, () meaning all of them.

What only looks is in query_options.py, and offered here too.
"""

from __future__ import annotations

from typing import Any

from pycompose.client.query_options import (
    EventsOptions,
    ExportOptions,
    FollowOptions,
    ImagesOptions,
    LogsOptions,
    LsOptions,
    PortOptions,
    PsOptions,
    StatsOptions,
    TopOptions,
    VolumesOptions,
    WaitOptions,
)
from pycompose.engine.dataclass import dataclass, field

__all__ = [
    "AttachOptions",
    "ChangeOptions",
    "CommitOptions",
    "ContainerRunOptions",
    "CpOptions",
    "CreateOptions",
    "DownOptions",
    "EventsOptions",
    "ExecOptions",
    "ExportOptions",
    "FollowOptions",
    "ImageOptions",
    "ImagesOptions",
    "KillOptions",
    "LogsOptions",
    "LsOptions",
    "PauseOptions",
    "PortOptions",
    "PsOptions",
    "PullOptions",
    "PushOptions",
    "RestartOptions",
    "RmOptions",
    "RunOptions",
    "ScaleOptions",
    "StartOptions",
    "StatsOptions",
    "StopOptions",
    "TopOptions",
    "UpOptions",
    "VolumesOptions",
    "WaitOptions",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOptions:
    """Shared by every command that changes something.

    `dry_run` emits the events of the plan and changes nothing. `parallel` bounds the engine calls that run at
    the same time, None is no bound.
    """

    dry_run: bool = False
    parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions(ChangeOptions):
    """How images are got ready: `pull` is always, missing, never, build or "" (each service's own policy)."""

    build: bool = False
    no_build: bool = False
    pull: str = ""
    quiet_pull: bool = False
    quiet_build: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions(ImageOptions):
    """`create`, and what `up` shares with it.

    `scale` holds (service, replicas); `yes` answers every question.

    `ignore_orphans` (COMPOSE_IGNORE_ORPHANS) keeps the warning about orphans away. `timeout_s` None is each
    service's own grace period. `open_firewall` has iptables of others let the project's networks through.
    """

    services: tuple[str, ...] = ()
    force_recreate: bool = False
    no_recreate: bool = False
    always_recreate_deps: bool = False
    renew_anon_volumes: bool = False
    no_deps: bool = False
    remove_orphans: bool = False
    ignore_orphans: bool = False
    open_firewall: bool = False
    scale: tuple[tuple[str, int], ...] = ()
    timeout_s: float | None = None
    all_resources: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions(CreateOptions):
    """`up`: create, then start in dependency order, then perhaps wait until running or healthy.

    `wait_timeout_s` None is no limit. Attaching is not part of it: the command line follows with
    FollowOptions. With `hook_output`, events with a `source` tell what hooks print.
    """

    no_start: bool = False
    wait: bool = False
    wait_timeout_s: float | None = None
    hook_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DownOptions(ChangeOptions):
    """`down`; `rmi` is "", "local" or "all"."""

    services: tuple[str, ...] = ()
    remove_orphans: bool = False
    rmi: str = ""
    timeout_s: float | None = None
    volumes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions(ChangeOptions):
    """`start` of existing containers; `wait` until running or healthy."""

    services: tuple[str, ...] = ()
    wait: bool = False
    wait_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOptions(ChangeOptions):
    """`stop`; `timeout_s` None is each service's own grace period. `hook_output` as in UpOptions."""

    services: tuple[str, ...] = ()
    timeout_s: float | None = None
    hook_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartOptions(ChangeOptions):
    """`restart`; `no_deps` leaves dependants with `restart: true` alone."""

    services: tuple[str, ...] = ()
    no_deps: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillOptions(ChangeOptions):
    """`kill`; `signal` as written: "SIGKILL", "TERM", "9"."""

    services: tuple[str, ...] = ()
    signal: str = "SIGKILL"
    remove_orphans: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RmOptions(ChangeOptions):
    """`rm` of stopped containers; `stop` stops them first, `volumes` takes their anonymous volumes too."""

    services: tuple[str, ...] = ()
    stop: bool = False
    volumes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOptions(ChangeOptions):
    """`scale SERVICE=N…`; `scale` holds (service, replicas)."""

    scale: tuple[tuple[str, int], ...]
    no_deps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseOptions(ChangeOptions):
    """`pause` and `unpause`."""

    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOptions:
    """`exec`. `index` 0 is the lowest running replica. `env` holds "KEY=value" or "KEY" (from the caller).

    `container` is an id and beats `service` and `index`. `rows` and `columns` are the first size of the terminal,
    0 without one. A `silent` one has no streams, but its end is told.
    """

    service: str
    command: tuple[str, ...]
    container: str = ""
    detach: bool = False
    silent: bool = False
    env: tuple[str, ...] = ()
    index: int = 0
    privileged: bool = False
    tty: bool = False
    interactive: bool = True
    user: str = ""
    workdir: str = ""
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(ImageOptions):
    """`run`: one one-off container.

    `command` () is the service's own; `entrypoint` None likewise, () clears it.

    `env` holds "KEY=value" or "KEY"; `publish` and `volumes` are short syntax as written.
    """

    service: str
    command: tuple[str, ...] = ()
    detach: bool = False
    remove: bool = False
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    name: str = ""
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    interactive: bool = True
    tty: bool = False
    no_deps: bool = False
    publish: tuple[str, ...] = ()
    service_ports: bool = False
    use_aliases: bool = False
    remove_orphans: bool = False
    ignore_orphans: bool = False
    user: str = ""
    volumes: tuple[str, ...] = ()
    workdir: str = ""
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRunOptions(ImageOptions):
    """`container run` and `create`. `keys` has the value of each flag of run_flags.FLAGS by its `key`, as far as given.

    `entrypoint` None is the image's, () none. `cidfile` gets the id. With `start` False the container is only made.
    `outputs` are those that the session gets, `links` the (container, alias) for one network each.
    """

    image: str
    command: tuple[str, ...] = ()
    keys: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    entrypoint: tuple[str, ...] | None = None
    env_files: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    links: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    ulimits: tuple[str, ...] = ()
    gpus: str = ""
    cpuset_mems: str = ""
    publish_all: bool = False
    restart: dict[str, Any] | None = None
    remove: bool = False
    detach: bool = False
    start: bool = True
    cidfile: str = ""
    outputs: tuple[str, ...] = ("stdout", "stderr")
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    """`attach` to process 1 of a running container; `index` 0 is the lowest replica, `container` an id beats it.

    One with this id that doesn't run is attached to before its start if that `waits` for it.
    """

    service: str
    container: str = ""
    index: int = 0
    stdin: bool = True
    waits: bool = False
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CpOptions(ChangeOptions):
    """`cp` between `path` in the containers of `service` and `local` on the host ("-" is a tar stream).

    `index` 0 is: out of the lowest replica, into every one. `all` includes one-off containers. `container` is an id and
    beats service and index.
    """

    service: str
    container: str = ""
    path: str
    local: str
    to_container: bool
    all: bool = False
    archive: bool = False
    follow_link: bool = False
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOptions(ChangeOptions):
    """`commit` of a container as image `reference` ("" leaves it nameless).

    `changes` are Dockerfile instructions, to be applied to `config` (of an image, in Docker's form) in place of the
    container's, if there is any. `container` is an id and beats service and index.
    """

    service: str
    container: str = ""
    reference: str = ""
    author: str = ""
    changes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    pause: bool = True
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions(ChangeOptions):
    """`pull` of the services' images; `policy` is "", "missing" or "always"."""

    services: tuple[str, ...] = ()
    ignore_buildable: bool = False
    ignore_pull_failures: bool = False
    include_deps: bool = False
    policy: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions(ChangeOptions):
    """`push` of the services' images."""

    services: tuple[str, ...] = ()
    ignore_push_failures: bool = False
    include_deps: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions(ChangeOptions):
    """`build`. `build_args` are NAME=VALUE or NAME, `ssh` ID or ID=SOCKET."""

    services: tuple[str, ...] = ()
    build_args: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    push: bool = False
    quiet: bool = False
    ssh: tuple[str, ...] = ()
    memory_bytes: int | None = None
    with_dependencies: bool = False
    check: bool = False
