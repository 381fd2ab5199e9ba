"""The process that looks after one project: `python -I -m pycompose.supervisor FD`, or `… --project`.

It holds the project's lock, listens on the control socket, is the only writer of the project's run-time state, and
ends by itself when nothing runs and nobody talks to it. It loads its libraries before it is told its project, so
that the command line can start it first and read the compose file meanwhile. The keeper starts it with the name,
after an earlier one has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pycompose.engine.errors import CHOOSE_STATE, PycomposeError, storage_error
from pycompose.engine.linux import inherited
from pycompose.engine.linux.process import close_all_but, rlimits, set_default_rlimit
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import boot_id, start_ticks
from pycompose.engine.statedirs import close_to_others, make_directory
from pycompose.engine.statefiles import write_json
from pycompose.errors import SupervisorError
from pycompose.ipc.messages import (
    ErrorMessage,
    HelloMessage,
    ReadyMessage,
    TakenMessage,
    assign_message,
    to_message,
)
from pycompose.ipc.protocol import PROTOCOL, Message, receive, send, short_path
from pycompose.ipc.server import Peer
from pycompose.state.abandoned import clear_abandoned
from pycompose.state.ownership import forget, lock
from pycompose.state.snapshot import STANDALONE, claims
from pycompose.supervisor.dispatch import Dispatcher
from pycompose.supervisor.forkserver import ForkserverProcess
from pycompose.supervisor.keepers import BY_NAME, PROJECT_VARIABLE
from pycompose.supervisor.logfile import LogFile
from pycompose.supervisor.project import ManagedProject
from pycompose.supervisor.threads import blocking
from pycompose.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.ipc.messages import SupervisorMessage

log = logging.getLogger("pycompose.supervisor")

IDLE_S = 2.0
WORKERS = 16
# New objects between two searches for garbage (Python's default is 700).
GARBAGE = 10_000


class Supervisor:
    """The connections of clients, and how long this process stays."""

    def __init__(self, paths: StatePaths, name: str, limits: Mapping[str, tuple[int, int]]) -> None:
        """`limits` are those of whoever has started us."""
        self.paths = paths
        self.project = ManagedProject(paths, name, self.check_idle)
        self.dispatcher = Dispatcher(self.project)
        self.peers: dict[Peer, asyncio.Task[None] | None] = {}
        self.keep_log = False
        self._forkserver = ForkserverProcess(paths.project_run(name), limits)
        self._idle: asyncio.TimerHandle | None = None
        self._begun = False

    # ------------------------------------------------------------------ beginning and ending

    async def begin(self) -> None:
        """Connect to the keeper that is there or start one, and take over what runs.

        A project that has nothing yet gets its keeper when something is made (`down` of nothing makes nothing).
        """
        project = self.project
        if claims(self.paths, project.name) or self.paths.keeper_socket(project.name).exists():
            await project.keepers.ensure()
        await blocking(project.wiring.adopt_networks)
        await project.sync()
        await blocking(project.wiring.release_unknown)
        project.owners.begin()
        project.background_watcher.resume()
        self._begun = True

    def check_idle(self) -> None:
        """End soon when nothing runs and nobody is connected; before all is taken over nobody can know."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        project = self.project
        if self._occupied or not self._begun or project.finished.is_set():
            return
        # A `container run` often follows another one.
        delay_s = IDLE_S if project.lifecycle.tracked or project.name == STANDALONE else 0.0
        self._idle = project.loop.call_later(delay_s, self._finish_if_idle)

    @property
    def _occupied(self) -> bool:
        project, watcher = self.project, self.project.watcher
        return (
            any(
                (peer is not watcher.peer or not watcher.background) and peer not in project.events.background
                for peer in self.peers
            )
            or project.tasks.busy
            or project.owners.present
            or project.lifecycle.anything_active
        )

    def _finish_if_idle(self) -> None:
        if not self._occupied:
            self.project.finished.set()

    async def end(self) -> None:
        """Let go of everything; the state of a project without containers is removed."""
        project = self.project
        if not claims(self.paths, project.name):
            # Told to end in the middle of something, which must not be made when all has been removed.
            for peer, task in list(self.peers.items()):
                if task is not None and not task.done():
                    peer.close()
            await project.tasks.cancel()
        if project.name == STANDALONE and not claims(self.paths, STANDALONE):
            await blocking(self._remove_bridge)
        await project.background_watcher.end(for_good=not claims(self.paths, project.name))
        await self._forkserver.end()
        project.owners.close()
        project.wiring.close()
        await project.keepers.shutdown()
        for peer in list(self.peers):
            peer.close()

    def _remove_bridge(self) -> None:
        """Remove the network of containers outside any compose file with the last one: there is no `down` for them."""
        wiring = self.project.wiring
        try:
            wiring.remove_networks(wiring.own_networks())
            wiring.remove_all()
        except* PycomposeError as group:  # another project's containers are on it, too
            for exc in group.exceptions:
                log.info("%s", exc)

    # ------------------------------------------------------------------ connections

    def accept(self, sock: socket.socket) -> None:
        """Take a new connection on the control socket; who comes as we end has to start another supervisor."""
        if self.project.finished.is_set():
            sock.close()
            return
        peer = Peer(sock, self.project.loop, self._message, self._closed)
        if peer.uid() not in (0, os.geteuid()):
            peer.fail(SupervisorError("control socket: another user's process is not allowed in"))
            peer.close()
            return
        self.peers[peer] = None
        if self._idle is not None:
            self._idle.cancel()
        peer.send(HelloMessage(hello=PROTOCOL, pid=os.getpid(), version=VERSION))

    def _message(self, peer: Peer, message: Message, fds: list[int]) -> None:
        if self.project.finished.is_set():
            for fd in fds:
                os.close(fd)
            peer.close()
        elif message.get("forkserver"):
            self._forkserver.want()
        elif self.peers.get(peer) is None and "op" in message:
            self.peers[peer] = self.project.tasks.start(self._serve(peer, message, fds))
        else:
            self.dispatcher.during(peer, message, fds)
            for fd in fds:
                os.close(fd)

    async def _serve(self, peer: Peer, message: Message, fds: list[int]) -> None:
        try:
            await self.dispatcher.handle(peer, message, fds)
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
            first = _first(exc)
            peer.fail(
                SupervisorError(
                    f"{message.get('op')}: internal error: {type(first).__name__}: {first}",
                    hint=f"details are in {self.paths.project(self.project.name) / 'supervisor.log'}",
                )
            )
        finally:
            for fd in fds:
                with contextlib.suppress(OSError):
                    os.close(fd)

    def _closed(self, peer: Peer) -> None:
        task = self.peers.pop(peer, None)
        self.project.events.leave(peer)
        if task is not None and not task.done():
            task.cancel()
            task.add_done_callback(lambda _: self.check_idle())
        self.check_idle()


