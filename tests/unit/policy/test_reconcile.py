"""Every decision of `up` as the text of its plan."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.engine.config import Namespaces
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import VolumeInUse
from pycompose.engine.state import Status
from pycompose.labels import REPLACE
from pycompose.model import Condition, Dependency, Endpoint, Network, Project, ServiceVolume, Volume
from pycompose.policy.observed import EndpointRecord, Observed, ObservedResource, RuntimeRecord
from pycompose.policy.options import ReconcileOptions, Recreate
from pycompose.policy.reconcile import reconcile
from pycompose.policy.resources import leftovers

from tests.unit.policy.examples import MADE, OLD, container, observed, project, service

OTHERS = ObservedResource(project="other", key="default")
NEEDS_WEB = Dependency(service="web", condition=Condition.STARTED)


def plan(wanted: Project, there: Observed, **options: Any) -> str:
    order = tuple(options.pop("services", tuple(wanted.services)))
    return str(reconcile(wanted, there, ReconcileOptions(services=order, **options)))


def test_a_new_project_gets_network_container_and_start() -> None:
    """Nothing there: create in the order of need."""
    assert plan(project(service("web")), observed(networks=())) == (
        "[] -> #1 CreateNetwork demo_default, not found\n"
        "[1] -> #2 CreateContainer demo-web-1, no existing container\n"
        "[2] -> #3 StartContainer demo-web-1, created by #2\n"
    )


def test_unused_networks_and_volumes_are_made_when_asked_for() -> None:
    """`--all-resources`; without it a project only has what services use."""
    wanted = replace(
        project(service("web")),
        networks={
            "default": Network(key="default", name="demo_default"),
            "n": Network(key="n", name="demo_n"),
        },
        volumes={"v": Volume(key="v", name="demo_v")},
    )

    assert plan(wanted, observed(container("web"))) == ""
    assert plan(wanted, observed(container("web")), all_resources=True) == (
        "[] -> #1 CreateNetwork demo_n, not found\n[] -> #2 CreateVolume demo_v, not found\n"
    )


def test_an_unchanged_project_has_nothing_to_do() -> None:
    """A second `up` is empty."""
    assert plan(project(service("web")), observed(container("web"))) == ""


def test_who_was_taken_off_a_network_is_replaced() -> None:
    """`network disconnect`: as Docker Compose. Who doesn't run gets all of them when it starts."""
    off = replace(container("web"), runtime=RuntimeRecord())

    assert plan(project(service("web")), observed(off)).startswith(
        "[] -> #1 CreateContainer demo-web-1, it was taken off network demo_default\n"
    )
    stopped = replace(off, state=replace(off.state, status=Status.EXITED))
    assert "CreateContainer" not in plan(project(service("web")), observed(stopped))


@pytest.mark.parametrize("mode", ("service:web", "container:demo-web-1"))
def test_who_shares_the_namespace_of_one_that_is_gone_is_replaced(mode: str) -> None:
    """`up --force-recreate web` leaves the others alone; the next `up` heals them."""
    wanted = project(service("web"), service("side", network_mode=mode, networks=()))

    def there(shared: str) -> Observed:
        side = container("side")
        config = replace(side.config, namespaces=Namespaces(network=f"container:{shared}"))
        return observed(container("web"), replace(side, config=config))

    assert plan(wanted, there(container("web").id)) == ""
    assert plan(wanted, there("0" * 64)).startswith(
        "[] -> #1 CreateContainer demo-side-1, the container whose namespace it shares is gone\n"
    )


def test_a_changed_service_is_replaced_and_its_neighbour_left_alone() -> None:
    """The new one is made before the old one is stopped."""
    there = observed(container("web", hash_="old"), container("db"))

    assert plan(project(service("db"), service("web")), there) == (
        "[] -> #1 CreateContainer demo-web-1, configuration changed\n"
        "[1] -> #2 StopContainer demo-web-1, replaced by #1\n"
        "[1,2] -> #3 RemoveContainer demo-web-1, replaced by #1\n"
        "[3] -> #4 StartContainer demo-web-1, created by #3\n"
    )


def test_a_healthy_dependency_is_waited_for_once() -> None:
    """Two dependants share one wait."""
    needs = (Dependency(service="db", condition=Condition.HEALTHY),)
    wanted = project(service("db"), service("api", depends_on=needs), service("web", depends_on=needs))

    assert plan(wanted, observed()) == (
        "[] -> #1 CreateContainer demo-db-1, no existing container\n"
        "[1] -> #2 StartContainer demo-db-1, created by #1\n"
        "[] -> #3 CreateContainer demo-api-1, no existing container\n"
        "[2] -> #4 AwaitService db service_healthy, a dependant needs it\n"
        "[3,4] -> #5 StartContainer demo-api-1, created by #3\n"
        "[] -> #6 CreateContainer demo-web-1, no existing container\n"
        "[4,6] -> #7 StartContainer demo-web-1, created by #6\n"
    )


