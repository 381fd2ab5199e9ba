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

from pycompose.engine import apparmor
from pycompose.engine.api import ContainerExited, EngineEvent, EngineGone
from pycompose.engine.builder.clearing import (
    claim,
    clear_dead,
    detach,
    end,
    end_keeper,
    remove_project,
    remove_slot,
)
from pycompose.engine.builder.mounts import MountSources, prepared
from pycompose.engine.builder.request import HOSTNAME
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
from pycompose.engine.container.uppers import remove_uppers
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import BuildError, EngineError, KeeperLost, PycomposeError
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.paths import BUILDS
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import write_json

if TYPE_CHECKING:
    from pycompose.engine.builder.request import DebugTerminal
    from pycompose.engine.builder.steps import Run
    from pycompose.engine.paths import StatePaths

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
        """Take away what was made for the slots; in a process of its own, whose descriptors are all closed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimits:
    """What every RUN of a build gets."""

    shm_bytes: int = 64 << 20
    rlimits: tuple[Rlimit, ...] = ()
    memory_bytes: int | None = None
    cgroup_parent: str = ""
    hostname: str = HOSTNAME


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
        self.project = f"{BUILDS}{os.getpid()}-{secrets.token_hex(4)}"
        self._network = network
        self._limits = limits
        self._clear = tuple(clear)
        # The lock that says that the build lives.
        self._claim = -1
        self._launched: KeeperClient | None = None
        # The same when it answers.
        self._keeper: KeeperClient | None = None
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._free: dict[str, queue.SimpleQueue[_Slot]] = {}
        self._running: dict[str, _Waiting] = {}
        self._canceled = False
        # Makes the first slot before its step has come.
        self._expecting: threading.Thread | None = None
        self._expecting_lock = threading.Lock()

    # The build's keeper

    def _launch(self) -> KeeperClient:
        """Return the keeper, which may still be starting: the caller has our lock."""
        if self._launched is None:
            if self._claim < 0:
                self._claim = claim(self.paths, self.project)
            make_directory(self.paths.project_claims(self.project))
            log = self.paths.project(self.project) / "keeper.log"
            environment = {**os.environ, **self.paths.to_environment()}
            guard = ((*self._clear, self.project), environment)
            self._launched = KeeperClient.launch_guarded(
                self.paths, self.project, log, on_event=self._on_event, guard=guard
            )
        return self._launched

    def _start(self) -> KeeperClient:
        """Return the keeper when it answers."""
        with self._lock:
            if self._keeper is None:
                keeper = self._launch()
                try:
                    keeper.ready()
                except EngineError as exc:
                    self._launched = None
                    if isinstance(exc, KeeperLost):
                        raise _keeper_died() from exc
                    raise
                self._keeper = keeper
                clear_dead(self.paths, self.project, self._clear)
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
        self._expected()
        if self._claim < 0:
            return
        # Who removes is there before the keeper's guard is taken off: whenever we are killed, one of them clears up.
        waiting, ended = os.pipe()
        detached = detach(lambda: self._remove_after(waiting), keep=(self._claim, waiting))
        os.close(waiting)
        keeper, self._keeper, self._launched = self._launched, None, None
        try:
            if keeper is not None:
                keeper.guard((), {})
                end(keeper, [slot.id for slot in self._slots])
        except EngineError:
            keeper = None
        if keeper is None:
            end_keeper(self.paths, self.project)
        if detached:
            os.write(ended, b"\0")
        else:
            self._remove()
        os.close(ended)
        os.close(self._claim)
        self._claim = -1

    def _remove_after(self, waiting: int) -> None:
        """Remove what is left when `waiting` tells that the keeper has ended; end it if there is nobody to tell so."""
        if not os.read(waiting, 1):
            end_keeper(self.paths, self.project)
        self._remove()

    def _remove(self) -> None:
        self._network.release([slot.id for slot in self._slots])
        for slot in self._slots:
            remove_slot(self.paths, slot.id)
        remove_project(self.paths, self.project)

    # Slots

    def expect(self, network: str) -> None:
        """Get the keeper and the first slot ready on a thread: a step on `network` will surely come.

        What can't be had is said to that step, which tries again.
        """
        with self._expecting_lock:
            if self._expecting is not None or self._slots or self._canceled:
                return
            self._expecting = threading.Thread(target=self._prepare, args=(network,), daemon=True)
            self._expecting.start()

    def _prepare(self, network: str) -> None:
        with contextlib.suppress(PycomposeError, OSError):
            self._free_slots(network).put(self._new_slot(network))

    def _expected(self) -> None:
        """Wait for what `expect` has begun."""
        if self._expecting is not None:
            self._expecting.join()

    def _free_slots(self, network: str) -> queue.SimpleQueue[_Slot]:
        return self._free.setdefault(network, queue.SimpleQueue())

    @contextlib.contextmanager
    def slot(self, network: str) -> Iterator[str]:
        """Yield the id of a slot on `network` ("default", "none", "host") that nobody else uses meanwhile."""
        self._expected()
        free = self._free_slots(network)
        try:
            slot = free.get_nowait()
        except queue.Empty:
            slot = self._new_slot(network)
        try:
            yield slot.id
        finally:
            self._empty(slot.id)
            free.put(slot)

    def _empty(self, container_id: str) -> None:
        """Remove what a step has written, for the next one."""
        rw = self.paths.container(container_id) / "rw"
        with contextlib.suppress(OSError):
            if rw.is_symlink():
                rw.unlink()
            remove_tree(rw)
        with contextlib.suppress(OSError):
            remove_uppers(self.paths, container_id)

    def _new_slot(self, network: str) -> _Slot:
        """Make a slot while the keeper starts, whose guard takes it away from now on."""
        with self._lock:
            self._launch()
        slot = _Slot(secrets.token_hex(32), network)
        # Claimed before anything of it exists, so that whoever clears up finds it.
        (self.paths.project_claims(self.project) / slot.id).touch()
        self._slots.append(slot)
        make_directory(self.paths.container(slot.id))
        if network == "default":
            self._network.connect(slot.id)
        elif network == "none":
            self._network.isolate(slot.id)
        self._start()
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
        with contextlib.ExitStack() as stack:
            extra = stack.enter_context(prepared(action.mounts, action.cwd, sources))
            script = stack.enter_context(_script(action, sources.scratch))
            config = self._config(container_id, action, trees, [*extra.mounts, *script], extra.env)
            stack.enter_context(_written(config, directory, sources.volatile, extra.env))
            self._write_files(container_id, action.network)
            waiting = self._running[container_id] = _Waiting()
            try:
                with _readers(output) as (stdout, stderr):
                    self._execute(keeper, container_id, stdout, stderr)
                    waiting.done.wait()
            finally:
                self._gone(keeper, container_id)
        if waiting.exited is None:
            raise _keeper_died()
        return Ended(
            exit_code=waiting.exited.exit_code,
            oom_killed=waiting.exited.oom_killed,
            directory=directory,
        )

    def interact(
        self,
        container_id: str,
        action: Run,
        trees: tuple[RootfsTree, ...],
        sources: MountSources,
        terminal: DebugTerminal,
    ) -> None:
        """Run `action` on a terminal in a slot where a step has failed, upon what that has left. Raises as `run`."""
        keeper = self._start()
        with contextlib.ExitStack() as stack:
            extra = stack.enter_context(prepared(action.mounts, action.cwd, sources))
            config = self._config(container_id, action, trees, extra.mounts, extra.env)
            config = replace(config, process=replace(config.process, tty=True, stdin_open=True))
            directory = self.paths.container(container_id)
            stack.enter_context(_written(config, directory, sources.volatile, extra.env))
            waiting = self._running[container_id] = _Waiting()
            reader, writer = os.pipe2(os.O_CLOEXEC)
            stack.callback(os.close, reader)
            stack.callback(self._gone, keeper, container_id)
            try:
                keeper.attach(
                    container_id,
                    stdout=writer,
                    patient=True,
                    early=True,
                    rows=terminal.rows,
                    columns=terminal.columns,
                )
            finally:
                os.close(writer)
            keeper.start_container(container_id)
            typed = keeper.attach(container_id).terminal
            if typed is not None:
                stack.callback(os.close, typed)
                terminal.join(reader, typed)
            waiting.done.wait()

    def _gone(self, keeper: KeeperClient, container_id: str) -> None:
        del self._running[container_id]
        with contextlib.suppress(EngineError):
            keeper.discard(container_id)

    def _execute(self, keeper: KeeperClient, container_id: str, stdout: int, stderr: int) -> None:
        """Start a container that writes to the pipes, which are its own from then on."""
        try:
            try:
                keeper.attach(container_id, stdout=stdout, stderr=stderr, patient=True, early=True)
            finally:
                os.close(stdout)
                os.close(stderr)
            keeper.start_container(container_id)
            if self._canceled:
                keeper.kill(container_id)
        except KeeperLost as exc:
            raise _keeper_died() from exc
        except EngineError as exc:
            # Nobody has heard of the container.
            reason = exc.message.removeprefix(f"container {self._name(container_id)}: ")
            raise BuildError(reason, hint=exc.hint) from exc

    def _name(self, container_id: str) -> str:
        return f"{self.project}-{container_id[:12]}"

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
            name=self._name(container_id),
            project=self.project,
            rootfs=trees,
            process=Process(
                args=action.args,
                env=(*action.env, *env),
                cwd=action.cwd,
                user=User(spec=action.user),
                rlimits=self._limits.rlimits,
                apparmor="" if action.insecure else apparmor.default_profile(),
                tells_hostname=False,
            ),
            mounts=tuple(mounts),
            files={target: name for target, name in files.items() if target not in taken},
            hostname=self._limits.hostname,
            namespaces=Namespaces(network="host" if action.network == "host" else "private"),
            security=Security(privileged=action.insecure),
            shm_bytes=self._limits.shm_bytes,
            limits=Limits(memory_bytes=self._limits.memory_bytes),
            cgroup_parent=self._limits.cgroup_parent,
            log=LogConfig(driver="none"),
            created_ns=time.time_ns(),
        )

    def _write_files(self, container_id: str, network: str) -> None:
        etc = make_directory(self.paths.etc(container_id))
        for name, text in self._network.files(container_id, network).items():
            path = etc / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)


def _keeper_died() -> BuildError:
    return BuildError("the build's keeper has died", hint="build again")


@contextlib.contextmanager
def _written(
    config: ContainerConfig, directory: Path, volatile: Path, secret_env: Sequence[str]
) -> Iterator[None]:
    """Have the configuration in `directory` for the time of the block; `secret_env` of it lies in `volatile` only.

    Afterwards it is there without `secret_env`: when the keeper has died, another one finds by it what still runs.
    """
    path = directory / "config.json"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    if not secret_env:
        write_json(path, config.to_json(), durable=False)
        yield
        return
    env = tuple(entry for entry in config.process.env if entry not in secret_env)
    public = replace(config, process=replace(config.process, env=env))
    without = directory / "without-secrets.json"
    write_json(without, public.to_json(), durable=False)
    write_json(volatile / path.name, config.to_json(), durable=False)
    path.symlink_to(volatile / path.name)
    try:
        yield
    finally:
        without.replace(path)


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
