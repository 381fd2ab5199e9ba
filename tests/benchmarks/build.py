"""`build` side by side with Docker Compose's: same machine, same base image, same files, same disk.

    python -m tests.benchmarks.build [--rounds 5] [--folder /srv/peers] [--only PART] [--alone]

Needs root and the lab's peers, started (`--alone` measures pycompose only). `--folder` is on the disk that Docker has
its state on, and seen by both under the same name. Rounds alternate. "Cold" is a number in the first step that
nobody has seen yet, so that nobody's cache has to be emptied. A project of ours is up meanwhile, whose forkserver takes
the commands, as where somebody works; the second column is without one. It takes none of a caller with another
priority: not to be run under nice. The result is a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.images import PEERS_PID, pss_kib
from tests.benchmarks.up import Compose, runner, seconds, table
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

IMAGE = "bench-build"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILES = 20_000
GIGABYTE = 1 << 30
_fresh = itertools.count(time.time_ns())


@dataclass(kw_only=True)
class Case:
    """One comparison. `prepare(folder)` is called before each measured build, `target` is the ratio to reach."""

    name: str
    target: float
    prepare: Callable[[Path], None]
    # Builds once before the clock starts.
    warm: bool = False
    times: dict[str, list[float]] = field(default_factory=dict)


def project(folder: Path, dockerfile: str, services: int = 1) -> None:
    """Write a Dockerfile, and a compose file whose services all build it."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile, encoding="ascii")
    each = {f"s{number}": {"build": "."} for number in range(services)}
    (folder / "compose.yaml").write_text(json.dumps({"services": each}), encoding="ascii")


def five_steps(folder: Path, services: int = 1) -> None:
    """Five RUN steps that no cache knows."""
    lines = [f"RUN echo {next(_fresh)} >/file{number}" for number in range(5)]
    project(folder, "\n".join([f"FROM {IMAGE}", *lines, ""]), services)


def one_source(folder: Path) -> None:
    """Change a file that is copied, with a step upon it; one step before them is cached."""
    lines = ("RUN echo dependencies >/installed", "COPY src /app", "RUN cat /app/* >/built")
    if not (folder / "src").exists():
        (folder / "src").mkdir(parents=True)
        for number in range(100):
            (folder / f"src/{number}.txt").write_text(f"{number}\n" * 100, encoding="ascii")
    project(folder, "\n".join([f"FROM {IMAGE}", *lines, ""]))
    (folder / "src/50.txt").write_text(f"{next(_fresh)}\n", encoding="ascii")


def many_files(folder: Path) -> None:
    """20,000 files that nobody has read yet."""
    shutil.rmtree(folder / "tree", ignore_errors=True)
    for number in range(FILES // 100):
        inner = folder / f"tree/{number}"
        inner.mkdir(parents=True)
        for index in range(100):
            text = f"{next(_fresh)} {index}\n"
            (inner / f"{index}.txt").write_text(text * 20, encoding="ascii")
    project(folder, f"FROM {IMAGE}\nCOPY tree /tree\n")


def nothing(_folder: Path) -> None:
    """Leave all as it is."""


CASES = (
    Case(name="cold, 5 RUN steps", target=3, prepare=five_steps),
    Case(name="all cached, 5 RUN steps", target=5, prepare=nothing, warm=True),
    Case(name="one source changed", target=3, prepare=one_source, warm=True),
    Case(name="context of 20,000 files, first", target=2, prepare=many_files),
    Case(name="context of 20,000 files, unchanged", target=5, prepare=nothing, warm=True),
    Case(name="8 services, one Dockerfile, cold", target=5, prepare=lambda folder: five_steps(folder, 8)),
)
# What a case that prepares nothing finds: the files of another one.
FOUND = {"all cached, 5 RUN steps": five_steps, "context of 20,000 files, unchanged": many_files}


def measure(case: Case, engines: dict[str, Compose], folders: dict[str, Path], rounds: int) -> None:
    """Build in turns, and take the times down."""
    for name, compose in engines.items():
        folder = folders[name]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        FOUND.get(case.name, case.prepare)(folder)
        if case.warm:
            compose("build")
    for _ in range(rounds):
        for name, compose in engines.items():
            case.prepare(folders[name])
            os.sync()
            begin = time.perf_counter()
            compose("build")
            case.times.setdefault(name, []).append(time.perf_counter() - begin)


def report(cases: list[Case]) -> str:
    """Return the table: case, both times, ratio, what it should be."""
    rows = []
    for case in cases:
        mine, alone, theirs = (case.times.get(name, []) for name in ("pycompose", "alone", "docker"))
        ratio = statistics.median(theirs) / statistics.median(mine) if theirs else 0.0
        rows.append(
            [
                case.name,
                seconds(mine),
                seconds(alone),
                seconds(theirs) if theirs else "",
                f"{ratio:.1f}" if theirs else "",
                f"{case.target:.0f}{'' if ratio >= case.target or not theirs else ' (missed)'}",
            ]
        )
    return table(["build", "pycompose", "without forkserver", "Docker Compose", "ratio", "aim"], rows)


def memory_mib(host: Host, folder: Path) -> float:
    """Return the largest sum of Pss of all processes of a build whose context holds a gigabyte."""
    project(folder, f"FROM {IMAGE}\nCOPY data /data\n")
    (folder / "data").mkdir()
    block = os.urandom(1 << 20)
    for number in range(8):
        with (folder / f"data/{number}").open("wb") as file:
            for _ in range(GIGABYTE // 8 // len(block)):
                file.write(block)
    env = {"PYCOMPOSE_FORKSERVER": "0"}
    with watched(host) as peak, contextlib.redirect_stdout(None):
        host.run("build", cwd=folder, env=env, timeout_s=300).ok()
    return peak[0]


@contextmanager
def watched(host: Host) -> Iterator[list[float]]:
    """Yield a list whose only value is the largest Pss so far, in MiB."""
    peak = [0.0]
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], sum(map(pss_kib, host.watch.processes())) / 1024)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def keep_up(host: Host, folder: Path) -> None:
    """Bring a project up, and have it get its forkserver."""
    folder.mkdir()
    service = {"image": IMAGE, "command": ["sleep", "100000"], "init": True}
    (folder / "compose.yaml").write_text(json.dumps({"services": {"s": service}}), encoding="ascii")
    with contextlib.redirect_stdout(None):
        host.run("up", "-d", cwd=folder).ok()
        host.run("ps", cwd=folder).ok()


