"""What the keeper holds open: what runs, and what is under way, but nothing of what was."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter

from tests.support.scenario import Host, eventually

COMPOSE = """
services:
  prints: &again
    image: busybox
    command: [echo, line]
    deploy: {restart_policy: {condition: any, delay: 0s}}
  published: {<<: *again, ports: ["127.0.0.1:8080:80"]}
  terminal: {<<: *again, tty: true, stdin_open: true}
  probed: {<<: *again, command: [sleep, "0.1"], healthcheck: {test: [CMD, "true"], interval: 50ms}}
  stays: {image: busybox, command: [sleep, "1000"], stop_signal: KILL}
"""
ENDING = ("prints", "published", "terminal", "probed")
RESTARTS = 200


def descriptors(pid: int) -> Counter[str]:
    """Return what a process has open, without the numbers."""
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r"\[\d+\]", "", os.readlink(f"/proc/{pid}/fd/{name}"))] += 1
    return found


def restarts(host: Host, names: list[str]) -> int:
    """Return how often containers have been restarted, all together."""
    return sum(
        map(int, host.run("container", "inspect", "-f", "{{.RestartCount}}", *names).ok().stdout.split())
    )


def test_restarts_leave_none(busy: Host) -> None:
    """After hundreds of restarts the keeper has the same open as after the first few, once they stop."""
    folder = busy.project({"compose.yaml": COMPOSE})
    busy.run("up", "-d", cwd=folder).ok()
    names = [f"demo-{service}-1" for service in ENDING]
    keeper = min(busy.processes("pycompose.engine.keeper"))  # the others are its children, not yet executed
    seen = []
    for goal in (4, RESTARTS):
        busy.run("start", cwd=folder).ok()
        before = restarts(busy, names) if seen else 0
        eventually(lambda goal=goal, before=before: restarts(busy, names) - before >= goal, 60.0)  # type: ignore[misc]
        busy.run("stop", "-t", "0", *ENDING, cwd=folder).ok()
        shown = busy.run("container", "inspect", "-f", "{{.State.Status}}", *names).ok().stdout
        assert set(shown.split()) == {"exited"}  # also who was between two runs when the stop came
        seen.append(descriptors(keeper))
    assert seen[0] == seen[1]
    assert "already in use" not in busy.logs()  # a restart keeps its ports
    busy.run("down", "-t", "0", cwd=folder).ok()
