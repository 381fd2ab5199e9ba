"""Everyday commands side by side with Docker Compose: same machine, same root filesystem, same compose file.

    python -m tests.benchmarks.commands --docker "nsenter -t PID -a docker compose" [--rounds 7] [CASE…]

The options are those of `up.py`, and so is Docker's image `bench`. Ten services run all the time; rounds alternate.
The result is a Markdown table; `version` shows how long a command takes that does nothing, and a column how long it all
takes when each command loads everything itself. A second table shows whose processor time ours is.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.up import COMMAND, IMAGE, Compose, arguments, runner, seconds, table, write
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

SERVICES = 10
LINES = 200
PEOPLE = ("command line", "supervisor", "keeper and containers", "forkserver")
STANDALONE = "without forkserver"
PROCESSES = ("pycompose.supervisor", "pycompose.engine.keeper", "pycompose.forkserver")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command that is timed, and the one that makes its effect undone."""

    name: str
    words: tuple[str, ...]
    undo: tuple[str, ...] = ()


CASES = (
    Case(name="version", words=("version",)),
    Case(name="up -d, nothing to do", words=("up", "-d")),
    Case(name="restart of one service", words=("restart", "s1")),
    Case(name="exec true", words=("exec", "-T", "s1", "true")),
    Case(name="ps", words=("ps",)),
    Case(name="logs", words=("logs",)),
    Case(name="logs of one service", words=("logs", "--tail", "10", "s1")),
    Case(name="stop of one service", words=("stop", "s1"), undo=("start", "s1")),
    Case(
        name="scale 1 → 20",
        words=("up", "-d", "--no-recreate", "--scale", "s0=20", "s0"),
        undo=("up", "-d", "--no-recreate", "--scale", "s0=1", "s0"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Seconds of one run by the clock, and of processor time per process."""

    wall: float
    cpu: dict[str, float]


def services() -> dict[str, dict[str, object]]:
    """Return services that print some lines and wait."""
    command = [*COMMAND[:-1], f"i=0; while [ $$((i+=1)) -le {LINES} ]; do echo line $$i; done; {COMMAND[-1]}"]
    return {f"s{number}": {"image": IMAGE, "command": command} for number in range(SERVICES)}


def measure(compose: Compose, case: Case, cpu: Callable[[], dict[str, float]]) -> Run:
    """Time one run of a case."""
    before = cpu()
    start = time.perf_counter()
    compose(*case.words)
    wall = time.perf_counter() - start
    after = cpu()
    if case.undo:
        compose(*case.undo)
    return Run(wall=wall, cpu={who: after[who] - before.get(who, 0.0) for who in after})


def processor_time(host: Host) -> dict[str, float]:
    """Return the seconds of processor time that each part of pycompose has used (proc_pid_stat(5), fields 14-17)."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = [children.ru_utime + children.ru_stime]
    for text in PROCESSES:
        ticks = 0
        for pid in host.processes(text):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
                ticks += sum(int(field) for field in fields[11:15])
        found.append(ticks / os.sysconf("SC_CLK_TCK"))
    return dict(zip(PEOPLE, found, strict=True))


def report(results: dict[str, dict[str, list[Run]]]) -> str:
    """Return both tables."""
    rows, details = [], []
    for name, engines in results.items():
        mine = [run.wall for run in engines["pycompose"]]
        theirs = [run.wall for run in engines.get("docker", [])]
        ratio = f"{statistics.median(theirs) / statistics.median(mine):.1f}" if theirs else ""
        alone = [run.wall for run in engines[STANDALONE]]
        rows.append([name, seconds(mine), seconds(alone), seconds(theirs) if theirs else "", ratio])
        shares = [statistics.mean(run.cpu[who] for run in engines["pycompose"]) for who in PEOPLE]
        details.append([name, *(f"{share * 1000:.0f} ms" for share in shares)])
    return "\n\n".join(
        (
            table(["", "pycompose", STANDALONE, "Docker Compose", "ratio"], rows),
            table(["processor time", *PEOPLE], details),
        )
    )


def compare(host: Host, docker: list[str], folder: Path, rounds: int, wanted: list[str]) -> None:
    """Run every case on both engines and print what came out."""

    def ours(*words: str) -> None:
        with contextlib.redirect_stdout(None):
            host.run(*words, cwd=folder, timeout_s=120).ok()

    def alone(*words: str) -> None:
        with contextlib.redirect_stdout(None):
            host.run(*words, cwd=folder, env={"PYCOMPOSE_FORKSERVER": "0"}, timeout_s=120).ok()

    engines: dict[str, Compose] = {"pycompose": ours, STANDALONE: alone}
    if docker:
        engines["docker"] = runner([*docker, "--project-directory", str(folder)], folder)
    clocks: dict[str, Callable[[], dict[str, float]]] = {"pycompose": lambda: processor_time(host)}
    results: dict[str, dict[str, list[Run]]] = {}
    write(folder, services())
    try:
        for compose in engines.values():
            compose("up", "-d")
        for case in CASES:
            if not any(part in case.name for part in wanted or [""]):
                continue
            results[case.name] = {name: [] for name in engines}
            for number in range(rounds + 1):  # the first one warms caches, and has a forkserver started
                for name, compose in engines.items():
                    run = measure(compose, case, clocks.get(name, dict))
                    if number:
                        results[case.name][name].append(run)
            print(f"{case.name} done", file=sys.stderr)
    finally:
        for compose in engines.values():
            compose("down")
    print(report(results) + "\n")
    print(
        f"{os.cpu_count()} processors, kernel {os.uname().release}, median of {rounds}, {SERVICES} services"
    )


def main() -> None:
    """Measure and print."""
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        folder = work / "commands"
        folder.mkdir()
        host = Host(work, root=work / "state")
        try:
            with contextlib.redirect_stdout(None):
                host.run("image", "import", build_tar(work / "bench.tar", work / "tree"), IMAGE).ok()
            compare(host, options.docker, folder, options.rounds, options.cases)
        finally:
            host.close()


if __name__ == "__main__":
    main()
