"""What our processes hold open: what runs, and what is under way, but nothing of what was or is another's."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections import Counter
from pathlib import Path

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


def descriptor_numbers(pid: int) -> list[str]:
    """Return the numbers of what a process has open; none of one that has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return os.listdir(f"/proc/{pid}/fd")
    return []


def descriptors(pid: int) -> Counter[str]:
    """Return what a process has open, without the numbers."""
    found: Counter[str] = Counter()
    for name in descriptor_numbers(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
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
    keeper = busy.process("pycompose.engine.keeper")
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


HELD = """
services:
  web: {image: busybox, command: [sleep, "1000"], stop_signal: KILL, ports: ["8080:80"], tty: true, stdin_open: true}
"""
PROCESSES = ("pycompose.supervisor", "pycompose.engine.keeper", "pycompose.forkserver")


def inherited(host: Host) -> dict[str, list[str]]:
    """Return what of our processes' descriptors above 2 a program would inherit that they execute."""
    found: dict[str, list[str]] = {}
    for text in PROCESSES:
        for pid in host.processes(text):
            for name in descriptor_numbers(pid):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    flags = (
                        Path(f"/proc/{pid}/fdinfo/{name}")
                        .read_text(encoding="ascii")
                        .split("flags:")[1]
                        .split()[0]
                    )
                    if int(name) > 2 and not int(flags, 8) & os.O_CLOEXEC:
                        found.setdefault(text, []).append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def test_nobody_hands_on_what_he_has_open(busy: Host) -> None:
    """Sockets of published ports, terminals: whoever is started while they are open must not keep them open."""
    folder = busy.project({"compose.yaml": HELD})
    busy.run("up", "-d", cwd=folder).ok()
    eventually(lambda: inherited(busy) == {})  # a child between fork and exec has what its program is to have
    for text in ("pycompose.engine.keeper", "pycompose.supervisor"):
        pid = busy.process(text)
        os.kill(pid, signal.SIGKILL)
        busy.process(text, pid)
        busy.run("exec", "-T", "web", "true", cwd=folder).ok()
    eventually(lambda: busy.processes("pycompose.forkserver"))
    eventually(lambda: inherited(busy) == {})
    busy.run("down", cwd=folder).ok()


def test_what_the_caller_has_open_stays_his(busy: Host) -> None:
    """A lock that the caller's shell holds (`flock`), a pipe that somebody reads to its end: nobody else holds them."""
    folder = busy.project({"compose.yaml": HELD})
    script = "exec 9>lock; pycompose up -d; pycompose ps; pycompose exec -T web true; pycompose exec -d web sleep 1000"
    busy.command(["/bin/sh", "-c", script], cwd=folder).ok()
    eventually(lambda: busy.processes("pycompose.forkserver"))
    for pid in busy.watch.processes():
        assert str(folder / "lock") not in descriptors(pid), Path(f"/proc/{pid}/cmdline").read_bytes()
    busy.run("down", cwd=folder).ok()
