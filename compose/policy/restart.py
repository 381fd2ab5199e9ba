"""When a container that ended is started again: a pure machine over Docker's rules.

moby restartmanager/restartmanager.go: back-off 100 ms, doubled up to 60 s, reset after a run of at least 10 s;
`on-failure[:n]`; `deploy.restart_policy` with delay, max_attempts and window; a manual stop cancels.
"""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass, replace
from pycompose.model import Restart

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 60.0
GOOD_RUN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartState:
    """`attempts` since the last good run decides about giving up; `delay_s` is the last one used."""

    attempts: int = 0
    delay_s: float = 0.0
    total: int = 0


def after_exit(
    policy: Restart, state: RestartState, *, exit_code: int, ran_s: float, stopped: bool
) -> tuple[RestartState, float | None]:
    """Return the new state and the seconds to wait before the next start, or None to leave it ended.

    `stopped` says that somebody asked for the end (`stop`, `kill`, `down`), which every policy respects.
    """
    good_run = ran_s >= (policy.window_s if policy.window_s is not None else GOOD_RUN_S)
    if good_run:
        state = replace(state, attempts=0, delay_s=0.0)
    if stopped or policy.kind == "no" or (policy.kind == "on-failure" and exit_code == 0):
        return state, None
    if policy.max_attempts is not None and policy.max_attempts > 0 and state.attempts >= policy.max_attempts:
        return state, None
    if policy.delay_s is not None:
        delay_s = policy.delay_s
    else:
        delay_s = min(state.delay_s * 2, LONGEST_DELAY_S) if state.delay_s else FIRST_DELAY_S
    return RestartState(attempts=state.attempts + 1, delay_s=delay_s, total=state.total + 1), delay_s
