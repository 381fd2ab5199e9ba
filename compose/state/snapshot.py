"""What there is: one read-only snapshot of a project from its state files, proven by /proc."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import ContainerConfig, from_json
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import StateError
from pycompose.engine.state import ContainerState, Status, read_state
from pycompose.engine.statefiles import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
CONFIG_HASH = "com.docker.compose.config-hash"
ONEOFF = "com.docker.compose.oneoff"
DEPENDS_ON = "com.docker.compose.depends_on"
IMAGE = "com.docker.compose.image"
REPLACE = "com.docker.compose.replace"
WORKING_DIR = "com.docker.compose.project.working_dir"
CONFIG_FILES = "com.docker.compose.project.config_files"
ENVIRONMENT_FILE = "com.docker.compose.project.environment_file"
VERSION = "com.docker.compose.version"

# The project of the containers outside any compose file (alone.py). No other one begins with "_"
# (compose-spec, "Name").
ALONE = "_containers"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """One container as its files and /proc show it. `runtime` is what the supervisor noted (ports, endpoints).

    `active` is the supervisor's own word that it runs or will: while it starts again the files say neither.
    """

    config: ContainerConfig
    state: ContainerState
    active: bool = False
    health: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """64 hex digits."""
        return self.config.id

    @property
    def name(self) -> str:
        """The container's name."""
        return self.config.name

    @property
    def service(self) -> str:
        """Key of the service it belongs to."""
        return self.config.labels.get(SERVICE, "")

    @property
    def number(self) -> int:
        """Replica number, from 1."""
        return int(self.config.labels.get(NUMBER, "1"))

    @property
    def oneoff(self) -> bool:
        """Whether `run` made it."""
        return self.config.labels.get(ONEOFF, "False") == "True"

    @property
    def replaces(self) -> str:
        """Id of the container it was made to replace, "" for one that was not."""
        return self.config.labels.get(REPLACE, "")

    @property
    def half_way(self) -> bool:
        """Whether it was started beside the one it replaces and has not got its own name yet."""
        return bool(self.replaces) and self.name.startswith(f"{self.replaces[:12]}_")

    @property
    def config_hash(self) -> str:
        """Hash of the service it was made from."""
        return self.config.labels.get(CONFIG_HASH, "")

    @property
    def running(self) -> bool:
        """Whether its process exists (running, paused) or is about to again (restarting)."""
        runs = self.state.status in (Status.RUNNING, Status.PAUSED)
        return runs or self.active or bool(self.runtime.get("restarting"))

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Services it depends on, from its label `db:service_healthy:false,…`."""
        return tuple(
            item.split(":", 1)[0] for item in self.config.labels.get(DEPENDS_ON, "").split(",") if item
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A project as it is.

    `networks` maps names → the hash that each was made from, "" when nobody knows. `broken` are ids that were
    claimed but never got a configuration (a killed `up`).
    """

    project: str
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    broken: tuple[str, ...] = ()

    def of_service(self, service: str) -> list[ObservedContainer]:
        """Return the service's containers (no one-offs) by number."""
        found = [item for item in self.containers if item.service == service and not item.oneoff]
        return sorted(found, key=lambda item: (item.number, item.config.created_ns))


def shown_labels(config: ContainerConfig) -> dict[str, str]:
    """Return a container's labels for people: one outside any compose file has none of Compose's."""
    if config.project != ALONE:
        return config.labels
    return {key: value for key, value in config.labels.items() if not key.startswith("com.docker.compose.")}


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
        runtime=_optional(f"{run}/runtime.json"),
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


def _optional(path: Path | str) -> dict[str, Any]:
    try:
        return read_json(path)
    except (FileNotFoundError, StateError):
        return {}
