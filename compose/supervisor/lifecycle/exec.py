"""Commands inside running containers, from the supervisor's loop: probes, hooks, and what `exec` asks for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.config import User
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import EngineError, KeeperLost, PycomposeError
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.policy.health import OUTPUT_KEPT_BYTES, HealthResult
from pycompose.supervisor.lifecycle.output_pipe import OutputPipe
from pycompose.supervisor.runtime.container_config import merge_environment
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.engine.api import ExecExited, StartedExec
    from pycompose.engine.config import ContainerConfig, Process
    from pycompose.model import Hook
    from pycompose.policy.health import HealthSpec
    from pycompose.supervisor.runtime.containers import Runtime


def exec_process(  # noqa: PLR0913 - the flags of `exec`
    config: ContainerConfig,
    args: Sequence[str],
    *,
    user: str = "",
    cwd: str = "",
    environment: dict[str, str | None] | None = None,
    privileged: bool = False,
    tty: bool = False,
) -> Process:
    """Return a process like the container's own with other arguments (what `docker exec` keeps and changes)."""
    own = config.process
    return replace(
        own,
        args=tuple(args),
        env=merge_environment(own.env, environment or {}),
        cwd=cwd or own.cwd,
        user=User(spec=user, additional_groups=own.user.additional_groups) if user else own.user,
        capabilities=tuple(CAPABILITIES) if privileged else own.capabilities,
        tty=tty,
        stdin_open=False,
        init=False,
    )


@dataclass(slots=True)
class RunningExec:
    """A command that has been started; `remembered` as for `ExecRunner.start`."""

    container_id: str
    exec_id: str
    remembered: bool
    ended: asyncio.Future[int]


class ExecRunner:
    """Starts commands and knows when they end.

    `tell` gets the container's id, Docker's word for what has happened (`exec_create: CMD`, `exec_start: CMD`,
    `exec_die`), its attributes, and whether it is to be remembered.
    """

    def __init__(self, runtime: Runtime, tell: Callable[[str, str, dict[str, str], bool], None]) -> None:
        self._runtime = runtime
        self._tell = tell
        self._running: dict[str, RunningExec] = {}
        self._early: dict[str, int] = {}

    def exited(self, event: ExecExited) -> None:
        """Take the keeper's word that a command has ended; it may come before `start` has returned its id."""
        running = self._running.pop(event.exec, None)
        if running is not None:
            self._end(running, event.exit_code)
            return
        self._early[event.exec] = event.exit_code
        if len(self._early) > 1000:
            self._early.pop(next(iter(self._early)))

    def _end(self, running: RunningExec, exit_code: int) -> None:
        attributes = {"execID": running.exec_id, "exitCode": str(exit_code)}
        self._tell(running.container_id, "exec_die", attributes, running.remembered)
        if not running.ended.done():  # nobody waits for a probe that takes too long
            running.ended.set_result(exit_code)

    def fail_all(self) -> None:
        """Fail everybody who waits: the keeper has gone, and with it every command's parent."""
        for running in self._running.values():
            if not running.ended.done():
                running.ended.set_exception(
                    EngineError("exec: the keeper ended", hint="run the command again")
                )
                # Nobody waits for a detached one, or after a caller's end: asyncio would complain in the log.
                running.ended.exception()
        self._running.clear()

    async def start(
        self,
        container_id: str,
        process: Process,
        fds: tuple[int | None, int | None, int | None],
        size: tuple[int, int] = (0, 0),
        *,
        remembered: bool = True,
    ) -> tuple[StartedExec, asyncio.Future[int]]:
        """Start a command with (stdin, stdout, stderr); return it and the future of its exit code."""

        def call() -> StartedExec:
            stdin, stdout, stderr = fds
            return self._runtime.keeper.exec(
                container_id, process, stdin=stdin, stdout=stdout, stderr=stderr, rows=size[0], cols=size[1]
            )

        running = RunningExec(
            container_id, os.urandom(32).hex(), remembered, asyncio.get_running_loop().create_future()
        )
        words = f"{process.args[0]} {' '.join(process.args[1:])}"
        for action in ("exec_create", "exec_start"):  # as Docker's, also of what then can't be started
            self._tell(container_id, f"{action}: {words}", {"execID": running.exec_id}, remembered)
        started = await blocking(call)
        if started.id in self._early:
            self._end(running, self._early.pop(started.id))
        else:
            self._running[started.id] = running
        return started, running.ended

    async def run(
        self,
        container_id: str,
        process: Process,
        *takers: Callable[[bytes], None],
        timeout_s: float | None = None,
        remembered: bool = True,
    ) -> int:
        """Run a command to its end and return its exit code, -1 after a timeout.

        Of two `takers` one gets what comes on stdout, the other on stderr; a single one gets both.
        """
        with contextlib.ExitStack() as stack:
            pipes = [stack.enter_context(OutputPipe(take)) for take in takers]
            fds = (None, pipes[0].writing, pipes[-1].writing)
            started, ended = await self.start(container_id, process, fds, remembered=remembered)
            for pipe in pipes:
                pipe.listen()
            try:
                code = await asyncio.wait_for(ended, timeout_s)
            except TimeoutError:
                await blocking(self._runtime.keeper.kill_exec, started.id)
                return -1
            # What it left running may hold the pipes for ever; what it wrote itself is in there already.
            for pipe in pipes:
                pipe.read()
            return code

    async def probe(self, config: ContainerConfig, spec: HealthSpec) -> HealthResult | None:
        """Run a health probe; one that can't be started has failed, one whose keeper has died says nothing (None)."""
        start_ns = time.time_ns()
        losses = self._runtime.losses
        try:
            output = bytearray()
            code = await self.run(
                config.id,
                exec_process(config, spec.args),
                lambda data: output.extend(data[: max(0, OUTPUT_KEPT_BYTES - len(output))]),
                timeout_s=spec.timeout_s,
                remembered=False,  # three events a second would soon be all that is
            )
            text = output.decode(errors="replace")
        except PycomposeError as exc:
            if isinstance(exc, KeeperLost) or self._runtime.losses != losses:
                return None
            code, text = exc.exit_code, str(exc)
        if code == -1:
            text = f"health check exceeded timeout ({spec.timeout_s:g}s): {text}"
        return HealthResult(start_ns=start_ns, end_ns=time.time_ns(), exit_code=code, output=text)

    async def hook(
        self,
        config: ContainerConfig,
        hook: Hook,
        stdout: Callable[[bytes], None],
        stderr: Callable[[bytes], None],
    ) -> int:
        """Run a lifecycle hook in the container; return its exit code."""
        environment = {key: value for key, _, value in (item.partition("=") for item in hook.environment)}
        process = exec_process(
            config,
            hook.command,
            user=hook.user,
            cwd=hook.working_dir,
            environment=dict(environment),
            privileged=hook.privileged,
        )
        return await self.run(config.id, process, stdout, stderr)
