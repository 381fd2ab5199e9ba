"""The keeper starts the supervisor again: names, health and restarts go on without any command."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

QUIET = """
services:
  web:
    image: busybox
    init: false
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
  asks:
    image: busybox
    command:
      - sh
      - -c
      - trap exit TERM; while sleep 0.1; do nslookup web >/dev/null 2>&1 && echo >> /seen/answers; done
    volumes: ["./seen:/seen"]
"""
# Taken over in this order: who asks, others, who is asked for.
MANY = """
services:
  asks:
    image: busybox
    command:
      - sh
      - -c
      - cd /seen; while sleep 0.02; do nslookup web >/dev/null 2>&1 || echo >> failures; echo >> asked; done
    stop_signal: KILL
    volumes: ["./seen:/seen"]
  between: {image: busybox, command: [sleep, "1000"], stop_signal: KILL, scale: 8, ports: ["80"]}
  web: {image: busybox, command: [sleep, "1000"], stop_signal: KILL}
"""
OWNER = """
services:
  owner: {image: busybox, command: [sleep, "1000"], stop_signal: KILL, networks: [shared]}
networks:
  shared: {name: shared}
"""
GUEST = """
services:
  guest: {image: busybox, command: [sleep, "1000"], stop_signal: KILL, networks: [shared]}
networks:
  shared: {external: true}
"""
FLAKY = """
services:
  flaky:
    image: busybox
    restart: always
    stop_signal: SIGKILL
    command: [sh, -c, "echo started; sleep 1000"]
"""


def _supervisor(host: Host, *others: int) -> int:
    """Return the only supervisor besides `others`, once there is one."""
    return host.process("pycompose.supervisor", *others)


def test_names_resolve_again_without_a_command(busy: Host) -> None:
    """After kill -9 of the supervisor of a quiet project its DNS answers again, in a second on an idle machine."""
    project = busy.project({"compose.yaml": QUIET})
    (project / "seen").mkdir()
    answers = project / "seen/answers"
    busy.run("up", "-d", cwd=project).ok()
    first = _supervisor(busy)
    eventually(answers.exists)

    os.kill(first, signal.SIGKILL)
    killed = time.monotonic()

    while first in busy.processes("pycompose.supervisor") and time.monotonic() < killed + 10:
        time.sleep(0.005)
    before = answers.stat().st_size + 1  # one answer may have been on its way
    while answers.stat().st_size <= before and time.monotonic() < killed + 10:
        time.sleep(0.005)
    took_s = time.monotonic() - killed
    # A command that does everything itself takes 0.1 s there; where others have the processors both take longer.
    began = time.monotonic()
    busy.run("ps", env={"PYCOMPOSE_FORKSERVER": "0"}, cwd=project).ok()
    ps_s = time.monotonic() - began
    print(f"names resolve again after {took_s:.2f} s, a command takes {ps_s:.2f} s")
    assert took_s < max(2, 20 * ps_s)
    assert _supervisor(busy) != first
    busy.run("down", cwd=project).ok()


def test_no_name_is_denied_during_a_take_over(busy: Host) -> None:
    """Who asks while the next supervisor takes over gets its answer late, not a wrong one."""
    project = busy.project({"compose.yaml": MANY})
    asked = project / "seen/asked"
    asked.parent.mkdir()
    busy.run("up", "-d", cwd=project).ok()
    eventually(asked.exists)

    first = _supervisor(busy)

    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in busy.processes("pycompose.supervisor"))
    before = asked.stat().st_size
    eventually(lambda: asked.stat().st_size > before + 5)

    assert not (project / "seen/failures").exists()
    busy.run("down", cwd=project).ok()


def test_names_of_another_project_are_known_again(busy: Host) -> None:
    """A supervisor that takes over knows who else is on a network that another project has made."""
    owner = busy.project({"compose.yaml": OWNER}, name="one")
    guest = busy.project({"compose.yaml": GUEST}, name="two")
    busy.run("up", "-d", cwd=owner).ok()
    first = _supervisor(busy)
    busy.run("up", "-d", cwd=guest).ok()
    second = _supervisor(busy, first)

    os.kill(second, signal.SIGKILL)
    _supervisor(busy, first, second)

    busy.run("exec", "-T", "guest", "nslookup", "owner", cwd=guest).ok()
    busy.run("down", cwd=guest).ok()
    busy.run("down", cwd=owner).ok()


def test_a_supervisor_that_is_told_to_end_stays_away(busy: Host) -> None:
    """SIGTERM is a normal end: nothing starts it again but the next command."""
    project = busy.project({"compose.yaml": QUIET})
    (project / "seen").mkdir()
    busy.run("up", "-d", cwd=project).ok()
    os.kill(_supervisor(busy), signal.SIGTERM)
    deadline = time.monotonic() + 10
    while busy.processes("pycompose.supervisor") and time.monotonic() < deadline:
        time.sleep(0.02)

    time.sleep(1.0)  # longer than the keeper would wait

    assert busy.processes("pycompose.supervisor") == []
    busy.run("down", cwd=project).ok()


def test_restarts_go_on(busy: Host) -> None:
    """A container that ends while nobody looks is restarted by the next supervisor."""
    project = busy.project({"compose.yaml": FLAKY})
    busy.run("up", "-d", cwd=project).ok()
    first = _supervisor(busy)
    sleepers = busy.processes("sleep 1000")

    os.kill(first, signal.SIGKILL)
    for sleeper in sleepers:
        os.kill(sleeper, signal.SIGKILL)

    deadline = time.monotonic() + 10
    while busy.run("logs", cwd=project).ok().stdout.count("started") < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert busy.run("logs", cwd=project).ok().stdout.count("started") == 2
    assert _supervisor(busy) != first
    busy.run("down", cwd=project).ok()


def test_no_end_is_missed(busy: Host) -> None:
    """Containers that end one after the other while the next supervisor takes them over are all restarted."""
    project = busy.project({"compose.yaml": FLAKY})
    count = 20
    busy.run("up", "-d", "--scale", f"flaky={count}", cwd=project).ok()
    sleepers = busy.processes("sleep 1000")

    os.kill(_supervisor(busy), signal.SIGKILL)
    for sleeper in sleepers:
        os.kill(sleeper, signal.SIGKILL)
        time.sleep(0.8 / len(sleepers))  # over all the time that it takes

    def all_again() -> bool:
        return busy.run("logs", "--no-log-prefix", cwd=project).ok().stdout.count("started") == 2 * count

    eventually(all_again)
    busy.run("down", cwd=project).ok()


def test_it_is_started_again_and_again(busy: Host) -> None:
    """Three deaths in a row, then everything can still be taken down."""
    project = busy.project({"compose.yaml": FLAKY})
    busy.run("up", "-d", cwd=project).ok()
    seen = set()
    for _ in range(3):
        pid = _supervisor(busy)
        seen.add(pid)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while pid in busy.processes("pycompose.supervisor") and time.monotonic() < deadline:
            time.sleep(0.02)
    assert len(seen) == 3
    busy.run("ps", cwd=project).ok()
    busy.run("down", cwd=project).ok()


TALKS = """
services:
  talks:
    image: busybox
    init: false
    stop_signal: KILL
    command: [sh, -c, "i=0; while sleep 0.05; do echo line $$((i+=1)); [ -e /stop/now ] && exit 3; done"]
    volumes: ["./stop:/stop"]
  stays: {image: busybox, command: [sleep, "1000"], stop_signal: KILL}
