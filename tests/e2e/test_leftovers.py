"""What processes that were all killed leave of a project without containers, and what takes it away."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

EMPTY = """
services:
  web:
    image: busybox
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
"""


def kill(host: Host) -> None:
    """Kill every supervisor and every keeper."""
    names = ("pycompose.supervisor", "keeper")
    for number in (
        signal.SIGSTOP,
        signal.SIGKILL,
    ):  # stopped first, none of them can clean up after another one
        host.kill(*names, number=number)
    eventually(lambda: not [pid for name in names for pid in host.processes(name)])


@pytest.fixture
def left(busy: Host) -> Host:
    """Return a machine on which `container run` was killed when its container had gone."""
    busy.run("container", "run", "--rm", "busybox", "true").ok()
    kill(busy)
    found = "\n".join(busy.watch.find())
    assert "link pc-" in found
    assert "nft table" in found
    return busy


@pytest.mark.parametrize("command", (("system", "prune", "-f"), ("network", "prune", "-f")))
def test_prune_takes_it(left: Host, command: tuple[str, ...]) -> None:
    """All of it, at once."""
    assert "bridge" in left.run(*command).ok().stdout
    assert left.watch.find() == []


def test_another_project_takes_it(left: Host) -> None:
    """Whatever supervisor starts next clears up behind those that could not."""
    project = left.project({"compose.yaml": EMPTY})
    left.run("up", "-d", cwd=project).ok()
    names = ("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}")
    eventually(lambda: left.run(*names).stdout == "demo_default\n")
    left.run("down", cwd=project).ok()
    assert left.watch.wait() == []


def test_the_supervisor_alone(busy: Host) -> None:
    """One that is killed when its container has gone has a successor that takes it away."""
    busy.run("container", "run", "--rm", "busybox", "true").ok()
    busy.kill("pycompose.supervisor")
    assert busy.watch.wait(10) == []


def test_prune_leaves_what_lives(busy: Host) -> None:
    """A network that somebody's container is on, though its own project has gone, and a project that lives."""
    project = busy.project({"compose.yaml": EMPTY})
    busy.run("up", "-d", cwd=project).ok()
    busy.run(
        "container", "run", "-d", "--name", "guest", "--network", "demo_default", "busybox", "sleep", "1000"
    ).ok()
    busy.run("rm", "-sf", cwd=project).ok()
    eventually(lambda: len(busy.processes("pycompose.supervisor")) == 1)

    busy.run("system", "prune", "-f").ok()

    assert "web" not in busy.run("container", "ls", "-a").ok().stdout
    busy.run("container", "exec", "guest", "ip", "route").ok()
    assert "demo_default" in busy.run("network", "ls").ok().stdout
    busy.run("container", "rm", "-f", "guest").ok()
    eventually(lambda: not busy.processes("pycompose.supervisor"))
    assert "demo_default" in busy.run("network", "prune", "-f").ok().stdout
    assert busy.watch.wait() == []
