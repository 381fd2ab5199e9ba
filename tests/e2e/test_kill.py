"""Whatever is killed at whatever moment: the next command carries on or cleans up, and nothing is left.

Six combinations (who, during what) of five rounds each, or PYCOMPOSE_KILL_ROUNDS. The moment is random; the seed is
printed, and PYCOMPOSE_KILL_SEED repeats it. test_fuzz.py kills during other commands.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually
from tests.support.terminal import Running

ROUNDS = int(os.environ.get("PYCOMPOSE_KILL_ROUNDS") or 5)
SEED = int(os.environ.get("PYCOMPOSE_KILL_SEED") or random.SystemRandom().randrange(10**6))
COMPOSE = """
services:
  web:
    image: busybox
    command: &wait [sh, -c, "trap exit TERM; sleep 1000 & wait"]
    ports: ["8080:80"]
    depends_on:
      db: {condition: service_healthy}
  db:
    image: busybox
    command: *wait
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, "true"], interval: 100ms}
  worker:
    image: busybox
    command: *wait
    networks: [default, back]
    mem_limit: 32m
    volumes: ["canary:/canary"]
networks:
  back:
volumes:
  data:
  canary: {driver_opts: {type: none, o: bind, device: ./canary}}
"""
# How the command line of each victim is recognised.
VICTIMS = {"cli": "", "supervisor": "pycompose.supervisor", "keeper": "pycompose.engine.keeper"}


def victim_pid(host: Host, running: Running, victim: str) -> int:
    """Return whom to kill, 0 when there is nobody (yet, or any more)."""
    if victim == "cli":
        return running.process.pid if running.process.poll() is None else 0
    found = host.processes(VICTIMS[victim])
    return found[0] if found else 0


def kill_during(host: Host, command: Callable[[], Running], victim: str, delay_s: float) -> None:
    """Start `command` and kill the victim `delay_s` after it was first seen; wait for the command."""
    running = command()
    while not (pid := victim_pid(host, running, victim)) and running.process.poll() is None:
        time.sleep(0.002)
    running.sleep(delay_s)
    pid = victim_pid(host, running, victim) or pid
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            print("too late: the victim had ended")
    code = running.wait(30)
    print(f"exit code {code}\n{running.transcript()}")
    running.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("during", ("up", "down"))
@pytest.mark.parametrize("victim", VICTIMS)
def test_kill(busy: Host, victim: str, during: str) -> None:
    """After the kill, `up -d` gives a project that runs as a whole, and `down` an empty machine."""
    print(f"PYCOMPOSE_KILL_SEED={SEED}")
    dice = random.Random(f"{SEED} {victim} {during}")  # noqa: S311
    project = busy.project({"compose.yaml": COMPOSE, "canary/file": "precious"})
    start = time.monotonic()
    busy.run("up", "-d", cwd=project).ok()
    took = {"up": time.monotonic() - start}
    start = time.monotonic()
    busy.run("down", cwd=project).ok()
    took["down"] = time.monotonic() - start

    for number in range(ROUNDS):
        delay = dice.uniform(0, took[during])
        print(f"--- round {number}: kill -9 {victim} {delay:.3f} s into {during}")
        if during == "down":
            busy.run("up", "-d", cwd=project).ok()
        words = ["up", "-d"] if during == "up" else ["down"]
        kill_during(busy, partial(busy.spawn, *words, cwd=project), victim, delay)

        if dice.random() < 0.5:  # carry on first, or clean up at once
            busy.run("up", "-d", cwd=project).ok()
            eventually(lambda: states(busy, project) == ["running"] * 3)
        busy.run("down", cwd=project).ok()
        assert busy.watch.wait() == []
    busy.run("down", "-v", cwd=project).ok()
    assert (project / "canary/file").read_text(encoding="ascii") == "precious"


FORCED = """
services:
  first:
    image: busybox
    command: &wait [sh, -c, "trap exit TERM; sleep 1000 & wait"]
    healthcheck: {test: [CMD, test, -e, /flag/ok], interval: 100ms, retries: 1000}
    volumes: ["./flag:/flag"]
  last:
    image: busybox
    command: *wait
    depends_on:
      first: {condition: service_healthy}
