"""The keeper: a small process per project that clones containers, is their parent, outlives its supervisor.

It has no policy. It starts and executes what it is told, copies output to log files, writes down how
processes ended, and holds descriptors (terminals, input pipes, sockets of DNS and published ports) that a new
supervisor takes over; it starts that one, too. One thread, for it clones without any of libc's fork handlers;
nothing it does waits. When it dies the containers go on, and the next keeper adopts them.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycompose.engine.cgroups.base import Cgroup, create, open_existing
from pycompose.engine.config import ContainerConfig, Process, from_json, plain
from pycompose.engine.container import rootfs
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import (
    CgroupError,
    EngineError,
    KeeperMismatch,
    NoSuchContainer,
    PycomposeError,
    StateError,
)
from pycompose.engine.keeper import adopt, requests, reserve, spawn, wire
from pycompose.engine.keeper.attach import AttachedPipe
from pycompose.engine.keeper.connection import ClientConnection, Reply
from pycompose.engine.keeper.loop import Loop
from pycompose.engine.keeper.processes import Container, Done, Execution
from pycompose.engine.keeper.reaper import OrphanReaper
from pycompose.engine.keeper.stdio import Output
from pycompose.engine.keeper.supervisor_restart import SupervisorRestarter
from pycompose.engine.linux import caps, inherited, process, sibling, userns
from pycompose.engine.logs.driver import open_log
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status, boot_id, read_state
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json

LISTENER_FD = 3
OOM_SCORE = "-900"
_UCRED = struct.Struct("3i")
# How often it is looked whether a start that lost its supervisor has been decided.
_SETTLE_S = 0.005
# How long a start waits for what an earlier run of the container has left in its group.
_EMPTY_S = 2.0
# How long a new supervisor waits for what the one before it was starting.
_PATIENCE_S = 10.0
_GARBAGE_EXITS = 100


@dataclass(slots=True)
class _PendingAttach:
    """Who wants the output of a container that isn't started yet, and the size of the terminal it gets."""

    rows: int = 0
    columns: int = 0
    pipes: list[tuple[str, AttachedPipe]] = field(default_factory=list)


