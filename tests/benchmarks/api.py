"""The Engine API beside dockerd, in one run: a list of a hundred containers, how late events come, memory.

    python -m tests.benchmarks.api [--containers 100] [--rounds 40] [--folder /var/tmp]

Needs the real Engine in namespaces of its own (tests/support/engines.py), with `docker import` allowed. The containers
are made through the API of each; requests take turns, each on a connection of its own. An event is as late as it
is read after the moment that it names.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.benchmarks.up import pss_bytes, table
from tests.support.api_tape import opened
from tests.support.engines import peers_pid
from tests.support.rootfs import build_tar
from tests.support.scenario import Host
from tests.support.served import Served

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE = "apibench:1"
ONLY = {"api.bench": "1"}
FILTER = quote(json.dumps({"label": {"api.bench=1": True}}))
MAKERS = 4


class Client:
    """One engine."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.ids: list[str] = []

    def ask(self, method: str, target: str, body: object = None, data: bytes | None = None) -> Any:
        """Return the JSON of an answer, None for one without."""
        with opened(self._path, method, target, body, data) as answer:
            text = answer.read()
            assert answer.status < 400, f"{method} {target}: {text!r}"
            return json.loads(text.splitlines()[0]) if text else None

    def fill(self, tar: Path, count: int) -> None:
        """Make the image, and containers that run."""
        self.empty()
        self.ask("POST", "/images/create?fromSrc=-&repo=apibench&tag=1", data=tar.read_bytes())
        with ThreadPoolExecutor(MAKERS) as pool:
            self.ids = list(pool.map(self._one, range(count)))

    def _one(self, number: int) -> str:
        body = {"Image": IMAGE, "Cmd": ["sleep", "100000"], "Labels": ONLY, "ExposedPorts": {"80/tcp": {}}}
        made: str = self.ask("POST", f"/containers/create?name=apibench-{number}", body)["Id"]
        self.ask("POST", f"/containers/{made}/start")
        return made

    def empty(self) -> None:
        """Remove them."""
        rows = self.ask("GET", f"/containers/json?all=1&filters={FILTER}")
        with ThreadPoolExecutor(MAKERS) as pool:
            list(pool.map(lambda row: self.ask("DELETE", f"/containers/{row['Id']}?force=1"), rows))
        with contextlib.suppress(AssertionError):
            self.ask("DELETE", f"/images/{IMAGE}?force=1")

    def list_ms(self, count: int) -> float:
        """Return how long the list takes, in milliseconds."""
        begin = time.perf_counter()
        rows = self.ask("GET", f"/containers/json?filters={FILTER}")
        took_ms = (time.perf_counter() - begin) * 1000
        assert len(rows) == count
        return took_ms

    def lateness_ms(self, container: str) -> list[float]:
        """Return how late each event of a restart comes, in milliseconds."""
        wanted = quote(json.dumps({"container": {container: True}}))
        late = []
        with opened(self._path, "GET", f"/events?filters={wanted}") as answer, ThreadPoolExecutor(1) as pool:
            work = pool.submit(self.ask, "POST", f"/containers/{container}/restart?t=0")
            while True:
                event = json.loads(answer.readline())
                late.append(time.time() * 1000 - event["timeNano"] / 1e6)
                if event["Action"] == "restart":
                    work.result()
                    return late


def figures(values: Sequence[float]) -> str:
    """Return the least, the median and the most."""
    return f"{min(values):.1f} / {statistics.median(values):.1f} / {max(values):.1f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        tar = build_tar(work / "bench.tar", work / "tree")
        host = Host(work, root=work / "state")
        theirs = Client(f"/proc/{peers_pid()}/root/run/docker.sock")
        try:
            with contextlib.redirect_stdout(None):
                served = Served(host)
            ours = Client(str(served.path))
            both = (ours, theirs)
            for client in both:
                client.fill(tar, options.containers)
            lists = [[client.list_ms(options.containers) for client in both] for _ in range(options.rounds)]
            late: list[list[float]] = [[], []]
            for number in range(min(10, options.containers)):
                for who, client in enumerate(both):
                    late[who] += client.lateness_ms(client.ids[number])
            memory = pss_bytes([served.pid()]) / 2**20, served.resident_kib() / 1024
            ours.empty()
            served.close()
        finally:
            theirs.empty()
            host.close()
    rows = [
        [f"list of {options.containers}", *(figures([pair[who] for pair in lists]) for who in (0, 1))],
        ["events", *map(figures, late)],
        ["memory", f"Pss {memory[0]:.1f} MiB, own {memory[1]:.1f} MiB", ""],
    ]
    print(table(["least / median / most", "pycompose", "dockerd"], rows))
    print(f"\n{os.cpu_count()} processors, kernel {os.uname().release}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