"""


@pytest.mark.parametrize("victim", ("supervisor", "keeper"))
def test_force_recreate_recreates_once(busy: Host, victim: str) -> None:
    """What the command had replaced when a process died is left alone by its second attempt."""
    project = busy.project({"compose.yaml": FORCED, "flag/ok": ""})
    ids = ("ps", "-q", "--no-trunc")

    def id_of(service: str) -> str:
        return busy.run(*ids, service, cwd=project).ok().stdout.strip()

    busy.run("up", "-d", cwd=project).ok()
    before = [id_of(name) for name in ("first", "last")]
    (project / "flag/ok").unlink()
    running = busy.spawn("up", "-d", "--force-recreate", cwd=project)
    eventually(lambda: id_of("first") not in ("", before[0]))
    new = id_of("first")

    os.kill(busy.process(VICTIMS[victim]), signal.SIGKILL)
    if victim == "supervisor":  # without a keeper it goes on by itself
        running.expect("trying again")
    (project / "flag/ok").touch()

    assert running.wait(30) == 0
    assert id_of("first") == new
    assert id_of("last") not in ("", before[1])
    busy.run("down", cwd=project).ok()


MANY = """
services:
  one: &service
    image: busybox
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
  two: {<<: *service, ports: ["8080:80"]}
  three: {<<: *service, depends_on: {one: {condition: service_healthy}}}
  four: {<<: *service, init: true}
  five: *service
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ("supervisor", "keeper"))
@pytest.mark.parametrize(
    "words",
    (("up", "-d"), ("restart", "-t", "1"), ("stop", "-t", "1"), ("start",), ("down", "-t", "1")),
    ids="-".join,
)
def test_the_command_goes_on_by_itself(busy: Host, words: tuple[str, ...], victim: str) -> None:
    """Who asks meets the death with one line at most: the same command does the rest."""
    dice = random.Random(f"{SEED} {victim} {words}")  # noqa: S311
    print(f"PYCOMPOSE_KILL_SEED={SEED}")
    text = MANY.replace(
        "  one: &service\n", "  one: &service\n    healthcheck: {test: [CMD, 'true'], interval: 50ms}\n"
    )
    project = busy.project({"compose.yaml": text})
    runs = words[0] in ("up", "restart", "start")
    for number in range(max(2, ROUNDS // 2)):
        if words[0] != "up":
            busy.run("up", "-d", cwd=project).ok()
        if words[0] == "start":
            busy.run("stop", "-t", "0", cwd=project).ok()
        running = busy.spawn(*words, cwd=project)
        while not victim_pid(busy, running, victim) and running.process.poll() is None:
            time.sleep(0.002)
        delay_s = dice.uniform(0, 0.3)
        running.sleep(delay_s)
        if pid := victim_pid(busy, running, victim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = running.wait(40)
        said = running.transcript()
        print(f"killed after {delay_s:.3f} s\n{said}")
        running.close()
        assert code == 0, f"round {number}, after {delay_s:.3f} s\n{said}"
        assert said.count("has died") <= 1
        assert "Error" not in said
        assert "hint" not in said
        if words[0] == "down":
            assert busy.run("ps", "-aq", cwd=project).ok().stdout == ""
            continue
        expected = {"running" if runs else "exited"}
        eventually(lambda expected=expected: set(states(busy, project)) == expected)  # type: ignore[misc]
        assert len(states(busy, project)) == 5
        if words[0] == "up":
            busy.run("down", "-t", "0", cwd=project).ok()
    busy.run("down", "-t", "0", "-v", cwd=project).ok()


def states(host: Host, project: Path) -> list[str]:
    """Return the states of the containers."""
    found = host.run("ps", "-a", "--format", "json", cwd=project).ok().json()
    return [entry["State"] for entry in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("victim", ("supervisor", "keeper"))
def test_services_survive_and_are_looked_after_again(busy: Host, victim: str) -> None:
    """Killed in the quiet: containers go on running; the next command finds them, with their pids."""
    project = busy.project({"compose.yaml": COMPOSE, "canary/file": "precious"})
    busy.run("up", "-d", cwd=project).ok()
    # Each shell has its sleep a moment after it has started.
    eventually(lambda: len(busy.processes("sleep 1000")) == 6)
    before = sorted(busy.processes("sleep 1000"))
    pid = busy.process(VICTIMS[victim])

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())

    assert states(busy, project) == ["running"] * 3
    busy.run("up", "-d", cwd=project).ok()
    assert sorted(busy.processes("sleep 1000")) == before
    assert busy.run("exec", "-T", "web", "echo", "fine", cwd=project).ok().stdout == "fine\n"
    busy.run("down", "-v", cwd=project).ok()


def test_a_replacement_that_was_never_finished_leaves_the_name(busy: Host) -> None:
    """Killed between the making of a new container and the end of the old one: the one that stays has the name."""
    hook = "{command: [sh, -c, 'touch /seen/stopping; sleep 1000']}"
    project = busy.project(
        {
            "compose.yaml": "services: {web: {image: busybox, command: [sleep, '1000'], init: true, "
            f"volumes: ['./seen:/seen'], pre_stop: [{hook}]}}}}"
        }
    )
    busy.run("up", "-d", cwd=project).ok()
    running = busy.spawn("up", "-d", "--force-recreate", cwd=project)
    eventually((project / "seen/stopping").exists)
    busy.kill(VICTIMS["supervisor"])
    running.kill()

    busy.run("up", "-d", cwd=project).ok()

    (shown,) = busy.run("inspect", "demo-web-1", cwd=project).ok().json()
    (listed,) = busy.run("ps", "-aq", "--no-trunc", cwd=project).ok().stdout.split()
    assert shown["Id"] == listed
    assert shown["State"]["Running"]
    busy.run("kill", cwd=project).ok()
    busy.run("down", cwd=project).ok()


def test_a_stop_that_failed_is_forgotten_by_the_next_up(busy: Host) -> None:
    """The keeper dies before it passes the signal on, and the command too: `up` finds the container running."""
    project = busy.project(
        {"compose.yaml": "services: {web: {image: busybox, command: [sleep, '1000'], restart: always}}"}
    )
    busy.run("up", "-d", cwd=project).ok()
    (pid,) = busy.processes("sleep 1000")
    keeper = busy.process(VICTIMS["keeper"])
    os.kill(keeper, signal.SIGSTOP)
    stopping = busy.spawn("stop", cwd=project)
    eventually(lambda: '"stopped": true' in busy.inside(lambda: runtime_record(busy)))
    stopping.process.send_signal(signal.SIGSTOP)  # or it would ask again
    os.kill(keeper, signal.SIGKILL)

    busy.run("up", "-d", cwd=project).ok()
    stopping.kill()
    assert busy.processes("sleep 1000") == [pid]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: busy.processes("sleep 1000") not in ([], [pid]))
    busy.run("down", "-t", "0", cwd=project).ok()


def runtime_record(host: Host) -> str:
    """Return what the supervisor has noted of the only container."""
    (path,) = host.paths.run.glob("containers/*/runtime.json")
    return path.read_text(encoding="utf-8")
