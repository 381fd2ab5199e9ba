"""The process that looks after one project: `python -I -m pycompose.supervisor FD`, or `… --project NAME`.

It holds the project's lock, listens on the control socket, is the only writer of the project's run-time state, and
ends by itself when nothing runs and nobody talks to it. It loads its libraries before it is told its project, so
that the command line can start it first and read the compose file meanwhile. The keeper starts it with the name,
after an earlier one has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import PycomposeError, storage_error
from pycompose.engine.linux.process import close_all_but
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status, boot_id, read_state, start_ticks
from pycompose.engine.statefiles import write_json
from pycompose.errors import SupervisorError
from pycompose.ipc.protocol import PROTOCOL, Message, receive, send, short_path
from pycompose.ipc.server import Peer
from pycompose.networking.api import Networking
from pycompose.state.ownership import clear_abandoned, forget, lock
from pycompose.state.records import read_runtime, read_service
from pycompose.state.snapshot import ALONE, claims, observe_containers
from pycompose.supervisor.forkserver import Warmth
from pycompose.supervisor.keepers import BY_NAME, Keepers
from pycompose.supervisor.lifecycle.exec import Execs
from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
from pycompose.supervisor.lifecycle.start_first import Takeover
from pycompose.supervisor.logfile import LogFile
from pycompose.supervisor.network.wiring import Wiring
from pycompose.supervisor.requests import Requests
from pycompose.supervisor.runtime.containers import Runtime
from pycompose.supervisor.stdio import Ends
from pycompose.supervisor.threads import blocking
from pycompose.version import VERSION

if TYPE_CHECKING:
    from pycompose.policy.observed import ObservedContainer
    from pycompose.state.records import RuntimeRecord, ServiceRecord
    from pycompose.supervisor.lifecycle.tracked import Tracked

log = logging.getLogger("pycompose.supervisor")

IDLE_S = 2.0
WORKERS = 16
# New objects between two searches for garbage (Python's default is 700).
GARBAGE = 10_000


class Supervisor:
    """Everything of one project that lives in this process."""

    def __init__(self, paths: StatePaths, project: str) -> None:
        self.paths = paths
        self.project = project
        self.loop = asyncio.get_running_loop()
        self.wiring = Wiring(paths, project, Networking(paths), self.loop)
        self.runtime = Runtime(paths, project, self.wiring, VERSION)
        self.execs = Execs(self.runtime)
        self.ends = Ends(self.runtime)
        self.lifecycle = Lifecycle(self.runtime, self.execs, self._notify)
        self.requests = Requests(self)
        self.keepers = Keepers(self.runtime, self._from_keeper, self.requests.background)
        self.peers: dict[Peer, asyncio.Task[None] | None] = {}
        self.subscribers: set[Peer] = set()
        self.finished = asyncio.Event()
        self._warmth = Warmth(paths.project_run(project))
        self._idle: asyncio.TimerHandle | None = None
        self.keep_log = False
        self._begun = False

    # ------------------------------------------------------------------ beginning and ending

    async def begin(self) -> None:
        """Connect to the keeper that is there or start one, and take over what runs.

        A project that has nothing yet gets its keeper when something is made (`down` of nothing makes nothing).
        """
        if claims(self.paths, self.project) or self.paths.keeper_socket(self.project).exists():
            await self.keepers.need()
        await blocking(self.wiring.adopt)
        await self.sync()
        await blocking(self.wiring.drop_unknown)
        self._begun = True

    async def sync(self) -> None:
        """Track the containers on disk that aren't tracked yet, and clear away what never became one."""
        known = set(self.lifecycle.tracked)
        if not set(claims(self.paths, self.project)) - known:
            return
        containers, broken = await blocking(observe_containers, self.paths, self.project)
        for container_id in broken:
            log.info("container %s was never finished: removing it", container_id[:12])
            await blocking(self.runtime.remove, container_id, volumes=True)
        fresh = [container for container in containers if container.id not in known]
        for container in fresh:
            await blocking(self.runtime.keep_name, container.id, container.name)
        records = {c.id: (read_service(self.paths, c.id), read_runtime(self.paths, c.id)) for c in fresh}
        running = [(c.config, *records[c.id]) for c in fresh if c.running]
        await blocking(self.wiring.resume, running)
        for container in fresh:
            await self._adopt(container, *records[container.id])
        for container in containers:
            if container.half_way and container.replaces not in self.lifecycle.tracked:
                await self._finish_replacement(self.lifecycle.tracked[container.id])

    async def _adopt(
        self, container: ObservedContainer, record: ServiceRecord, runtime: RuntimeRecord
    ) -> None:
        # Read now: while nobody tracked it, the end of it was told to nobody.
        state = read_state(self.paths, container.id)
        self.lifecycle.adopt(container.config, record, state, stopped=runtime.stopped)
        tracked = self.lifecycle.tracked[container.id]
        if state.status is Status.EXITED:
            self.requests.ended(tracked)
        elif tracked.active and self.ends.wanted(tracked):
            await self.ends.keep(tracked)

    async def _finish_replacement(self, tracked: Tracked) -> None:
        """Do what is left to do when the old container has gone, and a supervisor with it."""
        try:
            await Takeover(self.lifecycle, self.runtime).finish(tracked)
        except PycomposeError as exc:
            log.warning("container %s: cannot finish the replacement: %s", tracked.name, exc)

    def _from_keeper(self, event: dict[str, Any]) -> None:
        """Pass an event on; this is the keeper client's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self._keeper_event, event)

    def _keeper_event(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "exit":
            self._exited(event)
            self.check_idle()
        elif kind == "exec_exit":
            self.execs.exited(event)
        elif kind == "gone" and not self.finished.is_set():
            self.keepers.replace(self._catch_up)
            self.execs.lost()

    def _exited(self, event: dict[str, Any]) -> None:
        """Take the end of a container; of one whose start nobody has heard of, after that."""
        tracked = self.lifecycle.tracked.get(event["container"])
        if tracked is not None and tracked.launching:
            tracked.ended_early = functools.partial(self._exited, event)
            return
        self.lifecycle.exited(event)
        if tracked is not None:
            self.ends.drop(tracked.config.id)
            self.requests.ended(tracked)

    async def _catch_up(self) -> None:
        """Give a new keeper, which has adopted what runs, what it needs. What has ended meanwhile is told as an exit.

        What runs although its start has failed here is ended.
        """
        await self.ends.give_back()
        await blocking(self.wiring.hold_again)
        containers, _ = await blocking(observe_containers, self.paths, self.project)
        states = {container.id: container.state for container in containers}
        for container_id, tracked in list(self.lifecycle.tracked.items()):
            state = states.get(container_id)
            if state is None:
                continue
            runs = state.status in (Status.RUNNING, Status.PAUSED)
            if runs and tracked.status not in (Status.RUNNING, Status.PAUSED):
                await self.lifecycle.end_unknown(tracked)
            elif not runs and tracked.pid and not tracked.ended.is_set():
                self._exited({"container": container_id, "exit_code": state.exit_code})

    def check_idle(self) -> None:
        """End soon when nothing runs and nobody is connected; before all is taken over nobody can know."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        occupied = self.peers or self.requests.busy or self.lifecycle.anything_active
        if occupied or not self._begun or self.finished.is_set():
            return
        # A `container run` often follows another one.
        delay_s = IDLE_S if self.lifecycle.tracked or self.project == ALONE else 0.0
        self._idle = self.loop.call_later(delay_s, self._finish_if_idle)

    def _finish_if_idle(self) -> None:
        if not (self.peers or self.requests.busy or self.lifecycle.anything_active):
            self.finished.set()

    def finish_after_down(self) -> bool:
        """End now if the project is down; whoever asked is told by the end of the connection."""
        if self.lifecycle.tracked or self.requests.others_busy:
            return False
        self.finished.set()
        return True

    async def end(self) -> None:
        """Let go of everything; the state of a project without containers is removed."""
        if not claims(self.paths, self.project):
            # Told to end in the middle of something, which must not be made when all has been removed.
            for peer, task in list(self.peers.items()):
                if task is not None and not task.done():
                    peer.close()
            await self.requests.cancelled()
        if self.project == ALONE and not claims(self.paths, ALONE):
            await blocking(self._remove_bridge)
        await self._warmth.end()
        self.wiring.close()
        await self.keepers.end()
        for peer in list(self.peers):
            peer.close()

    def _remove_bridge(self) -> None:
        """Remove the network of containers outside any compose file with the last one: there is no `down` for them."""
        try:
            for name in self.wiring.own_networks():
                self.wiring.remove_network(name)
            self.wiring.remove_all()
        except* PycomposeError as group:  # another project's containers are on it, too
            for exc in group.exceptions:
                log.info("%s", exc)

    # ------------------------------------------------------------------ connections

    def accept(self, sock: socket.socket) -> None:
        """Take a new connection on the control socket; who comes as we end has to start another supervisor."""
        if self.finished.is_set():
            sock.close()
            return
        peer = Peer(sock, self.loop, self._message, self._closed)
        if peer.uid() not in (0, os.geteuid()):
            peer.fail(SupervisorError("control socket: another user's process is not allowed in"))
            peer.close()
            return
        self.peers[peer] = None
        if self._idle is not None:
            self._idle.cancel()
        peer.send({"hello": PROTOCOL, "pid": os.getpid(), "version": VERSION})

    def _message(self, peer: Peer, message: Message, fds: list[int]) -> None:
        if self.finished.is_set():
            for fd in fds:
                os.close(fd)
            peer.close()
        elif message.get("forkserver"):
            self._warmth.want()
        elif self.peers.get(peer) is None and "op" in message:
            self.peers[peer] = self.requests.background(self._serve(peer, message, fds))
        else:
            self.requests.during(peer, message, fds)
            for fd in fds:
                os.close(fd)

    async def _serve(self, peer: Peer, message: Message, fds: list[int]) -> None:
        try:
            await self.requests.handle(peer, message, fds)
        except PycomposeError as exc:
            peer.fail(exc)
        except asyncio.CancelledError:
            peer.fail(SupervisorError(f"{message.get('op')}: interrupted", hint="run the command again"))
        except Exception as exc:
            if isinstance(exc, OSError) and (full := storage_error(exc)):
                peer.fail(full)
                return
            log.exception("operation %s", message.get("op"))
            self.keep_log = True
            peer.fail(
                SupervisorError(
                    f"{message.get('op')}: internal error: {type(exc).__name__}: {exc}",
                    hint=f"details are in {self.paths.project(self.project) / 'supervisor.log'}",
                )
            )
        finally:
            for fd in fds:
                with contextlib.suppress(OSError):
                    os.close(fd)

    def _closed(self, peer: Peer) -> None:
        task = self.peers.pop(peer, None)
        self.subscribers.discard(peer)
        if task is not None and not task.done():
            task.cancel()
            task.add_done_callback(lambda _: self.check_idle())
        self.check_idle()

    def _notify(self, action: str, tracked: Tracked, attributes: dict[str, str]) -> None:
        """Tell subscribers what has happened to a container."""
        log.info("container %s: %s %s", tracked.name, action, attributes or "")
        event = {
            "time_ns": time.time_ns(),
            "action": action,
            "id": tracked.config.id,
            "name": tracked.name,
            "service": tracked.service,
            "number": tracked.record.number,
            "oneoff": tracked.record.oneoff,
            "image": tracked.config.image,
            "active": tracked.active,
            "attributes": attributes,
        }
        self.requests.journal(event)
        if action == "start" and self.ends.wanted(tracked):
            self.requests.background(self.ends.keep(tracked))
        for peer in list(self.subscribers):
            peer.send({"container": event})


