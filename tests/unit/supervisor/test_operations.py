"""What operations do where no process is needed: whom they find, and what is told of a wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import StateError
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status
from pycompose.events import Event, Phase
from pycompose.labels import NUMBER, REPLACE
from pycompose.model import Condition, Project, Service
from pycompose.networking.api import Networking
from pycompose.policy.observed import RuntimeRecord
from pycompose.policy.plan import (
    AwaitService,
    CreateContainer,
    KeepContainer,
    Node,
    Operation,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
)
from pycompose.state.records import read_runtime, read_service, write_runtime
from pycompose.state.snapshot import owner_of, read_container
from pycompose.supervisor.lifecycle.conditions import DependencyFailed
from pycompose.supervisor.lifecycle.exec import ExecRunner
from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
from pycompose.supervisor.network.wiring import Wiring
from pycompose.supervisor.operations import Operations
from pycompose.supervisor.runtime.containers import Runtime
from pycompose.supervisor.threads import Together
from pycompose.supervisor.watcher import WatcherSeat

from tests.unit.supervisor.examples import image, project

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pycompose.supervisor.lifecycle.tracked import TrackedContainer


class Desk:
    """A project's supervisor without connections and without a keeper; `told` has what people are told."""

    def __init__(self, folder: Path, wanted: Project) -> None:
        self.told: list[str] = []
        self.events: list[Event] = []
        self.paths = StatePaths(root=folder / "root", run=folder / "run")
        wiring = Wiring(self.paths, "demo", Networking(self.paths), asyncio.get_running_loop())
        runtime = Runtime(self.paths, "demo", wiring, "1")
        execs = ExecRunner(runtime, lambda *_: None)
        self.lifecycle = Lifecycle(runtime, execs, lambda *_, **__: None, WatcherSeat().before_start)
        self.operations = Operations(
            runtime=runtime,
            wiring=wiring,
            lifecycle=self.lifecycle,
            need_keeper=self._no_keeper,
            sink=self._sink,
            network_creations=Together(wiring.ensure_networks),
            network_removals=Together(wiring.remove_networks),
            discards=Together(runtime.discard),
            project=wanted,
            images={name: image() for name in wanted.services},
        )

    async def _no_keeper(self) -> None:
        pytest.fail("nothing here needs a keeper")

    def _sink(self, event: Event) -> None:
        self.events.append(event)
        self.told.append(f"{event.subject}: {event.text}")

    async def perform(self, operation: Operation) -> None:
        """Perform one operation."""
        await self.operations.perform(Node(number=1, operation=operation, cause="test"), asyncio.Event())

    async def create(self, service: str, number: int = 1, **more: Any) -> TrackedContainer:
        """Create a container of a service, return it."""
        name = more.pop("name", f"demo-{service}-{number}")
        await self.perform(CreateContainer(service=service, number=number, name=name, **more))
        return self.lifecycle.tracked[self.operations.created[service, number]]


@pytest.fixture
def at_desk(tmp_path: Path) -> Callable[..., None]:
    """Run a test on a loop, with a desk for the project of these services."""

    def run(work: Callable[[Desk], Awaitable[None]], *services: Service) -> None:
        async def main() -> None:
            await work(Desk(tmp_path, project(*services)))

        asyncio.run(main())

    return run


DB = Service(name="db", image="busybox", hash="h1")
WEB = Service(name="web", image="busybox", hash="h1")


# ---------------------------------------------------------------------- creating


