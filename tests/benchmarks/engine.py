"""How long the engine takes: a start, 25 at once, an exec, and what the keeper weighs meanwhile.

    python -m tests.benchmarks.engine [--rounds 20] [--many 25]

Needs root; runs in a mount and network namespace of its own. Each container has its own network namespace, with
nothing in it. Wall-clock times depend on what else runs; processor times much less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pycompose.engine.config import Namespaces, Process
from pycompose.engine.paths import StatePaths

from tests.support.host import enter
from tests.support.lab import PROJECT, Lab
from tests.support.rootfs import build_rootfs

PRIVATE = Namespaces(network="private")


def weight(pid: int) -> str:
    """Return Pss and private memory of a process in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if "kB" in line}
    return f"Pss {found['Pss']} KiB, private {int(found['Private_Dirty']) + int(found['Private_Clean'])} KiB"


def cpu_s(pid: int) -> float:
    """Return the seconds that a process, with one thread, has been on a processor (proc_pid_schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def summary(name: str, times: Sequence[float]) -> None:
    """Print the least and the median in milliseconds."""
    print(f"{name}: least {min(times) * 1000:.1f} ms, median {statistics.median(times) * 1000:.1f} ms")


def starts(lab: Lab, rounds: int) -> None:
    """Measure single starts, from prepare to running."""
    times, parents, children = [], [], []
    for _ in range(rounds):
        container = lab.make(["sleep", "100000"], namespaces=PRIVATE)
        cpu = cpu_s(lab.keeper.pid)
        begin = time.perf_counter()
        pid = lab.keeper.start_container(container).pid
        times.append(time.perf_counter() - begin)
        parents.append(cpu_s(lab.keeper.pid) - cpu)
        children.append(cpu_s(pid))
        lab.keeper.discard(container)
    summary("start", times)
    summary("processor time of the keeper in it", parents)
    summary("processor time of the child in it", children)


def at_once(lab: Lab, many: int, rounds: int) -> list[str]:
    """Measure `many` starts by as many threads; return the containers of the last round, running."""
    rates = []
    containers: list[str] = []
    for _ in range(rounds):
        for container in containers:
            lab.keeper.discard(container)
        containers = [lab.make(["sleep", "100000"], namespaces=PRIVATE) for _ in range(many)]
        with ThreadPoolExecutor(many) as pool:
            begin = time.perf_counter()
            list(pool.map(lab.keeper.start_container, containers))
            rates.append(many / (time.perf_counter() - begin))
    print(f"{many} at once: best {max(rates):.0f}/s, median {statistics.median(rates):.0f}/s")
    return containers


def execs(lab: Lab, container: str, rounds: int) -> None:
    """Measure `true` in a running container, until it runs and until its end is known."""
    null = os.open(os.devnull, os.O_RDWR)
    running, ended = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        done = lab.keeper.exec(container, Process(args=("true",)), stdin=None, stdout=null, stderr=null)
        running.append(time.perf_counter() - begin)
        lab.exec_code(done)
        ended.append(time.perf_counter() - begin)
    os.close(null)
    summary("exec until it runs", running)
    summary("exec until it has ended", ended)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--many", type=int, default=25)
    options = parser.parse_args()
    base = enter()
    paths = StatePaths(root=base / "lib", run=base / "run", cgroup_parent=f"pycompose-b{os.getpid()}")
    paths.root.mkdir(mode=0o711)
    paths.run.mkdir()
    lab = Lab(paths=paths, rootfs=build_rootfs(base / "rootfs"))
    paths.project(PROJECT).mkdir(parents=True)
    begin = time.perf_counter()
    keeper = lab.start()
    print(f"keeper: {(time.perf_counter() - begin) * 1000:.0f} ms to its hello, {weight(keeper.pid)}")
    starts(lab, options.rounds)
    containers = at_once(lab, options.many, 3)
    print(f"keeper with {options.many} containers: {weight(keeper.pid)}")
    execs(lab, containers[0], options.rounds)
    lab.close()


if __name__ == "__main__":
    main()