class Keeper:
    """The state of one keeper, and one method `op_NAME` per request."""

    def __init__(self, paths: StatePaths, project: str) -> None:
        self.loop = Loop()
        self._connections: set[ClientConnection] = set()
        self._paths = paths
        self._project = project
        self._launcher = spawn.Launcher(paths)
        self._containers: dict[str, Container] = {}
        self._executions: dict[str, Execution] = {}
        self._ended: dict[str, Container] = {}
        self._waiting: set[str] = set()
        self._exits = 0
        self._held: dict[str, list[int]] = {}
        self._filters: dict[str, bytes] = {}
        self._pending: dict[str, _PendingAttach] = {}
        self._restarter = SupervisorRestarter(self.loop)
        self._reaper = OrphanReaper(self.loop, self._children, self._helpers_pending)
        self._at_exit: dict[str, list[Callable[[], None]]] = {}

    def serve(self, listener: socket.socket) -> None:
        """Adopt what runs, then serve until `shutdown`."""
        for container in adopt.adopt_all(self._paths, self._project, self.loop, self._on_exit):
            self._containers[container.config.id] = container
        listener.setblocking(False)
        self.loop.watch(listener.fileno(), lambda _events: self._accept(listener))
        # What exists now is shared with every child; nothing may make the pages of it private.
        gc.disable()
        gc.collect()
        gc.freeze()
        self.loop.run()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            sock, _address = listener.accept()
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            _pid, uid, _gid = _UCRED.unpack(credentials)
            if uid in (0, os.geteuid()):
                self._connections.add(ClientConnection(sock, self.loop, self))
            else:
                sock.close()

    def handle(self, connection: ClientConnection, message: dict[str, Any], fds: list[int]) -> None:
        """Carry out one request; an error is its answer. The descriptors are ours to close."""
        number, name = message.get("id"), str(message.get("op"))
        reply = Reply(connection, number if isinstance(number, int) else -1)
        operation = getattr(self, f"op_{name}", None)
        try:
            if not connection.greeted and name != "hello":
                raise EngineError("keeper: cannot serve: no hello")
            request = requests.request_of(message)
            if operation is None or request is None:
                raise EngineError(f"keeper: cannot serve: unknown operation {name}")
            if name == "hello":
                connection.greeted = True
            operation(request, fds, reply)
        except PycomposeError as exc:
            reply.fail(exc)
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            reply.fail(EngineError(f"keeper: cannot {name}: {where}{exc.strerror or exc}"))
        except (KeyError, TypeError, ValueError) as exc:
            reply.fail(EngineError(f"keeper: cannot {name}: {type(exc).__name__}: {exc}"))
        finally:
            for fd in fds:
                os.close(fd)

    def broadcast(self, event: dict[str, Any]) -> None:
        """Tell every client."""
        for connection in list(self._connections):
            if connection.greeted:
                connection.send(event)

    def closed(self, connection: ClientConnection) -> None:
        """Forget a client; what it started goes on."""
        self._connections.discard(connection)
        self._restarter.closed(connection)

    # Containers

    def op_hello(self, request: requests.Hello, _fds: list[int], reply: Reply) -> None:
        """Compare protocol numbers. Who speaks another one gets what would end with us: he is about to replace us."""
        if request.protocol == wire.PROTOCOL:
            self._welcome(reply, time.monotonic() + _PATIENCE_S)
            return
        terminals = {name: one.terminal for name, one in self._containers.items() if one.terminal >= 0}
        inputs = [one.stdin for one in self._containers.values() if one.stdin >= 0]
        given = [*terminals.values(), *inputs][: wire.MAX_FDS]
        error = KeeperMismatch(
            f"keeper of {self._project}: speaks protocol {wire.PROTOCOL}, not {request.protocol}",
            pid=os.getpid(),
            terminals=tuple(terminals)[: len(given)],
            hint="it was started by another version of pycompose: take the project down with that one",
        )
        reply.fail(error, given)

    def _welcome(self, reply: Reply, deadline: float) -> None:
        """Answer a hello as soon as every container that an earlier client was starting runs or is gone.

        Else the next supervisor would find it neither running nor free to be started. One that hangs in a mount is
        waited for until `deadline`.
        """
        starting = self._waiting or any(not one.executed for one in self._containers.values())
        if starting and time.monotonic() < deadline:
            self.loop.after(_SETTLE_S, functools.partial(self._welcome, reply, deadline))
        else:
            reply.ok({"pid": os.getpid(), "project": self._project})

    def op_filter(self, request: requests.Filter, fds: list[int], reply: Reply) -> None:
        """Keep a filter under its name."""
        self._filters[request.name] = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
        reply.ok()

    def _filter(self, name: str) -> bytes:
        """Return the filter of that name, b"" for ""; nothing runs without one that it should have."""
        if name and name not in self._filters:
            raise EngineError(f"keeper: cannot start: no filter of system calls is called {name}")
        return self._filters.get(name, b"")

    def op_start(self, request: requests.Start, fds: list[int], reply: Reply) -> None:
        """Clone a container and answer when it has executed; hold what comes with it, too."""
        container_id = request.container
        if container_id in self._containers or container_id in self._waiting:
            raise StateError(f"container {container_id[:12]}: cannot start: it is running already")
        given = iter(fds)
        for key, count in request.hold.items():
            self._hold(key, list(itertools.islice(given, count)))
        config = from_json(ContainerConfig, read_json(self._paths.container(container_id) / "config.json"))
        packed = self._filter(request.filter)
        self._start(config, packed, reply, time.monotonic() + _EMPTY_S)

    def _start(self, config: ContainerConfig, packed: bytes, reply: Reply, deadline: float) -> None:
        """Clone a container once its earlier run has left its group: a probe may still be dying there."""
        earlier = self._ended.get(config.id)
        if earlier is not None and time.monotonic() < deadline and earlier.group.populated():
            self._waiting.add(config.id)
            self.loop.after(_SETTLE_S, functools.partial(self._start_late, config, packed, reply, deadline))
            return

        def done(error: EngineError | None) -> None:
            if error:
                reply.fail(error)
            else:
                reply.ok()

        self._containers[config.id] = self._clone(config, packed, done)

    def _start_late(self, config: ContainerConfig, packed: bytes, reply: Reply, deadline: float) -> None:
        try:
            if config.id not in self._waiting:
                raise StateError(f"container {config.name}: cannot start: it is being removed")
            self._waiting.discard(config.id)
            self._start(config, packed, reply, deadline)
        except (PycomposeError, OSError) as exc:
            reply.fail(exc)

    def _clone(self, config: ContainerConfig, packed: bytes, done: Done) -> Container:
        """Make everything that a container has outside and clone it; leave nothing behind when that fails."""
        directory = self._paths.container_run(config.id)
        restarts = read_state(self._paths, config.id).restart_count
        earlier = self._ended.get(config.id)
        if earlier is not None:
            earlier.abandon_group()
        make_directory(directory)
        (directory / "exit.json").unlink(missing_ok=True)
        with contextlib.ExitStack() as undo:
            copy = Output(self.loop, open_log(self._paths, config, self.loop))
            undo.callback(copy.close)
            pending = self._pending.pop(config.id, _PendingAttach())
            for stream, pipe in pending.pipes:
                copy.attach(pipe, stream)
            pipes = spawn.make_pipes(directory, config.process)
            theirs = contextlib.ExitStack()
            for fd in pipes.child:
                if fd >= 0:
                    theirs.callback(os.close, fd)
            undo.enter_context(theirs)
            for fd, stream in ((pipes.stdout, "stdout"), (pipes.stderr, "stderr")):
                if fd >= 0:
                    copy.add(fd, stream)
            group = create(
                self._paths,
                config.id,
                config.limits,
                parent=config.cgroup_parent,
                devices=config.devices,
                device_rules=config.device_cgroup_rules,
                privileged=config.security.privileged,
            )
            undo.callback(_quietly(group.remove))
            child = self._launcher.container(config, packed, group, pipes, (pending.rows, pending.columns))
            theirs.close()
            container = Container(
                self.loop, config, group, copy, directory, child=child, done=done, on_exit=self._on_exit
            )
            container.stdin = pipes.stdin
            container.state = replace(container.state, restart_count=restarts)
            undo.pop_all()
        self._ended.pop(config.id, None)
        return container

    def op_exec(self, request: requests.Exec, fds: list[int], reply: Reply) -> None:
        """Execute a process in a running container; answer when it has executed."""
        container = self._container(request.container)
        if container.state.status is not Status.RUNNING:
            raise StateError(f"container {container.config.name}: cannot execute: it is {container.status}")
        wanted = request.process
        given = iter(fds)
        stdio = [next(given) if there else -1 for there in request.streams]
        exec_id = os.urandom(8).hex()
        group = container.group.exec_leaf(exec_id)
        try:
            child = self._launcher.execution(
                container.config,
                wanted,
                self._filter(request.filter),
                group,
                (container.state.pid, container.pidfd),
                stdio=(stdio[0], stdio[1], stdio[2]),
                size=(request.rows, request.columns),
                room=container.group.has_room(2),
            )
        except BaseException:
            _quietly(group.remove)()
            raise
        finally:
            group.close()

        def done(error: EngineError | None) -> None:
            if error:
                reply.fail(error)
                return
            master = [execution.terminal] if execution.terminal >= 0 else []
            reply.ok({"exec": exec_id, "pid": execution.pid}, master)

        execution = Execution(
            self.loop, exec_id, container, group, child, done=done, on_exit=self._on_exec_exit
        )
        self._executions[exec_id] = execution

    def op_signal(self, request: requests.SignalContainer, _fds: list[int], reply: Reply) -> None:
        """Signal the first process of a container."""
        self._container(request.container).signal(request.signal)
        reply.ok()

    def op_signal_exec(self, request: requests.SignalExec, _fds: list[int], reply: Reply) -> None:
        """Signal an executed process."""
        self._execution(request.exec).signal(request.signal)
        reply.ok()

    def op_kill(self, request: requests.Kill, _fds: list[int], reply: Reply) -> None:
        """SIGKILL a whole container."""
        self._container(request.container).kill()
        reply.ok()

    def op_kill_exec(self, request: requests.KillExec, _fds: list[int], reply: Reply) -> None:
        """SIGKILL an executed process and what it started."""
        self._execution(request.exec).kill()
        reply.ok()

    def op_pause(self, request: requests.Pause, _fds: list[int], reply: Reply) -> None:
        """Freeze a container."""
        self._container(request.container).pause(paused=True)
        reply.ok()

    def op_unpause(self, request: requests.Unpause, _fds: list[int], reply: Reply) -> None:
        """Thaw a container."""
        self._container(request.container).pause(paused=False)
        reply.ok()

    def op_resize(self, request: requests.Resize, _fds: list[int], reply: Reply) -> None:
        """Set the size of a terminal."""
        name = request.target
        target = self._executions.get(name) or self._containers.get(name)
        if target is None:
            raise NoSuchContainer(f"container {name[:12]}: cannot resize: not running here")
        target.resize(request.rows, request.columns)
        reply.ok()

    def op_attach(self, request: requests.Attach, fds: list[int], reply: Reply) -> None:
        """Pass output on to pipes, hand out the input and the terminal."""
        container_id = request.container
        container = None if request.early else self._container(request.container)
        pipes: list[tuple[str, AttachedPipe]] = []
        for fd, stream in zip(fds, request.streams, strict=True):
            pipes.append((stream, AttachedPipe(self.loop, os.dup(fd), patient=request.patient)))
        if container is None:
            self._pending.setdefault(
                container_id, _PendingAttach(request.rows, request.columns)
            ).pipes.extend(pipes)
            reply.ok({"streams": []})
            return
        for stream, pipe in pipes:
            container.output.attach(pipe, stream)
        ends = {"stdin": container.stdin, "terminal": container.terminal}
        there = [name for name, fd in ends.items() if fd >= 0]
        reply.ok({"streams": there}, [ends[name] for name in there])

    def op_terminal(self, request: requests.TakeTerminal, fds: list[int], reply: Reply) -> None:
        """Take the terminal of an adopted container, whose keeper died with its own copy."""
        container = self._container(request.container)
        if container.config.process.tty and container.terminal < 0:
            container.take_terminal(os.dup(fds[0]))
        reply.ok()

    def op_close_stdin(self, request: requests.CloseStdin, _fds: list[int], reply: Reply) -> None:
        """Close our end of a container's input."""
        self._container(request.container).close_stdin()
        reply.ok()

    def op_list(self, _request: requests.ListContainers, _fds: list[int], reply: Reply) -> None:
        """Tell which containers there are."""
        reply.ok(
            {
                "containers": [
                    {"id": name, "pid": container.pid, "status": container.status}
                    for name, container in self._containers.items()
                ]
            }
        )

    def op_discard(self, request: requests.Discard, _fds: list[int], reply: Reply) -> None:
        """Kill a container if it runs, and remove all it has at run time."""
        container_id = request.container
        container = self._containers.get(container_id)

        def finish() -> None:
            self._remove_run_time(container_id)
            reply.ok()

        if container is None:
            finish()
            return
        self._at_exit.setdefault(container_id, []).append(finish)
        container.kill()

    def _remove_run_time(self, container_id: str) -> None:
        ended = self._ended.pop(container_id, None)
        self._waiting.discard(container_id)
        for _stream, pipe in self._pending.pop(container_id, _PendingAttach()).pipes:
            pipe.finish()
        with contextlib.suppress(PycomposeError, FileNotFoundError):
            (ended.group if ended else self._earlier_group(container_id)).remove()
        directory = self._paths.container_run(container_id)
        with contextlib.suppress(FileNotFoundError):
            (directory / "rootfs").rmdir()
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(directory):
                (directory / name).unlink()
            directory.rmdir()

    def _earlier_group(self, container_id: str) -> Cgroup:
        """Return the group that another keeper has made for a container; where we make one, if nothing tells."""
        try:
            stored = read_json(self._paths.container(container_id) / "config.json")
            parent = from_json(ContainerConfig, stored).cgroup_parent
        except (StateError, FileNotFoundError):
            parent = ""
        return open_existing(self._paths, container_id, parent=parent)

    # Descriptors

    def op_hold(self, request: requests.Hold, fds: list[int], reply: Reply) -> None:
        """Keep descriptors under a key, in place of those it had."""
        self._hold(request.key, fds)
        reply.ok()

    def op_take(self, request: requests.Take, _fds: list[int], reply: Reply) -> None:
        """Hand out copies of what is held."""
        if request.key not in self._held:
            raise EngineError(f"keeper: cannot take {request.key}: nothing held under this key")
        reply.ok({}, self._held[request.key])

    def op_drop(self, request: requests.Drop, _fds: list[int], reply: Reply) -> None:
        """Close what is held."""
        self._drop(request.key)
        reply.ok()

    def op_held(self, _request: requests.ListHeld, _fds: list[int], reply: Reply) -> None:
        """Tell the keys."""
        reply.ok({"keys": sorted(self._held)})

    def _hold(self, key: str, fds: list[int]) -> None:
        self._drop(key)
        self._held[key] = [os.dup(fd) for fd in fds]

    def _drop(self, key: str) -> None:
        for fd in self._held.pop(key, []):
            os.close(fd)

    # The end

    def op_guard(self, request: requests.Guard, _fds: list[int], reply: Reply) -> None:
        """Register the supervisor of this connection, and how to restart it."""
        self._restarter.register(reply.connection, request.argv, request.environment)
        reply.ok()

    def op_shutdown(self, request: requests.Shutdown, _fds: list[int], reply: Reply) -> None:
        """End this process, when it has no containers, or after killing them."""

        def finish() -> None:
            if not self._containers:
                self._paths.keeper_socket(self._project).unlink(missing_ok=True)
                reply.ok()
                self.loop.stop()

        if self._containers and not request.force:
            count = len(self._containers)
            raise StateError(f"keeper of {self._project}: cannot end: it has {count} containers")
        for container_id, container in self._containers.items():
            self._at_exit.setdefault(container_id, []).append(finish)
            container.kill()
        finish()

    def _on_exit(self, container: Container) -> None:
        container_id = container.config.id
        self._containers.pop(container_id, None)
        self._ended[container_id] = container
        self._exits += 1
        if self._exits % _GARBAGE_EXITS == 0:
            gc.collect()  # of what came after the freeze: nothing else looks for it
        if container.executed:
            state = container.state
            self.broadcast(
                {
                    "event": "exit",
                    "container": container_id,
                    "exit_code": state.exit_code,
                    "oom_killed": state.oom_killed,
                    "finished_ns": state.finished_ns,
                    "exit_code_known": state.exit_code_known,
                }
            )
        for action in self._at_exit.pop(container_id, []):
            action()

    def _on_exec_exit(self, execution: Execution, code: int) -> None:
        self._executions.pop(execution.exec_id, None)
        if not execution.told:
            self._reaper.start()
        if execution.executed:
            self.broadcast({"event": "exec_exit", "exec": execution.exec_id, "exit_code": code})

    def _children(self) -> set[int]:
        known: tuple[Container | Execution, ...] = (*self._containers.values(), *self._executions.values())
        helpers = (execution.helper for execution in self._executions.values())
        return {self._restarter.pid, *(process.pid for process in known), *helpers}

    def _helpers_pending(self) -> bool:
        return any(not execution.told for execution in self._executions.values())

    def _container(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise NoSuchContainer(f"container {container_id[:12]}: not running here")
        return container

    def _execution(self, exec_id: str) -> Execution:
        execution = self._executions.get(exec_id)
        if execution is None:
            raise NoSuchContainer(f"exec {exec_id}: not running here")
        return execution


def _quietly(remove: Callable[[], None]) -> Callable[[], None]:
    """Return `remove` for use while another error is on its way."""

    def action() -> None:
        with contextlib.suppress(CgroupError):
            remove()

    return action


def main(project: str) -> None:
    """Run the keeper of `project`; the listening socket is descriptor 3, errors go to descriptor 2.

    Without a project, descriptor 3 will tell whose keeper this is (launch.py).
    """
    _prepare()
    project = project or reserve.wait(LISTENER_FD)
    listener = socket.socket(fileno=LISTENER_FD)
    Keeper(StatePaths.from_environment(), project).serve(listener)
    sys.exit(0)


def _prepare() -> None:
    """Become what every keeper is."""
    process.close_all_but([LISTENER_FD])
    os.set_inheritable(LISTENER_FD, False)
    inherited.reset()
    process.set_dumpable(dumpable=False)
    process.set_name("pycompose-keep")
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.chdir("/")
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # without CAP_SYS_RESOURCE, as in many containers
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    process.set_default_rlimit("nofile", -1, -1)
    # Read now what a child could not read any more, or each one would for itself.
    inherited.excess_limits()
    caps.permitted()
    caps.last_capability()
    process.handled_signals()
    sibling.possible()
    userns.is_initial()
    userns.may_set_groups()
    userns.maps_group(rootfs.TTY_GROUP)
    rootfs.thermal_paths()
    boot_id()
    from_json(ContainerConfig, plain(_sample()))


def _sample() -> ContainerConfig:
    return ContainerConfig(id="", name="", project="", rootfs=(), process=Process(args=()))
