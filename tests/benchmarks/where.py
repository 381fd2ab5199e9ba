"""Where the time of one `pycompose up -d` goes: by the clock of its progress events, and by imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.scenario import Host

# Text of an event -> (what is going on, whether it begins there).
EDGES = {
    "Creating": ("create", True),
    "Created": ("create", False),
    "Starting": ("start", True),
    "Started": ("start", False),
    "Waiting": ("wait for health", True),
    "Healthy": ("wait for health", False),
}
PROCESSES = {
    "command line": "import pycompose.cli.commands.up, pycompose.client.changes",
    "loader": "import pycompose.config.load",
    "supervisor": "import pycompose.supervisor.main",
    "keeper": "import pycompose.engine.keeper.main",
}
Span = tuple[float, float]


def rows(host: Host, project: Path) -> list[list[str]]:
    """Return rows (what, milliseconds) of one `up -d` in `project` and of the imports of each process."""
    spans, end = timeline(host, project)
    first = min((begin for found in spans.values() for begin, _ in found), default=end)
    last = max((until for found in spans.values() for _, until in found), default=end)
    out = [["before the first step: imports, compose file, images, supervisor, plan", first]]
    out += [[f"{what} (some of {len(found)} at any moment)", covered(found)] for what, found in spans.items()]
    out += [["after the last step", end - last], ["all", end]]
    out += [[f"imports of the {name} alone, CPU", cpu_s(script)] for name, script in PROCESSES.items()]
    return [[str(what), f"{float(seconds) * 1000:.0f} ms"] for what, seconds in out]


def timeline(host: Host, project: Path) -> tuple[dict[str, list[Span]], float]:
    """Run `up -d`; return what was done from when to when, in seconds after the start, and when it ended."""
    start = time.perf_counter()
    running = host.spawn("--progress", "json", "up", "-d", cwd=project)
    assert running.process.stderr is not None
    spans: dict[str, list[Span]] = {}
    begun: dict[tuple[str, str], float] = {}
    for line in running.process.stderr:
        now = time.perf_counter() - start
        event = json.loads(line)
        what, begins = EDGES.get(event.get("text", ""), ("", False))
        subject = re.split(r"[ \"]", event.get("id", ""))[0].lower()
        key = (f"{what} {subject}", event.get("id", ""))
        if begins:
            begun[key] = now
        elif what and key in begun:
            spans.setdefault(key[0], []).append((begun.pop(key), now))
    running.process.wait()
    end = time.perf_counter() - start
    running.close()
    return spans, end


def covered(spans: Iterable[Span]) -> float:
    """Return how long at least one of the spans was open."""
    total, reached = 0.0, 0.0
    for begin, until in sorted(spans):
        total += max(0.0, until - max(begin, reached))
        reached = max(reached, until)
    return total


def cpu_s(script: str) -> float:
    """Return the CPU seconds that `script` takes above a bare interpreter; the least of five."""

    def once(text: str) -> float:
        code = f"import time; a = time.process_time(); {text}; print(time.process_time() - a)"
        done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
        return float(done.stdout)

    return min(once(script) for _ in range(5))
