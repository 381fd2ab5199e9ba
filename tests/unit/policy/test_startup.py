"""What a start waits for: conditions and init containers, as the text of the plan."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import StateError
from pycompose.engine.state import Status
from pycompose.model import Condition, Dependency, Hook, Project
from pycompose.policy.observed import Observed, ObservedContainer
from pycompose.policy.options import ReconcileOptions, Recreate
from pycompose.policy.plan import AwaitService
from pycompose.policy.reconcile import reconcile
from pycompose.policy.startup import restart_plan, start_plan

from tests.unit.policy.examples import OLD, container, observed, project, service

ONCE = Hook(command=("migrate",))
EACH = Hook(command=("prepare",), per_replica=True)
HEALTHY = Dependency(service="db", condition=Condition.HEALTHY)


def plan(wanted: Project, there: Observed, **options: Any) -> str:
    return str(reconcile(wanted, there, ReconcileOptions(services=tuple(wanted.services), **options)))


def exited(name: str, number: int = 1, **changes: Any) -> ObservedContainer:
    return replace(container(name, number, status=Status.EXITED), **changes)


# ---------------------------------------------------------------------- init containers


def test_init_containers_run_in_order_before_the_start() -> None:
    """Each after the one before it."""
    assert plan(project(service("db", pre_start=(ONCE, ONCE))), observed()) == (
        "[] -> #1 CreateContainer demo-db-1, no existing container\n"
        "[1] -> #2 RunInitContainer demo-db-pre_start-0, has not succeeded yet\n"
        "[1,2] -> #3 RunInitContainer demo-db-pre_start-1, has not succeeded yet\n"
        "[1,2,3] -> #4 StartContainer demo-db-1, created by #1\n"
    )


def test_what_runs_once_runs_before_all_replicas() -> None:
    """And what runs for each of them runs for one after the other."""
    assert plan(project(service("db", replicas=2, pre_start=(ONCE, EACH))), observed()) == (
        "[] -> #1 CreateContainer demo-db-1, no existing container\n"
        "[1] -> #2 RunInitContainer demo-db-pre_start-0, has not succeeded yet\n"
        "[1,2] -> #3 RunInitContainer demo-db-pre_start-1, for each replica\n"
        "[1,2,3] -> #4 StartContainer demo-db-1, created by #1\n"
        "[] -> #5 CreateContainer demo-db-2, no existing container\n"
        "[2,3,5] -> #6 RunInitContainer demo-db-pre_start-1, for each replica\n"
        "[2,5,6] -> #7 StartContainer demo-db-2, created by #5\n"
    )


def test_what_has_succeeded_is_not_run_again() -> None:
    """For the same definition of the service; what runs for each replica runs for a new one."""
    wanted = project(service("db", pre_start=(ONCE, EACH)))
    there = replace(observed(), hooks_done=frozenset({"db/db-1/0", "db/db-1/1"}))

    assert plan(wanted, there) == (
        "[] -> #1 CreateContainer demo-db-1, no existing container\n"
        "[1] -> #2 RunInitContainer demo-db-pre_start-1, for each replica\n"
        "[1,2] -> #3 StartContainer demo-db-1, created by #1\n"
    )


def test_another_definition_needs_its_hooks() -> None:
    """They run before the old container is stopped where the new one starts first, else when it has gone."""
    wanted = project(service("db", hash="db-2", pre_start=(ONCE,)))
    there = replace(observed(container("db")), hooks_done=frozenset({"db/db-1/0"}))

    assert plan(wanted, there) == (
        "[] -> #1 CreateContainer demo-db-1, configuration changed\n"
        "[1] -> #2 StopContainer demo-db-1, replaced by #1\n"
        "[1,2] -> #3 RemoveContainer demo-db-1, replaced by #1\n"
        "[3] -> #4 RunInitContainer demo-db-pre_start-0, has not succeeded yet\n"
        "[3,4] -> #5 StartContainer demo-db-1, created by #3\n"
    )
    (first,) = wanted.services.values()
    assert plan(project(replace(first, update_order="start-first")), there) == (
        "[] -> #1 CreateContainer demo-db-1, configuration changed\n"
        "[1] -> #2 RunInitContainer demo-db-pre_start-0, has not succeeded yet\n"
        "[1,2] -> #3 StartFirst demo-db-1, created by #1\n"
        "[3] -> #4 StopContainer demo-db-1, replaced by #1\n"
        "[4] -> #5 RemoveContainer demo-db-1, replaced by #1\n"
        "[5] -> #6 RenameContainer demo-db-1, replaced #5\n"
    )


def test_init_containers_wait_for_what_the_service_depends_on() -> None:
    """A migration needs its database."""
    wanted = project(service("db"), service("web", depends_on=(HEALTHY,), pre_start=(ONCE,)))

    assert plan(wanted, observed(container("db"))) == (
        "[] -> #1 CreateContainer demo-web-1, no existing container\n"
        "[] -> #2 AwaitService db service_healthy, a dependant needs it\n"
        "[1,2] -> #3 RunInitContainer demo-web-pre_start-0, has not succeeded yet\n"
        "[1,2,3] -> #4 StartContainer demo-web-1, created by #1\n"
    )


def test_a_container_that_has_run_needs_no_hook() -> None:
    """One that was created and never started does, for what it was made from."""
    (first,) = (wanted := project(service("db", pre_start=(EACH,)))).services.values()

    assert plan(wanted, observed(exited("db", runs=1))) == "[] -> #1 StartContainer demo-db-1, exited\n"
    created = replace(exited("db"), definition=replace(first, pre_start=(EACH, EACH), hash="older"))
    text = plan(wanted, observed(created), recreate=Recreate.NEVER)
    assert text.count("RunInitContainer") == 2


def test_what_is_only_created_runs_no_hook() -> None:
    """`create` starts nothing."""
    assert plan(project(service("db", pre_start=(ONCE,))), observed(), start=False) == (
        "[] -> #1 CreateContainer demo-db-1, no existing container\n"
    )


# ---------------------------------------------------------------------- conditions


def test_a_wait_names_the_containers_that_there_will_be() -> None:
    """Those that stay and those that are made."""
    wanted = project(service("db", replicas=2), service("web", depends_on=(HEALTHY,)))
    made = reconcile(wanted, observed(container("db", 2)), ReconcileOptions(services=("db", "web")))
    waits = [node.operation for node in made.nodes if isinstance(node.operation, AwaitService)]

    assert [wait.containers for wait in waits] == [("demo-db-1", "demo-db-2")]


def test_only_what_is_in_scope_is_waited_for() -> None:
    """Nobody would start the others (`--no-deps`), and an optional one that merely starts is no reason to wait."""
    optional = Dependency(service="cache", required=False)
    wanted = project(service("db"), service("cache"), service("web", depends_on=(HEALTHY, optional)))

    assert str(reconcile(wanted, observed(), ReconcileOptions(services=("web",)))) == (
        "[] -> #1 CreateContainer demo-web-1, no existing container\n"
        "[1] -> #2 StartContainer demo-web-1, created by #1\n"
    )
    assert plan(project(service("cache"), service("web", depends_on=(optional,))), observed()).splitlines()[
        2:
    ] == [
        "[] -> #3 CreateContainer demo-web-1, no existing container",
        "[3] -> #4 StartContainer demo-web-1, created by #3",
    ]


def test_who_runs_already_waits_too() -> None:
    """Once for all; not where nothing is to run."""
    job = Dependency(service="job", condition=Condition.COMPLETED)
    wanted = project(
        service("job"),
        service("db"),
        service("web", depends_on=(job, HEALTHY)),
        service("api", depends_on=(job, Dependency(service="db"))),
    )
    there = observed(exited("job", runs=1), container("db"), container("web"), container("api"))

    assert plan(wanted, there) == (
        "[] -> #1 StartContainer demo-job-1, exited\n"
        "[1] -> #2 AwaitService job service_completed_successfully, a dependant needs it\n"
        "[] -> #3 AwaitService db service_healthy, a dependant needs it\n"
    )
    assert plan(wanted, there, start=False) == ""
    none = replace(wanted.services["web"], replicas=0)
    assert plan(project(wanted.services["db"], none), observed(container("db"))) == ""


def test_a_dependency_that_is_stopped_for_others_is_waited_for_when_it_runs_again() -> None:
    """In whatever order they were found."""
    wanted = project(service("db"), service("web", depends_on=(HEALTHY,)))
    there = replace(observed(container("web"), container("db")), networks={"demo_default": OLD})

    assert plan(wanted, there).splitlines()[4:] == [
        "[1,4] -> #5 StartContainer demo-db-1, stopped by #1",
        "[5] -> #6 AwaitService db service_healthy, a dependant needs it",
        "[2,4,6] -> #7 StartContainer demo-web-1, stopped by #2",
    ]


@pytest.mark.parametrize("name", ("db", "web"))
def test_what_is_paused_is_not_started(name: str) -> None:
    """Nor waited for: it would never get healthy. It can be recreated and restarted."""
    wanted = project(service("db"), service("web", depends_on=(HEALTHY,)))
    status = {"db": Status.RUNNING, "web": Status.RUNNING, name: Status.PAUSED}
    found = [container(key, status=value) for key, value in status.items()]

    with pytest.raises(StateError, match=f"container demo-{name}-1: cannot start a paused container"):
        plan(wanted, observed(*found))
    with pytest.raises(StateError, match=f"container demo-{name}-1: cannot start a paused container"):
        start_plan(found, {"db", "web"})
    assert plan(wanted, observed(*found), start=False) == ""
    assert "StartContainer demo-web-1" in plan(wanted, observed(*found), recreate=Recreate.FORCE)
    assert f"StartContainer demo-{name}-1" in str(restart_plan(found))


# ---------------------------------------------------------------------- start


def test_start_begins_with_what_is_depended_on() -> None:
    """What runs already is waited for all the same, and isn't started."""
    web = replace(
        container("web", status=Status.EXITED, depends="db:service_healthy:false"),
        definition=service("web", depends_on=(HEALTHY,)),
    )

    assert str(start_plan([web, exited("db")], {"db", "web"})) == (
        "[] -> #1 StartContainer demo-db-1, exited\n"
        "[1] -> #2 AwaitService db service_healthy, a dependant needs it\n"
        "[2] -> #3 StartContainer demo-web-1, exited\n"
    )
    assert str(start_plan([web, container("db")], {"db", "web"})) == (
        "[] -> #1 AwaitService db service_healthy, a dependant needs it\n"
        "[1] -> #2 StartContainer demo-web-1, exited\n"
    )
    assert str(start_plan([replace(web, state=container("web").state), container("db")], {"db", "web"})) == (
        "[] -> #1 AwaitService db service_healthy, a dependant needs it\n"
    )
    assert str(start_plan([web], set())) == "[] -> #1 StartContainer demo-web-1, exited\n"


