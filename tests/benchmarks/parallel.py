"""Many projects at the same time: `up -d` of all at once, then `down` of all at once.

    python -m tests.benchmarks.parallel [--projects 50] [--services 4] [--folder /var/tmp]

Prints how long each took, and the memory of what runs then. It fails when a service doesn't run, and for anything
that is left at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.up import IMAGE, our_pids, pss_bytes, table, trivial, write
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

PATIENCE_S = 600.0


def at_once(host: Host, folders: list[Path], *words: str) -> tuple[float, list[float]]:
    """Run a command in all folders; return the seconds until the last ended, and until each did."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(None):
        running = {folder: host.spawn(*words, cwd=folder) for folder in folders}
    took: dict[Path, float] = {}
    failed = []
    while len(took) < len(folders):
        for folder, one in running.items():
            if folder not in took and one.process.poll() is not None:
                took[folder] = time.perf_counter() - start
                if one.wait():
                    failed.append(f"{folder.name}: {one.transcript()}")
                one.close()
        if time.perf_counter() - start > PATIENCE_S:
            raise SystemExit(f"still running: {[f.name for f in folders if f not in took]}")
        time.sleep(0.02)
    if failed:
        raise SystemExit("\n".join(failed))
    return max(took.values()), list(took.values())


def running_services(host: Host, folder: Path) -> int:
    """Return how many containers of a project run."""
    return len(host.run("ps", "-q", "--status", "running", cwd=folder, timeout_s=60).ok().stdout.split())


def row(what: str, last: float, each: list[float]) -> list[str]:
    """Return a row of the table."""
    return [what, f"{last:.1f} s", f"{statistics.median(each):.1f} s"]


def measure(host: Host, folders: list[Path], services: int) -> None:
    """Bring all up and down, twice, and print the figures."""
    rows = []
    for number in (1, 2):
        rows.append(row(f"up -d, round {number}", *at_once(host, folders, "up", "-d")))
        with contextlib.redirect_stdout(None):
            counts = [running_services(host, folder) for folder in folders]
        if counts != [services] * len(folders):
            raise SystemExit(f"not all run: {counts}")
        pids = our_pids(host)
        memory = pss_bytes(pids)
        rows.append(row("ls", *at_once(host, folders[:1], "ls")))
        rows.append(row("up -d again", *at_once(host, folders, "up", "-d")))
        rows.append(row(f"down, round {number}", *at_once(host, folders, "down")))
        if left := host.watch.wait():
            raise SystemExit("left behind:\n" + "\n".join(left))
        print(
            f"round {number}: {len(pids)} processes, {memory / 2**20:.0f} MiB Pss, "
            f"{memory / 2**20 / len(folders):.1f} MiB per project",
            file=sys.stderr,
        )
    print(table([f"{len(folders)} projects of {services} services", "all", "median of one"], rows))
    print(f"\n{len(pids)} processes of ours, {memory / 2**20:.0f} MiB Pss; nothing left")
    print(f"{os.cpu_count()} processors, kernel {os.uname().release}")


def main() -> None:
    """Make the projects and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--projects", type=int, default=50)
    parser.add_argument("--services", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        folders = [work / f"p{number}" for number in range(options.projects)]
        host = Host(work, root=work / "state")
        try:
            with contextlib.redirect_stdout(None):
                host.run("image", "import", build_tar(work / "bench.tar", work / "tree"), IMAGE).ok()
            for folder in folders:
                folder.mkdir()
                write(folder, trivial(options.services))
            measure(host, folders, options.services)
        finally:
            host.close()


if __name__ == "__main__":
    main()