def test_a_container_is_there_and_told(at_desk: Callable[..., None]) -> None:
    """Under its name, by its number."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db", 2)

        assert owner_of(desk.paths, "demo-db-2") == made.config.id
        assert made.config.labels[NUMBER] == "2"
        assert desk.told == ["Container demo-db-2: Creating", "Container demo-db-2: Created"]

    at_desk(work, DB)


def test_a_replacement_takes_the_name_at_once(at_desk: Callable[..., None]) -> None:
    """The old one is known by its id from then on; the new one knows whom it replaces."""

    async def work(desk: Desk) -> None:
        old = await desk.create("db")
        new = await desk.create("db", replaces=old.config.id)

        assert owner_of(desk.paths, "demo-db-1") == new.config.id
        assert new.config.labels[REPLACE] == old.config.id
        assert desk.told[2:] == ["Container demo-db-1: Recreate"]

    at_desk(work, DB)


def test_one_beside_the_old_one_has_a_name_and_addresses_of_its_own(at_desk: Callable[..., None]) -> None:
    """Until it takes over; the two sets of addresses are used in turn."""

    async def work(desk: Desk) -> None:
        first = await desk.create("db")
        second = await desk.create("db", replaces=first.config.id, beside="x_demo-db-1")
        assert owner_of(desk.paths, "demo-db-1") == first.config.id
        assert (second.name, second.record.takes_over) == ("x_demo-db-1", first.config.id)

        await desk.perform(RemoveContainer(id=first.config.id, name="demo-db-1", service="db"))
        await desk.perform(RenameContainer(service="db", number=1, name="demo-db-1"))
        third = await desk.create("db", replaces=second.config.id, beside="y_demo-db-1")
        after = await desk.create("db", replaces=second.config.id)
        leases = [t.record.lease for t in (first, second, third, after)]
        assert leases[0] == leases[2] != leases[1] == leases[3]
        assert after.record.takes_over == ""

    at_desk(work, DB)


def test_a_name_that_somebody_has_is_refused_and_nothing_is_left(at_desk: Callable[..., None]) -> None:
    """No claim, no folder, no second owner."""

    async def work(desk: Desk) -> None:
        old = await desk.create("db")
        with pytest.raises(StateError, match="the name is in use by container"):
            await desk.create("web", name="demo-db-1")

        assert owner_of(desk.paths, "demo-db-1") == old.config.id
        assert [item.name for item in desk.paths.containers.iterdir()] == [old.config.id]
        assert [item.name for item in desk.paths.project_claims("demo").iterdir()] == [old.config.id]
        assert desk.events[-1].phase is Phase.ERROR

    at_desk(work, DB, WEB)


def test_whose_namespace_is_shared(at_desk: Callable[..., None]) -> None:
    """That of the container which the plan has just created, else of the one with the lowest number."""

    async def work(desk: Desk) -> None:
        await desk.create("db", 2)
        first = await desk.create("db", 1)
        desk.operations.created.clear()
        sharer = await desk.create("web")
        assert sharer.config.namespaces.network == f"container:{first.config.id}"

        second = await desk.create("db", 1, replaces=first.config.id)
        sharer = await desk.create("web", replaces=sharer.config.id)
        assert sharer.config.namespaces.network == f"container:{second.config.id}"

    at_desk(work, DB, replace(WEB, network_mode="service:db"))


def test_a_namespace_of_nobody(at_desk: Callable[..., None]) -> None:
    """The error names the service and what it asks for; a container by name may be of the project."""

    async def work(desk: Desk) -> None:
        with pytest.raises(StateError, match="service web: cannot share what container:demo-db-1 has"):
            await desk.create("web")
        db = await desk.create("db")
        web = await desk.create("web")

        assert web.config.namespaces.pid == f"container:{db.config.id}"

    at_desk(work, DB, replace(WEB, pid="container:demo-db-1"))


# ---------------------------------------------------------------------- what there is


def test_a_container_that_has_gone_cannot_be_started(at_desk: Callable[..., None]) -> None:
    """The plan was made before; the next one knows."""

    async def work(desk: Desk) -> None:
        with pytest.raises(StateError, match="container demo-db-1: gone while it was to be started"):
            await desk.perform(StartContainer(service="db", number=1, name="demo-db-1", id="f" * 64))

        await desk.perform(StopContainer(id="f" * 64, name="demo-db-1", service="db"))

    at_desk(work, DB)


def test_one_that_runs_by_now_is_left_alone(at_desk: Callable[..., None]) -> None:
    """Its restart policy was quicker."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        made.status = Status.RUNNING
        await desk.perform(StartContainer(service="db", number=1, name="demo-db-1"))

        assert desk.told[-1] == "Container demo-db-1: Running"

    at_desk(work, DB)


