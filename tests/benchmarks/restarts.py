"""What thousands of restarts leave in memory: containers that end at once, with a restart policy without a delay.

    python -m tests.benchmarks.restarts [--restarts 10000] [--folder /var/tmp]

`deploy.restart_policy.delay: 0s` is what turns the back-off off; everything else is as always (networks, ports,
health checks, logs). Prints memory, descriptors and threads of supervisor and keeper on the way, and fails when the
memory grows by more than a tenth between the first thousand and the end, or a descriptor stays open.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.up import IMAGE, pss_bytes, table, write
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

POLICY = {"restart_policy": {"condition": "any", "delay": "0s"}}
SERVICES: dict[str, dict[str, object]] = {
    "prints": {"image": IMAGE, "command": ["echo", "a line"], "deploy": POLICY},
    "published": {"image": IMAGE, "command": ["true"], "deploy": POLICY, "ports": ["127.0.0.1:8080:80"]},
    "alone": {"image": IMAGE, "command": ["false"], "deploy": POLICY, "network_mode": "none"},
    "probed": {
        "image": IMAGE,
        "command": ["true"],
        "deploy": POLICY,
        "healthcheck": {"test": ["CMD", "true"], "interval": "1s"},
    },
    "stays": {"image": IMAGE, "command": ["sleep", "100000"], "init": True},
}
PEOPLE = {"supervisor": "pycompose.supervisor", "keeper": "pycompose.engine.keeper"}
GROWTH = 1.1
PATIENCE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """One process at one moment; memory in MiB."""

    rss: float
    pss: float
    fds: int
    threads: int


def look(pid: int) -> Look:
    """Return what the kernel says of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Look(
        rss=int(status["VmRSS"].split()[0]) / 1024,
        pss=pss_bytes([pid]) / 2**20,
        fds=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"]),
    )


def restarts(host: Host, folder: Path) -> int:
    """Return how often the containers have been restarted."""
    with contextlib.redirect_stdout(None):
        names = host.run("ps", "-a", "--format", "{{.Name}}", cwd=folder).ok().stdout.split()
        shown = host.run("inspect", *names, cwd=folder).ok().json()
    return sum(int(entry["RestartCount"]) for entry in shown)


def measure(host: Host, folder: Path, goal: int) -> tuple[list[list[str]], dict[str, list[Look]]]:
    """Wait for the milestones; return the rows of the table and what was seen."""
    rows: list[list[str]] = []
    seen: dict[str, list[Look]] = {who: [] for who in PEOPLE}
    start = time.monotonic()
    pids = {who: host.processes(text)[0] for who, text in PEOPLE.items()}
    log = host.paths.projects / folder.name / "supervisor.log"
    for milestone in (*(n for n in (100, 1000, goal // 2) if n < goal), goal):
        while (count := restarts(host, folder)) < milestone:
            if time.monotonic() - start > PATIENCE_S:
                raise SystemExit(f"only {count} restarts")
            time.sleep(0.5)
        for who, pid in pids.items():
            seen[who].append(now := look(pid))
            figures = [f"{now.rss:.1f} MiB", f"{now.pss:.1f} MiB", str(now.fds), str(now.threads)]
            rows.append([f"{count} restarts, {time.monotonic() - start:.0f} s", who, *figures])
    size = host.inside(lambda: sum(path.stat().st_size for path in log.parent.glob("supervisor.log*")))
    rows.append(["supervisor.log", f"{size / 2**20:.1f} MiB", "", "", "", ""])
    return rows, seen


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--restarts", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        folder = work / "restarts"
        folder.mkdir()
        write(folder, SERVICES)
        host = Host(work, root=work / "state")
        try:
            with contextlib.redirect_stdout(None):
                host.run("image", "import", build_tar(work / "bench.tar", work / "tree"), IMAGE).ok()
                host.run("up", "-d", cwd=folder).ok()
            rows, seen = measure(host, folder, options.restarts)
            with contextlib.redirect_stdout(None):
                host.run("down", "-t", "1", cwd=folder).ok()
            left = host.watch.wait()
        finally:
            host.close()
    print(table(["", "", "RSS", "Pss", "descriptors", "threads"], rows))
    print(f"\n{os.cpu_count()} processors, kernel {os.uname().release}, left behind: {left or 'nothing'}")
    for who, looks in seen.items():
        settled, last = looks[min(1, len(looks) - 1)], looks[-1]
        if last.rss > settled.rss * GROWTH:
            raise SystemExit(f"{who}: grows from {settled.rss:.1f} to {last.rss:.1f} MiB")
        if last.fds > settled.fds + 20:  # what is starting just now
            raise SystemExit(f"{who}: has {last.fds} descriptors after {settled.fds}")


if __name__ == "__main__":
    main()
