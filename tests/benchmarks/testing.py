"""Stacks for tests, beside testcontainers' DockerCompose on the real Docker: `python -m tests.benchmarks.testing`.

Run it on a private machine, as root; with `--peers PID` (a process in the namespaces of a Docker Engine that has the
image) and `--folder` (seen the same inside and outside) the other side runs, too, alternating in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.testing import Compose

if TYPE_CHECKING:
    from collections.abc import Callable

FIVE = {"services": {f"s{number}": {"image": "busybox", "command": ["sleep", "inf"]} for number in range(5)}}
TWO = {"services": {f"s{number}": {"image": "busybox", "command": ["sleep", "inf"]} for number in range(2)}}
DOCKER = """
import sys, time
from testcontainers.compose import DockerCompose
began = time.monotonic()
with DockerCompose(sys.argv[1], "compose.yaml", docker_command_path=sys.argv[2]): pass
print(time.monotonic() - began)
"""


def timed(call: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds."""
    began_s = time.monotonic()
    call()
    return time.monotonic() - began_s


def enter_and_exit(folder: Path, **options: object) -> float:
    """Return how long a stack takes from its beginning to its end, in seconds."""

    def run() -> None:
        with Compose(folder / "compose.yaml", **options):  # type: ignore[arg-type]
            pass

    return timed(run)


def resident_kib() -> int:
    """Return how much memory this process has, in KiB (proc_pid_status(5))."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def project(folder: Path, name: str, tree: object) -> Path:
    """Write a compose file; JSON is YAML."""
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "compose.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return target


def docker_once(folder: Path, peers: int) -> float:
    """Return the same of testcontainers on Docker, in the namespaces of a process."""
    docker = folder / "docker"
    enter = f"nsenter -t {peers} -m -n -p -u -i --wdns={folder}"
    docker.write_text(f'#!/bin/sh\nexec {enter} docker "$@"\n', encoding="utf-8")
    docker.chmod(0o755)
    argv = [sys.executable, "-c", DOCKER, str(folder), str(docker)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=int, default=0)
    args = parser.parse_args()
    five, two = project(args.folder, "five", FIVE), project(args.folder, "two", TWO)
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(enter_and_exit(five))
        if args.peers:
            theirs.append(docker_once(five, args.peers))
    mine = statistics.median(ours)
    other = statistics.median(theirs) if theirs else 0.0
    beside = f"; testcontainers: {other:.3f} s, {other / mine:.1f} times" if theirs else ""
    print(f"5 services, enter and exit: {mine:.3f} s{beside}")
    with ThreadPoolExecutor(16) as pool:
        seconds = timed(lambda: list(pool.map(enter_and_exit, [five] * 16)))
    print(f"16 such stacks at once: {seconds:.2f} s")
    Compose(five / "compose.yaml", suffix="reuse", reuse=True).__enter__().close()
    again = timed(lambda: Compose(five / "compose.yaml", suffix="reuse", reuse=True).start())
    print(f"reuse of one that runs: {again * 1000:.0f} ms")
    descriptors, memory = len(os.listdir("/proc/self/fd")), resident_kib()
    laps = [enter_and_exit(two) for _ in range(100)]
    more = len(os.listdir("/proc/self/fd")) - descriptors, resident_kib() - memory
    first, last = statistics.median(laps[:20]), statistics.median(laps[-20:])
    mine = statistics.median(laps)
    print(f"100 stacks of 2, one after the other: {mine:.3f} s each ({first:.3f}, then {last:.3f})")
    print(f"descriptors more afterwards: {more[0]}; KiB of memory: {more[1]}")


if __name__ == "__main__":
    main()
