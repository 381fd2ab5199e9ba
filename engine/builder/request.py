"""What a build is asked to do, and what it tells meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pycompose.engine.builder.cacheoptions import CachePlace
from pycompose.engine.config import Rlimit
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import BuildError, StepFailed

HOSTNAME = "buildkitsandbox"  # what BuildKit calls the machine of its steps
STARTED, CACHED, DONE, FAILED, CANCELED, OUTPUT, NOTE, WARNING, ADVICE = (
    "started", "cached", "done", "failed", "canceled", "output", "note", "warning", "advice",
)  # fmt: skip
# What a Dockerfile is called that stands in a compose file.
INLINE_NAME = "dockerfile_inline"
# The reason for a step of a build that there was none of before.
NEVER = "never built before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One secret that steps may mount: its bytes come from a file or are given; never kept, never hashed.

    With neither it is one of a `variable` that isn't set: it is there for nobody.
    """

    id: str
    path: str = ""
    value: bytes | None = None
    variable: str = ""

    @property
    def is_there(self) -> bool:
        """Whether somebody has given it."""
        return self.value is not None or bool(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to build. `context` None is a Dockerfile alone; `dockerfile` is its text.

    `contexts` maps names → directories (absolute paths) or image references (`docker-image://…`). `no_cache` None
    builds with the cache, () without it, names of stages those without it. `source_date_epoch` clamps times.
    """

    dockerfile: str
    # Whose build it is, where several share a Dockerfile.
    names: tuple[str, ...] = ()
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
    cgroup_parent: str = ""
    rlimits: tuple[Rlimit, ...] = ()
    no_cache: tuple[str, ...] | None = None
    pull: bool = False
    allow_insecure: bool = False
    allow_host_network: bool = False
    source_date_epoch: int | None = None
    # Whether files that are younger than `source_date_epoch` get its time.
    rewrites_timestamps: bool = True
    # What a context that isn't a folder here was asked for by: it was fetched, or came in on standard input.
    context_name: str = ""
    tags: tuple[str, ...] = ()
    cache_from: tuple[CachePlace, ...] = ()
    cache_to: tuple[CachePlace, ...] = ()
    # Whether the image's configuration says what its layers came of.
    inline_cache: bool = False
    # What the build is to say that it doesn't do.
    warnings: tuple[str, ...] = ()
    # Of the image's manifest (image-spec annotations.md).
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def hostname(self) -> str:
        """What the steps' machine is called."""
        return self.arguments.get("BUILDKIT_SANDBOX_HOSTNAME") or HOSTNAME

    def does_the_same_as(self, other: BuildRequest) -> bool:
        """Tell whether both make the same layers, to the same messages: they may differ in what they are called."""
        return replace(self, names=other.names, labels=other.labels, tags=other.tags) == other

    @property
    def latest_s(self) -> int | None:
        """What no file's time may be later than, in seconds since the epoch; None leaves times alone."""
        return self.source_date_epoch if self.rewrites_timestamps else None


def check_rlimit(name: str, what: str) -> None:
    """Raise BuildError for a limit (getrlimit(2), "nofile") that there is none of; `what` begins the message."""
    from pycompose.engine.builder.instructions import suggestion  # noqa: PLC0415 - few have limits
    from pycompose.engine.linux.process import RLIMITS  # noqa: PLC0415 - as above

    if name not in RLIMITS:
        raise BuildError(
            f"{what}: invalid ulimit type: {name}",
            hint=suggestion(name, list(RLIMITS)) or f"known: {', '.join(sorted(RLIMITS))}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """What has happened to a step. `step` is its number within the build, `title` as Docker shows it.

    `data` is a piece of a step's output (OUTPUT, of `stream` 1 or 2), a warning's text, or (ADVICE) what lint has found
    in the file that `title` names. `took_s` is how long the step has been at work so far. `reason` comes with STARTED:
    why it isn't in the cache. `key` names the step for good. What is no step of the Dockerfile `is_preparation`, and
    NOTE says what has been done for it. What a stage starts from has the `base`'s name.
    """

    kind: str
    step: int
    title: str = ""
    data: str = ""
    took_s: float = 0.0
    size_bytes: int = 0
    reason: str = ""
    stream: int = 1
    key: str = ""
    is_preparation: bool = False
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugTerminal:
    """Where the shell of a failed step appears: its size, and what joins it to the user's terminal until it ends.

    `join` gets a descriptor to read what the shell writes from, and one to write what is typed to.
    """

    rows: int
    columns: int
    join: Callable[[int, int], None]


# Called with the failure of a step and what runs a shell in its place: file system, environment, mounts.
OnFailure = Callable[[StepFailed, Callable[[DebugTerminal], None]], None]
OnEvent = Callable[[BuildEvent], None]
