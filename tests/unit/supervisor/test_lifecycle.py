"""What a container's life comes to: statuses, restarts, stops, and who is told."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.errors import EngineError, ExecError, InvalidTransition, KeeperLost
from pycompose.engine.state import Status, transition
from pycompose.model import Hook, Restart
from pycompose.policy.health import HEALTHY, HealthSpec
from pycompose.state.records import read_runtime
from pycompose.state.snapshot import read_container

from tests.support.managed import Bench, in_a_project
from tests.support.memory_engine import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycompose.engine.api import StartedExec
    from pycompose.engine.config import Process
    from pycompose.engine.state import ContainerState

ALWAYS = Restart(kind="always")


@in_a_project
async def test_a_container_that_ends_has_exited(bench: Bench) -> None:
    """Without a restart policy nothing follows, and whoever waits is woken."""
    tracked = await bench.started("web")
    waiting = asyncio.create_task(tracked.ended.wait())

    bench.engine.end(tracked.config.id, 3)
    await waiting

    assert (tracked.status, tracked.exit_code, tracked.active) == (Status.EXITED, 3, False)
    assert bench.actions(tracked) == ["start", "die"]


@in_a_project
async def test_restart_always_starts_again(bench: Bench) -> None:
    """The same container, told as restarting in between, and counted on disk."""
    tracked = await bench.started("web", restart=ALWAYS)

    bench.engine.end(tracked.config.id, 0)
    await bench.until(lambda: tracked.status is Status.RESTARTING)
    await bench.until(lambda: tracked.status is Status.RUNNING)

    assert bench.engine.starts(tracked.config.id) == 2
    await bench.happened(tracked, "restart")
    assert bench.actions(tracked) == ["start", "die", "start", "restart"]
    assert read_runtime(bench.paths, tracked.config.id).restarts == 1


class Looked(MemoryEngine):
    """An engine that notes, before each start, whether the files tell of a container that is about to start again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[bool] = []

    def start_container(
        self, container_id: str, hold: Mapping[str, Sequence[int]] | None = None
    ) -> ContainerState:
        """Look, and start it."""
        found = read_container(self._paths, container_id)
        assert found is not None
        self.seen.append(found.waits)
        return super().start_container(container_id, hold)


@in_a_project
async def test_a_restart_is_awaited_until_it_runs(bench: Bench) -> None:
    """Whoever hears of the end may look while the next start is under way: it is not over then, and later it is."""
    engine = Looked(bench.paths, bench.managed.engine_event)
    bench.managed.runtime.keeper = engine
    tracked = await bench.started("web", restart=Restart(kind="on-failure", max_attempts=1))
    engine.end(tracked.config.id, 1)
    await bench.happened(tracked, "restart")
    assert engine.seen == [False, True]
    engine.end(tracked.config.id, 1)
    await bench.until(lambda: tracked.status is Status.EXITED)
    found = read_container(bench.paths, tracked.config.id)
    assert found is not None
    assert not found.waits


@in_a_project
async def test_a_stop_ends_the_wait_for_a_restart(bench: Bench) -> None:
    """Whoever stops a container that waits for its next start finds it exited, and it stays so."""
    tracked = await bench.started("web", restart=Restart(kind="always", delay_s=60.0))
    bench.engine.end(tracked.config.id, 1)
    await bench.until(lambda: tracked.status is Status.RESTARTING)

    await bench.managed.lifecycle.stop(tracked, None)

    assert tracked.status is Status.EXITED
    assert tracked.restart_task is None
    assert read_runtime(bench.paths, tracked.config.id).stopped


@in_a_project
async def test_a_stopped_container_is_not_restarted(bench: Bench) -> None:
    """Its end was asked for, whatever the policy says."""
    tracked = await bench.started("web", restart=ALWAYS)

    await bench.managed.lifecycle.stop(tracked, None)

    assert tracked.status is Status.EXITED
    assert bench.engine.calls[-1] == ("signal", tracked.config.id, signal.SIGTERM)
    assert bench.actions(tracked) == ["start", "kill", "die", "stop"]


@in_a_project
async def test_who_ignores_the_signal_is_killed(bench: Bench) -> None:
    """After the grace period; the whole of it."""
    bench.engine.deadly = set()
    tracked = await bench.started("web")

    await bench.managed.lifecycle.stop(tracked, None)

    calls = [call[0] for call in bench.engine.calls if call[1] == tracked.config.id]
    assert calls == ["start", "signal", "kill"]
    assert tracked.exit_code == 137


@in_a_project
async def test_without_a_grace_period_there_is_no_signal(bench: Bench) -> None:
    """`stop -t 0` kills."""
    tracked = await bench.started("web")

    await bench.managed.lifecycle.stop(tracked, 0)

    assert [call[0] for call in bench.engine.calls if call[1] == tracked.config.id] == ["start", "kill"]


@in_a_project
async def test_a_first_start_that_fails_leaves_it_created(bench: Bench) -> None:
    """It has never run; whoever asked gets the error, and may try again."""
    tracked = await bench.add("web")
    bench.engine.failures[tracked.config.id] = ExecError("no such file", exit_code=127)

    with pytest.raises(ExecError):
        await bench.managed.lifecycle.start(tracked)
    assert tracked.status is Status.CREATED

    await bench.managed.lifecycle.start(tracked)
    assert tracked.status is Status.RUNNING


