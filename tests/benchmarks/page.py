"""The page beside many services, in one run: how late a container's end is on it, what its server takes of memory.

    python -m tests.benchmarks.page [--services 100] [--rounds 10] [--lines 100000] [--folder /var/tmp]

Needs root and chromium. Late is from the moment that the container's state names for its end to the next picture of
the browser in which its card says so. Memory is that of the server (VmRSS and Pss): with no page open, with two, and
the most while a container prints `--lines` lines at once. The result is a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.benchmarks.up import pss_bytes, table
from tests.support.browser import ServedPage, browser_of, open_page
from tests.support.rootfs import build_tar
from tests.support.scenario import Host

if TYPE_CHECKING:
    from playwright.sync_api import Page

SLEEPS = {"image": "bench-page", "init": True, "command": ["sleep", "100000"]}
# Notes when the card of each service is painted with another state.
WATCH = """() => {
  window.seen = {};
  const note = (card) => {
    const name = card.querySelector("h2").textContent;
    if (!card.querySelector(".state").textContent.startsWith("running")) window.seen[name] ??= Date.now();
  };
  new MutationObserver(() => requestAnimationFrame(() => document.querySelectorAll(".card").forEach(note)))
    .observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def memory(pid: int) -> tuple[float, float]:
    """Return a process' VmRSS and Pss in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    resident_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return resident_kib / 1024, pss_bytes([pid]) / 2**20


def late_ms(host: Host, folder: Path, page: Page, service: str) -> float:
    """Kill a service's container; return how late the page shows it."""
    host.run("kill", service, cwd=folder).ok()
    page.wait_for_function("(name) => window.seen[name]", arg=service)
    seen_ms: float = page.evaluate("(name) => window.seen[name]", service)
    told = host.run("container", "inspect", f"bench-{service}-1").ok().stdout
    ended = json.loads(told)[0]["State"]["FinishedAt"]
    return seen_ms - datetime.fromisoformat(ended).timestamp() * 1000


def flood(host: Host, folder: Path, page: Page, pid: int, lines: int) -> tuple[float, float]:
    """Have a container print lines; return the most memory until the last one is on the page."""
    page.get_by_role("tab", name="Logs").click()
    host.run("exec", "flood", "touch", "/go", cwd=folder).ok()
    most = memory(pid)
    last = page.locator(".line .text").last
    deadline = time.monotonic() + 120
    while last.text_content() != str(lines) and time.monotonic() < deadline:
        most = max(most, memory(pid))
        time.sleep(0.1)
    expect(last).to_have_text(str(lines))
    return most


def measure(work: Path, services: int, rounds: int, lines: int) -> list[list[str]]:
    """Return the rows of the table."""
    waits = f"while ! test -e /go; do sleep 0.1; done; seq {lines}; exec sleep 100000"
    project = {
        **{f"s{number}": SLEEPS for number in range(services - 1)},
        "flood": {**SLEEPS, "command": ["sh", "-c", waits]},
    }
    with contextlib.closing(Host(work, root=work / "state")) as host:
        host.run("image", "import", build_tar(work / "page.tar", work / "tree"), "bench-page").ok()
        folder = host.project({"compose.yaml": json.dumps({"name": "bench", "services": project})})
        host.run("up", "-d", cwd=folder).ok()
        served = ServedPage(host)
        pid = served.running.process.pid
        idle = memory(pid)
        with browser_of(host) as browser:
            page = open_page(browser, served.address)
            open_page(browser, served.address)
            expect(page.locator(".card")).to_have_count(services)
            page.evaluate(WATCH)
            late = [late_ms(host, folder, page, f"s{number}") for number in range(rounds)]
            two = memory(pid)
            most = flood(host, folder, page, pid, lines)
        host.run("down", "-t", "0", cwd=folder).ok()
        served.end()
    return [
        [
            "the end of a container is on the page",
            f"{min(late):.0f} / {statistics.median(late):.0f} / {max(late):.0f} ms",
        ],
        *(
            [name, f"{resident:.1f} MiB, Pss {shared:.1f} MiB"]
            for name, (resident, shared) in (
                ("memory, no page", idle),
                ("two pages", two),
                (f"two pages, {lines:,} lines at once", most),
            )
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        rows = measure(Path(scratch), options.services, options.rounds, options.lines)
    print(table([f"{options.services} services", "least / median / most"], rows))
    print(f"\n{os.cpu_count()} processors, kernel {os.uname().release}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
