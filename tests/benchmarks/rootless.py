"""An ordinary user beside root: the same machine, the same compose file, rounds in turn.

    python -m tests.benchmarks.rootless [--rounds 9] [--seconds 3]

`up` and `down` of ten services, quick commands, what TCP and UDP take through a published port and TCP out of a
container, and the memory of the process outside. Of UDP, datagrams of 1,400 bytes, as many as can be sent, what arrives
counts. State is in memory for both. The result is a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.up import pss_bytes, table, trivial
from tests.support.ordinary import OrdinaryHost, Users
from tests.support.rootfs import build_tar
from tests.support.scenario import NEIGHBOUR_ADDRESS, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20
QUICK = (("version",), ("ps",), ("exec", "-T", "s1", "true"), ("up", "-d"))
IPERF = {
    "image": "host",
    "command": ["iperf3", "-s"],
    "ports": ["5201:5201", "5201:5201/udp"],
    "stop_signal": "KILL",
}


def project(machine: OrdinaryHost, name: str, services: dict[str, dict[str, object]]) -> Path:
    """Make a project; its image is `bench`."""
    return machine.project({"compose.yaml": json.dumps({"services": services})}, name)


def timed(call: Callable[[], object]) -> float:
    """Return how long a call takes, in milliseconds."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def rounds(
    machines: Sequence[OrdinaryHost], folders: Sequence[Path], count: int
) -> dict[str, list[list[float]]]:
    """Return the milliseconds of each command, for root and for the user."""
    found: dict[str, list[list[float]]] = {}
    for _ in range(count):
        for which, (machine, folder) in enumerate(zip(machines, folders, strict=True)):
            run = partial(silent, machine, folder)
            commands = [
                ("up 10", ("up", "-d")),
                *((" ".join(words), words) for words in QUICK),
                ("down 10", ("down",)),
            ]
            for name, words in commands:
                if name == "ps":
                    run("ps")  # has a forkserver started
                    eventually(partial(has_forkserver, machine))
                found.setdefault(name, [[], []])[which].append(timed(partial(run, *words)))
    return found


def silent(machine: OrdinaryHost, folder: Path, *words: str) -> None:
    """Run a command, whose output nobody sees."""
    with machine.popen(["pycompose", *words], folder) as process:
        _, err = process.communicate()
    assert process.returncode == 0, err.decode()


def has_forkserver(machine: OrdinaryHost) -> bool:
    """Tell whether a project has one that answers."""
    return bool(machine.inside(lambda: list(machine.paths.projects_run.glob("*/commands.sock"))))


def throughput(machine: OrdinaryHost, seconds: int) -> dict[str, float]:
    """Return Gbit/s through a published port, out of a container, and into one, as they arrive."""
    folder = project(machine, "iperf", {"web": IPERF})
    machine.run("up", "-d", cwd=folder).ok()
    client = ["iperf3", "-J", "-t", str(seconds), "-c"]
    flood = ["-u", "-b", "0", "-l", "1400"]

    def rate(run: Callable[[], str]) -> float:
        def ask() -> float:
            found = json.loads(run())
            received = found.get("end", {}).get("sum_received")
            return float(received["bits_per_second"]) / 1e9 if received else 0.0

        return eventually(ask)

    server = machine.outside(lambda: subprocess.Popen(["iperf3", "-s"], stdout=subprocess.DEVNULL))
    try:
        out = ["exec", "-T", "web", *client, NEIGHBOUR_ADDRESS]
        return {
            "TCP, published": rate(lambda: machine.command([*client, "127.0.0.1"]).stdout),
            "UDP, published, answers": rate(
                lambda: machine.command([*client, "127.0.0.1", *flood, "-R"]).stdout
            ),
            "UDP, published": rate(lambda: machine.command([*client, "127.0.0.1", *flood]).stdout),
            "TCP, egress": rate(lambda: machine.run(*out, cwd=folder).stdout),
            "TCP, ingress": rate(lambda: machine.run(*out, "-R", cwd=folder).stdout),
        }
    finally:
        server.kill()
        server.wait()
        machine.run("down", cwd=folder).ok()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pycompose-bench-", dir="/dev/shm") as folder:
        base = Path(folder)
        base.chmod(0o755)
        archive = build_tar(base / "bench.tar", base / "tree")
        user = Users(folder=base, archive=archive)(tun=True, neighbour=True)
        try:
            report(user, archive, options.rounds, options.seconds)
        finally:
            user.close()


def report(user: OrdinaryHost, archive: Path, count: int, seconds: int) -> None:
    """Print the table of all that is measured."""
    root = user.root_user()
    machines = (root, user)
    folders = []
    for machine in machines:
        machine.run("image", "import", machine.readable(archive), "bench").ok()
        folders.append(project(machine, "ten", trivial(10)))
    rows = []
    for name, (ours, theirs) in rounds(machines, folders, count).items():
        a, b = statistics.median(ours), statistics.median(theirs)
        least = f"{min(ours):.0f} and {min(theirs):.0f}"
        rows.append((name, f"{a:.1f} ms", f"{b:.1f} ms", f"{b / a:.2f}", f"{b - a:+.1f} ms", least))
    rates = [throughput(machine, seconds) for machine in machines]
    for name in rates[0]:
        a, b = rates[0][name], rates[1][name]
        rows.append((name, f"{a:.2f} Gbit/s", f"{b:.2f} Gbit/s", f"{b / a:.2f}", "", ""))
    (holder,) = user.processes("pycompose.rootless.host")
    ways = [pid for name in ("slirp4netns", "pasta") for pid in user.processes(f"/{name} ")]
    print(table(("", "root", "user", "ratio", "more", "least"), rows))
    print(
        f"process outside: {pss_bytes([holder]) / MIB:.1f} MiB; way out: {pss_bytes(ways) / MIB:.1f} MiB (Pss)"
    )


if __name__ == "__main__":
    main()