def _listen(paths: StatePaths, project: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    paths.control_socket(project).unlink(missing_ok=True)
    with short_path(paths.control_socket(project)) as name:
        listener.bind(name)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def _tell(first: socket.socket | None, message: Message) -> None:
    """Tell whoever has started us, unless it was the keeper."""
    if first is not None:
        send(first, message)


async def _run(paths: StatePaths, project: str, first: socket.socket | None, *, eager: bool) -> bool:
    """Serve the project until it is done; return whether the log tells of something that nobody was told.

    `eager` starts the keeper before anybody asks for something.
    """
    loop = asyncio.get_running_loop()
    # They wait for the kernel and the keeper, not for processors.
    loop.set_default_executor(ThreadPoolExecutor(WORKERS, thread_name_prefix="worker"))
    supervisor = Supervisor(paths, project)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.finished.set)
    claim = {
        "pid": os.getpid(),
        "start_ticks": start_ticks(os.getpid()),
        "boot_id": boot_id(),
        "protocol": PROTOCOL,
    }
    try:
        await supervisor.begin()
        if eager:
            supervisor.keepers.launch()
        write_json(paths.project_run(project) / "supervisor.json", claim, durable=False)
        listener = _listen(paths, project)
    except Exception as exc:
        error = exc if isinstance(exc, PycomposeError) else None
        if isinstance(exc, OSError):
            error = storage_error(exc)
        if error is not None:
            log.error("cannot begin: %s", error)  # noqa: TRY400 - it says all there is to say
        else:
            log.exception("cannot begin")
            error = SupervisorError(f"supervisor: cannot start: {exc}")
        _tell(first, {"error": error.to_json()})
        await supervisor.end()
        return first is None or not isinstance(exc, PycomposeError)

    def acceptable() -> None:
        with contextlib.suppress(BlockingIOError):
            supervisor.accept(listener.accept()[0])

    loop.add_reader(listener, acceptable)
    if first is not None:
        try:
            send(first, {"ready": True})
            supervisor.accept(first)
        except OSError:
            # Who has started us has been killed. A keeper may be there already, which must not be left.
            first.close()
    loop.run_in_executor(None, clear_abandoned, paths)
    supervisor.check_idle()
    await supervisor.finished.wait()
    loop.remove_reader(listener)
    listener.close()
    paths.control_socket(project).unlink(missing_ok=True)
    await supervisor.end()
    return supervisor.keep_log


