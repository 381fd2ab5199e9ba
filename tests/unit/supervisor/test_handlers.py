"""What a supervisor does with a request: which containers it is about, what it waits for, who goes first."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, NoReturn

import pytest
from pycompose.engine.config import ContainerConfig, Limits, from_json
from pycompose.engine.errors import AlreadyExists, EngineError, KeeperLost, NoSuchContainer, StateError
from pycompose.engine.state import Status
from pycompose.engine.statefiles import read_json
from pycompose.ipc.messages import (
    ContainerMessage,
    ExitMessage,
    ResultMessage,
    StoppedMessage,
    SubscribedMessage,
)
from pycompose.ipc.requests import (
    ExecRequest,
    HoldRequest,
    KillRequest,
    PauseRequest,
    RemoveRequest,
    RenameRequest,
    StartRequest,
    StopRequest,
    SubscribeRequest,
    UpdateRequest,
    WaitRequest,
)
from pycompose.model import Condition, Dependency, Restart
from pycompose.policy.health import HealthSpec
from pycompose.state.records import read_service

from tests.support.managed import Bench, Client, in_a_project

if TYPE_CHECKING:
    from pycompose.ipc.requests import SupervisorRequest

NEEDS_DB = (Dependency(service="db", condition=Condition.HEALTHY),)
NEVER_HEALTHY = HealthSpec(args=("never",), interval_s=60.0, start_interval_s=60.0)


@in_a_project
async def test_stop_is_about_what_is_named(bench: Bench) -> None:
    """Services, or containers by id; one-offs only by id."""
    web, db = await bench.started("web"), await bench.started("db")
    oneoff = await bench.started("web", number=2, record={"oneoff": True})

    _, told = await bench.ask(StopRequest(services=("web",)))
    assert told == ["Container demo-web-1 Stopping", "Container demo-web-1 Stopped"]
    assert [t.status for t in (web, db, oneoff)] == [Status.EXITED, Status.RUNNING, Status.RUNNING]

    await bench.ask(StopRequest(ids=(oneoff.config.id,)))
    assert [t.status for t in (db, oneoff)] == [Status.RUNNING, Status.EXITED]


@in_a_project
async def test_dry_run_touches_nothing(bench: Bench) -> None:
    """It tells the same."""
    web = await bench.started("web")

    _, told = await bench.ask(StopRequest(dry_run=True))

    assert told == ["Container demo-web-1 Stopping", "Container demo-web-1 Stopped"]
    assert web.status is Status.RUNNING


@in_a_project
async def test_start_brings_dependencies_up_first(bench: Bench) -> None:
    """Also those that nobody named."""
    db = await bench.add("db")
    web = await bench.add("web", depends_on=(Dependency(service="db", condition=Condition.STARTED),))

    await bench.ask(StartRequest(services=("web",)))

    assert [c[1] for c in bench.engine.calls if c[0] == "start"] == [db.config.id, web.config.id]


@in_a_project
async def test_what_is_named_by_id_waits_for_nobody(bench: Bench) -> None:
    """A container that is started as such is nobody's dependant."""
    await bench.add("db")
    web = await bench.add("web", depends_on=NEEDS_DB)

    await bench.ask(StartRequest(ids=(web.config.id,)))

    assert [c[1] for c in bench.engine.calls if c[0] == "start"] == [web.config.id]


@in_a_project
async def test_a_start_of_nothing_is_an_error(bench: Bench) -> None:
    """The service is named."""
    await bench.add("db")

    with pytest.raises(NoSuchContainer, match="service web has no container to start"):
        await bench.ask(StartRequest(services=("web",)))


@pytest.mark.parametrize("request_", (StopRequest(), KillRequest(signal="KILL"), RemoveRequest(stop=True)))
@in_a_project
async def test_taking_down_interrupts_building_up(bench: Bench, request_: SupervisorRequest[object]) -> None:
    """A start that waits for a dependency doesn't keep anybody from stopping it."""
    await bench.add("db", record={"health": NEVER_HEALTHY})
    await bench.add("web", depends_on=NEEDS_DB)
    start = Client(bench, StartRequest())
    await bench.until(lambda: any(t.active for t in bench.managed.lifecycle.tracked.values()))

    await bench.ask(request_)

    with pytest.raises(asyncio.CancelledError):
        await start.task
    assert not bench.managed.lifecycle.anything_active


