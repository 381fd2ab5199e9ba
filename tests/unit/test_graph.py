"""The dependency graph: order, waves, selection, cycles."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.errors import DependencyCycle, UnknownService
from pycompose.model import Dependency, Service
from pycompose.policy import graph


def services(**needs: str) -> dict[str, Service]:
    """Make services out of `web="db cache"`."""
    return {
        name: Service(name=name, depends_on=tuple(Dependency(service=d) for d in text.split()))
        for name, text in needs.items()
    }


DIAMOND = services(web="api cache", api="db", cache="db", db="", tool="")


def test_waves_start_what_is_needed_first() -> None:
    assert graph.waves(DIAMOND) == [["db", "tool"], ["api", "cache"], ["web"]]


def test_order_breaks_ties_by_name() -> None:
    assert graph.order(services(b="", a="", c="a")) == ["a", "b", "c"]


def test_select_takes_the_dependencies_along() -> None:
    assert graph.select(DIAMOND, ["api"]) == ["db", "api"]
    assert graph.select(DIAMOND, ["web"]) == ["db", "api", "cache", "web"]


def test_select_without_dependencies() -> None:
    assert graph.select(DIAMOND, ["web", "db"], dependencies=False) == ["db", "web"]


def test_select_of_nothing_is_everything() -> None:
    assert graph.select(DIAMOND, []) == ["db", "tool", "api", "cache", "web"]


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownService, match="no such service: cahce") as caught:
        graph.select(DIAMOND, ["cahce"])

    assert caught.value.hint == 'did you mean "cache"?'


def test_a_disabled_optional_dependency_is_no_edge() -> None:
    web = Service(name="web", depends_on=(Dependency(service="debug", required=False),))

    assert graph.waves({"web": web}) == [["web"]]


def test_a_cycle_is_told_as_a_path_of_the_shortest_one() -> None:
    knot = services(a="b", b="c", c="d x", d="a", x="c", free="")

    with pytest.raises(DependencyCycle, match=r"^dependency cycle: c -> x -> c(?:\n|$)"):
        graph.order(knot)


def test_a_service_that_needs_itself() -> None:
    assert graph.cycle(services(a="a", b="a")) == ["a"]


def test_no_cycle() -> None:
    assert graph.cycle(DIAMOND) == []


def test_a_dense_knot_is_answered_at_once() -> None:
    names = [f"s{number}" for number in range(40)]
    dense = services(**{name: " ".join(n for n in names if n != name) for name in names})

    assert len(graph.cycle(dense)) == 2


def test_dependants_are_transitive() -> None:
    assert graph.dependants(DIAMOND, "db") == {"api", "cache", "web"}
    assert graph.dependants(DIAMOND, "web") == set()


def test_dependants_along_restart_only() -> None:
    chain = {
        "db": Service(name="db"),
        "api": Service(name="api", depends_on=(Dependency(service="db", restart=True),)),
        "web": Service(name="web", depends_on=(Dependency(service="api"),)),
    }

    assert graph.dependants(chain, "db", restart=True) == {"api"}


def test_dependants_of_a_cycle_leave_itself_out() -> None:
    assert graph.dependants(services(a="b", b="a"), "a") == {"b"}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_waves_agree_with_networkx(pairs: list[tuple[int, int]]) -> None:
    """Random graphs, cyclic ones included, against networkx's own answer."""
    edges: dict[str, set[str]] = {f"s{number}": set() for number in range(10)}
    for left, right in pairs:
        edges[f"s{left}"].add(f"s{right}")
    made = services(**{name: " ".join(sorted(needs)) for name, needs in edges.items()})

    if nx.is_directed_acyclic_graph(graph.digraph(made)):
        expected = nx.topological_generations(graph.digraph(made).reverse())
        assert graph.waves(made) == [sorted(wave) for wave in expected]
    else:
        with pytest.raises(DependencyCycle):
            graph.waves(made)
        found = graph.cycle(made)
        assert all(right in edges[left] for left, right in zip(found, [*found[1:], found[0]], strict=True))
