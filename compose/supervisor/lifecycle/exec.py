"""Commands inside running containers, from the supervisor's loop: probes, hooks, and what `exec` asks for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.config import User
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import EngineError, KeeperLost, PycomposeError
from pycompose.engine.linux.caps import CAPABILITIES
from pycompose.policy.health import OUTPUT_KEPT_BYTES, HealthResult
from pycompose.supervisor.runtime.container_config import merge_environment
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.api import ExecExited, StartedExec
    from pycompose.engine.config import ContainerConfig, Process
    from pycompose.model import Hook
    from pycompose.policy.health import HealthSpec
    from pycompose.supervisor.runtime.containers import Runtime

HOOK_OUTPUT_BYTES = 64 * 1024


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


class ExecRunner:
    """Starts commands and knows when they end."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._early: dict[str, int] = {}

    def exited(self, event: ExecExited) -> None:
        """Take the keeper's word that a command has ended; it may come before `start` has returned its id."""
        future = self._waiting.pop(event.exec, None)
        if future is None:
            self._early[event.exec] = event.exit_code
            if len(self._early) > 1000:
                self._early.pop(next(iter(self._early)))
        elif not future.done():
            future.set_result(event.exit_code)

    def fail_all(self) -> None:
        """Fail everybody who waits: the keeper has gone, and with it every command's parent."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EngineError("exec: the keeper ended", hint="run the command again"))
        self._waiting.clear()

    async def start(
        self,
        container_id: str,
        process: Process,
        fds: tuple[int | None, int | None, int | None],
        size: tuple[int, int] = (0, 0),
    ) -> tuple[StartedExec, asyncio.Future[int]]:
        """Start a command with (stdin, stdout, stderr); return it and the future of its exit code."""

        def call() -> StartedExec:
            stdin, stdout, stderr = fds
            return self._runtime.keeper.exec(
                container_id, process, stdin=stdin, stdout=stdout, stderr=stderr, rows=size[0], cols=size[1]
            )

        started = await blocking(call)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if started.id in self._early:
            future.set_result(self._early.pop(started.id))
        else:
            self._waiting[started.id] = future
        return started, future

    async def capture(
        self, container_id: str, process: Process, *, timeout_s: float | None, limit_bytes: int
    ) -> tuple[int, bytes]:
        """Run a command to its end; return its exit code (-1 after a timeout) and the first bytes of its output."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writing, True)
        output = bytearray()
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def readable() -> None:
            data = b""
            with contextlib.suppress(BlockingIOError):
                data = os.read(reading, 65536)
                if not data:
                    loop.remove_reader(reading)
                    closed.set()
            output.extend(data[: max(0, limit_bytes - len(output))])

        try:
            try:
                started, ended = await self.start(container_id, process, (None, writing, writing))
            finally:
                os.close(writing)
            loop.add_reader(reading, readable)
            try:
                code = await asyncio.wait_for(ended, timeout_s)
            except TimeoutError:
                await blocking(self._runtime.keeper.kill_exec, started.id)
                return -1, bytes(output)
            # What it left running may hold the pipe for ever; what it wrote itself is in there already.
            readable()
            return code, bytes(output)
        finally:
            loop.remove_reader(reading)
            os.close(reading)

    async def probe(self, config: ContainerConfig, spec: HealthSpec) -> HealthResult | None:
        """Run a health probe; one that can't be started has failed, one whose keeper has died says nothing (None)."""
        start_ns = time.time_ns()
        losses = self._runtime.losses
        try:
            code, output = await self.capture(
                config.id,
                exec_process(config, spec.args),
                timeout_s=spec.timeout_s,
                limit_bytes=OUTPUT_KEPT_BYTES,
            )
            text = output.decode(errors="replace")
        except PycomposeError as exc:
            if isinstance(exc, KeeperLost) or self._runtime.losses != losses:
                return None
            code, text = exc.exit_code, str(exc)
        if code == -1:
            text = f"health check exceeded timeout ({spec.timeout_s:g}s): {text}"
        return HealthResult(start_ns=start_ns, end_ns=time.time_ns(), exit_code=code, output=text)

    async def hook(self, config: ContainerConfig, hook: Hook) -> tuple[int, bytes]:
        """Run a lifecycle hook in the container; return its exit code and output."""
        environment = {key: value for key, _, value in (item.partition("=") for item in hook.environment)}
        process = exec_process(
            config,
            hook.command,
            user=hook.user,
            cwd=hook.working_dir,
            environment=dict(environment),
            privileged=hook.privileged,
        )
        return await self.capture(config.id, process, timeout_s=None, limit_bytes=HOOK_OUTPUT_BYTES)
