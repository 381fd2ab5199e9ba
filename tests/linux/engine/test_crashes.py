"""Memory that runs out, keepers that are killed at any moment, and what is left afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pycompose.engine.api import ContainerExited, EngineGone
from pycompose.engine.cgroups.base import detect
from pycompose.engine.config import Limits
from pycompose.engine.errors import EngineError
from pycompose.engine.state import Status

from tests.support.lab import Lab, runs
from tests.support.scenario import eventually


def test_running_out_of_memory_is_told(lab: Lab) -> None:
    """The code is 137 and the event says why."""
    container = lab.make("x=x; while :; do x=$x$x; done", limits=Limits(memory_bytes=16 << 20))
    lab.keeper.start_container(container)

    event = lab.wait(ContainerExited)

    assert (event.exit_code, event.oom_killed) == (137, True)
    assert lab.state(container).oom_killed


def test_a_container_starts_within_the_smallest_limit(lab: Lab) -> None:
    """What our own child touches before execve doesn't use up 6 MiB."""
    assert lab.run("echo fits", limits=Limits(memory_bytes=6 << 20)) == (0, "fits\n")


def test_a_keeper_whose_own_group_was_killed_once_starts_containers(lab: Lab) -> None:
    """Some kernels kill children at their birth then, when they are cloned right into their group."""
    unified = detect().unified
    if unified is None:
        pytest.skip("no cgroup2 here")
    group = unified / f"{lab.paths.cgroup_parent}-killed"
    group.mkdir()
    home = unified / Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].split("\n")[0]
    try:
        (group / "cgroup.kill").write_text("1")
        (group / "cgroup.procs").write_text(str(lab.keeper.pid))
        container = lab.make("echo born; exec sleep 1000")
        lab.keeper.start_container(container)
        lab.wait_for_output(container, "born")
        assert lab.exec(container, "echo again") == (0, "again\n")
    finally:
        (home / "cgroup.procs").write_text(str(lab.keeper.pid))
        group.rmdir()


def test_init_reaps_orphans(lab: Lab) -> None:
    """With init: true no zombie stays behind a parent that doesn't wait."""
    container = lab.make("(sh -c 'sleep 0.05 & echo $!' &); exec sleep 1000", process={"init": True})
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "\n")
    orphan = lab.output(container).strip()

    code, _text = lab.exec(container, f"while [ -e /proc/{orphan} ]; do sleep 0.02; done")

    assert code == 0


@pytest.mark.parametrize("moment", range(6))
def test_a_keeper_killed_while_it_starts_containers_leaves_truth(lab: Lab, moment: int) -> None:
    """Whenever it dies: the next one knows every container that runs, and nothing else of it runs."""
    containers = [lab.make(["sleep", "100000"]) for _ in range(6)]
    timer = threading.Timer(0.01 + moment * 0.02, os.kill, (lab.keeper.pid, signal.SIGKILL))
    timer.start()

    def start(container: str) -> None:
        with contextlib.suppress(EngineError):
            lab.keeper.start_container(container)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(start, containers))
    timer.join()
    lab.wait(EngineGone)
    lab.keeper.close()
    lab.start()

    known = {entry["id"]: entry["pid"] for entry in lab.keeper.list()}
    for container in containers:
        state = lab.state(container)
        assert (container in known) == (state.status is Status.RUNNING and runs(state.pid))
    # Its connection ends a moment before its children hear of its death.
    eventually(lambda: processes_with(lab.paths.cgroup_parent) <= set(known.values()))
    for container in containers:
        lab.keeper.discard(container)
        assert lab.keeper.start_container(container).status is Status.RUNNING


def processes_with(group: str) -> set[int]:
    """Return the pids, of processes that aren't zombies, in control groups below `group`."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"/{group}/" in (entry / "cgroup").read_text() and runs(int(entry.name)):
                    found.add(int(entry.name))
    return found


def test_many_rounds_leave_no_descriptor_behind(lab: Lab) -> None:
    """The keeper has as many descriptors after thirty containers and execs as before."""
    lab.run("true")
    before = sorted(os.listdir(f"/proc/{lab.keeper.pid}/fd"))

    for number in range(10):
        container = lab.make(["sleep", "1000"], process={"stdin_open": True})
        lab.keeper.start_container(container)
        assert lab.exec(container, "true", tty=False)[0] == 0
        lab.keeper.discard(container)
        terminal = lab.make("exit 3", process={"tty": True})
        lab.keeper.start_container(terminal)
        assert lab.exit_code(terminal) == 3
        with pytest.raises(EngineError):
            lab.keeper.start_container(lab.make([f"nothing-{number}"]))

    eventually(lambda: sorted(os.listdir(f"/proc/{lab.keeper.pid}/fd")) == before)
