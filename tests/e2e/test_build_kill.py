"""Killed at any moment, a build leaves nothing that runs or is mounted, and a cache that the next build can use.

Five rounds for each victim, or PYCOMPOSE_KILL_ROUNDS. The moment is random; the seed is printed, and
PYCOMPOSE_KILL_SEED repeats it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host
    from tests.support.terminal import Running

ROUNDS = int(os.environ.get("PYCOMPOSE_KILL_ROUNDS") or 5)
SEED = int(os.environ.get("PYCOMPOSE_KILL_SEED") or random.SystemRandom().randrange(10**6))
# Three stages beside each other, one that needs them all; a cache, a secret, a mount of a stage.
DOCKERFILE = """\
FROM busybox AS one
ARG ROUND
RUN --mount=type=cache,target=/cache echo $ROUND >/cache/x; sleep 0.1; echo one $ROUND >/one
COPY src /src
FROM busybox AS two
ARG ROUND
RUN --network=none echo two $ROUND >/two; sleep 0.1
RUN --mount=type=secret,id=s,env=S test "$S" = secret; seq 3000 >/numbers
FROM busybox AS three
COPY src /src
ARG ROUND
RUN --mount=type=bind,from=two,source=/numbers,target=/n wc -l </n >/lines; echo three $ROUND >/three
FROM busybox
COPY --from=one /one /src /
COPY --from=two /two /numbers /
COPY --from=three /three /lines /
RUN cat /one /two /three >/all; cat /f50 >>/all
"""
COMPOSE = """\
services:
  web: {image: built, build: {context: ., args: {ROUND: "${ROUND:-0}"}, secrets: [s]}}
  again: {image: second, build: {context: ., args: {ROUND: "${ROUND:-0}"}, secrets: [s], target: three}}
secrets: {s: {environment: S}}
"""
# How the process is recognised that is killed.
VICTIMS = {"command": "", "keeper": "pycompose.engine.keeper", "step": "sleep 0.1"}


def project(host: Host) -> Path:
    """Make the project, with some files to copy."""
    files = {f"src/f{number}": f"file {number}\n" for number in range(100)}
    return host.project({"compose.yaml": COMPOSE, "Dockerfile": DOCKERFILE, **files})


@pytest.mark.timeout(600 + 30 * ROUNDS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_kill(busy: Host, victim: str) -> None:
    """Nothing is left of it, and the next build gives what it should; at the end the store holds nothing of nobody."""
    print(f"PYCOMPOSE_KILL_SEED={SEED}")
    dice = random.Random(f"{SEED} {victim}")  # noqa: S311
    folder = project(busy)
    before = busy.inside(lambda: _layers(busy))
    start = time.monotonic()
    busy.run("build", cwd=folder, env={"S": "secret"}).ok()
    took_s = time.monotonic() - start

    for number in range(1, ROUNDS + 1):
        delay_s = dice.uniform(0, took_s)
        print(f"--- round {number}: kill -9 {victim} after {delay_s:.3f} s")
        env = {"S": "secret", "ROUND": str(number)}
        running = busy.spawn("build", cwd=folder, env=env)
        running.sleep(delay_s)
        kill(busy, running, victim)
        print(f"exit code {running.wait(40)}\n{running.transcript()}")
        assert "Traceback" not in running.transcript()
        running.close()
        if dice.random() < 0.5:  # the next one comes at once, or finds a machine that is quiet again
            eventually(lambda: nothing_runs_or_is_mounted(busy))

        done = busy.run("build", cwd=folder, env=env).ok()
        assert "internal error" not in done.stderr
        shown = busy.run(
            "container", "run", "--rm", "--network", "none", "built", "cat", "/all", "/lines"
        ).ok()
        assert shown.stdout == f"one {number}\ntwo {number}\nthree {number}\nfile 50\n3000\n"
        assert busy.watch.wait(15) == []

    busy.run("image", "rm", "-f", "built", "second").ok()
    busy.run("builder", "prune", "-af").ok()
    busy.run("system", "prune", "-f").ok()
    assert busy.inside(lambda: _layers(busy)) == before
    assert busy.inside(lambda: _scratch(busy)) == []


def nothing_runs_or_is_mounted(host: Host) -> bool:
    """Assert that nothing is left but the folders of a build that had no keeper yet: the next build removes those."""
    left = [one for one in host.watch.find() if not one.startswith("file ") or "/projects/_build-" not in one]
    assert left == []
    return True


def kill(host: Host, running: Running, victim: str) -> None:
    """Kill one of the build's processes, if there is one."""
    found = host.processes(VICTIMS[victim]) if VICTIMS[victim] else [running.process.pid]
    for pid in found[:1]:
        if running.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _layers(host: Host) -> list[str]:
    return sorted(path.name for path in (host.paths.images / "layers").rglob("diff") if path.is_dir())


def _scratch(host: Host) -> list[str]:
    """Return what is only there for the time of an operation, whole files that never got their names included."""
    builder = host.paths.builder
    hidden = [str(path) for path in builder.rglob(".*") if path.is_file()]
    return [*hidden, *(str(path) for path in (host.paths.images / "tmp").iterdir())]


@pytest.mark.parametrize("victims", (("keeper",), ("command", "keeper")), ids=" and ".join)
def test_a_step_that_has_a_secret_goes_too(busy: Host, victims: tuple[str, ...]) -> None:
    """What it runs with isn't on any disk, and yet whoever clears up finds its processes and its groups."""
    step = 'RUN --mount=type=secret,id=s,env=S sh -c "sleep 1000 & sleep 1000"\n'
    folder = busy.project({"Dockerfile": f"FROM busybox\n{step}"})
    running = busy.spawn("image", "build", "--secret", "id=s,env=S", ".", cwd=folder, env={"S": "s3cr3t"})
    eventually(lambda: len(busy.processes("sleep 1000")) >= 2)
    for victim in victims:
        kill(busy, running, victim)

    assert running.wait(40) != 0
    running.close()
    if "command" in victims:  # nobody was left to clear up
        (folder / "Dockerfile").write_text("FROM busybox\nRUN true\n", encoding="ascii")
        busy.run("image", "build", ".", cwd=folder).ok()
    eventually(lambda: nothing_runs_or_is_mounted(busy))


def test_a_machine_that_lost_its_power(busy: Host) -> None:
    """What a build has left on the disk goes with `prune`, and with the next build it doesn't matter."""
    folder = project(busy)
    (folder / "Dockerfile").write_text(DOCKERFILE.replace("sleep 0.1", "sleep 1000"), encoding="ascii")
    running = busy.spawn("build", cwd=folder, env={"S": "secret"})
    eventually(lambda: busy.processes("sleep 1000"))
    busy.watch.power_off()
    running.close()
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    busy.run("build", cwd=folder, env={"S": "secret"}).ok()
    busy.run("system", "prune", "-f").ok()
    assert busy.watch.wait() == []


def test_nobody_else_sees_a_build(busy: Host) -> None:
    """What its steps run in is no container of the machine, its network is in nobody's list, and prune spares both."""
    folder = busy.project({"Dockerfile": "FROM busybox\nRUN sleep 5\nRUN sleep 1\n"})
    running = busy.spawn("image", "build", ".", cwd=folder)
    eventually(lambda: busy.processes("sleep 5"))

    assert busy.run("container", "ls", "-aq").ok().stdout == ""
    assert "build" not in busy.run("network", "ls").ok().stdout
    assert busy.run("ls", "-aq").ok().stdout == ""
    assert busy.run("system", "prune", "-f").ok().stdout.count("Total reclaimed space") == 1
    assert running.wait(40) == 0, running.transcript()