def test_a_restart_stops_all_before_it_starts_any() -> None:
    """Dependants stop first and start last, whatever their conditions; what didn't run is started too."""
    web = replace(
        container("web", depends="db:service_healthy:false"), definition=service("web", depends_on=(HEALTHY,))
    )

    assert str(restart_plan([container("db"), web, exited("job")])) == (
        "[] -> #1 StopContainer demo-web-1, asked for\n"
        "[1] -> #2 StopContainer demo-db-1, asked for\n"
        "[1,2] -> #3 StartContainer demo-db-1, running\n"
        "[1,2,3] -> #4 StartContainer demo-web-1, running\n"
        "[1,2] -> #5 StartContainer demo-job-1, exited\n"
    )


def test_who_asks_to_be_restarted_with_a_dependency_waits_for_it() -> None:
    """Each after what it follows, still running until then; a condition that isn't met leaves it as it was."""
    needs_db = Dependency(service="db", condition=Condition.HEALTHY, restart=True)
    needs_app = Dependency(service="app", restart=True)
    app = replace(
        container("app", depends="db:service_healthy:true"), definition=service("app", depends_on=(needs_db,))
    )
    front = replace(
        container("front", depends="app:service_started:true"),
        definition=service("front", depends_on=(needs_app,)),
    )
    cron = replace(
        container("cron", depends="app:service_started:false"),
        definition=service("cron", depends_on=(Dependency(service="app"),)),
    )

    assert str(restart_plan([front, cron, app, container("db")], 3.0)) == (
        "[] -> #1 StopContainer demo-cron-1, asked for\n"
        "[] -> #2 StopContainer demo-db-1, asked for\n"
        "[1,2] -> #3 StartContainer demo-db-1, running\n"
        "[3] -> #4 AwaitService db service_healthy, a dependant is restarted with it\n"
        "[4] -> #5 StopContainer demo-app-1, a dependency was restarted\n"
        "[3,5] -> #6 StartContainer demo-app-1, running\n"
        "[6] -> #7 StopContainer demo-front-1, a dependency was restarted\n"
        "[7] -> #8 StartContainer demo-front-1, running\n"
        "[1,2] -> #9 StartContainer demo-cron-1, running\n"
    )
    assert "Await" not in str(restart_plan([app, front]))


def test_start_of_one_that_was_to_take_over() -> None:
    """It still leads ports and names to itself."""
    half = exited("web", takes_over="f" * 64)

    assert str(start_plan([half], {"web"})) == "[] -> #1 StartFirst demo-web-1, exited\n"
