"""The health of a container: a pure machine (spec, state, result, now) -> state.

From outside it is Docker's: `starting`, `healthy`, `unhealthy`, FailingStreak, the last five results. Inside it is
quicker: the first probe comes at once and is repeated with back-off until the first success, because Docker's first
probe only after a full interval is what makes `service_healthy` slow (moby #33410). Probes that Docker would not have
made don't count as failures, so `unhealthy` never comes earlier than there.
"""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass, replace
from pycompose.model import Health

DEFAULT_INTERVAL_S = 30.0
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_START_INTERVAL_S = 5.0
DEFAULT_RETRIES = 3
FIRST_BACKOFF_S = 0.02
LONGEST_BACKOFF_S = 1.0
RESULTS_KEPT = 5
OUTPUT_KEPT_BYTES = 4096

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSpec:
    """A healthcheck with all defaults filled in; `args` is the argument vector of the probe."""

    args: tuple[str, ...]
    interval_s: float = DEFAULT_INTERVAL_S
    timeout_s: float = DEFAULT_TIMEOUT_S
    start_period_s: float = 0.0
    start_interval_s: float = DEFAULT_START_INTERVAL_S
    retries: int = DEFAULT_RETRIES


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthResult:
    """One finished probe; `exit_code` -1 is a timeout. Times are CLOCK_REALTIME nanoseconds."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState:
    """What `inspect` and `ps` show, and what the next probe depends on; `*_s` are seconds since the start."""

    status: str = STARTING
    failing_streak: int = 0
    results: tuple[HealthResult, ...] = ()
    backoff_s: float = 0.0
    counted_s: float = 0.0
    succeeded: bool = False


def make_spec(
    service: Health | None, image: Health | None, shell: tuple[str, ...] = ("/bin/sh", "-c")
) -> HealthSpec | None:
    """Return the probe of a container: the service's healthcheck over the image's, or None without one.

    Docker's rule: each value that the service leaves out comes from the image; `disable` and ("NONE",) switch off.
    """
    if service is not None and (service.disable or service.test == ("NONE",)):
        return None
    layers = [layer for layer in (service, image) if layer is not None]
    test = next((layer.test for layer in layers if layer.test), None)
    if not test or test[0] == "NONE":
        return None
    args = (*shell, test[1]) if test[0] == "CMD-SHELL" else test[1:]

    def pick(name: str, default: float) -> float:
        return next((float(v) for layer in layers if (v := getattr(layer, name)) not in (None, 0)), default)

    return HealthSpec(
        args=args,
        interval_s=pick("interval_s", DEFAULT_INTERVAL_S),
        timeout_s=pick("timeout_s", DEFAULT_TIMEOUT_S),
        start_period_s=pick("start_period_s", 0.0),
        start_interval_s=pick("start_interval_s", DEFAULT_START_INTERVAL_S),
        retries=int(pick("retries", DEFAULT_RETRIES)),
    )


def next_delay(spec: HealthSpec, state: HealthState, *, since_start_s: float) -> float:
    """Return the seconds until the next probe, counted from the end of the last one."""
    if state.succeeded:
        in_start = state.status == STARTING and since_start_s < spec.start_period_s
        return spec.start_interval_s if in_start else spec.interval_s
    if not state.results:
        return 0.0
    return min(state.backoff_s, spec.interval_s)


def after_probe(
    spec: HealthSpec, state: HealthState, result: HealthResult, *, since_start_s: float
) -> HealthState:
    """Return the state after a probe that ended `since_start_s` seconds after the container's start."""
    results = (*state.results, result)[-RESULTS_KEPT:]
    if result.exit_code == 0:
        return replace(
            state, status=HEALTHY, failing_streak=0, results=results, succeeded=True, counted_s=since_start_s
        )
    backoff_s = min(state.backoff_s * 2 if state.backoff_s else FIRST_BACKOFF_S, LONGEST_BACKOFF_S)
    state = replace(state, results=results, backoff_s=backoff_s)
    if not state.succeeded and since_start_s < spec.start_period_s:
        return state
    first_due_s = state.counted_s or spec.start_period_s
    if not state.succeeded and since_start_s < first_due_s + spec.interval_s:
        return state
    streak = state.failing_streak + 1
    status = UNHEALTHY if streak >= spec.retries else state.status
    return replace(state, failing_streak=streak, status=status, counted_s=since_start_s)
