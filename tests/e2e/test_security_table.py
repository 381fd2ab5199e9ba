"""What a container of ours is and may, seen from inside, against the record of Docker's (docs/security.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.container.rootfs import READ_ONLY

from tests.support import engines
from tests.support.requires import requires
from tests.support.security_rows import INHERITED, load, looser
from tests.support.security_table import IMAGE, image, inspect, inspect_docker

pytestmark = requires("host-python", "x86_64")

# Whether there are such files is the machine's business.
HARDWARE = ("telling files that are readable", "writable below /proc and /sys")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the image of the script."""
    return image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def engine(tmp_path: Path, archive: Path) -> Iterator[engines.Pycompose]:
    """Return an engine that has the image."""
    engine = engines.Pycompose(tmp_path, {IMAGE: archive})
    yield engine
    engine.close()


def test_no_row_is_looser_than_dockers(engine: engines.Pycompose) -> None:
    """Else something has been opened; the rows are as the document shows them, too."""
    _versions, recorded, docker = load()

    ours = inspect(engine, engine.host.watch.pid)

    drop_covers(ours, recorded)
    assert looser(ours, docker) == []
    for rows in (ours, recorded):  # what the processor is vulnerable to is the machine's business as well
        rows["process"] = [text for text in rows["process"] if not text.startswith("Speculation")]
    changed = {
        row: (texts, recorded[row])
        for row, texts in ours.items()
        if texts != recorded[row] and row not in (*INHERITED, *HARDWARE)
    }
    assert changed == {}, "python -m tests.support.security_table"


def test_an_exec_has_no_more(engine: engines.Pycompose) -> None:
    """What is executed in a container is as tight as its command."""
    _versions, recorded, _docker = load()

    ours = inspect(engine, engine.host.watch.pid, by_exec=True)

    drop_covers(ours, recorded)
    assert looser(ours, recorded) == []


def drop_covers(ours: dict[str, list[str]], recorded: dict[str, list[str]]) -> None:
    """Leave out what this kernel has and the record's lacks, where it is read-only: else it would have a text more."""
    covers = {f"{path} proc" for path in READ_ONLY} - set(recorded["mounts"])
    ours["mounts"] = [text for text in ours["mounts"] if text not in covers]


def test_open_doors_are_seen(engine: engines.Pycompose) -> None:
    """The comparison can fail: rows of every kind are looser for a service that asks for it."""
    _versions, _recorded, docker = load()
    opened = {
        "cap_add": ["SYS_ADMIN", "NET_ADMIN"],
        "security_opt": ["seccomp=unconfined", "systempaths=unconfined"],
        "pid": "host",
        "uts": "host",
        "device_cgroup_rules": ["c 10:229 m"],
        "tmpfs": ["/mnt:exec"],
        "environment": ["LEAKED=1"],
    }

    found = {line.split(": ")[0] for line in looser(inspect(engine, engine.host.watch.pid, **opened), docker)}

    assert found == {
        "capabilities, permitted",
        "capabilities, effective",
        "capabilities, bounding",
        "process",
        "environment",
        "namespaces of the machine",
        "processes of others",
        "mounts",
        "telling files that are readable",
        "writable below /proc and /sys",
        "attempts by root",
        "attempts by an ordinary user",
    }


def test_docker_is_as_recorded(archive: Path) -> None:
    """Where there is one of the recorded version."""
    if reason := engines.lack("docker"):
        pytest.skip(reason)
    versions, _ours, docker = load()

    found, rows = inspect_docker(archive)

    if found != versions:
        pytest.skip(f"recorded of {versions}, this is {found}")
    assert {row: texts for row, texts in rows.items() if texts != docker[row]} == {}