def test_stopped_containers_are_only_started() -> None:
    """Exited and unchanged: no recreation."""
    assert plan(project(service("web")), observed(container("web", status=Status.EXITED))) == (
        "[] -> #1 StartContainer demo-web-1, exited\n"
    )


def test_scaling_down_removes_the_highest_numbers() -> None:
    """The low-numbered replicas stay."""
    there = observed(container("web", 1), container("web", 2), container("web", 3))

    assert plan(project(service("web")), there) == (
        "[] -> #1 StopContainer demo-web-3, scaled down\n"
        "[1] -> #2 RemoveContainer demo-web-3, scaled down\n"
        "[] -> #3 StopContainer demo-web-2, scaled down\n"
        "[3] -> #4 RemoveContainer demo-web-2, scaled down\n"
    )


def test_scaling_up_fills_the_gaps() -> None:
    """Number 2 is free, so it is used before 4."""
    there = observed(container("web", 1), container("web", 3))

    assert "CreateContainer demo-web-2, no existing container" in plan(
        project(service("web", replicas=3)), there
    )


def test_no_recreate_leaves_a_diverged_container() -> None:
    """`--no-recreate` wins over the hash."""
    there = observed(container("web", hash_="old"))

    assert plan(project(service("web")), there, recreate=Recreate.NEVER) == ""


def test_force_recreate_is_for_the_named_services_only() -> None:
    """Dependencies follow their own policy."""
    wanted = project(service("db"), service("web", depends_on=(Dependency(service="db"),)))
    there = observed(container("db"), container("web"))
    text = plan(wanted, there, named=frozenset({"web"}), recreate=Recreate.FORCE)

    assert "demo-web-1, recreation was asked for" in text
    assert "demo-db-1" not in text


def test_a_repeated_force_recreate_leaves_what_is_new() -> None:
    """Only what was there before the first attempt is replaced."""
    there = observed(old := container("web", 1), container("web", 2))
    text = plan(
        project(service("web", replicas=2)), there, recreate=Recreate.FORCE, forced=frozenset({old.id})
    )

    assert "demo-web-1, recreation was asked for" in text
    assert "demo-web-2" not in text


def test_a_new_volume_recreates_its_users() -> None:
    """A container that holds a removed volume must not go on with it."""
    wanted = project(
        service("db", volumes=(ServiceVolume(kind="volume", source="data", target="/data"),)),
        volumes={"data": Volume(key="data", name="demo_data")},
    )

    assert "volume demo_data is new" in plan(wanted, observed(container("db")))


def test_orphans_go_only_when_asked() -> None:
    """A service that left the file keeps running otherwise."""
    there = observed(container("old"), container("web"))

    assert plan(project(service("web")), there) == ""
    assert "RemoveContainer demo-old-1, orphan" in plan(project(service("web")), there, remove_orphans=True)


def test_a_changed_network_is_made_anew_without_its_users() -> None:
    """They leave it, it is replaced, they are started on it."""
    wanted = replace(
        project(service("web")),
        networks={"default": Network(key="default", name="demo_default", hash="new")},
    )
    there = replace(observed(container("web")), networks={"demo_default": OLD})

    assert plan(wanted, there) == (
        "[] -> #1 StopContainer demo-web-1, network demo_default changed\n"
        "[1] -> #2 RemoveNetwork demo_default, configuration changed\n"
        "[2] -> #3 CreateNetwork demo_default, replaces #2\n"
        "[1,3] -> #4 StartContainer demo-web-1, stopped by #1\n"
    )


def test_a_network_with_another_name_takes_its_users_along() -> None:
    """They leave the old one, which goes if it can, and are started on the new one, not made anew."""
    wanted = replace(project(service("web")), networks={"default": Network(key="default", name="demo_new")})
    made = ObservedResource(project="demo", key="default")
    there = replace(observed(container("web")), networks={"demo_default": made, "other": OTHERS})

    assert plan(wanted, there) == (
        "[] -> #1 StopContainer demo-web-1, network demo_default becomes demo_new\n"
        "[1] -> #2 RemoveNetwork demo_default, becomes demo_new\n"
        "[2] -> #3 CreateNetwork demo_new, replaces #2\n"
        "[1,3] -> #4 StartContainer demo-web-1, stopped by #1\n"
    )


