"""Live reload side by side with Docker Compose's `watch`: same machine, same tree, same compose file.

    python -m tests.benchmarks.watch --docker "nsenter -t PID -a docker compose" [--rounds 40] [--folder DIR] [CASE…]

`--docker` and its image `bench` are as in `up.py`; `--folder` is a directory that both see (`/srv/peers/…`). A file is
"there" when it can be read in the container's upper layer. What has to hold is checked: no wrong file after 20,000 have
changed. The result is a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.up import IMAGE, pss_bytes, table, write
from tests.support.rootfs import build_tar
from tests.support.scenario import PYCOMPOSE, Host

PATIENCE_S = 120.0
POLL_S = 0.0005
# Everything is compared once in a minute: that is part of it.
IDLE_S = 65.0
RULE = {"path": "src", "action": "sync", "target": "/app"}
# Process 1 has no handler for SIGTERM: Docker waits ten seconds for it.
DEAF = ["sh", "-c", "cat /app/f > /seen; exec sleep 100000"]


@dataclass(kw_only=True)
class Side:
    """One engine: how to call it, and where the upper layer of its one container is, seen from here."""

    name: str
    command: list[str]
    upper: Callable[[], Path]
    start: Callable[[list[str]], subprocess.Popen[bytes]]
    results: dict[str, str] = field(default_factory=dict)


def until(done: Callable[[], bool]) -> float:
    """Return the seconds until something is so."""
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > PATIENCE_S:
            return float("inf")
        time.sleep(POLL_S)
    return time.perf_counter() - began


def holds(path: Path, text: str) -> bool:
    """Tell whether a file has this content."""
    with contextlib.suppress(OSError):
        return path.read_text() == text
    return False


@contextlib.contextmanager
def watching(side: Side, folder: Path, service: dict[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `watch` of a project with one service, from when it is enabled on."""
    write(folder, {"web": {"image": IMAGE, "command": ["sleep", "100000"], **service}})
    process = side.start(["watch"])
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if b"Watch enabled" in line:
                break
        os.set_blocking(process.stdout.fileno(), False)
        time.sleep(1)
        yield process
    finally:
        # Its group: `nsenter` hands no signal on to what it has started, which would watch on and keep the pipe open.
        os.killpg(process.pid, signal.SIGINT)
        process.communicate()
        side.start(["down", "-t", "0"]).communicate()


