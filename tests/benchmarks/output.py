"""One container that prints as fast as it can, beside one that prints ten lines a second.

    python -m tests.benchmarks.output [--seconds 10] [--folder /var/tmp]

With `max-size: 10m, max-file: 3`. Prints how much went through, how late the lines of the quiet one reach a `logs -f`
before and meanwhile, the memory of the keeper and the size of the log; fails when those two aren't bounded.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.benchmarks.restarts import look
from tests.benchmarks.up import IMAGE, table, write
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

ROTATION = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
MOST_LOG_BYTES = 3 * 10 * 2**20
MOST_KEEPER_MIB = 40.0
LINE = "x" * 99
SERVICES: dict[str, dict[str, object]] = {
    "quiet": {
        "image": IMAGE,
        "init": True,
        "command": ["sh", "-c", "while sleep 0.1; do echo $$EPOCHREALTIME; done"],
    },
    "loud": {"image": IMAGE, "init": True, "logging": ROTATION, "command": ["yes", LINE]},
}


@dataclass
class Follower:
    """Follows the quiet service; `late_ms` has the time from the print of each line to its arrival here."""

    host: Host
    folder: Path
    late_ms: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to follow."""
        words = ("logs", "-f", "--no-log-prefix", "--tail", "0", "quiet")
        with contextlib.redirect_stdout(None):
            self._running = self.host.spawn(*words, cwd=self.folder)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._running.kill()
        self._thread.join()
        self._running.close()

    def _read(self) -> None:
        assert self._running.process.stdout is not None
        for line in self._running.process.stdout:
            self.late_ms.append((time.time() - float(line)) * 1000)


def written(host: Host) -> int:
    """Return how many bytes the loud container has written (proc_pid_io(5))."""
    (pid,) = (pid for pid in host.processes(LINE) if (Path(f"/proc/{pid}/comm").read_text() == "yes\n"))
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"])


def late(values: list[float]) -> str:
    """Return median and worst."""
    return f"{statistics.median(values):.0f} ms, at most {max(values):.0f} ms ({len(values)} lines)"


def measure(host: Host, folder: Path, seconds: float) -> list[list[str]]:
    """Return the rows of the table."""
    rows = []
    with contextlib.redirect_stdout(None):
        host.run("up", "-d", "quiet", cwd=folder).ok()
    keeper = host.processes("pycompose.engine.keeper")[0]
    with Follower(host, folder) as follower:
        time.sleep(seconds)
    rows.append(["a quiet container's lines are late, alone", late(follower.late_ms)])
    rows.append(["keeper before", f"{look(keeper).rss:.1f} MiB RSS"])
    with contextlib.redirect_stdout(None):
        host.run("up", "-d", "loud", cwd=folder).ok()
    with Follower(host, folder) as follower:
        before, start, most = written(host), time.monotonic(), 0.0
        while time.monotonic() < start + seconds:
            most = max(most, look(keeper).rss)
            time.sleep(0.2)
        rate = (written(host) - before) / (time.monotonic() - start)
    (rotated,) = host.inside(lambda: list(host.paths.containers.glob("*/log/container.log.1")))
    size = host.inside(lambda: sum(path.stat().st_size for path in rotated.parent.iterdir()))
    rows.append(["the loud one prints", f"{rate / 1e6:.0f} MB/s"])
    rows.append(["a quiet container's lines are late, beside the loud one", late(follower.late_ms)])
    rows.append(["keeper meanwhile, at most", f"{most:.1f} MiB RSS"])
    rows.append(["log of the loud one, max-size 10m, max-file 3", f"{size / 2**20:.1f} MiB"])
    if size > MOST_LOG_BYTES or most > MOST_KEEPER_MIB:
        raise SystemExit(f"not bounded: log {size} bytes, keeper {most:.1f} MiB")
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        folder = work / "output"
        folder.mkdir()
        write(folder, SERVICES)
        host = Host(work, root=work / "state")
        try:
            with contextlib.redirect_stdout(None):
                host.run("image", "import", build_tar(work / "bench.tar", work / "tree"), IMAGE).ok()
            rows = measure(host, folder, options.seconds)
            with contextlib.redirect_stdout(None):
                host.run("down", cwd=folder).ok()
        finally:
            host.close()
    print(table(["", ""], rows))
    print(f"\n{os.cpu_count()} processors, kernel {os.uname().release}")


if __name__ == "__main__":
    main()
