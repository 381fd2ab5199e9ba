"""What `depends_on` and `--wait` are content with, and what they give up on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status
from pycompose.model import Condition, Service
from pycompose.networking.api import Networking
from pycompose.policy.health import HEALTHY, STARTING, UNHEALTHY, HealthResult, HealthSpec, HealthState
from pycompose.policy.restart import RestartState
from pycompose.state.records import ServiceRecord
from pycompose.supervisor.lifecycle.conditions import PAUSE_PATIENCE_S, Conditions, DependencyFailed
from pycompose.supervisor.lifecycle.tracked import TrackedContainer
from pycompose.supervisor.network.wiring import Wiring
from pycompose.supervisor.runtime.containers import Runtime

from tests.unit.policy.examples import container

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROBE = HealthSpec(args=("true",))


def tracked(status: Status, *, health: str | None = None, **more: Any) -> TrackedContainer:
    """Return a container in this state; `health` is that of its healthcheck, if it has one."""
    found = TrackedContainer(
        config=container("db", more.pop("number", 1)).config,
        record=ServiceRecord(service=Service(name="db"), health=None if health is None else PROBE),
        status=status,
        **more,
    )
    found.health = None if health is None else HealthState(status=health)
    return found


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """Call something with conditions whose service has these containers, on a loop."""

    def run(call: Callable[[Conditions], Any], *found: TrackedContainer) -> Any:
        async def main() -> Any:
            paths = StatePaths(root=tmp_path / "root", run=tmp_path / "run")
            wiring = Wiring(paths, "demo", Networking(paths), asyncio.get_running_loop())
            result = call(Conditions(Runtime(paths, "demo", wiring, "1"), lambda _: list(found)))
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run(main())

    return run


def wait(condition: Condition) -> Callable[[Conditions], Any]:
    """Wait for a condition as long as it takes, or until now: a wait that goes on ends with TimeoutError."""

    async def work(conditions: Conditions) -> bool:
        async with asyncio.timeout(0):
            await conditions.wait_for("db", condition, asyncio.Event())
        return True

    return work


@pytest.mark.parametrize(
    ("condition", "found"),
    (
        (Condition.STARTED, tracked(Status.RUNNING)),
        (Condition.STARTED, tracked(Status.RUNNING, health=STARTING)),
        (Condition.STARTED, tracked(Status.PAUSED)),
        (Condition.HEALTHY, tracked(Status.RUNNING, health=HEALTHY)),
        (Condition.HEALTHY, tracked(Status.PAUSED, health=HEALTHY)),
        (Condition.COMPLETED, tracked(Status.EXITED)),
    ),
    ids=["runs", "runs, whatever its health", "is paused", "healthy", "healthy when paused", "done"],
)
def test_met(ask: Callable[..., Any], condition: Condition, found: TrackedContainer) -> None:
    """Nobody waits for what is so already."""
    assert ask(wait(condition), found)


@pytest.mark.parametrize(
    ("condition", "found"),
    (
        (Condition.STARTED, tracked(Status.CREATED)),
        (Condition.STARTED, tracked(Status.RESTARTING, exit_code=1)),
        (Condition.HEALTHY, tracked(Status.RUNNING, health=STARTING)),
        (Condition.HEALTHY, tracked(Status.CREATED, health=STARTING)),
        (Condition.COMPLETED, tracked(Status.RUNNING)),
        (Condition.COMPLETED, tracked(Status.RESTARTING, exit_code=1)),
    ),
    ids=["created", "restarting", "starting", "to be started", "running", "tries again"],
)
def test_not_yet(ask: Callable[..., Any], condition: Condition, found: TrackedContainer) -> None:
    """It may still come."""
    with pytest.raises(TimeoutError):
        ask(wait(condition), found)


@pytest.mark.parametrize(
    ("condition", "found", "reason"),
    (
        (Condition.STARTED, tracked(Status.EXITED, exit_code=2), r"container demo-db-1 exited \(2\)"),
        (Condition.STARTED, tracked(Status.EXITED), r"container demo-db-1 exited \(0\)"),
        (Condition.HEALTHY, tracked(Status.RUNNING), "container demo-db-1 has no healthcheck configured"),
        (Condition.HEALTHY, tracked(Status.RUNNING, health=UNHEALTHY), "container demo-db-1 is unhealthy"),
        (Condition.COMPLETED, tracked(Status.EXITED, exit_code=3), "didn't complete successfully: exit 3"),
    ),
    ids=["failed", "ended", "no healthcheck", "unhealthy", "job failed"],
)
def test_never(ask: Callable[..., Any], condition: Condition, found: TrackedContainer, reason: str) -> None:
    """Whoever waits for it is told at once, and why."""
    with pytest.raises(DependencyFailed, match=reason):
        ask(wait(condition), found)


def test_every_replica_counts(ask: Callable[..., Any]) -> None:
    """One that isn't ready keeps all waiting; one that has failed is found even behind such a one."""
    slow, fine = tracked(Status.CREATED), tracked(Status.RUNNING, number=2)
    failed = tracked(Status.EXITED, number=3, exit_code=1)

    with pytest.raises(TimeoutError):
        ask(wait(Condition.STARTED), fine, slow)
    with pytest.raises(DependencyFailed, match="demo-db-3 exited"):
        ask(wait(Condition.STARTED), slow, failed)
    assert ask(wait(Condition.STARTED))