def fresh(folder: Path, count: int, per_directory: int = 100) -> list[Path]:
    """Make `src` with so many files."""
    source = folder / "src"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    (source / "f").write_text("0")
    paths = [source / f"d{number // per_directory}" / f"f{number}" for number in range(count)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    return paths


def save(side: Side, folder: Path, rounds: int) -> None:
    """One file, again and again."""
    fresh(folder, 20)
    with watching(side, folder, {"develop": {"watch": [RULE]}}):
        there = side.upper() / "app/f"
        times = []
        for number in range(rounds):
            text = f"{number} and more"
            (folder / "src/f").write_text(text)
            times.append(until(lambda text=text: holds(there, text)))
            time.sleep(0.05)
    times.sort()
    p95 = times[int(len(times) * 0.95)]
    side.results["save → there, p50 / p95"] = f"{statistics.median(times) * 1000:.1f} / {p95 * 1000:.1f} ms"


def many(side: Side, folder: Path, count: int) -> None:
    """Many files written at once: how long until all are there, and how many are wrong in the end."""
    paths = fresh(folder, count)
    with watching(side, folder, {"develop": {"watch": [RULE]}}):
        places = [side.upper() / "app" / path.relative_to(folder / "src") for path in paths]
        began = time.perf_counter()
        for number, path in enumerate(paths):
            path.write_text(f"new {number}")
        written = time.perf_counter()
        left = dict(enumerate(places))
        while left and time.perf_counter() - written < PATIENCE_S / 4:
            for number in list(left)[-50:]:
                if holds(left[number], f"new {number}"):
                    del left[number]
                else:
                    time.sleep(POLL_S)
                    break
        done = time.perf_counter()
    name = f"{count:,} files, after the first / last write"
    side.results[name] = f"{done - began:.2f} / {done - written:.2f} s, {len(left)} wrong"


def restart(side: Side, folder: Path, rounds: int) -> None:
    """Save until the restarted process has seen it."""
    fresh(folder, 1)
    times = []
    service: dict[str, object] = {"command": DEAF, "develop": {"watch": [{**RULE, "action": "sync+restart"}]}}
    with watching(side, folder, service):
        seen = side.upper() / "seen"
        for number in range(max(1, rounds // 10)):
            (folder / "src/f").write_text(f"again {number}")
            times.append(until(lambda number=number: holds(seen, f"again {number}")))
            time.sleep(0.3)
    side.results["save → restarted, SIGTERM ignored"] = f"{statistics.median(times):.2f} s"


def idle(side: Side, folder: Path, _rounds: int) -> None:
    """Processor time and memory of a watcher of 10,000 directories, with nothing to do."""
    fresh(folder, 10_000, 1)
    with watching(side, folder, {"develop": {"watch": [RULE]}}) as process:
        time.sleep(5)
        pid = entered(process.pid)
        before = cpu_s(pid)
        time.sleep(IDLE_S)
        share = (cpu_s(pid) - before) / IDLE_S
        pss = pss_bytes([pid]) / (1 << 20)
    side.results["10,000 directories, idle"] = f"{share:.1%} of a processor, {pss:.0f} MiB"


def entered(pid: int) -> int:
    """Return the process that `nsenter` has started; `pid` itself if it is another program."""
    while Path(f"/proc/{pid}/comm").read_text(encoding="utf-8") == "nsenter\n":
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])
    return pid


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process has used (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


CASES: dict[str, Callable[[Side, Path, int], None]] = {
    "save": save,
    "1000": lambda side, folder, _: many(side, folder, 1000),
    "20000": lambda side, folder, _: many(side, folder, 20_000),
    "restart": restart,
    "idle": idle,
}


def docker_side(docker: list[str], folder: Path) -> Side:
    """Return Docker Compose, whose container is found by its labels."""
    peers = docker[docker.index("-t") + 1]
    client = docker[: docker.index("compose")] if "compose" in docker else [*docker[:-1], "docker"]
    project = folder.name

    def output(*words: str) -> str:
        return subprocess.run([*client, *words], check=True, capture_output=True, text=True).stdout.strip()

    def upper() -> Path:
        name = output("ps", "-q", "--filter", f"label=com.docker.compose.project={project}")
        inside = output("inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", name)
        return Path(f"/proc/{peers}/root{inside}")

    def start(words: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*docker, "-f", str(folder / "compose.yaml"), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    return Side(name="Docker Compose", command=docker, upper=upper, start=start)


def our_side(host: Host, folder: Path) -> Side:
    """Return pycompose on a machine of its own."""

    def upper() -> Path:
        (found,) = host.inside(lambda: list(host.paths.containers.glob("*/rw/0/upper")))
        return Path(f"/proc/{host.watch.pid}/root{found}")

    def start(words: list[str]) -> subprocess.Popen[bytes]:
        return host.inside(
            lambda: subprocess.Popen(
                [PYCOMPOSE, *words],
                cwd=folder,
                env=host.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        )

    return Side(name="pycompose", command=[str(PYCOMPOSE)], upper=upper, start=start)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docker", default="")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watchbench", dir=options.folder) as name:
        folder = Path(name)
        host = Host(folder / "machine")
        (folder / "machine").mkdir()
        project = folder / Path(name).name.replace("_", "x").lower()
        project.mkdir()
        try:
            with contextlib.redirect_stdout(None):
                archive = build_tar(folder / "bench.tar", folder / "tree")
                host.run("image", "import", archive, IMAGE, cwd=folder).ok()
            sides = [our_side(host, project)]
            if options.docker:
                sides.append(docker_side(shlex.split(options.docker), project))
            for case, measure in CASES.items():
                for side in sides:
                    if not options.cases or case in options.cases:
                        measure(side, project, options.rounds)
        finally:
            host.close()
    names = dict.fromkeys(name for side in sides for name in side.results)
    rows = [[name, *(side.results.get(name, "") for side in sides)] for name in names]
    print(table(["", *(side.name for side in sides)], rows))


if __name__ == "__main__":
    main()