def test_keeping_takes_back_that_it_was_to_stop(at_desk: Callable[..., None]) -> None:
    """In memory and on disk, so that it is restarted, also after a crash."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        made.status, made.stopped = Status.RUNNING, True
        write_runtime(desk.paths, made.config.id, RuntimeRecord(stopped=True, restarts=3))
        await desk.perform(KeepContainer(id=made.config.id, name="demo-db-1"))

        assert not made.stopped
        assert read_runtime(desk.paths, made.config.id) == RuntimeRecord(stopped=False, restarts=3)
        assert desk.told[-1] == "Container demo-db-1: Running"

    at_desk(work, DB)


def test_a_rename_leaves_no_old_name(at_desk: Callable[..., None]) -> None:
    """The files of the container say the new one."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db", name="x_demo-db-1")
        await desk.perform(RenameContainer(service="db", number=1, name="demo-db-1"))
        found = read_container(desk.paths, made.config.id)

        assert owner_of(desk.paths, "demo-db-1") == made.config.id
        assert sorted(item.name for item in desk.paths.names.iterdir()) == ["demo-db-1"]
        assert found is not None
        assert found.name == made.name == "demo-db-1"

    at_desk(work, DB)


def test_removing_what_was_only_created_leaves_nothing(at_desk: Callable[..., None]) -> None:
    """It has never been anything to a keeper. What is part of a replacement is not told."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        assert read_service(desk.paths, made.config.id).service == DB
        desk.told.clear()
        await desk.perform(RemoveContainer(id=made.config.id, name="demo-db-1", service="db", replaced=True))

        assert desk.told == ["Container demo-db-1: Recreated"]
        assert list(desk.paths.containers.iterdir()) == []
        assert list(desk.paths.names.iterdir()) == []
        assert list(desk.paths.project_claims("demo").iterdir()) == []

    at_desk(work, DB)


def test_a_cut_off_replacement_gives_the_name_back(at_desk: Callable[..., None]) -> None:
    """When the new one goes, the old one is called what it was called."""

    async def work(desk: Desk) -> None:
        old = await desk.create("db")
        new = await desk.create("db", replaces=old.config.id)
        await desk.perform(RemoveContainer(id=new.config.id, name="demo-db-1", service="db"))

        assert owner_of(desk.paths, "demo-db-1") == old.config.id

    at_desk(work, DB)


# ---------------------------------------------------------------------- waiting


def waiting(*, required: bool) -> AwaitService:
    return AwaitService(
        service="db", condition=Condition.COMPLETED, required=required, containers=("demo-db-1",)
    )


def test_a_condition_that_is_met_is_told(at_desk: Callable[..., None]) -> None:
    """In the words of the condition."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        made.status, made.exit_code = Status.EXITED, 0
        await desk.perform(waiting(required=True))

        assert desk.told[-2:] == ["Container demo-db-1: Waiting", "Container demo-db-1: Exited"]

    at_desk(work, DB)


def test_a_condition_that_cannot_be_met_ends_the_plan(at_desk: Callable[..., None]) -> None:
    """The error says whose, and why."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        made.status, made.exit_code = Status.EXITED, 3
        with pytest.raises(DependencyFailed, match=r"dependency failed to start: .*exit 3"):
            await desk.perform(waiting(required=True))

        assert (desk.events[-1].text, desk.events[-1].phase) == ("Error", Phase.ERROR)

    at_desk(work, DB)


def test_an_optional_one_is_skipped(at_desk: Callable[..., None]) -> None:
    """With a warning; the plan goes on."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        made.status, made.exit_code = Status.EXITED, 3
        await desk.perform(waiting(required=False))

        assert (desk.events[-1].text, desk.events[-1].phase) == ("Skipped", Phase.WARNING)

    at_desk(work, DB)


def test_a_wait_ends_when_the_plan_is_given_up(at_desk: Callable[..., None]) -> None:
    """Nothing is told to be done then."""

    async def work(desk: Desk) -> None:
        made = await desk.create("db")
        made.status = Status.RUNNING
        abort = asyncio.Event()
        node = Node(number=1, operation=waiting(required=True), cause="test")
        task = asyncio.ensure_future(desk.operations.perform(node, abort))
        asyncio.get_running_loop().call_soon(abort.set)
        await task

        assert desk.told[-1] == "Container demo-db-1: Waiting"

    at_desk(work, DB)
