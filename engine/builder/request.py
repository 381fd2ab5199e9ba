"""What a build is asked to do, and what it tells meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pycompose.engine.config import Rlimit
from pycompose.engine.dataclass import dataclass, field

STARTED, CACHED, DONE, FAILED, CANCELED, OUTPUT, WARNING = (
    "started", "cached", "done", "failed", "canceled", "output", "warning",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One secret that steps may mount: its bytes come from a file or are given; never kept, never hashed."""

    id: str
    path: str = ""
    value: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to build. `context` None is a Dockerfile alone; `dockerfile` is its text.

    `contexts` maps names → directories (absolute paths) or image references (`docker-image://…`). `no_cache` None
    builds with the cache, () without it, names of stages those without it. `source_date_epoch` clamps times.
    """

    dockerfile: str
    dockerfile_name: str = "Dockerfile"
    context: Path | None = None
    ignore_text: str = ""
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    ssh: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    network: str = "default"
    extra_hosts: tuple[str, ...] = ()
    shm_bytes: int = 64 << 20
    memory_bytes: int | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_cache: tuple[str, ...] | None = None
    pull: bool = False
    allow_insecure: bool = False
    allow_host_network: bool = False
    source_date_epoch: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """What has happened to a step. `step` is its number within the build, `title` as Docker shows it.

    `data` is a piece of a step's output (OUTPUT) or a warning's text. `took_s` comes with DONE and FAILED.
    """

    kind: str
    step: int
    title: str = ""
    data: str = ""
    took_s: float = 0.0
    size_bytes: int = 0
    reason: str = ""


OnEvent = Callable[[BuildEvent], None]
