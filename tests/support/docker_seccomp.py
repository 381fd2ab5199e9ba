"""Records what the real Docker's default profile decides: tests/unit/engine/seccomp/docker.json.

    python -m tests.support.docker_seccomp

For each capability that a container can have it runs syscall_probe.py in a container of the peers (tests/support/
engines.py says where these are), with this machine's /usr/bin/python3 as its image.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from itertools import groupby
from pathlib import Path
from typing import Any

from pycompose.engine.linux.caps import CAPABILITIES, permitted

from tests.support.engines import PEERS_PID, SHARED

RECORD = Path(__file__).parents[1] / "unit/engine/seccomp/docker.json"
PROBE = Path(__file__).with_name("syscall_probe.py")
WAYS = ("x86_64", "x86", "x32")
# Beyond every table: what is there, and where the number could be taken for something else.
FAR = (1023, 0xF0001, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LAST = 600
# The kernel doesn't ask filters about these two, which are its own way back from a probed function.
UPROBES = (335, 336)
NAMESPACE_FLAGS = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
INT = 1 << 32
# Calls whose arguments count: number per way, first arguments.
ARGUMENTS: dict[str, tuple[dict[str, int], tuple[int, ...]]] = {
    "clone": (
        {"x86_64": 56, "x86": 120, "x32": 56},
        (0, 17, 0x80, 0x3D0F00, 0x1200011, *NAMESPACE_FLAGS, INT - 1, INT | 17, INT | 0x10000000),
    ),
    "personality": (
        {"x86_64": 135, "x86": 136, "x32": 135},
        (
            0,
            1,
            8,
            9,
            0x20000,
            0x20008,
            0x20009,
            0x40000,
            0x400000,
            0x100000,
            INT - 1,
            INT,
            INT | 8,
            (1 << 64) - 1,
        ),
    ),
    "socket": (
        {"x86_64": 41, "x86": 359, "x32": 41},
        (*range(50), 255, INT - 1, INT | 1, INT | 38, INT | 40),
    ),
    "socketcall": ({"x86": 102}, tuple(range(22))),
    "ipc": ({"x86": 117}, tuple(range(26))),
}


def questions() -> list[tuple[str, list[Any]]]:
    """Return all that is asked, as the probe takes it, with the name under which the answer is kept."""
    found: list[tuple[str, list[Any]]] = [(way, [way, 0, LAST]) for way in ("x86", "x32")]
    found += [
        ("x86_64", ["x86_64", first, last]) for first, last in ((0, UPROBES[0] - 1), (UPROBES[1] + 1, LAST))
    ]
    found += [
        (way, [way, number, number]) for way in WAYS for number in FAR if way != "x32" or number < 1 << 30
    ]
    for name, (numbers, values) in ARGUMENTS.items():
        for way, number in numbers.items():
            wide = way == "x86_64"
            found += [
                (f"{way} {name}", [way, number, number, value]) for value in values if wide or value < INT
            ]
    return found


def record() -> dict[str, Any]:
    """Ask Docker; return what docker.json has."""
    peers = PEERS_PID.read_text(encoding="ascii").strip()
    work = SHARED / "seccomp-record"
    work.mkdir(exist_ok=True)
    asked = questions()
    try:
        _image(peers, work)
        versions = _in_peers(peers, "docker", "version", "--format", "{{json .Server}}")
        default = _answers(peers, asked, ())
        alone = {}
        for name in ("", *(name for number, name in enumerate(CAPABILITIES) if permitted() >> number & 1)):
            added = _answers(peers, asked, ("--cap-drop=ALL", *([f"--cap-add={name}"] if name else ())))
            alone[name or "none"] = added
    finally:
        _in_peers(peers, "docker", "image", "rm", "-f", "seccomp-record")
        for path in (*work.iterdir(), work):
            path.rmdir() if path.is_dir() else path.unlink()
    none = alone.pop("none")
    return {
        "versions": _versions(json.loads(versions)),
        "none": none,
        "default": _changes(none, default),
        "capabilities": {name: found for name, rows in alone.items() if (found := _changes(none, rows))},
    }


def _versions(server: dict[str, Any]) -> dict[str, str]:
    parts = {part["Name"]: part["Version"] for part in server["Components"]}
    return {"docker": parts["Engine"], "runc": parts["runc"], "kernel": server["KernelVersion"]}


def _answers(
    peers: str, asked: list[tuple[str, list[Any]]], options: tuple[str, ...]
) -> dict[str, list[list[Any]]]:
    """Return per way (and call) the decisions: [first number, last, answer], or [argument, argument, answer]."""
    text = json.dumps([question for _name, question in asked])
    command = (
        "docker",
        "run",
        "--rm",
        "--net=none",
        *options,
        "seccomp-record",
        "/usr/bin/python3",
        "-S",
        "-E",
    )
    said = json.loads(_in_peers(peers, *command, "/probe.py", text))
    found: dict[str, list[tuple[int, Any]]] = {}
    for (name, (_way, first, _last, *arguments)), answers in zip(asked, said, strict=True):
        at = arguments[0] if arguments else first
        found.setdefault(name, []).extend((at + step, answer) for step, answer in enumerate(answers))
    return {name: _runs(rows) for name, rows in found.items()}


def _runs(rows: list[tuple[int, Any]]) -> list[list[Any]]:
    runs = []
    for _key, group in groupby(enumerate(rows), key=lambda item: (item[1][0] - item[0], item[1][1])):
        same = [row for _index, row in group]
        runs.append([same[0][0], same[-1][0], same[0][1]])
    return runs


def _changes(
    before: dict[str, list[list[Any]]], after: dict[str, list[list[Any]]]
) -> dict[str, list[list[Any]]]:
    """Return what is different, as the same kind of runs."""
    found = {}
    for name, runs in after.items():
        old = {at: answer for first, last, answer in before[name] for at in range(first, last + 1)}
        new = [
            (at, answer) for first, last, answer in runs for at in range(first, last + 1) if old[at] != answer
        ]
        if new:
            found[name] = _runs(new)
    return found


def _image(peers: str, work: Path) -> None:
    """Import this machine's Python as an image."""
    ldd = subprocess.run(["ldd", "/usr/bin/python3"], capture_output=True, text=True, check=True).stdout
    with tarfile.open(work / "image.tar", "w", dereference=True) as archive:
        archive.add(PROBE, "probe.py")
        for path in (Path("/usr/bin/python3"), *(Path(word) for word in ldd.split() if word.startswith("/"))):
            archive.add(path, str(path))
        (library,) = Path("/usr/lib").glob("python3.*")
        for entry in library.rglob("*"):
            if entry.suffix in (".py", ".so") and not {"test", "dist-packages"} & set(entry.parts):
                archive.add(entry, str(entry))
        for needed in Path("/usr/lib/x86_64-linux-gnu").glob("lib[fc]*"):
            if needed.name.startswith(("libffi.so", "libc.so")):
                archive.add(needed, str(needed))
    _in_peers(peers, "docker", "import", str(work / "image.tar"), "seccomp-record")


def _in_peers(peers: str, *command: str) -> str:
    enter = ("nsenter", "-t", peers, "-m", "-n", "-p", "-u", "-i", "--")
    return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Write the record."""
    found = record()
    sections = [f'"{key}": {_lines(found[key])}' for key in found]
    RECORD.write_text("{\n" + ",\n".join(sections) + "\n}\n", encoding="utf-8")


def _lines(section: dict[str, Any]) -> str:
    return "{\n" + ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in section.items()) + "\n}"


if __name__ == "__main__":
    main()
