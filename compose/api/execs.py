"""Commands that a client has announced, runs or has run in containers: POST …/exec makes one, …/start runs it.

They are the one thing that the server itself knows: what has ended is forgotten after a while, or when there are many.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from pycompose.api.errors import ApiError
from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from pycompose.client.sessions import Session

KEPT_S = 300.0
MOST = 1000


@dataclass(slots=True, kw_only=True)
class ExecInstance:
    """One command; `exit_code` None until it has ended."""

    id: str
    container: str
    project: str
    service: str
    args: tuple[str, ...]
    user: str = ""
    cwd: str = ""
    env: tuple[str, ...] = ()
    privileged: bool = False
    tty: bool = False
    stdin: bool = False
    outputs: tuple[str, ...] = ()
    detach_keys: str = ""
    pid: int = 0
    started: bool = False
    exit_code: int | None = None
    session: Session | None = None
    size: tuple[int, int] = (0, 0)
    touched_s: float = field(default_factory=time.monotonic)

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.started and self.exit_code is None


class Attached:
    """Who is attached to which container, so that its terminal can be given a size from another connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, list[Session]] = {}

    def enter(self, container: str, session: Session) -> None:
        """Take note of a session."""
        with self._lock:
            self._all.setdefault(container, []).append(session)

    def leave(self, container: str, session: Session) -> None:
        """Forget a session; no error when that has been done."""
        with self._lock:
            found = [one for one in self._all.pop(container, []) if one is not session]
            if found:
                self._all[container] = found

    def of(self, container: str) -> Session | None:
        """Return the latest of a container, None without one."""
        with self._lock:
            return self._all.get(container, [None])[-1]


class Execs:
    """All of them, by id; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, ExecInstance] = {}

    def new_id(self) -> str:
        """Return 64 hex digits."""
        return os.urandom(32).hex()

    def add(self, instance: ExecInstance) -> None:
        """Keep one, and forget old ones. Raises ApiError when too many run."""
        now_s = time.monotonic()
        with self._lock:
            idle = sorted(
                (one for one in self._all.values() if not one.running), key=lambda one: one.touched_s
            )
            for one in idle:
                if len(self._all) >= MOST or now_s - one.touched_s > KEPT_S:
                    del self._all[one.id]
            if len(self._all) >= MOST:
                raise ApiError(503, f"server: {MOST} commands run already")
            self._all[instance.id] = instance

    def find(self, exec_id: str) -> ExecInstance:
        """Return one. Raises ApiError."""
        with self._lock:
            found = self._all.get(exec_id)
        if found is None:
            raise ApiError(404, f"No such exec instance: {exec_id}")
        return found

    def begin(self, exec_id: str) -> ExecInstance:
        """Return one that is to be started now. Raises ApiError when it has been."""
        found = self.find(exec_id)
        with self._lock:
            if found.started:
                what = "has already run" if found.exit_code is not None else "is already running"
                raise ApiError(409, f"Error: Exec command {exec_id} {what}")
            found.started = True
        return found

    def of(self, container: str) -> list[str]:
        """Return the ids of those that run in a container."""
        with self._lock:
            return [one.id for one in self._all.values() if one.container == container and one.running]

    @property
    def busy(self) -> bool:
        """Whether any runs."""
        with self._lock:
            return any(one.running for one in self._all.values())