def _set_up_logging(paths: StatePaths, project: str) -> None:
    directory = paths.project(project)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    logging.basicConfig(
        handlers=[LogFile(directory / "supervisor.log")],
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )


def _leave_keeper() -> None:
    """Give up what the keeper has made special about itself and handed on to us."""
    os.umask(0o022)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0", encoding="ascii")


def main() -> int:
    """Load, be told the project, serve it."""
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()
    # Whoever has called the command line may hold a lock, or read a pipe to its end.
    close_all_but(() if sys.argv[1] == BY_NAME else (int(sys.argv[1]),))
    paths = StatePaths.from_environment()
    loader = threading.Thread(target=Networking.prepare, daemon=True)
    loader.start()
    first = None
    eager = False
    if sys.argv[1] == BY_NAME:
        project = sys.argv[2]
        _leave_keeper()
    else:
        first = socket.socket(fileno=int(sys.argv[1]))
        message, _ = receive(first)
        if message is None:
            return 0
        project = str(message["project"])
        eager = bool(message.get("keeper"))
    os.chdir("/")
    try:
        held = lock(paths, project)
        if held is None:
            _tell(first, {"taken": True})
            return 0
        _set_up_logging(paths, project)
    except (PycomposeError, OSError) as exc:
        error = (
            exc
            if isinstance(exc, PycomposeError)
            else SupervisorError(
                f"project {project}: cannot use the state directories: {exc.filename}: {exc.strerror}",
                hint="pycompose needs root, or PYCOMPOSE_ROOT and PYCOMPOSE_RUN pointing to writable places",
            )
        )
        _tell(first, {"error": error.to_json()})
        return 1
    keep_log = True
    try:
        keep_log = asyncio.run(_run(paths, project, first, eager=eager))
    except Exception:
        log.exception("ended by an error")
        return 1
    finally:
        forget(paths, project, keep_log=keep_log)
        gc.freeze()  # or the interpreter would look for garbage once more
    return 0
