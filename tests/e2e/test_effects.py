"""What the table of effects says is refused or warned about: tried with the installed command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.effects.table import Row, rows

if TYPE_CHECKING:
    from tests.support.scenario import Host

KEYS = rows("attributes.toml").values()
FLAGS = rows("flags.toml").values()


def tried(host: Host, row: Row, *words: str) -> tuple[int, str]:
    """Write the row's compose file, run a command, and return its exit code and what it says."""
    folder = host.folder / "demo"
    folder.mkdir(exist_ok=True)
    (folder / "compose.yaml").write_text(row.compose_file(), encoding="utf-8")
    (folder / "Dockerfile").write_text("FROM busybox\n", encoding="ascii")
    done = host.run(*words, cwd=folder)
    return done.code, done.stderr


@pytest.mark.timeout(240)
def test_what_is_refused(busy: Host) -> None:
    """`up` fails with the words of the row, and nothing runs."""
    wrong = []
    for row in KEYS:
        if row.refused:
            code, said = tried(busy, row, *(row.run or "up -d").split())
            if code != 1 or row.refused not in said:
                wrong.append(f"{row.place}.{row.key}: code {code}: {said}")
            busy.run("down", "-v", "-t", "0", "--remove-orphans", cwd=busy.folder / "demo")
    assert not wrong, "\n".join(wrong)
    assert busy.run("container", "ls", "-aq").ok().stdout == ""


def test_what_is_warned_about(busy: Host) -> None:
    """`create` would say it; `config` reads as much of the file, and is faster."""
    wrong = []
    for row in KEYS:
        if row.warned:
            code, said = tried(busy, row, "config", "-q")
            if code != 0 or row.warned not in said:
                wrong.append(f"{row.place}.{row.key}: code {code}: {said}")
    assert not wrong, "\n".join(wrong)


def test_flags_without_effect(busy: Host) -> None:
    """They are refused, or accepted with a line that says why they do nothing."""
    folder = busy.project(
        {"Dockerfile": "FROM busybox\n", "compose.yaml": "services: {a: {build: ., image: it}}"}
    )
    busy.run("container", "create", "--name", "it", "busybox", "true").ok()
    busy.run("image", "tag", "busybox", "other").ok()
    wrong = []
    for row in FLAGS:
        if row.run:
            done = busy.run(*row.run.split(), cwd=folder)
            if (row.refused and done.code != 1) or (row.refused or row.warned) not in done.stderr:
                wrong.append(f"{row.run}: code {done.code}: {done.stderr}")
    busy.run("container", "rm", "-f", "it").ok()
    busy.run("network", "rm", "net").ok()
    assert not wrong, "\n".join(wrong)
