"""A machine whose process 1 never waits for orphans, as in the containers of many CI jobs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Hosts

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
    healthcheck: {test: [CMD, sleep, "0.05"], interval: 10ms}
    restart: always
  db:
    image: busybox
    command: [sh, -c, "trap 'exit 3' TERM; sleep 1000 & wait"]
"""
REAPER = "pycompose reaper"


@pytest.fixture
def deaf(hosts: Hosts, busybox_tar: Path) -> Host:
    """Make a machine whose orphans stay zombies, with an image and a project that runs."""
    host = hosts(reaps=False)
    host.run("image", "import", busybox_tar, "busybox").ok()
    host.run("up", "-d", "--wait", cwd=host.project({"compose.yaml": COMPOSE})).ok()
    return host


def kill(host: Host, text: str) -> None:
    """Kill the process of a name, -9, and wait until another one has taken its place."""
    old = host.process(text)
    os.kill(old, signal.SIGKILL)
    host.process(text, old)


def whole(host: Host) -> None:
    """Both services run, can be entered, and find each other."""
    folder = host.folder / "demo"
    for name, other in (("web", "db"), ("db", "web")):
        eventually(
            lambda name=name, other=other: host.run("exec", "-T", name, "nslookup", other, cwd=folder).ok()
        )


@pytest.mark.parametrize(
    "victims",
    (
        ("pycompose.engine.keeper",),
        ("pycompose.supervisor",),
        ("pycompose.supervisor", "pycompose.engine.keeper"),
        ("pycompose.engine.keeper", "pycompose.supervisor", "pycompose.engine.keeper"),
    ),
    ids=lambda names: " ".join(name.rpartition(".")[2] for name in names),
)
def test_whoever_is_killed_all_goes_on(deaf: Host, victims: tuple[str, ...]) -> None:
    """Probes are under way all the time: what is killed with the keeper must keep nobody from ending."""
    folder = deaf.folder / "demo"
    for victim in victims:
        kill(deaf, victim)
        whole(deaf)
    deaf.run("stop", "db", cwd=folder).ok()
    shown = deaf.run("ps", "-a", "--format", "{{.Service}} {{.State}} {{.ExitCode}}", cwd=folder).ok().stdout
    assert "db exited 3\n" in shown
    deaf.run("kill", "web", cwd=folder).ok()
    deaf.run("up", "-d", cwd=folder).ok()
    whole(deaf)
    deaf.run("down", cwd=folder).ok()


def test_a_zombie_has_ended(deaf: Host) -> None:
    """Without the reaper, too: what process 1 never waits for counts as ended, and can be started again."""
    folder = deaf.folder / "demo"
    deaf.kill(REAPER, "pycompose.supervisor", "pycompose.engine.keeper")
    os.kill(deaf.process("trap 'exit 3' TERM"), signal.SIGKILL)
    eventually(
        lambda: "exited" in deaf.run("ps", "-a", "db", "--format", "{{.State}}", cwd=folder).ok().stdout
    )
    deaf.run("rm", "-fs", "web", "db", cwd=folder).ok()
    deaf.run("up", "-d", "db", cwd=folder).ok()
    assert deaf.run("exec", "-T", "db", "echo", "inside", cwd=folder).ok().stdout == "inside\n"
    deaf.run("down", "-t", "0", cwd=folder).ok()


def test_what_a_zombie_keeps_from_ending_has_ended(deaf: Host) -> None:
    """A process executed in a container, and never waited for, holds its process 1 (pid_namespaces(7)); it is dead."""
    folder = deaf.folder / "demo"
    deaf.run("exec", "-dT", "web", "sleep", "12345", cwd=folder).ok()
    eventually(lambda: deaf.processes("sleep 12345"))
    deaf.kill(REAPER, "pycompose.supervisor", "pycompose.engine.keeper")
    deaf.run("stop", "-t", "0", "web", cwd=folder).ok()
    shown = deaf.run("ps", "-a", "web", "--format", "{{.State}} {{.ExitCode}}", cwd=folder).ok().stdout
    assert shown == "exited 137\n"
    deaf.run("up", "-d", "--wait", cwd=folder).ok()
    assert deaf.run("exec", "-T", "web", "echo", "inside", cwd=folder).ok().stdout == "inside\n"
    deaf.run("down", "-t", "0", cwd=folder).ok()


def test_the_reaper_ends_with_the_project(deaf: Host) -> None:
    """One process a project, under a name of its own."""
    assert len(deaf.processes(REAPER)) == 1
    deaf.run("down", "-t", "0", cwd=deaf.folder / "demo").ok()
    eventually(lambda: not deaf.processes(REAPER))
