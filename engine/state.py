"""The run-time state of a container: a claim on disk, proven by the kernel.

`state.json` is written by the keeper, `exit.json` too when it has reaped the process. A claim "running" counts only
while pid, start time and boot id match what /proc says (runc does the same: refreshState).
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import InvalidTransition
from pycompose.engine.statefiles import read_json, read_whole

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths


class Status(Enum):
    """Docker's container states."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"


# How a container gets from one to the other; it is removed in any but RUNNING and PAUSED.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.EXITED}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.EXITED}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.EXITED}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.EXITED}),
    Status.EXITED: frozenset({Status.RUNNING, Status.RESTARTING}),
}


def transition(name: str, old: Status, new: Status) -> Status:
    """Return `new`, or raise InvalidTransition."""
    if new not in TRANSITIONS[old]:
        raise InvalidTransition(f"container {name}: cannot go from {old.value} to {new.value}")
    return new


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """`state.json` and `exit.json` together.

    `start_ticks` is field 22 of /proc/PID/stat. `started_ns`/`finished_ns` are CLOCK_REALTIME, 0 is never.
    `exit_code` is 128+n for signal n; `exit_code_known` is False when nobody could reap the process. `warnings` are
    sentences about what was asked for and has no effect on this machine.
    """

    id: str
    status: Status
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    started_ns: int = 0
    finished_ns: int = 0
    exit_code: int = 0
    exit_code_known: bool = True
    oom_killed: bool = False
    restart_count: int = 0
    error: str = ""
    warnings: tuple[str, ...] = ()


ENDED = (b"Z", b"X")
# PF_EXITING, a bit of the flags in proc_pid_stat(5); linux/sched.h.
_EXITING = 0x4
# How a keeper is recognised: a part of its command line (client.py).
KEEPER = b"pycompose.engine.keeper"


@cache
def boot_id() -> str:
    """Return the id of this boot (proc_sys_kernel(5) random/boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int:
    """Return when `pid` started, in clock ticks after boot, 0 when there is no such process (proc_pid_stat(5)).

    A zombie still counts.
    """
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def running_ticks(pid: int) -> int:
    """Return the same, but 0 for a zombie, which has ended."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in ENDED else 0


def _stat(pid: int) -> list[bytes]:
    """Return the fields behind the name: state, parent and so on; none when there is no such process."""
    try:
        text = read_whole(f"/proc/{pid}/stat")
    except OSError:
        return []
    return text[text.rindex(b")") + 2 :].split()


def exists(state: ContainerState) -> bool:
    """Tell whether the process that `state` names is there, be it as a zombie: same pid, start time and boot."""
    return state.pid > 0 and state.boot_id == boot_id() and start_ticks(state.pid) == state.start_ticks


def alive(state: ContainerState) -> bool:
    """Tell whether the process that `state` names runs, or is about to be written down by its keeper.

    A zombie has ended. It counts until its keeper has noted how; one of another parent (process 1, when the keeper has
    been killed) may stay for ever. So may one that is exiting.
    """
    if state.pid <= 0 or state.boot_id != boot_id():
        return False
    fields = _stat(state.pid)
    if not fields or int(fields[19]) != state.start_ticks:
        return False
    return not _over(fields) or _is_keeper(int(fields[1]))


def exiting(pid: int) -> bool:
    """Tell whether `pid` runs no code any more, though it may not be a zombie yet.

    Process 1 of a pid namespace waits for everybody in it to be reaped (pid_namespaces(7)), for ever if what was
    executed in there has a parent that never waits. It has closed all its files and left its group before.
    """
    fields = _stat(pid)
    return bool(fields) and _over(fields)


def _over(fields: list[bytes]) -> bool:
    return fields[0] in ENDED or bool(int(fields[6]) & _EXITING)


def _is_keeper(pid: int) -> bool:
    try:
        return KEEPER in read_whole(f"/proc/{pid}/cmdline")
    except OSError:
        return False


def read_state(paths: StatePaths, container_id: str) -> ContainerState:
    """Return the proven state of a container: what the files claim, corrected by /proc.

    A container without run-time files is CREATED (or was, before a reboot). A "running" one whose process is
    gone is EXITED, with the code of `exit.json` where there is one.
    """
    directory = paths.container_run(container_id)
    try:
        state = from_json(ContainerState, read_json(f"{directory}/state.json"))
    except FileNotFoundError:
        return ContainerState(id=container_id, status=Status.CREATED)
    if state.status in (Status.RUNNING, Status.PAUSED) and not alive(state):
        try:
            return from_json(ContainerState, read_json(directory / "exit.json"))
        except FileNotFoundError:
            return ContainerState(
                id=container_id,
                status=Status.EXITED,
                started_ns=state.started_ns,
                exit_code=255,
                exit_code_known=False,
                restart_count=state.restart_count,
            )
    return state
