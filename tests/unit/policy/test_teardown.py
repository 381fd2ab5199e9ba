"""Every decision of `stop` and `down` as the text of its plan."""

from __future__ import annotations

from pycompose.engine.dataclass import replace
from pycompose.policy.teardown import down_plan, stop_order, stop_plan

from tests.unit.policy.examples import container, observed


def test_down_stops_dependants_first_then_networks_then_volumes() -> None:
    """The order is the containers' own."""
    there = replace(
        observed(container("db"), container("web", depends="db:service_started:false")),
        volumes={"demo_data": ""},
    )
    text = str(
        down_plan(
            there, containers=there.containers, networks=["demo_default", "gone"], volumes=["demo_data"]
        )
    )

    assert text == (
        "[] -> #1 StopContainer demo-web-1, asked for\n"
        "[1] -> #2 RemoveContainer demo-web-1, asked for\n"
        "[1] -> #3 StopContainer demo-db-1, asked for\n"
        "[3] -> #4 RemoveContainer demo-db-1, asked for\n"
        "[2,4] -> #5 RemoveNetwork demo_default, asked for\n"
        "[2,4] -> #6 RemoveVolume demo_data, asked for\n"
    )


def test_a_cycle_in_labels_still_stops_everything() -> None:
    """Labels can say anything; nothing may be left running."""
    there = observed(container("a", depends="b:x:false"), container("b", depends="a:x:false"))

    assert str(stop_plan(there.containers)).count("StopContainer") == 2


def test_containers_of_one_service_keep_their_order() -> None:
    """Dependants come first, replicas as they were given."""
    given = (container("db", 2), container("db", 1), container("web", depends="db:service_started:false"))

    assert [item.name for item in stop_order(given)] == ["demo-web-1", "demo-db-2", "demo-db-1"]