"""


@pytest.mark.parametrize(
    "command", (("logs", "-f", "talks"), ("up", "--no-attach", "stays"), ("wait", "talks"))
)
def test_who_looks_on_goes_on(busy: Host, command: tuple[str, ...]) -> None:
    """Whoever follows a project sees every line and the end of its containers, though its supervisor was killed."""
    project = busy.project({"compose.yaml": TALKS})
    (project / "stop").mkdir()
    busy.run("up", "-d", cwd=project).ok()
    running = busy.spawn(*command, cwd=project)
    if command[0] != "wait":
        running.expect("line 1[0-9]")
    first = _supervisor(busy)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in busy.processes("pycompose.supervisor"))
    _supervisor(busy)
    if command[0] != "wait":
        last = max(map(int, re.findall(r"line (\d+)$", running.output, re.MULTILINE)))
        running.expect(f"line {last + 20}$")
        lines = [int(number) for number in re.findall(r"line (\d+)$", running.output, re.MULTILINE)]
        assert lines == list(range(lines[0], lines[0] + len(lines)))

    (project / "stop/now").touch()

    if command[0] == "up":
        running.expect("talks-1 exited with code 3")
        running.interrupt()
    elif command[0] == "logs":
        busy.run("stop", "-t", "0", cwd=project).ok()
    assert running.wait() == {"up": 130, "logs": 0, "wait": 3}[command[0]]
    busy.run("down", cwd=project).ok()


def test_the_end_of_the_keeper_is_told_to_who_waits(busy: Host) -> None:
    """A command in a container ends with an error; of one that nobody waits for, none is left in the log."""
    project = busy.project({"compose.yaml": QUIET})
    busy.run("up", "-d", "web", cwd=project).ok()
    busy.run("exec", "-d", "web", "sleep", "1000", cwd=project).ok()
    waited_for = busy.spawn("exec", "-T", "web", "sh", "-c", "echo runs; exec sleep 1000", cwd=project)
    waited_for.expect("runs")

    for keeper in busy.processes("pycompose.engine.keeper"):
        os.kill(keeper, signal.SIGKILL)

    assert waited_for.wait() != 0
    assert "the keeper ended" in waited_for.errors
    logs = busy.logs()
    busy.run("down", "-t", "0", cwd=project).ok()
    assert "the keeper has ended" in logs
    assert "never retrieved" not in logs