@pytest.mark.parametrize("kind", ("declared", "external"))
def test_a_network_of_another_name_is_an_earlier_one_only_if_it_is_ours(kind: str) -> None:
    """Neither another project's, nor one that another key has, nor what an external network is taken for."""
    new = Network(key="default", name="demo_new", external=kind == "external")
    two = Network(key="two", name="demo_default")
    ours = ObservedResource(project="demo", key="default")
    wanted = replace(project(service("web")), networks={"default": new, "two": two})
    there = {"other": OTHERS, "demo_default": ours}

    assert "RemoveNetwork" not in plan(wanted, replace(observed(), networks=there))


def test_the_network_of_another_project_is_left_alone() -> None:
    """It is used, and warned of, whatever it was made from; so is what an earlier name has left."""
    default = Network(key="default", name="shared", hash="new")
    data = Volume(key="data", name="demo_data")
    mount = ServiceVolume(kind="volume", source="data", target="/data")
    wanted = replace(
        project(service("web", volumes=(mount,)), volumes={"data": data}), networks={"default": default}
    )
    there = replace(
        observed(
            replace(container("web"), runtime=RuntimeRecord(endpoints=(EndpointRecord(network="shared"),)))
        ),
        networks={
            "shared": replace(OTHERS, made_from="old"),
            "old": ObservedResource(project="demo", key="default"),
        },
        volumes={"demo_data": MADE, "demo_old": ObservedResource(project="demo", key="data")},
    )

    assert plan(wanted, there) == ""
    foreign, network, volume = leftovers(wanted, there, tuple(wanted.services.values()))
    assert foreign == (
        'a network with name shared exists but was not created for project "demo". '
        "Set `external: true` to use an existing network"
    )
    assert network == (
        'network "old" carries the compose label "default" but does not match the compose file (using "shared"); '
        "it is left untouched: remove it if it is no longer needed"
    )
    assert volume.startswith('volume "demo_old" carries the compose label "data"')


def test_a_changed_network_is_left_by_orphans_and_by_who_moves_away() -> None:
    """It can't be removed before: the one is removed, the other is stopped for its replacement."""
    moved = project(service("web", networks=(Endpoint(network="other"),)), service("api"))
    wanted = replace(
        moved,
        networks={
            "default": Network(key="default", name="demo_default", hash="new"),
            "other": Network(key="other", name="demo_other", hash="other"),
        },
    )
    web = replace(container("web", hash_="before"), definition=service("web"))
    there = replace(
        observed(web, container("api"), container("old")),
        networks={"demo_default": OLD, "demo_other": replace(OLD, made_from="other")},
    )

    text = plan(wanted, there, remove_orphans=True)
    lines = {line.partition(" -> ")[2].partition(", ")[0]: line for line in text.splitlines()}
    removal = next(line for key, line in lines.items() if "RemoveNetwork demo_default" in key)
    before = removal.partition("]")[0].strip("[").split(",")
    needed = ("StopContainer demo-web-1", "StopContainer demo-api-1", "RemoveContainer demo-old-1")
    assert sorted(before) == sorted(
        key.partition("#")[2].partition(" ")[0] for key in lines if key.endswith(needed)
    )


def test_one_that_is_stopped_for_two_reasons_is_stopped_once() -> None:
    """It leaves its network, and is scaled down."""
    wanted = replace(
        project(service("web")),
        networks={"default": Network(key="default", name="demo_default", hash="new")},
    )
    there = replace(observed(container("web", 1), container("web", 2)), networks={"demo_default": OLD})

    assert plan(wanted, there) == (
        "[] -> #1 StopContainer demo-web-1, network demo_default changed\n"
        "[] -> #2 StopContainer demo-web-2, network demo_default changed\n"
        "[1,2] -> #3 RemoveNetwork demo_default, configuration changed\n"
        "[3] -> #4 CreateNetwork demo_default, replaces #3\n"
        "[2] -> #5 RemoveContainer demo-web-2, scaled down\n"
        "[1,4] -> #6 StartContainer demo-web-1, stopped by #1\n"
    )


def test_dependants_that_ask_for_it_are_restarted_around_a_replacement() -> None:
    """Stopped before, started after; created first, so that a bad replacement stops nobody."""
    needs = (Dependency(service="db", restart=True),)
    wanted = project(service("db"), service("web", depends_on=needs))
    there = observed(container("db", hash_="old"), container("web"))

    assert plan(wanted, there) == (
        "[] -> #1 CreateContainer demo-db-1, configuration changed\n"
        "[1] -> #2 StopContainer demo-web-1, db, which it depends on, is recreated\n"
        "[1,2] -> #3 StopContainer demo-db-1, replaced by #1\n"
        "[1,3] -> #4 RemoveContainer demo-db-1, replaced by #1\n"
        "[4] -> #5 StartContainer demo-db-1, created by #4\n"
        "[2,5] -> #6 StartContainer demo-web-1, stopped by #2\n"
    )


