"""Networks and volumes side by side with Docker Compose: same machine, same image, same programs at both ends.

    python -m tests.benchmarks.net [--peers PID] [--folder /srv/peers] [--rounds 3] [--seconds 2] [CASE…]

`--peers` is a process in the namespaces of Docker, where `docker compose` works and `--folder` is seen under the same
name (the lab's peers, started). Without it only pycompose is measured. Rounds alternate, so that a busy moment of the
machine hits both. Load and answers are made by netload.c, a static program (needs gcc). The result are two Markdown
tables: the second shows how ours grows with the number of networks and of containers, where Docker has no more subnets.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.up import table
from tests.support.rootfs import build_rootfs
from tests.support.scenario import Host

IMAGE = "bench-net"
PORT, ADDRESS = 18080, "198.51.100.1"
FILES = 10_000
WORKERS = 4
GROWTH = (10, 50, 150, 300)
CROWDS = (25, 100, 300)
# A service that ends when it is told to: pid 1 ignores SIGTERM unless it has a handler.
WAITS = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]
LASTING_S = 600.0
# Those that were filled.
VOLUMES: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How one of the two is used: `compose` and `tool` (docker's own commands) to their end, `here` on its machine."""

    compose: Callable[..., str]
    tool: Callable[..., str]
    here: Callable[..., str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured: `run` returns one figure. With `more`, more is better."""

    name: str
    run: Callable[[Engine], float]
    unit: str
    more: bool = False


def sides(seconds: float) -> list[Case]:
    """Return the cases that need the services of `wired` to run."""

    def inside(*words: object, field: int = 0) -> Callable[[Engine], float]:
        command = ("exec", "-T", "client", "netload", *map(str, words))
        return lambda engine: float(engine.compose(*command).split()[field])

    def outside(*words: object) -> Callable[[Engine], float]:
        return lambda engine: float(engine.here("./netload", *map(str, words)))

    places = (("127.0.0.1", "127.0.0.1"), ("the machine's address", ADDRESS), ("::1", "::1"))
    bits = partial(Case, unit="Gbit/s", more=True)
    rate = partial(Case, unit="/s", more=True)
    return [
        bits(name="throughput, container to container", run=inside("send", "web", 80, seconds)),
        *(
            bits(name=f"throughput, published, by {name}", run=outside("send", to, PORT, seconds))
            for name, to in places
        ),
        *(
            rate(
                name=f"connections, published, by {name}", run=outside("connect", to, PORT, seconds, WORKERS)
            )
            for name, to in places
        ),
        rate(name="connections by service name", run=inside("connect", "web", 80, seconds, WORKERS)),
        Case(name="DNS, median at 1,000/s", run=inside("ask", "web", 1000, seconds, field=2), unit="µs"),
        Case(name="DNS, 99th percentile at 1,000/s", run=inside("ask", "web", 1000, seconds, field=3), unit="µs"),
        rate(name="DNS, 20 outstanding", run=inside("ask", "web", 0, seconds)),
        rate(name="DNS, 20 outstanding, three replicas", run=inside("ask", "three", 0, seconds)),
    ]  # fmt: skip


def wired() -> dict[str, object]:
    """Return a project with a server and a client."""
    serve = {"image": IMAGE, "command": ["netload", "serve", "80"], "init": True}
    services = {
        "web": {**serve, "ports": [f"{PORT}:80"]},
        "three": {**serve, "scale": 3},
        "client": {"image": IMAGE, "command": WAITS},
    }
    return {"services": services}


def networked(count: int) -> dict[str, object]:
    """Return a project of one service on `count` networks."""
    names = [f"n{number}" for number in range(count)]
    return {
        "services": {"s": {"image": IMAGE, "command": WAITS, "networks": names[:1]}, **users(names[1:])},
        "networks": dict.fromkeys(names),
    }


def users(networks: list[str]) -> dict[str, object]:
    """Return a service without containers for each network: Compose makes only those that somebody needs."""
    return {f"of-{name}": {"image": IMAGE, "scale": 0, "networks": [name]} for name in networks}


def crowd(count: int) -> dict[str, object]:
    """Return a project of `count` containers."""
    return {"services": {"s": {"image": IMAGE, "command": WAITS, "scale": count}}}


def took(work: Callable[..., object], *words: str) -> float:
    """Return how many seconds a command has taken."""
    start = time.perf_counter()
    work(*words)
    return time.perf_counter() - start


def rounds_of(
    names: list[str], engines: dict[str, Engine], cases: list[Case], rounds: int
) -> dict[Case, dict[str, list[float]]]:
    """Measure those cases that are wanted, engine after engine."""
    results: dict[Case, dict[str, list[float]]] = {}
    for case in cases:
        if not any(part in case.name for part in names or [""]):
            continue
        results[case] = {name: [] for name in engines}
        for _ in range(rounds):
            for name, engine in engines.items():
                results[case][name].append(case.run(engine))
        print(f"{case.name} done", file=sys.stderr)
    return results


def whole_projects(write: Callable[[dict[str, object]], None]) -> list[Case]:
    """Return the cases that bring projects of their own up and down."""

    def up(project: dict[str, object]) -> Callable[[Engine], float]:
        def run(engine: Engine) -> float:
            write(project)
            try:
                return took(engine.compose, "up", "-d")
            finally:
                engine.compose("down", "-v")

        return run

    def down(project: dict[str, object]) -> Callable[[Engine], float]:
        def run(engine: Engine) -> float:
            write(project)
            engine.compose("up", "-d")
            return took(engine.compose, "down")

        return run

    def create(engine: Engine) -> float:
        seconds = took(engine.tool, "network", "create", "bench-one")
        engine.tool("network", "rm", "bench-one")
        return seconds

    def remove(engine: Engine) -> float:
        engine.tool("network", "create", "bench-one")
        return took(engine.tool, "network", "rm", "bench-one")

    def fill(engine: Engine) -> float:
        # Removed at the end: a file system without a journal looks at each inode that was deleted within five minutes
        # when it makes another one (ext4's recently_deleted), which is nine tenths of the time then.
        VOLUMES.append(f"bench-net-{len(VOLUMES)}")
        service = {"image": IMAGE, "command": WAITS, "volumes": ["data:/filled"]}
        write({"services": {"s": service}, "volumes": {"data": {"name": VOLUMES[-1]}}})
        try:
            return took(engine.compose, "up", "-d")
        finally:
            engine.compose("down")

    return [
        Case(name="network create", run=create, unit="s"),
        Case(name="network rm", run=remove, unit="s"),
        Case(name="up, 10 networks", run=up(networked(10)), unit="s"),
        Case(name="down, 10 networks", run=down(networked(10)), unit="s"),
        Case(name="down, 25 containers", run=down(crowd(25)), unit="s"),
        Case(name=f"up, a volume filled with {FILES:,} files", run=fill, unit="s"),
    ]


def report(results: dict[Case, dict[str, list[float]]]) -> str:
    """Return the table of both; the ratio is above 1 where ours is better."""
    rows = []
    for case, engines in results.items():
        ours = statistics.median(engines["pycompose"])
        shown = [f"{ours:.3g} {case.unit}", "", ""]
        if "docker" in engines:
            theirs = statistics.median(engines["docker"])
            shown[1:] = [
                f"{theirs:.3g} {case.unit}",
                f"{ours / theirs if case.more else theirs / ours:.2f}",
            ]
        rows.append([case.name, *shown])
    return table(["", "pycompose", "Docker", "ratio"], rows)


def growth(engine: Engine, write: Callable[[dict[str, object]], None]) -> str:
    """Return how long ours takes for many, and for each of them."""
    rows = []
    for what, make, counts in (("networks", networked, GROWTH), ("containers", crowd, CROWDS)):
        for count in counts:
            write(make(count))
            for verb, words in (("up", ("up", "-d")), ("down", ("down",))):
                seconds = took(engine.compose, *words)
                rows.append(
                    [f"{verb}, {count} {what}", f"{seconds:.2f} s", f"{seconds / count * 1000:.1f} ms"]
                )
            print(f"{count} {what} done", file=sys.stderr)
    return table(["", "all", "each"], rows)


def runner(prefix: list[str], folder: Path) -> Callable[..., str]:
    """Return a function that runs a command in `folder` and returns what it prints, or fails as it does."""

    def run(*words: str) -> str:
        command = [*prefix, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    return run


def ours(host: Host, folder: Path) -> Engine:
    """Return pycompose on a private machine that has ADDRESS."""

    def run(*words: str) -> str:
        with contextlib.redirect_stdout(None):
            return host.run(*words, cwd=folder, timeout_s=LASTING_S).ok().stdout

    def here(*words: str) -> str:
        with contextlib.redirect_stdout(None):
            return host.command([folder / words[0], *words[1:]], timeout_s=LASTING_S).ok().stdout

    for words in ("link add ext0 type bridge", f"address add {ADDRESS}/24 dev ext0", "link set ext0 up"):
        host.command(["ip", *words.split()]).ok()
    return Engine(compose=run, tool=run, here=here)


def theirs(pid: int, folder: Path) -> Engine:
    """Return Docker Compose in the namespaces of a process; they have ADDRESS."""
    enter = ["nsenter", "-t", str(pid), "-m", "-n", "-p", "-u", "-i", "--"]
    run = runner([*enter, "docker"], folder)
    return Engine(
        compose=partial(run, "compose", "--project-directory", str(folder)),
        tool=run,
        here=lambda *words: runner(enter, folder)(str(folder / words[0]), *words[1:]),
    )


@contextlib.contextmanager
def image(work: Path) -> Iterator[Path]:
    """Give the archive of a root filesystem with netload, and 10,000 files below /filled."""
    folder = work / "tree"
    tree = build_rootfs(folder)
    source = Path(__file__).with_suffix("").with_name("netload.c")
    subprocess.run(["gcc", "-static", "-O2", "-o", tree / "bin/netload", source], check=True)
    for number in range(FILES):
        path = tree / f"filled/{number // 100}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 50, encoding="ascii")
    archive = work / "image.tar"
    subprocess.run(["tar", "-C", tree, "-cf", archive, "."], check=True)
    yield archive


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="part of a case's name")
    parser.add_argument("--peers", type=int, metavar="PID")
    parser.add_argument("--folder", type=Path, default=Path("/srv/peers"), help="on disk, seen by both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-") as scratch:
        work = Path(scratch)
        work.chmod(0o755)
        folder = work / "net"
        folder.mkdir()
        host = Host(work, root=work / "state")
        try:
            with image(work) as archive:
                compare(options, host, archive, folder)
        finally:
            host.close()


def compare(options: argparse.Namespace, host: Host, archive: Path, folder: Path) -> None:
    """Run the cases on both engines and print what came out."""
    folder.joinpath("netload").write_bytes((folder.parent / "tree/bin/netload").read_bytes())
    folder.joinpath("netload").chmod(0o755)
    engines = {"pycompose": ours(host, folder)}
    engines["pycompose"].tool("image", "import", str(archive), IMAGE)
    if options.peers:
        engines["docker"] = theirs(options.peers, folder)
        engines["docker"].tool("import", str(archive), IMAGE)

    def write(project: dict[str, object]) -> None:
        folder.joinpath("compose.yaml").write_text(json.dumps(project), encoding="utf-8")

    write(wired())
    for engine in engines.values():
        engine.compose("up", "-d")
    results = rounds_of(options.cases, engines, sides(options.seconds), options.rounds)
    for engine in engines.values():
        engine.compose("down")
    results |= rounds_of(options.cases, engines, whole_projects(write), options.rounds)
    for engine in engines.values() if VOLUMES else ():
        engine.tool("volume", "rm", "-f", *VOLUMES)
    print(report(results) + "\n")
    print(f"{os.cpu_count()} processors, kernel {os.uname().release}, median of {options.rounds}\n")
    if any(part in "growth" for part in options.cases or [""]):
        print(growth(engines["pycompose"], write))


if __name__ == "__main__":
    main()
