"""Every decision of `stop` and `down` as the text of its plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.config import Mount, MountKind
from pycompose.engine.dataclass import replace
from pycompose.model import Network, Project, Volume
from pycompose.policy.observed import Observed, ObservedContainer, ObservedResource
from pycompose.policy.teardown import TeardownOptions, down_plan, stop_order, stop_plan

from tests.unit.policy.examples import MADE, container, observed, project, service

if TYPE_CHECKING:
    from collections.abc import Iterable

ANONYMOUS = ObservedResource(project="demo", anonymous=True)
OTHER = ObservedResource(project="other")


def mounting(made: ObservedContainer, *volumes: str) -> ObservedContainer:
    """Return the container with these volumes."""
    mounts = tuple(
        Mount(kind=MountKind.BIND, source=f"/volumes/{name}/_data", target=f"/{name}") for name in volumes
    )
    return replace(made, config=replace(made.config, mounts=mounts))


def there(*containers: ObservedContainer) -> Observed:
    """Return these containers, and all kinds of networks and volumes."""
    return replace(
        observed(*containers),
        networks={"demo_back": MADE, "demo_front": MADE, "outside": OTHER},
        volumes={"demo_data": MADE, "demo_old": MADE, "anonymous": ANONYMOUS, "theirs": OTHER},
        volumes_root="/volumes",
    )


def removed(found: Observed, wanted: Project | None, **options: Any) -> list[str]:
    """Return the networks and volumes that `down` removes."""
    lines: Iterable[str] = str(down_plan(found, wanted, TeardownOptions(**options))).splitlines()
    return [line.split()[4].rstrip(",") for line in lines if "Network" in line or "Volume" in line]


def test_down_stops_dependants_first_then_networks_then_volumes() -> None:
    """The order is the containers' own."""
    found = replace(
        observed(container("db"), container("web", depends="db:service_started:false")),
        volumes={"demo_data": MADE},
    )

    assert str(down_plan(found, None, TeardownOptions(volumes=True))) == (
        "[] -> #1 StopContainer demo-web-1, asked for\n"
        "[1] -> #2 RemoveContainer demo-web-1, asked for\n"
        "[1] -> #3 StopContainer demo-db-1, asked for\n"
        "[3] -> #4 RemoveContainer demo-db-1, asked for\n"
        "[2,4] -> #5 RemoveNetwork demo_default, asked for\n"
        "[2,4] -> #6 RemoveVolume demo_data, asked for\n"
    )


def test_down_takes_the_networks_that_the_project_made() -> None:
    """Not those of others, nor one that the compose file calls somebody else's by now, nor for some services only."""
    networks = {"front": Network(key="front", name="demo_front", external=True)}
    wanted = replace(project(service("web")), networks=networks)

    assert removed(there(), None) == ["demo_back", "demo_front"]
    assert removed(there(), wanted) == ["demo_back"]
    assert removed(there(container("web")), wanted, services=("web",)) == []


def test_down_takes_data_only_when_asked() -> None:
    """Volumes of the compose file; without one, all that the project made. Anonymous ones go with their containers."""
    wanted = project(service("web"), volumes={"data": Volume(key="data", name="demo_data")})
    external = project(service("web"), volumes={"data": Volume(key="data", name="demo_data", external=True)})

    def volumes(wanted: Project | None, **options: Any) -> list[str]:
        return [name for name in removed(there(), wanted, **options) if name not in there().networks]

    assert volumes(wanted) == []
    assert volumes(wanted, volumes=True) == ["demo_data"]
    assert volumes(external, volumes=True) == []
    assert volumes(None, volumes=True) == ["demo_data", "demo_old"]


@pytest.mark.parametrize("stays", (True, False))
def test_down_leaves_the_volumes_of_who_stays(stays: bool) -> None:  # noqa: FBT001
    """An orphan that nobody asked to remove keeps what it uses."""
    wanted = project(service("web"), volumes={"data": Volume(key="data", name="demo_data")})
    found = there(container("web"), mounting(container("old"), "demo_data", "anonymous"))
    left = removed(found, wanted, volumes=True, remove_orphans=not stays)

    assert ("demo_data" in left) == (not stays)


def test_anonymous_volumes_go_with_their_containers() -> None:
    """The operation says so; `stop` removes nothing."""
    found = observed(container("web"))

    assert [node.operation for node in down_plan(found, None, TeardownOptions(volumes=True)).nodes][1].volumes  # type: ignore[union-attr]
    assert str(stop_plan(found.containers)) == "[] -> #1 StopContainer demo-web-1, asked for\n"


def test_a_cycle_in_labels_still_stops_everything() -> None:
    """Labels can say anything; nothing may be left running."""
    found = observed(container("a", depends="b:x:false"), container("b", depends="a:x:false"))

    assert str(stop_plan(found.containers)).count("StopContainer") == 2


def test_containers_of_one_service_keep_their_order() -> None:
    """Dependants come first, replicas as they were given."""
    given = (container("db", 2), container("db", 1), container("web", depends="db:service_started:false"))

    assert [item.name for item in stop_order(given)] == ["demo-web-1", "demo-db-2", "demo-db-1"]