@in_a_project
async def test_hold_keeps_everybody_out_until_the_client_goes(bench: Bench) -> None:
    """Nothing changes meanwhile."""
    web = await bench.started("web")
    held = Client(bench, HoldRequest())
    assert isinstance(await held.next(), ResultMessage)
    stop = asyncio.create_task(bench.ask(StopRequest()))

    await bench.ask(KillRequest(signal="USR1"))  # which changes nothing, and so waits for nobody
    assert web.status is Status.RUNNING
    assert not stop.done()

    held.hang_up()
    await stop
    assert web.status is Status.EXITED


@in_a_project
async def test_remove_leaves_what_runs(bench: Bench) -> None:
    """Unless it is told to stop it; nothing is said to be done where nothing was."""
    web, db = await bench.started("web"), await bench.add("db")

    assert (await bench.ask(RemoveRequest()))[0] == {}
    assert set(bench.managed.lifecycle.tracked) == {web.config.id}
    assert not bench.paths.container(db.config.id).exists()
    assert (await bench.ask(RemoveRequest()))[0] == {"nothing": True}

    await bench.ask(RemoveRequest(stop=True))
    assert not bench.managed.lifecycle.tracked


@in_a_project
async def test_pause_and_unpause_pass_over_the_others(bench: Bench) -> None:
    """What doesn't run; what is paused already is an error, unless a first attempt may have done it."""
    web, db = await bench.started("web"), await bench.add("db")

    _, told = await bench.ask(PauseRequest(pause=True))
    assert told == ["Container demo-web-1 Paused"]
    assert [t.status for t in (web, db)] == [Status.PAUSED, Status.CREATED]
    with pytest.raises(StateError, match="container demo-web-1: already paused"):
        await bench.ask(PauseRequest(pause=True))
    assert (await bench.ask(PauseRequest(pause=True, again=True)))[1] == []

    _, told = await bench.ask(PauseRequest(pause=False))
    assert told == ["Container demo-web-1 Unpaused"]
    with pytest.raises(StateError, match="container demo-web-1: not paused"):
        await bench.ask(PauseRequest(pause=False))


@in_a_project
async def test_a_signal_by_name_reaches_all_that_run(bench: Bench) -> None:
    """One-offs, too; without any there was nothing to do."""
    assert (await bench.ask(KillRequest(signal="SIGUSR1")))[0] == {"nothing": True}
    web = await bench.started("web")
    oneoff = await bench.started("web", number=2, record={"oneoff": True})

    await bench.ask(KillRequest(signal="SIGUSR1"))

    sent = {call for call in bench.engine.calls if call[0] == "signal"}
    assert sent == {("signal", t.config.id, signal.SIGUSR1) for t in (web, oneoff)}


@in_a_project
async def test_wait_tells_each_end_as_it_comes(bench: Bench) -> None:
    """And is done with the last one."""
    web, db = await bench.started("web"), await bench.started("db")
    waiting = Client(bench, WaitRequest(services=("web", "db")))

    bench.engine.end(db.config.id, 3)
    first = await waiting.next()
    bench.engine.end(web.config.id, 4)
    second = await waiting.next()

    told = [(m.waited.service, m.waited.code) for m in (first, second) if isinstance(m, StoppedMessage)]
    assert told == [("db", 3), ("web", 4)]
    assert isinstance(await waiting.next(), ResultMessage)
    with pytest.raises(NoSuchContainer, match="service other: no container exists"):
        await bench.ask(WaitRequest(services=("other",)))


@in_a_project
async def test_subscribers_hear_what_they_have_missed(bench: Bench) -> None:
    """First who is active, then events since the time that they name, then those to come."""
    web = await bench.started("web")
    (start,) = bench.managed.events.since(0)
    client = Client(bench, SubscribeRequest(since_ns=start.time_ns))
    state, missed = await client.next(), await client.next()
    await bench.managed.lifecycle.pause(web)
    new = await client.next()

    assert isinstance(state, SubscribedMessage)
    assert state.subscribed == {web.config.id: True}
    told = [m.container.action for m in (missed, new) if isinstance(m, ContainerMessage)]
    assert told == ["start", "pause"]


