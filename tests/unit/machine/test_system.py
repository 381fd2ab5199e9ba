"""The machine as a whole: sums, and events by filter."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from pycompose.client.query_options import EventsOptions
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.events import ContainerEvent
from pycompose.machine import system
from pycompose.version import ENGINE_VERSION

from tests.support.statefiles import StateFiles


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return a machine with two projects that have a history."""
    state = StateFiles(tmp_path)
    for project, number, action in (("demo", 1, "start"), ("other", 2, "health_status: healthy")):
        directory = state.paths.project(project)
        directory.mkdir(parents=True)
        event = ContainerEvent(
            time_ns=number, action=action, id=f"{number}a", name=f"{project}-web-1", service="web", number=1,
            oneoff=False, image=f"image{number}", active=True, attributes={},
        )  # fmt: skip
        (directory / "events.jsonl").write_text(json.dumps(event.to_json()) + "\n", encoding="utf-8")
    return state


@pytest.mark.parametrize(
    ("filters", "times"),
    (
        ((), {1, 2}),
        (("container=demo-web-1",), {1}),
        (("container=2",), {2}),
        (("container=",), set()),
        (("event=start", "event=stop"), {1}),
        (("event=health_status",), {2}),
        (("event=health_status: healthy",), {2}),
        (("image=image1", "event=start"), {1}),
        (("image=image1", "event=stop"), set()),
        (("type=network",), set()),
        (("service=web",), {1, 2}),
    ),
    ids=str,
)
def test_events_by_filter(state: StateFiles, filters: tuple[str, ...], times: set[int]) -> None:
    """Several of one key are alternatives, several keys have to fit."""
    found = system.events(state.context, EventsOptions(since_ns=1, until_ns=10), filters)

    assert {view.time_ns for view in found} == times


def test_a_filter_that_nobody_knows(state: StateFiles) -> None:
    with pytest.raises(PycomposeError, match="--filter colour=red: cannot be used"):
        list(system.events(state.context, EventsOptions(until_ns=1), ["colour=red"]))


def test_information_has_dockers_names(state: StateFiles) -> None:
    """What programs ask `docker info` for by a template; the machine's own id isn't given away."""
    facts = system.information(state.context)
    assert (facts["DockerRootDir"], facts["ServerVersion"]) == (str(state.paths.root), ENGINE_VERSION)
    assert facts["Swarm"]["LocalNodeState"] == "inactive"
    assert facts["SecurityOptions"][-1] == "name=seccomp,profile=builtin"
    assert facts["MemoryLimit"] is True
    assert facts["DefaultRuntime"] in facts["Runtimes"]
    with contextlib.suppress(FileNotFoundError):
        assert facts["ID"].replace("-", "") != Path("/etc/machine-id").read_text().strip()
    assert facts["ID"] == system.information(state.context)["ID"]


def test_what_could_be_freed_is_what_nobody_uses(state: StateFiles) -> None:
    """The sizes are of what containers have written, and of what lies in volumes."""
    block = b"x" * 4096
    for service, status in (("web", Status.RUNNING), ("job", Status.EXITED)):
        container = state.container(service, status=status, volumes=("used",) if service == "web" else ())
        (state.paths.container(container) / "rw").mkdir()
        (state.paths.container(container) / "rw/file").write_bytes(block)
    for name in ("used", "idle"):
        (state.paths.volume(state.volume(name)) / "_data/file").write_bytes(block)

    images, containers, volumes, _cache = system.usage(state.context)

    assert (images.total, images.size_bytes) == (0, 0)
    assert (containers.total, containers.active) == (2, 1)
    assert containers.size_bytes > containers.reclaimable_bytes >= len(block)
    assert (volumes.total, volumes.active) == (2, 1)
    assert volumes.size_bytes == 2 * volumes.reclaimable_bytes == 2 * len(block)