def test_a_service_may_start_first() -> None:
    """The new container runs before the old one is stopped, under a name of its own until that is gone."""
    there = observed(container("web", hash_="old"))

    wanted = project(service("web", update_order="start-first"), service("app", depends_on=(NEEDS_WEB,)))

    assert plan(wanted, there) == (
        "[] -> #1 CreateContainer demo-web-1, configuration changed\n"
        "[1] -> #2 StartFirst demo-web-1, created by #1\n"
        "[2] -> #3 StopContainer demo-web-1, replaced by #1\n"
        "[3] -> #4 RemoveContainer demo-web-1, replaced by #1\n"
        "[4] -> #5 RenameContainer demo-web-1, replaced #4\n"
        "[] -> #6 CreateContainer demo-app-1, no existing container\n"
        "[5,6] -> #7 StartContainer demo-app-1, created by #6\n"
    )


def test_half_of_a_replacement_goes_before_the_next_one() -> None:
    """Both would want the same addresses."""
    old = container("web", hash_="old")
    labels = {**old.config.labels, REPLACE: old.id}
    half = replace(
        old, config=replace(old.config, id="f" * 64, name=f"{old.id[:12]}_demo-web-1", labels=labels)
    )

    assert plan(project(service("web", update_order="start-first")), observed(old, half)) == (
        f"[] -> #1 StopContainer {half.name}, scaled down\n"
        f"[1] -> #2 RemoveContainer {half.name}, scaled down\n"
        "[2] -> #3 CreateContainer demo-web-1, configuration changed\n"
        "[3] -> #4 StartFirst demo-web-1, created by #3\n"
        "[4] -> #5 StopContainer demo-web-1, replaced by #3\n"
        "[5] -> #6 RemoveContainer demo-web-1, replaced by #3\n"
        "[6] -> #7 RenameContainer demo-web-1, replaced #6\n"
    )


def test_a_changed_volume_is_made_anew_between_stop_and_create_if_its_data_may_be_lost() -> None:
    """Only who uses it is replaced; without a word from the user it stays as it is."""
    data = (ServiceVolume(kind="volume", source="data", target="/data"),)
    volumes = {"data": Volume(key="data", name="demo_data", hash="new")}
    wanted = project(service("db", volumes=data), service("web"), volumes=volumes)
    there = replace(observed(container("db"), container("web")), volumes={"demo_data": OLD})

    assert plan(wanted, there) == ""
    assert plan(wanted, there, expendable=frozenset({"data"})) == (
        "[] -> #1 StopContainer demo-db-1, volume demo_data changed\n"
        "[1] -> #2 RemoveVolume demo_data, configuration changed\n"
        "[2] -> #3 CreateVolume demo_data, replaces #2\n"
        "[3] -> #4 CreateContainer demo-db-1, volume demo_data is new\n"
        "[1,4] -> #5 RemoveContainer demo-db-1, replaced by #4\n"
        "[5] -> #6 StartContainer demo-db-1, created by #5\n"
    )


def test_a_volume_of_others_too_is_never_made_anew() -> None:
    """Nobody may give up what somebody else uses; without a change it is nobody's business."""
    data = (ServiceVolume(kind="volume", source="data", target="/data"),)
    volumes = {"data": Volume(key="data", name="demo_data", hash="new")}
    wanted = project(service("db", volumes=data), volumes=volumes)
    there = replace(
        observed(container("db")), volumes={"demo_data": OLD}, strangers={"demo_data": ("other-db-1", "x")}
    )

    with pytest.raises(VolumeInUse, match="volume demo_data: in use by other-db-1, x"):
        plan(wanted, there, expendable=frozenset({"data"}))
    assert plan(wanted, there) == ""


@pytest.mark.parametrize("made_from", ("new", ""))
def test_a_volume_that_has_not_changed_keeps_its_data(made_from: str) -> None:
    """Whatever may be lost: it was made from this, or nobody knows from what."""
    data = (ServiceVolume(kind="volume", source="data", target="/data"),)
    volumes = {"data": Volume(key="data", name="demo_data", hash="new")}
    there = replace(observed(container("db")), volumes={"demo_data": ObservedResource(made_from=made_from)})

    assert (
        plan(project(service("db", volumes=data), volumes=volumes), there, expendable=frozenset({"data"}))
        == ""
    )


