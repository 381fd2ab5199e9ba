"""Hooks of a service: commands in a container that has started (`post_start`) or is to be stopped (`pre_stop`).

What one prints goes line by line to whoever listens, an attached `up`, and its end into the error of one that fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pycompose.engine.errors import EngineError

if TYPE_CHECKING:
    from pycompose.model import Hook
    from pycompose.supervisor.lifecycle.exec import ExecRunner
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer

TAIL_LINES = 10
TAIL_CHARACTERS = 2048
LINE_BYTES = 65536

Told = Callable[[str], None]


class HookFailed(EngineError):  # noqa: N818 - as those that it derives from
    """A hook has ended with `status`."""

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class HookOutput:
    """What a hook prints, by lines: all of them for `told`, the last ones for its error."""

    def __init__(self, told: Told | None) -> None:
        self._told = told
        self._last: dict[str, deque[str]] = {}
        self._rest: dict[str, bytes] = {}

    def take(self, stream: str, data: bytes) -> None:
        """Take a piece of `stdout` or `stderr`."""
        *lines, self._rest[stream] = (self._rest.get(stream, b"") + data).split(b"\n")
        if len(self._rest[stream]) > LINE_BYTES:  # it may never end
            lines.append(self._rest.pop(stream))
        for line in lines:
            self._line(stream, line)

    def finish(self) -> None:
        """Take last lines that have no end."""
        for stream, rest in self._rest.items():
            if rest:
                self._line(stream, rest)
        self._rest.clear()

    def _line(self, stream: str, line: bytes) -> None:
        text = line.decode(errors="replace")
        self._last.setdefault(stream, deque(maxlen=TAIL_LINES)).append(text)
        if self._told is not None:
            self._told(text)

    def failure(self, sentence: str) -> str:
        """Return a sentence with the last lines of stderr behind it, or of stdout where there are none."""
        tails = ("\n".join(self._last.get(stream, ()))[-TAIL_CHARACTERS:] for stream in ("stderr", "stdout"))
        found = next((tail.strip() for tail in tails if tail.strip()), "")
        return f"{sentence}: {found}" if found else sentence


async def post_start(execs: ExecRunner, tracked: TrackedContainer, told: Told | None = None) -> None:
    """Run what the service wants to be run after a start; raises HookFailed for the first that fails."""
    for index, hook in enumerate(tracked.record.service.post_start):
        await _run(execs, tracked, hook, f"post_start[{index}]", told)


async def pre_stop(execs: ExecRunner, tracked: TrackedContainer, told: Told | None = None) -> None:
    """Run what the service wants to be run before a stop; raises HookFailed for the first that fails."""
    for index, hook in enumerate(tracked.record.service.pre_stop):
        await _run(execs, tracked, hook, f"pre_stop[{index}]", told)


async def _run(
    execs: ExecRunner, tracked: TrackedContainer, hook: Hook, which: str, told: Told | None
) -> None:
    output = HookOutput(told)
    code = await execs.hook(
        tracked.config,
        hook,
        lambda data: output.take("stdout", data),
        lambda data: output.take("stderr", data),
    )
    output.finish()
    if code != 0:
        raise HookFailed(
            output.failure(f"{tracked.service} hook exited with status {code}"),
            status=code,
            hint=f"{which} of container {tracked.name}: {' '.join(hook.command)}",
        )
