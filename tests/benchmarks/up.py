"""`up -d` and `down` side by side with Docker Compose: same machine, same root filesystem, same compose file.

    python -m tests.benchmarks.up --docker "nsenter -t PID -a docker compose" [--rounds 5] [--slow] [CASE…]

`--docker` is how to run Docker Compose; without it only pycompose is measured. Docker's image `bench` has to
exist (`docker import` of what `--image` writes). Rounds alternate, so that a busy moment of the machine hits
both. Both keep their state on disk; both run in namespaces of their own. The result is a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import where
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

IMAGE = "bench"
# A service that ends when it is told to: pid 1 ignores SIGTERM unless it has a handler.
COMMAND = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]
DAEMONS = ("dockerd", "containerd", "containerd-shim", "docker-proxy")
Compose = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One compose file; `slow` ones wait for Docker's default health interval of 30 s, service by service."""

    name: str
    services: dict[str, dict[str, object]]
    slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of one `up -d` and of the `down` after it."""

    up: float
    down: float


def trivial(count: int) -> dict[str, dict[str, object]]:
    """Return `count` services that need nothing."""
    return {f"s{number}": {"image": IMAGE, "command": COMMAND} for number in range(count)}


def chain(count: int, health: dict[str, object]) -> dict[str, dict[str, object]]:
    """Return `count` services, each waiting until the one before is healthy."""
    services = trivial(count)
    for number, service in enumerate(services.values()):
        service["healthcheck"] = {"test": ["CMD", "true"], **health}
        if number:
            service["depends_on"] = {f"s{number - 1}": {"condition": "service_healthy"}}
    return services


CASES = (
    Case(name="1 service", services=trivial(1)),
    Case(name="10 services", services=trivial(10)),
    Case(name="25 services", services=trivial(25)),
    Case(name="chain of 5, interval 1 s", services=chain(5, {"interval": "1s"})),
    Case(name="chain of 10, interval 1 s", services=chain(10, {"interval": "1s"})),
    Case(name="chain of 5, default interval", services=chain(5, {}), slow=True),
)


def measure(compose: Compose) -> Times:
    """Time one up and down."""
    start = time.perf_counter()
    compose("up", "-d")
    between = time.perf_counter()
    compose("down")
    return Times(up=between - start, down=time.perf_counter() - between)


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the proportional set size of all `pids` together (proc_pid_smaps_rollup, "Pss")."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def daemon_pids() -> list[int]:
    """Return the pids of Docker's processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text(encoding="utf-8").strip()
            except OSError:
                continue
            if any(name.startswith(daemon[:15]) for daemon in DAEMONS):
                found.append(int(entry.name))
    return found


def our_pids(host: Host) -> list[int]:
    """Return the pids of supervisor and keeper: what of ours is in no container."""
    found = []
    for pid in host.watch.processes():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if Path(sys.executable).resolve().name.encode() in command.split(b"\0")[0] or b"pycompose" in command:
            found.append(pid)
    return found


def memory(compose: Compose, pids: Callable[[], list[int]], folder: Path) -> tuple[int, int]:
    """Return the bytes of the processes that `pids` names, with 1 and with 25 containers."""
    result = []
    for count in (1, 25):
        write(folder, trivial(count))
        compose("up", "-d")
        time.sleep(1)  # settle: start-up garbage is not what stays resident
        result.append(pss_bytes(pids()))
        compose("down")
    return result[0], result[1]


def write(folder: Path, services: dict[str, dict[str, object]]) -> None:
    """Write the compose file that both read: JSON is YAML."""
    folder.joinpath("compose.yaml").write_text(json.dumps({"services": services}), encoding="utf-8")


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(headings)]
    lines.append(["---"] * len(lines[0]))
    lines += [list(row) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(values: list[float]) -> str:
    """Return the median in seconds and how far the runs were apart."""
    return f"{statistics.median(values):.3f} s ({min(values):.3f}–{max(values):.3f})"  # noqa: RUF001


def report(results: dict[str, dict[str, list[Times]]]) -> str:
    """Return the table of times: case → engine → rounds."""
    rows = []
    for name, engines in results.items():
        for verb in ("up", "down"):
            mine = [getattr(times, verb) for times in engines["pycompose"]]
            theirs = [getattr(times, verb) for times in engines.get("docker", [])]
            ratio = f"{statistics.median(theirs) / statistics.median(mine):.1f}" if theirs else ""
            rows.append([f"{verb}, {name}", seconds(mine), seconds(theirs) if theirs else "", ratio])
    return table(["", "pycompose", "Docker Compose", "ratio"], rows)


def runner(command: list[str], folder: Path) -> Compose:
    """Return a function that runs `command` with more arguments in `folder` and fails as it does."""

    def run(*arguments: str) -> None:
        done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{shlex.join([*command, *arguments])}: {done.returncode}\n{done.stdout}{done.stderr}"
            )

    return run


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="part of a case's name")
    parser.add_argument("--docker", type=shlex.split, default=[], metavar="COMMAND")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on disk, seen by both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", action="store_true", help="also the cases that take Docker minutes")
    parser.add_argument("--where", action="store_true", help="only show where our time goes")
    parser.add_argument("--image", type=Path, help="only write the image's tar to this path")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        tar = build_tar(options.image or work / "bench.tar", work / "tree")
        if options.image:
            return
        folder = work / "bench"
        folder.mkdir()
        host = Host(work, root=work / "state")
        try:
            compare(options, host, tar, folder)
        finally:
            host.close()


def compare(options: argparse.Namespace, host: Host, tar: Path, folder: Path) -> None:
    """Run every case on both engines and print what came out."""
    host.run("image", "import", tar, IMAGE).ok()

    def ours(*words: str) -> None:
        with contextlib.redirect_stdout(None):
            host.run(*words, cwd=folder, timeout_s=120).ok()

    if options.where:
        write(folder, trivial(25))
        measure(ours)
        print(table(["up -d of 25 services", "time"], where.rows(host, folder)))
        ours("down")
        return
    engines: dict[str, Compose] = {"pycompose": ours}
    if options.docker:
        engines["docker"] = runner([*options.docker, "--project-directory", str(folder)], folder)
    results: dict[str, dict[str, list[Times]]] = {}
    for case in CASES:
        if (case.slow and not options.slow) or not any(part in case.name for part in options.cases or [""]):
            continue
        write(folder, case.services)
        for compose in engines.values():  # warm caches
            if not case.slow:
                measure(compose)
        rounds: dict[str, list[Times]] = {name: [] for name in engines}
        for _ in range(1 if case.slow else options.rounds):
            for name, compose in engines.items():
                rounds[name].append(measure(compose))
        results[case.name] = rounds
        print(f"{case.name} done", file=sys.stderr)
    print(report(results) + "\n")
    print(f"{os.cpu_count()} processors, kernel {os.uname().release}, median of {options.rounds}\n")
    rows = []
    for name, compose in engines.items():
        pids = (lambda: our_pids(host)) if name == "pycompose" else daemon_pids
        one, many = memory(compose, pids, folder)
        rows.append([name, *(f"{value / 2**20:.2f} MiB" for value in (one, many, (many - one) / 24))])
    print(table(["Pss of", "1 container", "25 containers", "one more"], rows))


if __name__ == "__main__":
    main()
