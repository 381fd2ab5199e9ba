"""Records how tight containers of ours and of the real Docker are, and writes docs/security.md.

    python -m tests.support.security_table

Needs root, and Docker in namespaces of its own (tests/support/engines.py). Without it,

    python -m tests.support.security_table --ours

looks at ours again and keeps what was recorded of Docker.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import engines, inspection, python_image
from tests.support.security_rows import DOCUMENT, RECORD, document, load, looser, stricter

IMAGE = "inspected"
SCRIPT = Path(inspection.__file__)


def inspect(
    engine: engines.Engine, pid: int, /, *, by_exec: bool = False, **service: Any
) -> dict[str, list[str]]:
    """Return what a default service (but for what is in `service`) sees and may in a container of `engine`.

    `pid` is a process of the machine that the engine is on. With `by_exec`, the script is executed in a container that
    waits, instead of being its command. The engine has IMAGE.
    """
    spaces = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in inspection.NAMESPACES}
    look = [python_image.PYTHON, "-S", "-E", f"/{SCRIPT.name}", json.dumps(spaces)]
    wait = [python_image.PYTHON, "-S", "-E", "-c", "import signal; signal.pause()"]
    folder = engine.folder / f"inspection{os.getpid()}"
    folder.mkdir(exist_ok=True)
    command = wait if by_exec else look
    app = {"image": IMAGE, "command": command, "stop_signal": "SIGKILL", **service}
    text = json.dumps({"name": folder.name, "services": {"app": app}}).replace("$", "$$")
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    try:
        if by_exec:
            engine.run("up", "-d", cwd=folder).ok()
            said = engine.run("exec", "-T", "app", *look, cwd=folder).ok().stdout
        else:
            said = engine.run("up", "--no-log-prefix", cwd=folder).ok().stdout
    finally:
        engine.run("down", "-t", "0", cwd=folder).ok()
    (line,) = [line for line in said.splitlines() if line.startswith("{")]
    rows: dict[str, list[str]] = json.loads(line)
    return rows


def image(folder: Path) -> Path:
    """Return the archive of IMAGE, made in `folder`."""
    target = folder / "inspected.tar"
    python_image.write(target, SCRIPT)
    return target


def inspect_docker(archive: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return versions and rows of the real Docker."""
    engine = engines.Docker({IMAGE: archive})
    try:
        info = engine.run("system", "info", "--format", "json", cwd=engine.folder).ok().json()
        rows = inspect(engine, int(engines.peers_pid()))
        engine.remove_image(IMAGE)
    finally:
        engine.close()
    return {"docker": info["ServerVersion"], "kernel": info["KernelVersion"]}, rows


def inspect_ours(folder: Path, archive: Path) -> dict[str, list[str]]:
    """Return the rows of a container of ours."""
    engine = engines.Pycompose(folder, {IMAGE: archive})
    try:
        return inspect(engine, engine.host.watch.pid)
    finally:
        engine.close()


def main() -> None:
    """Look, record, write the document."""
    with tempfile.TemporaryDirectory(prefix="pycompose-security-") as name:
        folder = Path(name)
        archive = image(folder)
        if sys.argv[1:] == ["--ours"]:
            versions, _ours, docker = load()
        else:
            versions, docker = inspect_docker(archive)
        ours = inspect_ours(folder, archive)
    parts = {"versions": versions, "pycompose": ours, "docker": docker}
    lines = [
        f' "{part}": {{\n'
        + ",\n".join(f"  {json.dumps(row)}: {json.dumps(rows[row])}" for row in rows)
        + "\n }"
        for part, rows in parts.items()
    ]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(*(f"looser: {line}" for line in looser(ours, docker)), sep="\n")
    print(*(f"stricter: {row}: {text}" for row, text in stricter(ours, docker)), sep="\n")
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(versions, ours, docker), encoding="utf-8")


if __name__ == "__main__":
    main()
