"""Pulling and unpacking, beside Docker Engine and GNU tar, in one run.

    python -m tests.benchmarks.images [--rounds 3] [--work /var/tmp/pycompose-images] [--only unpack|pull|memory|look]

Needs root, docker-registry and gzip; for Docker the lab's peers, started. Two images: about 300 MB of this machine's
/usr in five gzip layers, and 60,000 files of 2 kB in three. Both sides pull from the same registry on the loopback
of the peers' network namespace, into the same disk; `sync` before each, so nobody writes back for another.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pycompose.engine.images.layers.workers import Worker, complete
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256
from pycompose.engine.images.spec import machine

MB = 1_000_000
SOURCES = ("/usr/lib/x86_64-linux-gnu", "/usr/share", "/usr/bin", "/usr/lib/python3", "/usr/include")
LAYER_BYTES, LARGEST_BYTES = 60 * MB, 8 * MB
SMALL_FILES, SMALL_LAYERS = 60_000, 3
PEERS_PID = Path("/run/peers.pid")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the benchmark: its plain layer tars and its OCI layout."""

    name: str
    tars: tuple[Path, ...]
    layout: Path


def debian_layers(work: Path) -> list[Path]:
    """Pack parts of /usr into five tars of about LAYER_BYTES."""
    tars = []
    for number, source in enumerate(SOURCES):
        target = work / f"debian-{number}.tar"
        tars.append(target)
        if target.exists():
            continue
        total = 0
        with tarfile.open(target.with_suffix(".part"), "w", format=tarfile.PAX_FORMAT) as archive:
            for top, directories, files in os.walk(source):
                directories.sort()
                archive.add(top, recursive=False)
                for name in sorted(files):
                    path = os.path.join(top, name)
                    size = os.lstat(path).st_size
                    if size < LARGEST_BYTES and total < LAYER_BYTES:
                        archive.add(path, recursive=False)
                        total += size
                if total >= LAYER_BYTES:
                    break
        target.with_suffix(".part").rename(target)
    return tars


def small_layers(work: Path) -> list[Path]:
    """Pack 60,000 files of 2 kB, a hundred in a directory."""
    noise = random.Random(1)  # noqa: S311 - the same every time
    tars = []
    each = SMALL_FILES // SMALL_LAYERS
    for number in range(SMALL_LAYERS):
        target = work / f"small-{number}.tar"
        tars.append(target)
        if target.exists():
            continue
        with tarfile.open(target.with_suffix(".part"), "w", format=tarfile.PAX_FORMAT) as archive:
            for index in range(each):
                if index % 100 == 0:
                    directory = tarfile.TarInfo(f"srv/{number}/{index // 100}")
                    directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(directory)
                info = tarfile.TarInfo(f"srv/{number}/{index // 100}/{index}.txt")
                data = noise.randbytes(1000).hex().encode()
                info.size, info.mtime = len(data), 1_700_000_000
                archive.addfile(info, io.BytesIO(data))
        target.with_suffix(".part").rename(target)
    return tars


