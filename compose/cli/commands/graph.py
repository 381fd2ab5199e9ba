"""`pycompose graph`: what depends on what, as a tree of text, Graphviz or Mermaid."""

from __future__ import annotations

from collections.abc import Mapping

import click
from pycompose.cli.display import style
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import services_argument
from pycompose.errors import unknown_service
from pycompose.model import Condition, Dependency, Service

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


@click.command(help="Show what depends on what.")
@services_argument()
@click.option(
    "--format", "how", type=click.Choice(["tree", "dot", "mermaid"]), default="tree", help="The notation."
)
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], how: str) -> None:
    """Read the compose files and draw them."""
    project = project_of(invocation.load())
    for name in services:
        if name not in project.services:
            raise unknown_service(name, project.services)
    chosen = below(project.services, services) if services else project.services
    if how == "dot":
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