def _first(exc: BaseException) -> BaseException:
    """Return the error itself, or the first of a group's: that they are several says nothing to anybody."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc


def _listen(paths: StatePaths, project: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    paths.control_socket(project).unlink(missing_ok=True)
    with short_path(paths.control_socket(project)) as name:
        listener.bind(name)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def _tell(first: socket.socket | None, message: SupervisorMessage) -> None:
    """Tell whoever has started us, unless it was the keeper."""
    if first is not None:
        send(first, to_message(message))


def _claim() -> dict[str, object]:
    """Return who looks after the project: this process."""
    return {
        "pid": os.getpid(),
        "start_ticks": start_ticks(os.getpid()),
        "boot_id": boot_id(),
        "protocol": PROTOCOL,
    }


async def _run(
    paths: StatePaths,
    project: str,
    first: socket.socket | None,
    limits: Mapping[str, tuple[int, int]],
    *,
    eager: bool,
) -> bool:
    """Serve the project until it is done; return whether the log tells of something that nobody was told.

    `eager` starts the keeper before anybody asks for something.
    """
    loop = asyncio.get_running_loop()
    # They wait for the kernel and the keeper, not for processors.
    loop.set_default_executor(ThreadPoolExecutor(WORKERS, thread_name_prefix="worker"))
    supervisor = Supervisor(paths, project, limits)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.project.finished.set)
    try:
        await supervisor.begin()
        if eager:
            supervisor.project.keepers.spawn()
        write_json(paths.project_run(project) / "supervisor.json", _claim(), durable=False)
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
        _tell(first, ErrorMessage(error=error.to_json()))
        await supervisor.end()
        return first is None or not isinstance(exc, PycomposeError)

    def acceptable() -> None:
        with contextlib.suppress(BlockingIOError):
            supervisor.accept(listener.accept()[0])

    loop.add_reader(listener, acceptable)
    if first is not None:
        try:
            _tell(first, ReadyMessage())
            supervisor.accept(first)
        except OSError:
            # Who has started us has been killed. A keeper may be there already, which must not be left.
            first.close()
    loop.run_in_executor(None, clear_abandoned, paths)
    supervisor.check_idle()
    await supervisor.project.finished.wait()
    loop.remove_reader(listener)
    listener.close()
    paths.control_socket(project).unlink(missing_ok=True)
    await supervisor.end()
    return supervisor.keep_log


def _set_up_logging(paths: StatePaths, project: str) -> None:
    directory = paths.project(project)
    make_directory(directory)
    logging.basicConfig(
        handlers=[LogFile(directory / "supervisor.log")],
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s",
    )


def main() -> int:
    """Load, be told the project, serve it."""
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()
    # Whoever has called the command line may hold a lock, or read a pipe to its end.
    close_all_but(() if sys.argv[1] == BY_NAME else (int(sys.argv[1]),))
    limits = rlimits()
    inherited.reset()
    set_default_rlimit("nofile", -1, -1)
    paths = StatePaths.from_environment()
    first = None
    eager = False
    if sys.argv[1] == BY_NAME:
        # Keepers of older versions have it as an argument.
        project = os.environ.pop(PROJECT_VARIABLE, "") or sys.argv[2]
    else:
        first = socket.socket(fileno=int(sys.argv[1]))
        message, _ = receive(first)
        if message is None:
            return 0
        assigned = assign_message(message)
        project, eager = assigned.project, assigned.keeper
    os.chdir("/")
    try:
        close_to_others(paths)
        held = lock(paths, project)
        if held is None:
            _tell(first, TakenMessage())
            return 0
        _set_up_logging(paths, project)
    except (PycomposeError, OSError) as exc:
        error = (
            exc
            if isinstance(exc, PycomposeError)
            else SupervisorError(
                f"project {project}: cannot use the state directories: {exc.filename}: {exc.strerror}",
                hint=CHOOSE_STATE,
            )
        )
        _tell(first, ErrorMessage(error=error.to_json()))
        return 1
    keep_log = True
    try:
        keep_log = asyncio.run(_run(paths, project, first, limits, eager=eager))
    except Exception:
        log.exception("ended by an error")
        return 1
    finally:
        forget(paths, project, keep_log=keep_log)
        gc.freeze()  # or the interpreter would look for garbage once more
    return 0
