"""State as it lies on the disk of a machine, for tests of what reads it: no root, no process, no supervisor."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from pycompose.client.context import Context
from pycompose.engine.config import ContainerConfig, Mount, MountKind, Process, plain
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import ContainerState, Status, boot_id, start_ticks
from pycompose.engine.statefiles import write_json
from pycompose.labels import NUMBER, ONEOFF, PROJECT, SERVICE
from pycompose.model import Restart, Service
from pycompose.state.records import ServiceRecord, write_service
from pycompose.volumes.store import VolumeSpec, VolumeStore

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.events import Event


class StateFiles:
    """A machine's state below a directory; what is told of it is in `events`."""

    def __init__(self, folder: Path) -> None:
        """Nothing is there yet."""
        self.paths = StatePaths(root=folder / "root", run=folder / "run")
        self.events: list[Event] = []
        self.context = Context(paths=self.paths, sink=self.events.append)
        self._made = 0

    def container(
        self,
        service: str = "web",
        *,
        project: str = "demo",
        number: int = 1,
        status: Status = Status.RUNNING,
        exit_code: int = 0,
        oneoff: bool = False,
        volumes: tuple[str, ...] = (),
        labels: dict[str, str] | None = None,
        runtime: dict[str, Any] | None = None,
        **config: Any,
    ) -> str:
        """Write a container and return its id; one that runs has this process as its first one."""
        self._made += 1
        made = ContainerConfig(
            **{
                "id": f"{self._made:02x}" * 32,
                "name": f"{project}-{service}-{number}",
                "project": project,
                "rootfs": (),
                "process": Process(args=("sleep", "1")),
                "created_ns": self._made * 10**9,
                "labels": {
                    PROJECT: project, SERVICE: service, NUMBER: str(number), ONEOFF: str(oneoff), **(labels or {})
                },
                "mounts": tuple(
                    Mount(kind=MountKind.BIND, source=str(self.paths.volume(name) / "_data"), target=f"/{name}")
                    for name in volumes
                ),
                **config,
            }
        )  # fmt: skip
        for directory in (
            self.paths.container(made.id),
            self.paths.container_run(made.id),
            self.paths.project_claims(project),
            self.paths.names,
        ):
            directory.mkdir(parents=True, exist_ok=True)
        write_json(self.paths.container(made.id) / "config.json", plain(made))
        (self.paths.project_claims(project) / made.id).touch()
        (self.paths.names / made.name).write_text(f"{made.id} {project}\n", encoding="utf-8")
        self._write_state(made.id, status, exit_code)
        if runtime is not None:
            write_json(self.paths.container_run(made.id) / "runtime.json", runtime)
        return made.id

    def _write_state(self, container_id: str, status: Status, exit_code: int) -> None:
        if status is Status.CREATED:
            return
        lives = status in (Status.RUNNING, Status.PAUSED)
        state = ContainerState(
            id=container_id,
            status=status,
            pid=os.getpid() if lives else 0,
            start_ticks=start_ticks(os.getpid()) if lives else 0,
            boot_id=boot_id(),
            exit_code=exit_code,
        )
        write_json(self.paths.container_run(container_id) / "state.json", plain(state))

    def ended(self, container_id: str, exit_code: int) -> None:
        """Write that a container that has run for a second ends now."""
        now_ns = time.time_ns()
        state = ContainerState(
            id=container_id,
            status=Status.EXITED,
            started_ns=now_ns - 10**9,
            finished_ns=now_ns,
            exit_code=exit_code,
        )
        write_json(self.paths.container_run(container_id) / "state.json", plain(state))

    def service_record(self, container_id: str, *, restart: str = "no", auto_remove: bool = False) -> None:
        """Write what a container was made from."""
        service = Service(name="web", restart=Restart(kind=restart))
        write_service(self.paths, container_id, ServiceRecord(service=service, auto_remove=auto_remove))

    def volume(self, name: str, **labels: str) -> str:
        """Make a volume and return its name."""
        return VolumeStore(self.paths).ensure(VolumeSpec(name=name, labels=labels)).name
