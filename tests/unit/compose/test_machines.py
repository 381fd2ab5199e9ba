"""The health and restart machines, step by step."""

from __future__ import annotations

from pycompose.model import Health, Restart
from pycompose.policy.health import (
    HEALTHY,
    STARTING,
    UNHEALTHY,
    HealthResult,
    HealthSpec,
    HealthState,
    after_probe,
    make_spec,
    next_delay,
)
from pycompose.policy.restart import RestartState, after_exit

OK = HealthResult(start_ns=0, end_ns=1, exit_code=0, output="")
BAD = HealthResult(start_ns=0, end_ns=1, exit_code=1, output="no")


def test_the_first_probe_comes_at_once() -> None:
    """Not after an interval, as Docker does."""
    assert next_delay(HealthSpec(args=("true",)), HealthState(), since_start_s=0) == 0


def test_early_failures_back_off_and_do_not_count() -> None:
    """Probes that Docker would not have made yet can't make the container unhealthy."""
    spec = HealthSpec(args=("x",), interval_s=10, retries=1)
    state = HealthState()
    for seconds in (0.1, 0.3, 1.0, 5.0, 9.9):
        state = after_probe(spec, state, BAD, since_start_s=seconds)

    assert (state.status, state.failing_streak) == (STARTING, 0)
    assert after_probe(spec, state, BAD, since_start_s=10.1).status == UNHEALTHY


def test_failures_count_once_per_interval() -> None:
    """Three retries at ten seconds take thirty, whatever the back-off does in between."""
    spec = HealthSpec(args=("x",), interval_s=10, retries=3)
    state = HealthState()
    when = 0.0
    while state.status == STARTING:
        when += 1.0
        state = after_probe(spec, state, BAD, since_start_s=when)

    assert when == 30.0


def test_failures_in_the_start_period_do_not_count() -> None:
    """After it they do."""
    spec = HealthSpec(args=("x",), interval_s=1, retries=1, start_period_s=20)
    state = after_probe(spec, HealthState(), BAD, since_start_s=15)

    assert state.status == STARTING
    assert after_probe(spec, state, BAD, since_start_s=21.5).status == UNHEALTHY


def test_one_success_is_enough_and_settles_on_the_interval() -> None:
    """Healthy, then declared timing."""
    spec = HealthSpec(args=("x",), interval_s=7)
    state = after_probe(spec, HealthState(), OK, since_start_s=0.1)

    assert state.status == HEALTHY
    assert next_delay(spec, state, since_start_s=1) == 7


def test_a_healthy_container_turns_unhealthy_after_retries_and_recovers() -> None:
    """Every failure counts once it has been healthy."""
    spec = HealthSpec(args=("x",), interval_s=1, retries=2)
    state = after_probe(spec, HealthState(), OK, since_start_s=0.1)
    state = after_probe(spec, state, BAD, since_start_s=1.1)
    assert (state.status, state.failing_streak) == (HEALTHY, 1)
    state = after_probe(spec, state, BAD, since_start_s=2.1)
    assert state.status == UNHEALTHY
    assert after_probe(spec, state, OK, since_start_s=3.1).status == HEALTHY


def test_only_five_results_are_kept() -> None:
    """As `docker inspect` shows."""
    spec = HealthSpec(args=("x",))
    state = HealthState()
    for _ in range(9):
        state = after_probe(spec, state, OK, since_start_s=1)

    assert len(state.results) == 5


def test_the_service_fills_up_from_the_image() -> None:
    """Each value the service leaves out is the image's."""
    image = Health(test=("CMD-SHELL", "curl x"), interval_s=5, retries=9)
    spec = make_spec(Health(interval_s=2), image)

    assert spec is not None
    assert (spec.args, spec.interval_s, spec.retries) == (("/bin/sh", "-c", "curl x"), 2, 9)
    assert make_spec(Health(disable=True), image) is None
    assert make_spec(Health(test=("NONE",)), image) is None
    assert make_spec(None, None) is None


def delays(policy: Restart, count: int, *, exit_code: int = 1, ran_s: float = 0.0) -> list[float | None]:
    state, found = RestartState(), []
    for _ in range(count):
        state, delay = after_exit(policy, state, exit_code=exit_code, ran_s=ran_s, stopped=False)
        found.append(delay)
    return found


def test_back_off_doubles_up_to_a_minute() -> None:
    """100 ms, 200 ms … 60 s (moby restartmanager/restartmanager.go)."""
    assert delays(Restart(kind="always"), 12) == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        25.6,
        51.2,
        60.0,
        60.0,
    ]


def test_a_good_run_resets_the_back_off() -> None:
    """Ten seconds are a good run."""
    assert delays(Restart(kind="always"), 3, ran_s=11) == [0.1, 0.1, 0.1]
    assert delays(Restart(kind="always", window_s=20.0), 3, ran_s=11) == [0.1, 0.2, 0.4]


def test_on_failure_counts_and_lets_success_end() -> None:
    """`on-failure:2` gives up; exit 0 is no failure."""
    assert delays(Restart(kind="on-failure", max_attempts=2), 3) == [0.1, 0.2, None]
    assert delays(Restart(kind="on-failure"), 1, exit_code=0) == [None]


def test_a_manual_stop_wins_over_every_policy() -> None:
    """Also over `always`."""
    _, delay = after_exit(Restart(kind="always"), RestartState(), exit_code=137, ran_s=99, stopped=True)

    assert delay is None


def test_a_declared_delay_replaces_the_back_off() -> None:
    """`deploy.restart_policy.delay`."""
    assert delays(Restart(kind="always", delay_s=3), 2) == [3, 3]
