"""`pycompose viz` (`alpha viz`): the services, and what each depends on, in the language of Graphviz."""

from __future__ import annotations

from html import escape

import click
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import dry_run_option
from pycompose.client.images import image_reference
from pycompose.engine.dataclass import dataclass
from pycompose.model import Port, Project, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a node has besides its name."""

    networks: bool = False
    ports: bool = False
    image: bool = False


def draw(project: Project, shown: Shown, indent: str) -> str:
    """Return the graph; an edge goes from a service to what it needs."""
    services = [project.services[name] for name in sorted(project.services)]
    edges = [
        f'{indent}"{service.name}" -> "{dependency.service}";'
        for service in services
        for dependency in sorted(service.depends_on, key=lambda one: one.service)
    ]
    nodes = [f"{indent}{_node(project, service, shown)}" for service in services]
    head = [f'digraph "{project.name}" {{', f"{indent}layout=dot;"]
    return "\n".join([*head, *nodes, "", *edges, "}"]) + "\n"


def _node(project: Project, service: Service, shown: Shown) -> str:
    label = f'<font point-size="15">{escape(service.name)}</font>'
    if shown.networks:
        names = [project.networks[endpoint.network].key for endpoint in service.networks]
        label += _section("Networks", names)
    if shown.ports:
        label += _section("Ports", [_port(port) for port in service.ports])
    if shown.image:
        label += _section("Image", [image_reference(project, service)])
    return f'"{service.name}" [style="filled" label=<{label}>];'


def _section(title: str, lines: list[str]) -> str:
    text = "".join(f"<br/>{escape(line)}" for line in lines)
    return f'<font point-size="10"><br/><br/><b>{title}:</b>{text}</font>' if lines else ""


def _port(port: Port) -> str:
    first, last = port.published or ("", "")
    published = f"{first}" if first == last else f"{first}-{last}"
    address = f"{port.host_ip}:" if port.host_ip else ""
    return f"{address}{published}:{port.target} ({port.protocol}, {port.mode})"


@click.command(help="Draw what depends on what, for Graphviz.")
@click.option("--image", is_flag=True, help="With the images.")
@click.option(
    "--indentation-size", "width", type=click.IntRange(min=0), default=1, help="Tabs or spaces per line."
)
@click.option("--networks", is_flag=True, help="With the networks.")
@click.option("--ports", is_flag=True, help="With the published ports.")
@click.option("--spaces", is_flag=True, help="Indent with spaces, not with tabs.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, *, image: bool, width: int, networks: bool, ports: bool, spaces: bool
) -> None:
    """Read the compose files and draw them."""
    shown = Shown(networks=networks, ports=ports, image=image)
    indent = (" " if spaces else "\t") * width
    click.echo(draw(project_of(invocation.load()), shown, indent), nl=False)