@in_a_project
async def test_exec_tells_the_exit_code(bench: Bench) -> None:
    """Which may come before its start is known; whoever is detached gets none."""
    web = await bench.started("web")
    bench.engine.codes["true", "x"] = 7
    request = ExecRequest(service="web", args=("true", "x"), fds=(False, False, False))
    client = Client(bench, request)
    await client.task

    result, code = client.messages()
    assert isinstance(result, ResultMessage)
    assert result.result["container"] == web.config.id
    assert code == ExitMessage(exit=7)


@pytest.mark.parametrize(
    ("state", "index", "message", "hint"),
    (
        ("none", 0, 'service "web" has no container', "ps -a"),
        ("created", 0, 'service "web" is not running', "pycompose start web"),
        ("paused", 0, "is paused", "unpause"),
        ("running", 2, 'service "web" has no container number 2', "ps -a"),
    ),
)
@in_a_project
async def test_a_replica_that_cannot_be_used_is_told_so(
    bench: Bench, state: str, index: int, message: str, hint: str
) -> None:
    """With what to do about it."""
    if state != "none":
        web = await (bench.add if state == "created" else bench.started)("web")
        if state == "paused":
            await bench.managed.lifecycle.pause(web)
    with pytest.raises((StateError, NoSuchContainer), match=message) as caught:
        bench.managed.replica("web", index)
    assert hint in (caught.value.hint or "")


@in_a_project
async def test_the_lowest_replica_that_runs_is_taken(bench: Bench) -> None:
    """By number, whatever the order in which they were made."""
    await bench.started("web", number=2)
    await bench.add("web", number=1)
    await bench.started("web", number=3)

    assert bench.managed.replica("web", 0).record.number == 2
    assert bench.managed.replica("web", 3).record.number == 3


@in_a_project
async def test_a_container_that_is_not_kept_goes_with_its_end(bench: Bench) -> None:
    """`run --rm`, also when nobody is connected to it any more."""
    job = await bench.started("job", record={"oneoff": True, "auto_remove": True})

    bench.engine.end(job.config.id, 0)
    await bench.happened(job, "destroy")
    await bench.managed.auto_remove.wait(job.config.id)

    assert not bench.managed.lifecycle.tracked
    assert not bench.paths.container(job.config.id).exists()


@in_a_project
async def test_update_lasts_as_long_as_the_container(bench: Bench) -> None:
    """Only what is given changes, in its files, where the next supervisor finds it."""
    web = await bench.add("web", restart=Restart(kind="always"))
    await bench.ask(UpdateRequest(ids=(web.config.id,), limits=Limits(cpus=0.5)))
    await bench.ask(UpdateRequest(ids=(web.config.id,), limits=Limits(pids=9), restart=Restart()))

    config = from_json(ContainerConfig, read_json(bench.paths.container(web.config.id) / "config.json"))
    assert config.limits == web.config.limits == Limits(cpus=0.5, pids=9)
    assert read_service(bench.paths, web.config.id).service.restart == Restart()
    with pytest.raises(NoSuchContainer, match="is gone"):
        await bench.ask(UpdateRequest(ids=("f" * 64,)))


@in_a_project
async def test_a_name_is_given_once(bench: Bench) -> None:
    """The container answers to the new one; one that is taken is refused, and changes nothing."""
    web, db = await bench.add("web"), await bench.add("db")
    await bench.ask(RenameRequest(ids=(web.config.id,), name="front"))
    assert web.name == "front"

    with pytest.raises(AlreadyExists):
        await bench.ask(RenameRequest(ids=(db.config.id,), name="front"))
    assert db.name == "demo-db-1"


@in_a_project
async def test_whatever_fails_when_the_keeper_dies_has_failed_because_of_that(bench: Bench) -> None:
    """So that the command asks again; what may not be done twice keeps its own error."""
    web, db = await bench.add("web"), await bench.started("db")

    def die(*_: object) -> NoReturn:
        bench.managed.runtime.losses += 1
        raise EngineError("connection lost")

    bench.engine.start_container = bench.engine.signal = die  # type: ignore[method-assign]
    with pytest.raises(KeeperLost, match="connection lost"):
        await bench.ask(StartRequest(ids=(web.config.id,)))
    with pytest.raises(EngineError, match="connection lost") as caught:
        await bench.ask(KillRequest(ids=(db.config.id,), signal="TERM"))
    assert not isinstance(caught.value, KeeperLost)
