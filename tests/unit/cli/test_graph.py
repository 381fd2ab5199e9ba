"""`pycompose graph`: trees, Graphviz, Mermaid."""

from __future__ import annotations

from pycompose.cli.commands.graph import below, dot, mermaid, roots, tree
from pycompose.model import Condition, Dependency, Service

PROJECT = {
    "web": Service(
        name="web",
        depends_on=(
            Dependency(service="db", condition=Condition.HEALTHY, restart=True),
            Dependency(service="api"),
        ),
    ),
    "api": Service(
        name="api",
        depends_on=(
            Dependency(service="db"),
            Dependency(service="debug", required=False),
        ),
    ),
    "db": Service(name="db", depends_on=(Dependency(service="setup", condition=Condition.COMPLETED),)),
    "setup": Service(name="setup"),
}


def test_the_tree_unfolds_each_service_once() -> None:
    assert tree(PROJECT, roots(PROJECT)) == (
        "web\n"
        "├── api\n"
        "│   ├── db\n"
        "│   │   └── setup (completed)\n"
        "│   └── debug (optional) (not enabled)\n"
        "└── db (healthy, restart) …\n"
    )


def test_a_cycle_ends() -> None:
    knot = {
        "a": Service(name="a", depends_on=(Dependency(service="b"),)),
        "b": Service(name="b", depends_on=(Dependency(service="a"),)),
    }

    assert tree(knot, roots(knot)) == "a\n└── b\n    └── a …\nb …\n"


def test_graphviz() -> None:
    chosen = below(PROJECT, ("db",))

    assert dot(chosen, "demo") == (
        'digraph "demo" {\n  rankdir=LR;\n  node [shape=box];\n'
        '  "db";\n  "db" -> "setup" [label="completed"];\n  "setup";\n}\n'
    )


def test_mermaid() -> None:
    assert mermaid(below(PROJECT, ("db",))) == (
        'flowchart LR\n  s0["db"]\n  s1["setup"]\n  s0 -- "completed" --> s1\n'
    )
