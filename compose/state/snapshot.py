"""What there is: one read-only snapshot of a project from its state files, proven by /proc."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import ContainerConfig, from_json
from pycompose.engine.errors import StateError
from pycompose.engine.paths import BUILDS
from pycompose.engine.state import ContainerState, Status, alive, read_state
from pycompose.engine.statefiles import read_json
from pycompose.labels import GIVEN, PREFIX
from pycompose.policy.observed import ObservedContainer, RuntimeRecord
from pycompose.state.memory import FolderMemory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

# The project of the containers outside any compose file (machine/run_project.py). No other one begins with "_"
# (compose-spec, "Name").
STANDALONE = "_containers"


def shown_labels(config: ContainerConfig) -> dict[str, str]:
    """Return a container's labels for people: one outside any compose file has those of Compose that it was given."""
    if config.project != STANDALONE:
        return config.labels
    labels = {key: value for key, value in config.labels.items() if not key.startswith((PREFIX, GIVEN))}
    return labels | {
        key.removeprefix(GIVEN): value for key, value in config.labels.items() if key.startswith(GIVEN)
    }


def read_container(paths: StatePaths, container_id: str, *, states: bool = True) -> ObservedContainer | None:
    """Return one container, or None when there is no readable configuration of it.

    Without `states` nothing else is read, and it looks like one that has never run.
    """
    if not states:
        return _read(paths, container_id, states=False)
    lasting, running = _folders(paths)
    folders = lasting + container_id, running + container_id
    return _known.value(container_id, folders, lambda: _read(paths, container_id))


def _holds(container: ObservedContainer | None) -> bool:
    """Tell whether what files say of a container is still proven: nobody may be left to write down its end."""
    if container is None or container.state.status not in (Status.RUNNING, Status.PAUSED):
        return True
    return alive(container.state)


_known: FolderMemory[ObservedContainer | None] = FolderMemory(_holds)


@cache
def _folders(paths: StatePaths) -> tuple[str, str]:
    """Return what comes before a container's id: where it lies, and where its run-time state does."""
    return f"{paths.container('')}/", f"{paths.container_run('')}/"


def _read(paths: StatePaths, container_id: str, *, states: bool = True) -> ObservedContainer | None:
    lasting, running = _folders(paths)
    try:
        config = from_json(ContainerConfig, read_json(f"{lasting}{container_id}/config.json"))
    except FileNotFoundError:
        return None
    if not states:
        return ObservedContainer(config=config, state=ContainerState(id=container_id, status=Status.CREATED))
    run = running + container_id
    # First: it is emptied after the end of a process, so that who is seen to run has what belongs to that.
    runtime = _runtime(f"{run}/runtime.json")
    return ObservedContainer(
        config=config,
        state=read_state(paths, container_id),
        health=_optional(f"{run}/health.json"),
        runtime=runtime,
    )


def observe_containers(
    paths: StatePaths, project: str, *, states: bool = True
) -> tuple[list[ObservedContainer], list[str]]:
    """Return the project's containers by name, and the ids of claims without a container (see `read_container`)."""
    found, broken = [], []
    for container_id in claims(paths, project):
        container = read_container(paths, container_id, states=states)
        if container is None:
            broken.append(container_id)
        else:
            found.append(container)
    return sorted(found, key=lambda item: item.name), broken


def owner_of(paths: StatePaths, name: str) -> str:
    """Return the id of the container that has a name; raises OSError."""
    return (paths.names / name).read_text(encoding="utf-8").partition(" ")[0]


def claims(paths: StatePaths, project: str) -> list[str]:
    """Return the ids of all containers that the project has claimed."""
    try:
        return sorted(entry.name for entry in paths.project_claims(project).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def projects(paths: StatePaths) -> Iterator[str]:
    """Yield the names of all projects that have left something; builds are none."""
    with contextlib.suppress(FileNotFoundError):
        found = sorted(entry.name for entry in paths.projects.iterdir() if entry.is_dir())
        yield from (name for name in found if not name.startswith(BUILDS))


def applied(paths: StatePaths, project: str) -> dict[str, Any]:
    """Return what the last `up` noted of the project (directory, files), {} when there is nothing."""
    return _optional(paths.project(project) / "project.json")


def _runtime(path: str) -> RuntimeRecord:
    try:
        return from_json(RuntimeRecord, read_json(path))
    except (FileNotFoundError, StateError):
        return RuntimeRecord()


def _optional(path: Path | str) -> dict[str, Any]:
    try:
        return read_json(path)
    except (FileNotFoundError, StateError):
        return {}