def test_a_change_wakes_those_who_wait(ask: Callable[..., Any]) -> None:
    """Nobody polls: without a word nothing is asked again."""
    found = tracked(Status.CREATED)
    asked = []

    async def work(conditions: Conditions) -> None:
        def done() -> bool:
            asked.append(found.status)
            return found.status is Status.RUNNING

        waiting = asyncio.ensure_future(conditions.wait_until(done, asyncio.Event()))
        await asyncio.sleep(0)
        found.status = Status.RUNNING
        await asyncio.sleep(0)
        conditions.notify_all()
        await waiting

    ask(work, found)
    assert asked == [Status.CREATED, Status.RUNNING]


@pytest.mark.parametrize(
    ("found", "restarts", "ready"),
    (
        (tracked(Status.RUNNING), True, True),
        (tracked(Status.RUNNING, health=STARTING), True, False),
        (tracked(Status.RUNNING, health=HEALTHY), True, True),
        (tracked(Status.EXITED), True, True),
        (tracked(Status.RESTARTING, exit_code=1), True, False),
        (tracked(Status.RUNNING, restart=RestartState(total=1)), True, True),
    ),
    ids=["runs", "starting", "healthy", "done", "restarting", "restarted"],
)
def test_ready(ask: Callable[..., Any], found: TrackedContainer, restarts: bool, ready: bool) -> None:  # noqa: FBT001
    """`--wait`: runs, or is healthy where there is a healthcheck, or has done its work."""
    assert ask(lambda conditions: conditions.ready(found, restarts=restarts)) is ready


def test_a_replacement_that_had_to_be_restarted_has_failed(ask: Callable[..., Any]) -> None:
    """The one that it was to take over from goes on."""
    found = tracked(Status.RUNNING, exit_code=1, restart=RestartState(total=1))

    with pytest.raises(DependencyFailed, match=r"demo-db-1 exited \(1\)"):
        ask(lambda conditions: conditions.ready(found, restarts=False))


def test_a_failed_probe_is_quoted_where_there_is_no_output(ask: Callable[..., Any]) -> None:
    """The last lines of the last result."""
    found = tracked(Status.RUNNING, health=UNHEALTHY)
    lines = "".join(f"line {number}\n" for number in range(12))
    result = HealthResult(start_ns=0, end_ns=0, exit_code=1, output=lines)
    found.health = HealthState(status=UNHEALTHY, results=(result,))

    with pytest.raises(DependencyFailed) as caught:
        ask(wait(Condition.HEALTHY), found)
    assert caught.value.hint is not None
    assert caught.value.hint.splitlines()[1:] == [f"  demo-db-1 | line {number}" for number in range(2, 12)]


def test_only_one_without_healthcheck_has_to_live_for_a_moment() -> None:
    """The others have proven themselves, or have ended."""
    assert Conditions.age_s(tracked(Status.RUNNING, health=HEALTHY)) == float("inf")
    assert Conditions.age_s(tracked(Status.EXITED)) == float("inf")
    assert Conditions.age_s(tracked(Status.RUNNING, started_s=1e12)) < 0


@pytest.mark.parametrize("condition", (Condition.HEALTHY, Condition.COMPLETED))
def test_a_pause_is_waited_for_but_not_for_ever(ask: Callable[..., Any], condition: Condition) -> None:
    """`commit` pauses for a moment; who has been paused for longer is named, with the way to go on."""
    paused = tracked(Status.PAUSED, health=STARTING, paused_s=time.monotonic())
    with pytest.raises(TimeoutError):
        ask(wait(condition), paused)
    paused.paused_s -= PAUSE_PATIENCE_S
    with pytest.raises(DependencyFailed, match="demo-db-1 has been paused for 30 s") as caught:
        ask(wait(condition), paused)
    assert caught.value.hint == "let it go on: pycompose unpause db"
