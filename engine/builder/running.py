"""RUN: a step is a container of ours, with the walls of any other, over the layers before it.

A build has a keeper of its own and a few slots: containers that one step after the other lives in, so that a network
namespace is made once per slot, not per step. A build that is killed is cleared away by a program that the keeper
starts when its client is gone.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pycompose.engine.api import ContainerExited, EngineEvent, EngineGone
from pycompose.engine.builder.mounts import MountSources, prepared
from pycompose.engine.client import KeeperClient
from pycompose.engine.config import (
    ContainerConfig,
    Limits,
    LogConfig,
    Namespaces,
    Process,
    Rlimit,
    RootfsTree,
    Security,
    User,
)
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError, EngineError, PycomposeError
from pycompose.engine.images.removal import remove_tree
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import write_json

if TYPE_CHECKING:
    from pycompose.engine.builder.steps import Run
    from pycompose.engine.paths import StatePaths

HOSTNAME = "buildkitsandbox"  # what BuildKit calls it
_PIECE = 1 << 16


class StepNetwork(Protocol):
    """Who gives slots their networks; networking is not the engine's business."""

    def connect(self, container_id: str) -> None:
        """Pin a network namespace with a way out for the container. Raises NetworkError."""
        ...

    def isolate(self, container_id: str) -> None:
        """Pin a network namespace with nothing but a loopback device."""
        ...

    def files(self, container_id: str, mode: str) -> Mapping[str, str]:
        """Return the texts of hosts, hostname and resolv.conf."""
        ...

    def release(self, container_ids: Sequence[str]) -> None:
        """Take away what was made for the slots."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """What every RUN of a build gets."""

    shm_bytes: int = 64 << 20
    rlimits: tuple[Rlimit, ...] = ()
    memory_bytes: int | None = None


@dataclass(slots=True)
class _Slot:
    id: str
    network: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a step's process ended; `directory` has its rw/."""

    exit_code: int
    oom_killed: bool
    directory: Path


@dataclass(slots=True)
class _Waiting:
    done: threading.Event = field(default_factory=threading.Event)
    exited: ContainerExited | None = None