@in_a_project
async def test_a_restart_that_fails_counts_as_an_end(bench: Bench) -> None:
    """The policy decides what follows: here, another attempt."""
    tracked = await bench.started("web", restart=ALWAYS)
    bench.engine.failures[tracked.config.id] = ExecError("no such file", exit_code=127)

    bench.engine.end(tracked.config.id, 1)
    await bench.until(
        lambda: bench.engine.starts(tracked.config.id) == 3 and tracked.status is Status.RUNNING
    )

    assert tracked.exit_code == 127


@in_a_project
async def test_a_hook_that_fails_fails_the_start(bench: Bench) -> None:
    """With its exit code and the end of its output; the container runs."""
    bench.engine.codes[("prepare",)] = 9
    tracked = await bench.add("web", post_start=(Hook(command=("prepare",)),))

    lines: list[str] = []
    with pytest.raises(EngineError) as caught:
        await bench.managed.lifecycle.start(tracked, lines.append)

    assert str(caught.value) == "web hook exited with status 9: ran prepare"
    assert caught.value.hint == f"post_start[0] of container {tracked.name}: prepare"
    assert lines == ["ran prepare"]
    assert tracked.status is Status.RUNNING


@in_a_project
async def test_the_hooks_of_a_oneoff_are_no_reason_for_it_to_fail(bench: Bench) -> None:
    """What has ended before them needs none; where one fails by itself, that is told."""
    tracked = await bench.add("web", post_start=(Hook(command=("prepare",)),))
    lifecycle = bench.managed.lifecycle
    await lifecycle.launch(tracked)
    bench.engine.codes[("prepare",)] = 9
    failure = await lifecycle.accompany(tracked)
    bench.engine.codes[("prepare",)] = 137
    bench.engine.end(tracked.config.id, 0)

    assert "status 9" in str(failure)
    assert await lifecycle.accompany(tracked) is None


@in_a_project
async def test_a_hook_that_fails_at_a_restart_is_no_end(bench: Bench) -> None:
    """Nobody asked for the start; the container runs on."""
    tracked = await bench.started("web", restart=ALWAYS, post_start=(Hook(command=("prepare",)),))
    bench.engine.codes[("prepare",)] = 9

    bench.engine.end(tracked.config.id, 1)
    await bench.until(
        lambda: bench.engine.starts(tracked.config.id) == 2 and tracked.status is Status.RUNNING
    )
    await bench.happened(tracked, "restart")

    assert tracked.status is Status.RUNNING
    assert tracked.restart_task is None


@in_a_project
async def test_an_end_that_is_told_before_its_start_is_taken_after_it(bench: Bench) -> None:
    """`true` may have ended before its start is known: the exit code isn't lost, and the order is start, die."""
    tracked = await bench.add("web")
    start = bench.engine.start_container

    def start_and_end(container_id: str, hold: dict[str, list[int]] | None = None) -> object:
        state = start(container_id, hold)
        bench.engine.end(container_id, 5)
        return state

    bench.engine.start_container = start_and_end  # type: ignore[method-assign,assignment]
    await bench.managed.lifecycle.start(tracked)
    await tracked.ended.wait()

    assert (tracked.status, tracked.exit_code) == (Status.EXITED, 5)
    assert bench.actions(tracked) == ["start", "die"]


@in_a_project
async def test_pause_and_stop(bench: Bench) -> None:
    """A paused container goes on before it is told to stop: frozen, it could not hear."""
    tracked = await bench.started("web")
    await bench.managed.lifecycle.pause(tracked)
    assert tracked.status is Status.PAUSED

    await bench.managed.lifecycle.stop(tracked, None)

    assert bench.actions(tracked) == ["start", "pause", "unpause", "kill", "die", "stop"]


@pytest.mark.parametrize(
    ("before", "after"),
    ((Status.EXITED, Status.CREATED), (Status.CREATED, Status.PAUSED), (Status.RUNNING, Status.RESTARTING)),
)
def test_no_container_moves_so(before: Status, after: Status) -> None:
    """A change that isn't in the table is a mistake of ours, and told as one."""
    with pytest.raises(InvalidTransition, match=f"web: cannot go from {before.value} to {after.value}"):
        transition("web", before, after)


class LostThreeTimes(MemoryEngine):
    """An engine whose connection has ended when a command is to be executed, at first."""

    lost = 3

    def exec(self, container_id: str, process: Process, **more: Any) -> StartedExec:
        """Fail, or execute it."""
        if self.lost:
            self.lost -= 1
            raise KeeperLost("the keeper is not there")
        return super().exec(container_id, process, **more)


@in_a_project
async def test_a_probe_that_nobody_could_ask_is_no_result(bench: Bench) -> None:
    """The container has not failed: the keeper died, and another one asks."""
    bench.managed.runtime.keeper = LostThreeTimes(bench.paths, bench.managed.engine_event)
    spec = HealthSpec(args=("true",), interval_s=0.001, retries=1)
    tracked = await bench.started("web", record={"health": spec})

    await bench.until(lambda: tracked.health is not None and tracked.health.status == HEALTHY)

    assert tracked.health is not None
    assert [result.exit_code for result in tracked.health.results] == [0]
    assert bench.actions(tracked) == ["start", "health_status: healthy"]