def sample(work: Path, name: str, tars: Sequence[Path]) -> Sample:
    """Return the image of these layers, gzipped as Docker does (level 6)."""
    layout = work / f"{name}-oci"
    if not (layout / "index.json").exists():
        blobs = layout / "blobs/sha256"
        blobs.mkdir(parents=True, exist_ok=True)

        def put(data: bytes) -> dict[str, object]:
            (blobs / sha256(data)[7:]).write_bytes(data)
            return {"digest": sha256(data), "size": len(data)}

        layers = []
        for tar in tars:
            packed = subprocess.run(["gzip", "-6nc", tar], capture_output=True, check=True).stdout
            layers.append({"mediaType": f"{OCI_LAYER}+gzip", **put(packed)})
        platform = machine()
        document = {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar.read_bytes()) for tar in tars]},
        }
        config = {"mediaType": OCI_CONFIG, **put(json.dumps(document).encode())}
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        entry = {"mediaType": OCI_MANIFEST, **put(json.dumps(manifest).encode())}
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="ascii")
        (layout / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": [entry]}), encoding="ascii"
        )
    return Sample(name, tuple(tars), layout)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes, after everything older is on the disk."""
    os.sync()
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def show(name: str, ours: Sequence[float], theirs: Sequence[float], other: str) -> None:
    """Print medians and their ratio."""
    mine, other_s = statistics.median(ours), statistics.median(theirs)
    print(
        f"{name:42} pycompose {mine:6.2f} s   {other} {other_s:6.2f} s   {other_s / mine:5.2f} times as fast"
    )


# Unpacking


def unpack_beside_tar(samples: Sequence[Sample], work: Path, rounds: int) -> None:
    """Unpack each plain tar with a worker and with tar -x, one after the other."""
    for one in samples:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(sum(_unpack(tar, work / "ours") for tar in one.tars))
            theirs.append(sum(_tar(tar, work / "theirs") for tar in one.tars))
        show(f"unpack {one.name}, plain, one process", ours, theirs, "tar -x")


def _unpack(tar: Path, target: Path) -> float:
    warm, staging = target / "warm", target / "layer"
    for path in (target, warm, staging):
        path.mkdir()
    empty = target / "empty.tar"
    empty.write_bytes(bytes(1024))
    with Worker() as worker:
        fd, growing = complete(empty)
        worker.unpack(fd, "", warm, growing)
        fd, growing = complete(tar)
        seconds = timed(lambda: worker.unpack(fd, "", staging, growing))
    shutil.rmtree(target)
    return seconds


def _tar(tar: Path, target: Path) -> float:
    target.mkdir()
    seconds = timed(lambda: subprocess.run(["tar", "-xf", tar, "-C", target, "--xattrs"], check=True))
    shutil.rmtree(target)
    return seconds


# Pulling


@contextmanager
def shared_registry(work: Path, samples: Sequence[Sample]) -> Iterator[tuple[str, list[str]]]:
    """Run a registry in the peers' network namespace; yield its host, and how to enter that namespace."""
    enter = ["nsenter", "-t", PEERS_PID.read_text(encoding="ascii").strip(), "-n"]
    host = "127.0.0.1:15000"
    data = work / "registry"
    config = work / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\n"
        f"http: {{addr: '{host}', secret: x}}\n",
        encoding="ascii",
    )
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen(
        [*enter, "docker-registry", "serve", config],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for one in samples:
            command = [*enter, "skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                       f"oci:{one.layout}", f"docker://{host}/{one.name}:1"]  # fmt: skip
            for _ in range(100):
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                raise RuntimeError("the registry doesn't take images")
        yield host, enter
    finally:
        process.terminate()
        process.wait()


def pull_beside_docker(samples: Sequence[Sample], work: Path, rounds: int, *, memory: bool) -> None:
    """Pull each image with both, in turns, or only with us while the memory is watched."""
    with shared_registry(work, samples) as (host, enter):
        for one in samples:
            reference = f"{host}/{one.name}:1"
            ours, theirs = [], []
            for _ in range(rounds):
                if not memory:
                    forget = [*docker(), "rmi", "-f", reference]
                    subprocess.run(forget, capture_output=True, check=False)
                    theirs.append(timed(partial(run, [*docker(), "pull", "-q", reference])))
                    subprocess.run(forget, capture_output=True, check=False)
                shutil.rmtree(work / "store", ignore_errors=True)
                command = [*enter, sys.executable, "-m", "pycompose", "image", "pull", "-q", reference]
                environment = {**os.environ, "PYCOMPOSE_ROOT": str(work / "store")}
                if memory:
                    print(
                        f"{one.name:42} peak Pss of all processes {peak_mib(command, environment):6.1f} MiB"
                    )
                    break
                ours.append(timed(partial(run, command, environment)))
            if not memory:
                show(f"pull {one.name}", ours, theirs, "docker")


def docker() -> list[str]:
    """Return how to run docker among the peers."""
    return [
        "nsenter",
        "-t",
        PEERS_PID.read_text(encoding="ascii").strip(),
        "-m",
        "-n",
        "-p",
        "-u",
        "-i",
        "--",
        "docker",
    ]


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command whose output nobody reads."""
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def peak_mib(command: Sequence[str], environment: dict[str, str]) -> float:
    """Return the largest sum of Pss of a command and its children."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peak = 0.0
    done = threading.Event()
    threading.Thread(target=lambda: (process.wait(), done.set()), daemon=True).start()
    while not done.wait(0.02):
        peak = max(peak, sum(pss_kib(pid) for pid in tree(process.pid)) / 1024)
    return peak


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                found += tree(int(child))
    except OSError:
        pass
    return found


def pss_kib(pid: int) -> int:
    """Return the proportional set size of a process, 0 when it has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def look(work: Path) -> None:
    """Measure what `up` spends on images that are all there: ten services, three images and `host`."""
    from pycompose.client.context import Context  # noqa: PLC0415
    from pycompose.client.options import UpOptions  # noqa: PLC0415
    from pycompose.client.ready_images import ready_images  # noqa: PLC0415
    from pycompose.engine.paths import StatePaths  # noqa: PLC0415
    from pycompose.model import Project, Service  # noqa: PLC0415

    paths = StatePaths(root=work / "look", run=work / "look-run")
    context = Context(paths=paths, sink=lambda _: None)
    layouts = [f"oci:{work}/{name}-oci" for name in ("debian", "small")]
    images = [*layouts, "host"]
    services = {f"s{n}": Service(name=f"s{n}", image=images[n % len(images)]) for n in range(10)}
    project = Project(name="look", directory=str(work), services=services)
    times = []
    for _ in range(21):
        begin = time.perf_counter()
        ready_images(context, project, list(services), UpOptions())
        times.append((time.perf_counter() - begin) * 1000)
    print(
        f"images of `up`, ten services, all there: least {min(times):.2f} ms, median {statistics.median(times):.2f} ms"
    )


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/pycompose-images"))
    parser.add_argument("--only", choices=["unpack", "pull", "memory", "look"])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    samples = [
        sample(options.work, "debian", debian_layers(options.work)),
        sample(options.work, "small", small_layers(options.work)),
    ]
    if options.only in (None, "unpack"):
        unpack_beside_tar(samples, options.work, options.rounds)
    if options.only in (None, "pull"):
        pull_beside_docker(samples, options.work, options.rounds, memory=False)
    if options.only in (None, "memory"):
        pull_beside_docker(samples, options.work, 1, memory=True)
    if options.only in (None, "look"):
        look(options.work)


if __name__ == "__main__":
    main()
