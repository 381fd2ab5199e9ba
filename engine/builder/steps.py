"""What evaluation gives: stages as lists of steps, each with what it does to the file system."""

from __future__ import annotations

from collections.abc import Mapping

from pycompose.engine.builder.dockerfile import Heredoc, Instruction
from pycompose.engine.builder.mountflags import BIND, StepMount
from pycompose.engine.builder.remotes import is_remote
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.images.spec import ImageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A process in the stage's file system. `env` is what it sees; `script` goes to a file and is run by `args`."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    user: str
    cwd: str
    mounts: tuple[StepMount, ...] = ()
    network: str = "default"
    insecure: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    # Names in `env` that come from ARG.
    arguments: frozenset[str] = frozenset()

    @property
    def has_origins(self) -> bool:
        """Whether something is mounted, whatever it is."""
        return bool(self.mounts)

    @property
    def reads_context(self) -> bool:
        """Whether the build context is mounted."""
        return any(mount.kind == BIND and not mount.origin for mount in self.mounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Files into the stage. `origin` is a stage number, a context's or an image's name, "" the build context."""

    sources: tuple[str, ...]
    target: str
    origin: str = ""
    origin_stage: int | None = None
    is_add: bool = False
    chown: str = ""
    chmod: str = ""
    exclude: tuple[str, ...] = ()
    link: bool = False
    parents: bool = False
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def remote_sources(self) -> tuple[str, ...]:
        """The sources that are fetched: URLs and repositories of ADD."""
        return tuple(source for source in self.sources if self.is_add and is_remote(source))

    @property
    def has_origins(self) -> bool:
        """Whether files come from an image or a further context."""
        return bool(self.origin) and self.origin_stage is None

    @property
    def reads_context(self) -> bool:
        """Whether files of the build context are copied."""
        return bool(self.local_sources) and not self.origin and self.origin_stage is None

    @property
    def local_sources(self) -> tuple[str, ...]:
        """The sources in the context, or in what `origin` names."""
        return tuple(source for source in self.sources if not (self.is_add and is_remote(source)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectory:
    """WORKDIR: a directory that is there afterwards, and what had to be made of it is `user`'s."""

    path: str
    user: str = ""
    has_origins = False
    reads_context = False


Action = Run | Copy | MakeDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One instruction of a stage. `action` None: only configuration. `title` is what progress shows.

    `history` is the image's entry for it, "" for one that leaves none (ONBUILD).
    """

    instruction: Instruction
    title: str
    history: str
    action: Action | None = None
    # Stages whose result the action reads.
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """What a stage starts from, as far as evaluation needs it; `on_build` are instructions in text."""

    config: ImageConfig = field(default_factory=ImageConfig)
    on_build: tuple[str, ...] = ()
    author: str = ""
    # What it was made for, "" when it doesn't say.
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSteps:
    """A stage worked out. `base` is an image's name, or "" when `base_stage` is given; "scratch" is nothing."""

    number: int
    name: str
    base: str
    base_stage: int | None
    platform: str
    steps: tuple[Step, ...]
    config: ImageConfig
    on_build: tuple[str, ...]
    author: str
    # ARGs with a value, and what words saw at its end: a stage upon this one goes on with them.
    args: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[int, ...]:
        """The stages that this one reads from."""
        own = [number for step in self.steps for number in step.needs]
        return tuple(dict.fromkeys([*([] if self.base_stage is None else [self.base_stage]), *own]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the caller gives: --build-arg values, values of the platform, names of further contexts."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, str] = field(default_factory=dict)
    contexts: frozenset[str] = frozenset()
    allow_insecure: bool = False
    allow_host_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The stages that the target reaches, by number, the target last; and build arguments that nobody took."""

    stages: Mapping[int, StageSteps]
    target: int
    unused_arguments: tuple[str, ...]
    undefined: tuple[tuple[Instruction, str], ...] = ()
    # What FROM sees: the ARGs before the first stage, and the platform's.
    arguments: Mapping[str, str] = field(default_factory=dict)
