"""`pycompose graph`: what depends on what, as a tree of text, Graphviz, Mermaid or a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from pycompose.cli.display import style
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import services_argument
from pycompose.engine.errors import PycomposeError
from pycompose.errors import unknown_service
from pycompose.model import Condition, Dependency, Service

if TYPE_CHECKING:
    from pycompose.client.context import Context

Services = Mapping[str, Service]

CONDITIONS = {Condition.STARTED: "", Condition.HEALTHY: "healthy", Condition.COMPLETED: "completed"}


def label(dependency: Dependency) -> str:
    """Return what an edge says: "healthy", "completed, optional", "" for a plain one."""
    words = [
        CONDITIONS[dependency.condition],
        "restart" if dependency.restart else "",
        "" if dependency.required else "optional",
    ]
    return ", ".join(word for word in words if word)


def roots(services: Services) -> list[str]:
    """Return the services that no other one needs; in a project that is one cycle, all."""
    needed = {dependency.service for service in services.values() for dependency in service.depends_on}
    return [name for name in sorted(services) if name not in needed] or sorted(services)


def tree(services: Services, tops: list[str]) -> str:
    """Return an indented tree; what has been shown before is not unfolded again, which also ends a cycle."""
    lines: list[str] = []
    unfolded: set[str] = set()

    def walk(name: str, text: str, first: str, rest: str) -> None:
        service = services.get(name)
        dependencies = sorted(service.depends_on, key=lambda d: d.service) if service else []
        again = name in unfolded and bool(dependencies)
        note = f" ({text})" if text else ""
        lines.append(f"{first}{name}{note}{' …' if again else ''}{'' if service else ' (not enabled)'}")
        if again:
            return
        unfolded.add(name)
        for number, dependency in enumerate(dependencies, 1):
            last = number == len(dependencies)
            branch, trunk = ("└── ", "    ") if last else ("├── ", "│   ")
            walk(dependency.service, label(dependency), rest + branch, rest + trunk)

    for name in tops:
        walk(name, "", "", "")
    return "".join(f"{style.clean(line)}\n" for line in lines)


def dot(services: Services, name: str) -> str:
    """Return the graph in Graphviz's language."""
    lines = [f'digraph "{name}" {{', "  rankdir=LR;", "  node [shape=box];"]
    for service in sorted(services):
        lines.append(f'  "{service}";')
        for dependency in sorted(services[service].depends_on, key=lambda d: d.service):
            text = label(dependency)
            lines.append(f'  "{service}" -> "{dependency.service}"{f" [label={text!r}]" if text else ""};')
    return "\n".join([*lines, "}"]).replace("'", '"') + "\n"


def mermaid(services: Services) -> str:
    """Return the graph as a Mermaid flow chart; nodes get numbers, as names may hold its punctuation."""
    numbers = {name: f"s{number}" for number, name in enumerate(sorted(services))}
    for service in services.values():
        for dependency in service.depends_on:
            numbers.setdefault(dependency.service, f"s{len(numbers)}")
    lines = ["flowchart LR", *(f'  {number}["{name}"]' for name, number in numbers.items())]
    for name in sorted(services):
        for dependency in sorted(services[name].depends_on, key=lambda d: d.service):
            text = label(dependency)
            arrow = f'-- "{text}" -->' if text else "-->"
            lines.append(f"  {numbers[name]} {arrow} {numbers[dependency.service]}")
    return "\n".join(lines) + "\n"


def svg(services: Services, name: str, notes: Mapping[str, tuple[str, str]] | None = None) -> str:
    """Return the graph as a picture; `notes` has a tone and words for each service, and without it nothing is said."""
    from pycompose.page.picture import GraphArrow, GraphBox, draw  # noqa: PLC0415 - only here

    edges = [
        GraphArrow(
            source=key, target=dependency.service, label=label(dependency), optional=not dependency.required
        )
        for key in sorted(services)
        for dependency in sorted(services[key].depends_on, key=lambda d: d.service)
    ]
    nodes = [
        GraphBox(name=key, tone=tone, note=words)
        for key in sorted(services)
        for tone, words in [(notes or {}).get(key, ("", ""))]
    ]
    absent = sorted({edge.target for edge in edges} - set(services))
    nodes += [GraphBox(name=key, note="not enabled", tone="absent") for key in absent]
    return draw(f"{name}: what depends on what", nodes, edges)


def live(context: Context, name: str, services: Services) -> dict[str, tuple[str, str]]:
    """Return the tone and the words for how each service is now."""
    from pycompose.client.listings import ps  # noqa: PLC0415 - only here
    from pycompose.client.query_options import PsOptions  # noqa: PLC0415 - as above
    from pycompose.page.condition import service_condition  # noqa: PLC0415 - as above

    views = [view for view in ps(context, name, PsOptions(all=True)) if not view.oneoff]
    conditions = {key: service_condition(view for view in views if view.service == key) for key in services}
    return {key: (condition.tone, condition.words) for key, condition in conditions.items()}


@click.command(help="Show what depends on what.")
@services_argument()
@click.option(
    "--format",
    "how",
    type=click.Choice(["tree", "dot", "mermaid", "svg"]),
    default="tree",
    help="The notation.",
)
@click.option("--live", "with_states", is_flag=True, help="With how the services are now; for svg.")
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], how: str, *, with_states: bool) -> None:
    """Read the compose files and draw them."""
    if with_states and how != "svg":
        raise PycomposeError(f"--live: not shown by --format {how}", hint="use --format svg")
    project = project_of(invocation.load(for_existing=with_states))
    for name in services:
        if name not in project.services:
            raise unknown_service(name, project.services)
    chosen = below(project.services, services) if services else project.services
    if how == "svg":
        notes = live(invocation.context(), project.name, chosen) if with_states else None
        click.echo(svg(chosen, project.name, notes), nl=False)
    elif how == "dot":
        click.echo(dot(chosen, project.name), nl=False)
    elif how == "mermaid":
        click.echo(mermaid(chosen), nl=False)
    else:
        click.echo(tree(chosen, list(services) or roots(chosen)), nl=False)


def below(services: Services, names: tuple[str, ...]) -> dict[str, Service]:
    """Return `names` and all that they need."""
    found: dict[str, Service] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in services and name not in found:
            found[name] = services[name]
            todo += [dependency.service for dependency in services[name].depends_on]
    return found
