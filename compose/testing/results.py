"""What tests get to see: plain facts. Moments are CLOCK_REALTIME nanoseconds, durations seconds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PycomposeError


class ProcessFailed(PycomposeError):  # noqa: N818 - the tree of engine/errors.py reads as sentences
    """A command in a container has ended with another exit code than 0."""

    def __init__(self, args: Sequence[str], code: int, output: bytes) -> None:
        lines = output.decode(errors="replace").splitlines()[-10:]
        super().__init__(f"{shlex.join(args)}: exit code {code}", hint="\n  ".join(["it says:", *lines]))
        self.code = code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessResult:
    """How a command in a container has ended. `code` is 128+n for signal n."""

    args: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, its last newline taken off."""
        return self.stdout.decode(errors="replace").removesuffix("\n")

    def json(self) -> Any:
        """Return standard output as JSON. Raises ValueError."""
        return json.loads(self.stdout)

    def check(self) -> ProcessResult:
        """Return the result itself. Raises ProcessFailed unless the exit code is 0."""
        if self.code:
            raise ProcessFailed(self.args, self.code, self.stderr or self.stdout)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLine:
    """A line that a container has written; `stream` is "stdout" or "stderr"."""

    time_ns: int
    stream: str
    text: str
    service: str
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReport:
    """How a container of a service is, for whoever wants to know why a stack isn't ready.

    `state` and `health` are Docker's words, "missing" for a service without a container. `waits_for` says what is not
    as it should be, "" for nothing.
    """

    service: str
    container: str = ""
    state: str = "missing"
    exit_code: int = 0
    oom_killed: bool = False
    health: str = ""
    health_output: str = ""
    restarts: int = 0
    waits_for: str = ""
    lines: tuple[OutputLine, ...] = ()

    def __str__(self) -> str:
        facts = [self.state]
        if self.state in ("exited", "restarting"):
            facts.append(f"exit code {self.exit_code}")
        if self.oom_killed:
            facts.append("killed for lack of memory")
        if self.restarts:
            facts.append(f"{self.restarts} restarts")
        if self.health:
            facts.append(self.health)
        text = [f"{self.service}: {', '.join(facts)}" + (f"; {self.waits_for}" if self.waits_for else "")]
        text += [f"  health check: {line}" for line in self.health_output.splitlines()[-5:]]
        text += [f"  {line.container} | {line.text}" for line in self.lines]
        return "\n".join(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """How long a service took at the start of its stack, in seconds from the beginning; None: it never happened."""

    service: str
    created_s: float | None = None
    started_s: float | None = None
    ready_s: float | None = None
    memory_peak_bytes: int | None = None


@dataclass(slots=True, kw_only=True)
class StackTimes:
    """What `--pycompose-report` tells of a stack."""

    name: str
    images_s: float = 0.0
    ready_s: float = 0.0
    services: dict[str, ServiceTimes] = field(default_factory=dict)
