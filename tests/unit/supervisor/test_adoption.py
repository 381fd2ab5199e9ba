"""What a new supervisor, or one with a new keeper, makes of what it finds."""

from __future__ import annotations

import pytest
from pycompose.engine.api import ContainerExited
from pycompose.engine.errors import EngineError
from pycompose.engine.state import Status
from pycompose.model import Restart
from pycompose.policy.observed import RuntimeRecord
from pycompose.state.records import write_runtime

from tests.support.managed import PROJECT, Bench, in_a_project

ALWAYS = Restart(kind="always")


@in_a_project
async def test_what_runs_goes_on(bench: Bench) -> None:
    """Nothing is started, and its end is heard."""
    container_id = bench.make("web")
    bench.engine.start_container(container_id)

    await bench.managed.sync()
    tracked = bench.managed.lifecycle.tracked[container_id]
    assert tracked.status is Status.RUNNING
    assert bench.engine.starts(container_id) == 1

    bench.engine.end(container_id, 6)
    await tracked.ended.wait()
    assert (tracked.status, tracked.exit_code) == (Status.EXITED, 6)


@in_a_project
async def test_what_has_ended_unheard_is_restarted_if_its_policy_says_so(bench: Bench) -> None:
    """Unless somebody had asked for its end."""
    ended, stopped = bench.make("web", restart=ALWAYS), bench.make("db", restart=ALWAYS)
    for container_id in (ended, stopped):
        bench.engine.start_container(container_id)
        bench.engine.end(container_id, 1)
    write_runtime(bench.paths, stopped, RuntimeRecord(stopped=True))

    await bench.managed.sync()
    tracked = bench.managed.lifecycle.tracked
    await bench.until(lambda: tracked[ended].status is Status.RUNNING)

    assert bench.engine.starts(ended) == 2
    assert tracked[stopped].status is Status.EXITED
    assert bench.engine.starts(stopped) == 1


@in_a_project
async def test_what_was_not_to_be_kept_is_removed(bench: Bench) -> None:
    """`run --rm` holds although nobody was there when it ended."""
    container_id = bench.make("job", record={"oneoff": True, "auto_remove": True})
    bench.engine.start_container(container_id)
    bench.engine.end(container_id, 0)

    await bench.managed.sync()
    await bench.managed.auto_remove.wait(container_id)

    assert container_id not in bench.managed.lifecycle.tracked
    assert not bench.paths.container(container_id).exists()


@in_a_project
async def test_a_claim_without_a_container_is_cleared_away(bench: Bench) -> None:
    """Whoever was about to make it has died."""
    claim = bench.paths.project_claims(PROJECT) / ("e" * 64)
    claim.write_text(f"{'e' * 64} demo-web-1")

    await bench.managed.sync()

    assert not claim.exists()
    assert not bench.managed.lifecycle.tracked


@in_a_project
async def test_an_end_that_no_keeper_told_is_told_by_the_files(bench: Bench) -> None:
    """What ended between two keepers has its policy carried out like any other."""
    web, db = await bench.started("web", restart=ALWAYS), await bench.started("db")
    untold: list[object] = []
    bench.engine.on_event = untold.append
    bench.engine.end(web.config.id, 1)
    bench.engine.on_event = bench.managed.engine_event
    assert [type(event) for event in untold] == [ContainerExited]
    assert web.status is Status.RUNNING

    await bench.managed.adoption.catch_up()
    await bench.happened(web, "restart")

    assert bench.engine.starts(web.config.id) == 2
    assert (db.status, bench.engine.starts(db.config.id)) == (Status.RUNNING, 1)


@in_a_project
async def test_what_runs_although_its_start_failed_is_ended(bench: Bench) -> None:
    """The keeper died after it had started it: whoever asked has been told that it failed."""
    web = await bench.add("web")
    bench.engine.failures[web.config.id] = EngineError("connection lost")
    with pytest.raises(EngineError):
        await bench.managed.lifecycle.start(web)
    bench.engine.start_container(web.config.id)

    await bench.managed.adoption.catch_up()

    assert bench.engine.running == {}
    assert web.status is Status.CREATED