class StepRunner:
    """Runs the steps of one build; `close` takes all of it away.

    `clear` is a command line that clears the build away, its project's name appended, should this process die.
    """

    def __init__(
        self, paths: StatePaths, network: StepNetwork, limits: StepLimits, clear: Sequence[str]
    ) -> None:
        self.paths = paths
        self.project = f"_build-{os.getpid()}-{secrets.token_hex(4)}"
        self._network = network
        self._limits = limits
        self._clear = (*clear, self.project)
        self._keeper: KeeperClient | None = None
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._free: dict[str, queue.SimpleQueue[_Slot]] = {}
        self._running: dict[str, _Waiting] = {}
        self._canceled = False

    # The build's keeper

    def _start(self) -> KeeperClient:
        with self._lock:
            if self._keeper is None:
                make_directory(self.paths.project_claims(self.project))
                keeper = KeeperClient.start(
                    self.paths,
                    self.project,
                    on_event=self._on_event,
                    log=self.paths.project(self.project) / "keeper.log",
                )
                keeper.guard(self._clear, {**os.environ, **self.paths.to_environment()})
                self._keeper = keeper
            return self._keeper

    def _on_event(self, event: EngineEvent) -> None:
        if isinstance(event, EngineGone):
            for waiting in list(self._running.values()):
                waiting.done.set()
        elif isinstance(event, ContainerExited):
            ended = self._running.get(event.container)
            if ended is not None:
                ended.exited = event
                ended.done.set()

    def cancel(self) -> None:
        """Kill what runs, and let nothing start any more. May be called from a signal handler's thread."""
        self._canceled = True
        keeper = self._keeper
        if keeper is None:
            return
        for container_id in list(self._running):
            with contextlib.suppress(EngineError):
                keeper.kill(container_id)

    def close(self) -> None:
        """End the keeper, remove the slots and their networks."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        with contextlib.suppress(EngineError):
            keeper.guard((), {})
        for slot in self._slots:
            with contextlib.suppress(EngineError):
                keeper.discard(slot.id)
        with contextlib.suppress(EngineError):
            keeper.shutdown(force=True)
        keeper.close()
        self._network.release([slot.id for slot in self._slots])
        for slot in self._slots:
            remove_slot(self.paths, slot.id)
        remove_project(self.paths, self.project)

    # Slots

    @contextlib.contextmanager
    def slot(self, network: str) -> Iterator[str]:
        """Yield the id of a slot on `network` ("default", "none", "host") that nobody else uses meanwhile."""
        free = self._free.setdefault(network, queue.SimpleQueue())
        try:
            slot = free.get_nowait()
        except queue.Empty:
            slot = self._new_slot(network)
        try:
            yield slot.id
        finally:
            with contextlib.suppress(OSError):
                remove_tree(self.paths.container(slot.id) / "rw")
            free.put(slot)

    def _new_slot(self, network: str) -> _Slot:
        self._start()
        slot = _Slot(secrets.token_hex(32), network)
        # Claimed before anything of it exists, so that whoever clears up finds it.
        (self.paths.project_claims(self.project) / slot.id).touch()
        self._slots.append(slot)
        make_directory(self.paths.container(slot.id))
        if network == "default":
            self._network.connect(slot.id)
        elif network == "none":
            self._network.isolate(slot.id)
        return slot

    # One step

    def run(
        self,
        container_id: str,
        action: Run,
        trees: tuple[RootfsTree, ...],
        sources: MountSources,
        output: Callable[[str, bytes], None],
    ) -> Ended:
        """Run the step to its end in a slot; `output(stream, data)` gets what it prints.

        Raises BuildError when it could not be started, also what the engine raises.
        """
        keeper = self._start()
        if self._canceled:
            raise BuildError("canceled")
        directory = self.paths.container(container_id)
        with (
            prepared(action.mounts, action.cwd, sources) as extra,
            _script(action, sources.scratch) as script,
        ):
            config = self._config(container_id, action, trees, [*extra.mounts, *script], extra.env)
            write_json(directory / "config.json", config.to_json(), durable=False)
            self._write_files(container_id, action.network)
            waiting = self._running[container_id] = _Waiting()
            try:
                with _readers(output) as (stdout, stderr):
                    keeper.attach(container_id, stdout=stdout, stderr=stderr, patient=True, early=True)
                    os.close(stdout)
                    os.close(stderr)
                    keeper.start_container(container_id)
                    if self._canceled:
                        keeper.kill(container_id)
                    waiting.done.wait()
            finally:
                del self._running[container_id]
                with contextlib.suppress(EngineError):
                    keeper.discard(container_id)
        if waiting.exited is None:
            raise BuildError("the build's keeper has died", hint="build again")
        return Ended(
            exit_code=waiting.exited.exit_code,
            oom_killed=waiting.exited.oom_killed,
            directory=directory,
        )

    def _config(
        self,
        container_id: str,
        action: Run,
        trees: tuple[RootfsTree, ...],
        mounts: Sequence[Any],
        env: Sequence[str],
    ) -> ContainerConfig:
        files = {"/etc/hosts": "hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf"}
        taken = {mount.target for mount in mounts}
        return ContainerConfig(
            id=container_id,
            name=f"{self.project}-{container_id[:12]}",
            project=self.project,
            rootfs=trees,
            process=Process(
                args=action.args,
                env=(*action.env, *env),
                cwd=action.cwd,
                user=User(spec=action.user),
                rlimits=self._limits.rlimits,
            ),
            mounts=tuple(mounts),
            files={target: name for target, name in files.items() if target not in taken},
            hostname=HOSTNAME,
            namespaces=Namespaces(network="host" if action.network == "host" else "private"),
            security=Security(privileged=action.insecure),
            shm_bytes=self._limits.shm_bytes,
            limits=Limits(memory_bytes=self._limits.memory_bytes),
            log=LogConfig(driver="none"),
            created_ns=time.time_ns(),
        )

    def _write_files(self, container_id: str, network: str) -> None:
        etc = make_directory(self.paths.etc(container_id))
        for name, text in self._network.files(container_id, network).items():
            path = etc / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)


@contextlib.contextmanager
def _script(action: Run, scratch: Path) -> Iterator[list[Any]]:
    """Yield the mount of a here-document that has an interpreter of its own."""
    from pycompose.engine.config import Mount, MountKind  # noqa: PLC0415 - seldom

    if not action.heredocs:
        yield []
        return
    path = scratch / "script"
    path.write_text(action.heredocs[0].text, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o755)
    yield [Mount(kind=MountKind.BIND, target=action.args[-1], source=str(path), read_only=True)]


@contextlib.contextmanager
def _readers(output: Callable[[str, bytes], None]) -> Iterator[tuple[int, int]]:
    """Yield the writing ends of two pipes; what comes out of them is passed on until both are closed."""
    threads = []
    ends = []
    for stream in ("stdout", "stderr"):
        reader, writer = os.pipe2(os.O_CLOEXEC)
        thread = threading.Thread(target=_read, args=(reader, stream, output), daemon=True, name=stream)
        thread.start()
        threads.append(thread)
        ends.append(writer)
    yield ends[0], ends[1]
    for thread in threads:
        thread.join()


def _read(fd: int, stream: str, output: Callable[[str, bytes], None]) -> None:
    with open(fd, "rb", buffering=0) as file:
        while data := file.read(_PIECE):
            output(stream, data)


def remove_slot(paths: StatePaths, container_id: str) -> None:
    """Remove the files of a slot, and of half of one."""
    for directory in (paths.container(container_id), paths.container_run(container_id)):
        with contextlib.suppress(OSError, PycomposeError):
            remove_tree(directory)


def remove_project(paths: StatePaths, project: str) -> None:
    """Remove what the build had as a project."""
    for directory in (paths.project(project), paths.project_run(project)):
        with contextlib.suppress(OSError, PycomposeError):
            remove_tree(directory)
