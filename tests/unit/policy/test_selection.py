"""Which containers a command is about."""

from __future__ import annotations

from pycompose.engine.dataclass import replace
from pycompose.engine.state import Status
from pycompose.labels import ONEOFF
from pycompose.model import Dependency
from pycompose.policy.observed import Observed, ObservedContainer
from pycompose.policy.options import ReconcileOptions
from pycompose.policy.reconcile import reconcile
from pycompose.policy.selection import (
    remaining,
    selected,
    taken_down,
    with_dependencies,
    with_restarting_dependants,
)

from tests.unit.policy.examples import container, observed, project, service


def oneoff(
    name: str, number: int, *, status: Status = Status.RUNNING, auto_remove: bool = False
) -> ObservedContainer:
    made = container(name, number, status=status)
    labels = {**made.config.labels, ONEOFF: "True"}
    return replace(made, config=replace(made.config, labels=labels), auto_remove=auto_remove)


def depending(name: str, *dependencies: Dependency, status: Status = Status.RUNNING) -> ObservedContainer:
    return replace(container(name, status=status), definition=service(name, depends_on=dependencies))


def names(containers: list[ObservedContainer]) -> list[str]:
    return [f"{item.service}{item.number}" for item in containers]


def test_ids_go_before_services_and_one_offs_have_to_be_asked_for() -> None:
    """A one-off that is named is meant."""
    there = observed(container("db"), container("web"), job := oneoff("db", 9))

    assert names(selected(there, ())) == ["db1", "web1"]
    assert names(selected(there, ("db",))) == ["db1"]
    assert names(selected(there, ("db",), oneoffs=True)) == ["db1", "db9"]
    assert names(selected(there, ("web",), (job.id,))) == ["db9"]


def test_dependencies_of_dependencies_come_along() -> None:
    """By what the containers were made from, as far as there are containers."""
    web = depending("web", Dependency(service="api"), Dependency(service="gone"))
    there = observed(container("db"), depending("api", Dependency(service="db")), web, container("other"))

    assert names(with_dependencies(there, [web])) == ["db1", "api1", "web1"]


def test_dependants_that_asked_for_it_are_restarted_as_far_as_they_run() -> None:
    """Directly or not; what is chosen is restarted even when it doesn't run."""
    db = container("db", status=Status.EXITED)
    there = observed(
        db,
        depending("api", Dependency(service="db", restart=True)),
        depending("web", Dependency(service="api", restart=True)),
        depending("idle", Dependency(service="db", restart=True), status=Status.EXITED),
        depending("other", Dependency(service="db")),
    )

    assert names(with_restarting_dependants(there, [db])) == ["db1", "api1", "web1"]


def test_who_remains_after_a_plan() -> None:
    """Those that stay and those that are made, by number; a replacement is called what the old one was."""
    found = observed(
        container("web", 2, hash_="old"), container("web", 3), container("db"), container("web", 1)
    )
    wanted = project(service("web", replicas=2), service("db", replicas=2))
    plan = reconcile(wanted, found, ReconcileOptions(services=("db", "web")))

    assert remaining(found, plan, ("db", "web")) == ["demo-db-1", "demo-db-2", "demo-web-1", "demo-web-3"]


def there_is() -> Observed:
    return observed(
        container("web"),
        container("off"),
        container("old"),
        oneoff("web", 7),
        oneoff("web", 8, status=Status.EXITED, auto_remove=True),
        oneoff("web", 9, status=Status.EXITED),
    )


def test_down_leaves_orphans_one_offs_and_what_a_profile_switches_off() -> None:
    """But takes what `--rm` could not remove."""
    wanted = replace(project(service("web")), disabled_services={"off": service("off")})

    assert names(taken_down(there_is(), wanted, (), remove_orphans=False)) == ["web1", "web8"]
    assert names(taken_down(there_is(), wanted, (), remove_orphans=True)) == [
        "web1",
        "old1",
        "web7",
        "web8",
        "web9",
    ]
    assert names(taken_down(there_is(), wanted, ("off",), remove_orphans=False)) == ["off1"]


def test_down_without_a_compose_file_is_about_all() -> None:
    """Nobody can tell what an orphan is."""
    assert names(taken_down(there_is(), None, (), remove_orphans=False)) == ["web1", "off1", "old1", "web8"]