def docker(work: Path, tar: Path, folder: Path) -> Compose:
    """Return how to build with Docker Compose; the base image is imported."""
    pid = PEERS_PID.read_text(encoding="ascii").strip()
    enter = ["nsenter", "-t", pid, "-m", "-n", "-p", "-u", "-i", "--"]
    runner([*enter, "docker", "import", "-c", f"ENV {PATH}", str(tar)], work)(IMAGE)
    # Without buildx, which isn't everywhere, Compose builds by itself, and doesn't have to say so.
    compose = ["env", "COMPOSE_BAKE=false", "docker-compose-240", "--project-directory", str(folder)]
    return runner([*enter, *compose], folder.parent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/srv/peers"))
    parser.add_argument("--only", default="", metavar="PART", help="of a case's name")
    parser.add_argument("--alone", action="store_true", help="without Docker Compose")
    options = parser.parse_args()
    if os.getpriority(os.PRIO_PROCESS, 0):
        parser.error("run it without nice: a forkserver takes no commands of callers with another priority")
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        tar = build_tar(work / "bench.tar", work / "tree")
        folders = {name: work / f"bench{work.name[6:]}-{name}" for name in ("pycompose", "alone", "docker")}
        host = Host(work, root=work / "state")
        try:
            host.run("image", "import", "-c", f"ENV {PATH}", tar, IMAGE).ok()

            keep_up(host, work / "up")

            def ours(*words: str) -> None:
                with contextlib.redirect_stdout(None):
                    host.run(*words, cwd=folders["pycompose"], timeout_s=300).ok()

            def alone(*words: str) -> None:
                env = {"PYCOMPOSE_FORKSERVER": "0"}
                with contextlib.redirect_stdout(None):
                    host.run(*words, cwd=folders["alone"], env=env, timeout_s=300).ok()

            engines: dict[str, Compose] = {"pycompose": ours, "alone": alone}
            if not options.alone:
                engines["docker"] = docker(work, tar, folders["docker"])
            cases = [case for case in CASES if options.only in case.name]
            for case in cases:
                measure(case, engines, folders, options.rounds)
                print(f"{case.name} done", file=sys.stderr)
            if cases:
                print(report(cases))
            with contextlib.redirect_stdout(None):
                host.run("down", "-t", "0", cwd=work / "up").ok()
            if options.only in "memory":
                print(
                    f"\nPss at most, context of 1 GiB: {memory_mib(host, work / 'large'):.0f} MiB (aim: 150)"
                )
            print(f"\n{os.cpu_count()} processors, kernel {os.uname().release}, {options.rounds} rounds")
        finally:
            host.close()


if __name__ == "__main__":
    main()
