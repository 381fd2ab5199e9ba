"""Records what the real Docker's default profile decides: tests/unit/engine/seccomp/docker.json.

    python -m tests.support.docker_seccomp

For each capability that a container can have it runs syscall_probe.py in a container of the peers (tests/support/
engines.py says where these are), with this machine's /usr/bin/python3 as its image.
"""

from __future__ import annotations

import json
import subprocess
from itertools import groupby
from typing import Any

from pycompose.engine.linux.caps import CAPABILITIES, permitted

from tests.support import python_image
from tests.support.engines import PEERS_PID, SHARED
from tests.support.seccomp_record import PROBE, RECORD, answers, questions

IMAGE = "seccomp-record"


def record() -> dict[str, Any]:
    """Ask Docker; return what docker.json has."""
    peers = PEERS_PID.read_text(encoding="ascii").strip()
    work = SHARED / "seccomp-record"
    work.mkdir(exist_ok=True)
    try:
        python_image.write(work / "image.tar", PROBE)
        _in_peers(peers, "docker", "import", str(work / "image.tar"), IMAGE)
        versions = _in_peers(peers, "docker", "version", "--format", "{{json .Server}}")
        default = _answers(peers, ())
        alone = {}
        for name in ("", *(name for number, name in enumerate(CAPABILITIES) if permitted() >> number & 1)):
            added = _answers(peers, ("--cap-drop=ALL", *([f"--cap-add={name}"] if name else ())))
            alone[name or "none"] = added
    finally:
        _in_peers(peers, "docker", "image", "rm", "-f", IMAGE)
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


def _answers(peers: str, options: tuple[str, ...]) -> dict[str, list[list[Any]]]:
    """Return per way (and call) the decisions: [first number or argument, last, answer]."""
    text = json.dumps([question for _name, question in questions()])
    command = (
        "docker",
        "run",
        "--rm",
        "--net=none",
        *options,
        IMAGE,
        python_image.PYTHON,
        "-S",
        "-E",
    )
    said = json.loads(_in_peers(peers, *command, f"/{PROBE.name}", text))
    found: dict[str, list[tuple[int, Any]]] = {}
    for (name, at), answer in answers(said).items():
        found.setdefault(name, []).append((at, answer))
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
