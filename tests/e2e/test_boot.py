"""Containers of `container run` after a reboot: those come back whose policies say so, as docker has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

SHARED = """
services:
  web: {image: busybox, command: [sleep, '1000'], networks: [shared]}
networks:
  shared: {ipam: {config: [{subnet: 10.99.0.0/24}]}}
"""
WAIT = ("busybox", "sh", "-c", "trap exit TERM; sleep 1000 & wait")


def ran(host: Host, *flags: str) -> None:
    """Start a container that stays."""
    host.run("container", "run", "-d", *flags, *WAIT).ok()


def running(host: Host) -> set[str]:
    """Return the names of the containers that run."""
    return set(host.run("container", "ls", "--format", "{{.Names}}").ok().stdout.split())


def everything(host: Host) -> set[str]:
    """Return the names of all containers."""
    return set(host.run("container", "ls", "-a", "--format", "{{.Names}}").ok().stdout.split())


def remove_all(host: Host) -> None:
    """Remove all containers."""
    host.run("container", "rm", "-f", *everything(host)).ok()


def test_policies_decide_after_a_power_cut(busy: Host) -> None:
    """`boot` starts what ran, by its policy, with its ports and its name; what was stopped only for `always`."""
    for policy in ("no", "always", "unless-stopped", "on-failure"):
        for what in ("up", "stopped"):
            ran(busy, "--restart", policy, "--name", f"{policy}-{what}")
        busy.run("container", "stop", f"{policy}-stopped").ok()
        busy.run("container", "create", "--restart", policy, "--name", f"{policy}-new", *WAIT).ok()
    busy.run("container", "run", "--restart", "on-failure", "--name", "done", "busybox", "true").ok()
    ran(busy, "--restart", "always", "--name", "joins", "--network", "container:always-up")
    ran(busy, "--name", "later")
    busy.run("container", "update", "--restart", "always", "later").ok()
    ran(busy, "--rm", "--name", "brief")
    busy.watch.power_off()
    assert running(busy) == set()

    busy.run("container", "boot").ok()

    back = {"always-up", "always-stopped", "unless-stopped-up", "on-failure-up", "joins", "later"}
    assert running(busy) == back
    busy.run("container", "exec", "always-up", "nslookup", "later").ok()
    assert "brief" not in everything(busy)
    assert busy.run("container", "boot").ok().stdout == ""
    remove_all(busy)


def test_a_shutdown_is_nobodys_stop(busy: Host) -> None:
    """What `shutdown` stops comes back; what somebody has stopped before does not."""
    for name in ("steady", "stopped", "crashes"):
        ran(busy, "--restart", "unless-stopped", "--name", name)
    ran(busy, "--name", "simple")
    busy.run("container", "stop", "stopped").ok()
    assert set(busy.run("container", "shutdown").ok().stdout.split()) == {"steady", "crashes", "simple"}
    assert running(busy) == set()
    assert busy.run("container", "shutdown").ok().stdout == ""
    busy.watch.power_off()

    assert set(busy.run("container", "boot").ok().stdout.split()) == {"steady", "crashes"}

    busy.run("container", "exec", "crashes", "sh", "-c", "kill -TERM 1")
    eventually(lambda: running(busy) == {"steady", "crashes"})
    remove_all(busy)


def test_the_network_of_a_project_that_is_not_up(busy: Host) -> None:
    """It is made as the project makes it, which later finds it as its own, with everybody on it."""
    folder = busy.project({"compose.yaml": SHARED})
    busy.run("up", "-d", cwd=folder).ok()
    ran(busy, "--restart", "always", "--name", "guest", "--network", "demo_shared", "--ip", "10.99.0.77")
    busy.watch.power_off()

    assert busy.run("container", "boot").ok().stdout == "guest\n"
    network = busy.run("network", "inspect", "demo_shared").ok().json()[0]
    assert network["IPAM"]["Config"][0]["Subnet"] == "10.99.0.0/24"
    assert "Network" not in busy.run("up", "-d", cwd=folder).ok().stderr
    busy.run("exec", "web", "ping", "-c", "1", "guest", cwd=folder).ok()

    remove_all(busy)
    busy.run("down", cwd=folder).ok()


def test_one_that_cannot_start_keeps_nobody_else(busy: Host) -> None:
    """It is told at the end, and tried again at the next start of the machine."""
    folder = busy.folder / "gone"
    folder.mkdir()
    ran(busy, "--restart", "unless-stopped", "--name", "first", "-v", f"{folder}:/x")
    ran(busy, "--restart", "unless-stopped", "--name", "second")
    busy.watch.power_off()
    folder.rmdir()

    result = busy.run("container", "boot").exited(1)
    assert "first" in result.stderr
    assert running(busy) == {"second"}
    busy.watch.power_off()
    folder.mkdir()
    busy.run("container", "boot").ok()
    assert running(busy) == {"first", "second"}
    remove_all(busy)
