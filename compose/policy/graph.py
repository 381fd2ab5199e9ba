"""The dependency graph of a project: order, waves, selection, cycles as a sentence, the longest chain.

An edge goes from a service to what it needs. Pure: the same project gives the same answer, ties are broken by
name.

networkx lives here, and costs 0.2 s to import: it answers the questions that need an algorithm (shortest
cycle, longest chain, fewest arrows). What every `up` asks (order, waves, selection) is a walk, and is written
as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from pycompose.errors import DependencyCycle, unknown_service

if TYPE_CHECKING:
    import networkx as nx
    from pycompose.model import Service

Services = Mapping[str, "Service"]


def needs(services: Services, name: str) -> list[str]:
    """Return what `name` needs directly, sorted; a dependency that isn't enabled (optional) is left out."""
    return sorted({d.service for d in services[name].depends_on if d.service in services})


def waves(services: Services) -> list[list[str]]:
    """Return the services in waves: all that a wave needs is in earlier ones. Raises DependencyCycle."""
    try:
        return _in_turn({name: needs(services, name) for name in sorted(services)})
    except CycleError:
        raise cycle_error(services) from None


def _in_turn(after: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the nodes in steps, each sorted: what a node comes `after` is in earlier ones. Raises CycleError."""
    sorter = TopologicalSorter(after)
    sorter.prepare()
    steps = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        steps.append(ready)
        sorter.done(*ready)
    return steps


def order(services: Services) -> list[str]:
    """Return the services so that each comes after what it needs. Raises DependencyCycle."""
    return [name for wave in waves(services) for name in wave]


def select(services: Services, names: Iterable[str], *, dependencies: bool = True) -> list[str]:
    """Return `names` (none: all) and, unless switched off, all that they need, in starting order.

    Raises UnknownService, DependencyCycle.
    """
    wanted: set[str] = set()
    todo = list(names)
    if not todo:
        return order(services)
    for name in todo:
        if name not in services:
            raise unknown_service(name, services)
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += needs(services, name) if dependencies else []
    return [name for name in order(services) if name in wanted]


def dependants(services: Services, name: str, *, restart: bool = False) -> set[str]:
    """Return every service that needs `name`, directly or not; with `restart` only along `restart: true`."""
    above: dict[str, set[str]] = {}
    for service in services.values():
        for dependency in service.depends_on:
            if dependency.restart or not restart:
                above.setdefault(dependency.service, set()).add(service.name)
    found: set[str] = set()
    todo = [name]
    while todo:
        fresh = above.get(todo.pop(), set()) - found
        found |= fresh
        todo += fresh
    return found - {name}


def cycle(services: Services) -> list[str]:
    """Return one of the shortest cycles, from its first name in the alphabet, [] when there is none."""
    import networkx as nx  # noqa: PLC0415 - see above

    graph = digraph(services)
    for component in sorted(nx.strongly_connected_components(graph), key=sorted):
        if len(component) == 1 and not any(graph.has_edge(node, node) for node in component):
            continue
        found: list[str] = min(
            nx.simple_cycles(graph.subgraph(component), length_bound=_girth(graph, component)),
            key=sorted,
        )
        start = found.index(min(found))
        return [*found[start:], *found[:start]]
    return []


def _girth(graph: nx.DiGraph[str], component: set[str]) -> int:
    """Return the length of a shortest cycle, so that not all of a dense knot's cycles are listed."""
    import networkx as nx  # noqa: PLC0415 - see above

    lengths = []
    for node in component:
        distances = nx.single_source_shortest_path_length(graph, node)
        lengths += [distances[end] + 1 for end in graph.predecessors(node) if end in distances]
    return int(min(lengths))


def cycle_error(services: Services) -> DependencyCycle:
    """Return the error for services that wait for each other; its message is the path."""
    nodes = cycle(services)
    return DependencyCycle(
        f"dependency cycle: {' -> '.join([*nodes, *nodes[:1]])}",
        hint="one of these depends_on (or links, volumes_from, network_mode) has to go",
    )


def generations(needs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the nodes in columns for a drawing: each stands behind all that need it, those of a cycle together.

    A node without a row of its own in `needs` is one that needs nothing.
    """
    needed_by: dict[str, set[str]] = {name: set() for name in needs}
    for name, found in needs.items():
        for need in found:
            needed_by.setdefault(need, set()).add(name)
    try:
        return _in_turn(needed_by)
    except CycleError:
        knots = _knots(needs)
    knot_of = {name: min(knot) for knot in knots for name in knot}
    merged: dict[str, set[str]] = {knot: set() for knot in knot_of.values()}
    for name, above in needed_by.items():
        merged[knot_of[name]] |= {knot_of[one] for one in above} - {knot_of[name]}
    members = {min(knot): knot for knot in knots}
    return [sorted(name for knot in column for name in members[knot]) for column in _in_turn(merged)]


def _knots(needs: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Return the nodes by who is in a cycle with whom, by networkx, whose 14 MiB a page's server can do without."""
    import networkx as nx  # noqa: PLC0415 - see above

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(needs)
    graph.add_edges_from((name, need) for name, found in needs.items() for need in found)
    return list(nx.strongly_connected_components(graph))


def digraph(services: Services) -> nx.DiGraph[str]:
    """Return the graph for networkx: nodes are names, an edge goes to what is needed."""
    import networkx as nx  # noqa: PLC0415 - see above

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(services))
    graph.add_edges_from((name, need) for name in sorted(services) for need in needs(services, name))
    return graph