def test_external_networks_and_volumes_are_never_made_anew() -> None:
    """Whatever their hash."""
    data = (ServiceVolume(kind="volume", source="data", target="/data"),)
    wanted = replace(
        project(
            service("db", volumes=data),
            volumes={"data": Volume(key="data", name="demo_data", hash="new", external=True)},
        ),
        networks={"default": Network(key="default", name="demo_default", hash="new", external=True)},
    )
    there = replace(observed(container("db")), networks={"demo_default": OLD}, volumes={"demo_data": OLD})

    assert plan(wanted, there, expendable=frozenset({"data"})) == ""


def test_a_stop_that_was_cut_off_is_finished_and_the_container_started_again() -> None:
    """It has got its signal: it ends, and would not come back by itself."""
    ending = replace(container("db"), active=True, stopped=True, stopping=True)
    wanted = project(service("db"), service("web", depends_on=(Dependency(service="db"),)))

    assert plan(wanted, observed(ending)) == (
        "[] -> #1 StopContainer demo-db-1, its stop was cut off\n"
        "[1] -> #2 StartContainer demo-db-1, stopped by #1\n"
        "[] -> #3 CreateContainer demo-web-1, no existing container\n"
        "[2,3] -> #4 StartContainer demo-web-1, created by #3\n"
    )


def test_a_container_that_was_to_stop_and_runs_is_kept() -> None:
    """Its stop was cut off before the signal, or it has survived a `kill`: now it is wanted again."""
    stopped = replace(container("db"), active=True, stopped=True)

    assert plan(project(service("db")), observed(stopped)) == (
        "[] -> #1 KeepContainer demo-db-1, wanted again\n"
    )


def test_create_leaves_what_was_to_stop() -> None:
    """It starts nothing, and keeps nothing running."""
    there = observed(replace(container("db"), stopped=True), replace(container("web"), stopping=True))

    assert plan(project(service("db"), service("web")), there, start=False) == ""


def test_one_that_ends_is_not_replaced_by_one_that_starts_first() -> None:
    """There would be nobody to lead away from."""
    there = observed(replace(container("web", hash_="old"), stopped=True, stopping=True))
    text = plan(project(service("web", update_order="start-first")), there)

    assert text == (
        "[] -> #1 CreateContainer demo-web-1, configuration changed\n"
        "[1] -> #2 StopContainer demo-web-1, replaced by #1\n"
        "[1,2] -> #3 RemoveContainer demo-web-1, replaced by #1\n"
        "[3] -> #4 StartContainer demo-web-1, created by #3\n"
    )


def test_of_two_replicas_the_one_that_ends_is_scaled_down() -> None:
    """As if it had ended already."""
    there = observed(replace(container("web", 1), stopped=True, stopping=True), container("web", 2))

    assert plan(project(service("web")), there) == (
        "[] -> #1 StopContainer demo-web-1, scaled down\n[1] -> #2 RemoveContainer demo-web-1, scaled down\n"
    )


@pytest.mark.parametrize(
    "endpoint",
    (
        Endpoint(network="default", ipv4_address="10.0.0.2"),
        Endpoint(network="default", ipv6_address="fd00::2"),
        Endpoint(network="default", mac_address="02:00:00:00:00:02"),
    ),
    ids=["ipv4", "ipv6", "mac"],
)
def test_a_fixed_address_cannot_start_first(endpoint: Endpoint) -> None:
    """Both would have it."""
    there = observed(container("web", hash_="old"))
    text = plan(project(service("web", update_order="start-first", networks=(endpoint,))), there)

    assert "StartFirst" not in text
    assert "[3] -> #4 StartContainer demo-web-1" in text


def test_one_that_was_to_take_over_still_does() -> None:
    """A start that was cut off: what it was made to replace is gone, or is led away from now."""
    there = observed(replace(container("web", status=Status.CREATED), takes_over="f" * 64))

    assert plan(project(service("web")), there) == "[] -> #1 StartFirst demo-web-1, created\n"


def test_of_two_with_one_number_the_other_goes_before_one_starts() -> None:
    """A replacement was made, but not started: both have the same lease of an address."""
    old = container("web", hash_="old")
    new = container("web", status=Status.CREATED)
    new = replace(new, config=replace(new.config, id="f" * 64))

    assert plan(project(service("web")), observed(old, new)) == (
        "[] -> #1 StopContainer demo-web-1, scaled down\n"
        "[1] -> #2 RemoveContainer demo-web-1, scaled down\n"
        "[2] -> #3 StartContainer demo-web-1, created\n"
    )
