"""The graph of `viz`."""

from __future__ import annotations

from pycompose.cli.commands.viz import Shown, draw
from pycompose.model import Dependency, Port, Project, Service


def test_names_are_text_and_nothing_else() -> None:
    """What means something in Graphviz's labels is escaped; what a service hasn't got has no heading."""
    web = Service(name="web", image="a<b&c", depends_on=(Dependency(service="db"),))
    ports = (Port(target=80), Port(target=81, published=(1, 2), host_ip="::1", protocol="udp", mode="host"))
    project = Project(
        name="demo", directory="/", services={"web": web, "db": Service(name="db", ports=ports)}
    )

    assert draw(project, Shown(image=True, ports=True, networks=True), "  ").splitlines() == [
        'digraph "demo" {',
        "  layout=dot;",
        (
            '  "db" [style="filled" label=<<font point-size="15">db</font><font point-size="10"><br/><br/><b>Ports:</b>'
            '<br/>:80 (tcp, ingress)<br/>::1:1-2:81 (udp, host)</font><font point-size="10"><br/><br/><b>Image:</b>'
            "<br/>demo-db</font>>];"
        ),
        (
            '  "web" [style="filled" label=<<font point-size="15">web</font><font point-size="10"><br/><br/><b>'
            "Image:</b><br/>a&lt;b&amp;c</font>>];"
        ),
        "",
        '  "web" -> "db";',
        "}",
    ]
