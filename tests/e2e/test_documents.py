"""What documents show is so: each section's file and session are tried on a machine of their own."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import PYCOMPOSE
from tests.support.sources import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Hosts

DOCUMENTS = ("extensions.md", "volumes.md", "addresses.md")
PATIENCE_S = 30.0
# A command waits for what it shows, as a reader would look once more; these change something, and are run once.
ONCE = re.compile(
    r"echo|mkdir|began=|"
    r"pycompose (up|stop|down|watch|test|exec \S+ (touch|sh)|container run|volume (snapshot |restore|clone|rm))"
)


def sections() -> list[tuple[str, str, str]]:
    """Return name, compose file and session of each section that has both."""
    found = []
    for name in DOCUMENTS:
        text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            blocks = dict(re.findall(r"^```(yaml|console)\n(.*?)^```", part, re.MULTILINE | re.DOTALL))
            if len(blocks) == 2:
                found.append((f"{name}: {part.splitlines()[0]}", blocks["yaml"], blocks["console"]))
    return found


def steps(session: str) -> list[tuple[str, list[str]]]:
    """Return the commands, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def is_shown(printed: str, lines: list[str]) -> bool:
    """Tell whether the output is what the document shows; `…` is anything, a line of it any lines."""
    pattern = "".join(
        ".*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n" for line in lines
    )
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.mark.parametrize(("_name", "file", "session"), sections(), ids=[name for name, *_ in sections()])
def test_what_a_document_shows(hosts: Hosts, busybox_tar: Path, _name: str, file: str, session: str) -> None:
    """On standard output; progress is on standard error."""
    host = hosts()
    host.run("image", "import", busybox_tar, "busybox").ok()
    folder = host.project({"compose.yaml": file})
    path = f"{PYCOMPOSE.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    for command, lines in steps(session):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            done = host.command(["bash", "-c", command], cwd=folder, env={"PATH": path}, timeout_s=90)
            if is_shown(done.stdout, lines):
                break
            assert not ONCE.match(command), done
            assert time.monotonic() < deadline, done
            time.sleep(0.05)
        done.ok()
    host.run("down", "-v", "-t", "0", cwd=folder).ok()
