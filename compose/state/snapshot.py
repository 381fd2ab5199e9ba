"""What there is: one read-only snapshot of a project from its state files, proven by /proc."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import ContainerConfig, from_json
from pycompose.engine.errors import StateError
from pycompose.engine.state import ContainerState, Status, read_state
from pycompose.engine.statefiles import read_json
from pycompose.labels import PREFIX
from pycompose.policy.observed import ObservedContainer, RuntimeRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

# The project of the containers outside any compose file (machine/run_project.py). No other one begins with "_"
# (compose-spec, "Name").
STANDALONE = "_containers"


def shown_labels(config: ContainerConfig) -> dict[str, str]:
    """Return a container's labels for people: one outside any compose file has none of Compose's."""
    if config.project != STANDALONE:
        return config.labels
    return {key: value for key, value in config.labels.items() if not key.startswith(PREFIX)}


def read_container(paths: StatePaths, container_id: str, *, states: bool = True) -> ObservedContainer | None:
    """Return one container, or None when there is no readable configuration of it.

    Without `states` nothing else is read, and it looks like one that has never run.
    """
    try:
        config = from_json(ContainerConfig, read_json(f"{paths.container(container_id)}/config.json"))
    except FileNotFoundError:
        return None
    if not states:
        return ObservedContainer(config=config, state=ContainerState(id=container_id, status=Status.CREATED))
    run = paths.container_run(container_id)
    return ObservedContainer(
        config=config,
        state=read_state(paths, container_id),
        health=_optional(f"{run}/health.json"),
        runtime=_runtime(f"{run}/runtime.json"),
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
    """Yield the names of all projects that have left something."""
    with contextlib.suppress(FileNotFoundError):
        yield from sorted(entry.name for entry in paths.projects.iterdir() if entry.is_dir())


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
