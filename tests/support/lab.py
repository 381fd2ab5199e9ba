"""Containers for tests of the engine: configurations, a keeper, its events, and the log as text."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pycompose.engine.api import ContainerExited, EngineEvent, ExecExited, StartedExec
from pycompose.engine.cgroups.base import Cgroup
from pycompose.engine.client import KeeperClient
from pycompose.engine.config import ContainerConfig, Namespaces, Process, RootfsTree
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import ContainerState, read_state
from pycompose.engine.statefiles import write_json

from tests.support.leftovers import PATIENCE
from tests.support.namespaces import CLONE_NEWNET, mount, umount, unshare

WAIT_S = 20.0 * PATIENCE
PROJECT = "lab"
E = TypeVar("E", bound=EngineEvent)


@dataclass
class Lab:
    """One keeper and its containers, each `sh -c SCRIPT` on busybox unless told otherwise."""

    paths: StatePaths
    rootfs: Path
    events: list[EngineEvent] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    pinned: list[Path] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    keeper: KeeperClient = field(init=False)

    def start(self) -> KeeperClient:
        """Start the keeper."""
        self.keeper = KeeperClient.start(self.paths, PROJECT, on_event=self.on_event, log=self.log_of_keeper)
        return self.keeper

    @property
    def log_of_keeper(self) -> Path:
        """What the keeper says on its error output."""
        return self.paths.project(PROJECT) / "keeper.log"

    def on_event(self, event: EngineEvent) -> None:
        """Take an event from the reader thread."""
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True) -> E:
        """Return the first event of a kind that `wanted` accepts, when it comes."""

        def found() -> E | None:
            return next((e for e in self.events if isinstance(e, kind) and wanted(e)), None)

        with self.changed:
            event = self.changed.wait_for(found, WAIT_S)
            assert event, f"no such event in {self.events}"
            return event

    def make(
        self, script: str | Sequence[str], *, process: dict[str, Any] | None = None, **fields: Any
    ) -> str:
        """Write the configuration of a container, with the machine's network unless told; return its id."""
        number = next(self.numbers)
        container_id = f"{number:064x}"
        args = ("sh", "-c", script) if isinstance(script, str) else tuple(script)
        fields.setdefault("namespaces", Namespaces(network="host"))
        fields.setdefault("rootfs", (RootfsTree(lowers=(str(self.rootfs),)),))
        config = ContainerConfig(
            id=container_id,
            name=f"lab-{number}",
            project=PROJECT,
            process=Process(args=args, **(process or {})),
            **fields,
        )
        claims = self.paths.project_claims(PROJECT)
        claims.mkdir(parents=True, exist_ok=True)
        (claims / container_id).touch()
        directory = self.paths.container(container_id)
        directory.mkdir(parents=True)
        write_json(directory / "config.json", config.to_json(), durable=False)
        if config.namespaces.network == "private":
            self.pin(container_id)
        self.made.append(container_id)
        return container_id

    def generate(self, container_id: str, name: str, text: str) -> Path:
        """Write one of a container's `files` before its start; return where it is."""
        path = self.paths.etc(container_id) / name
        path.write_text(text, encoding="utf-8")
        return path

    def remove(self, tree: Path) -> None:
        """Remove a tree that a test has made below the state directory."""
        assert tree.is_relative_to(self.paths.root)
        shutil.rmtree(tree)

    def run(self, script: str | Sequence[str], **fields: Any) -> tuple[int, str]:
        """Run a container to its end; return its exit code and what it printed."""
        container_id = self.make(script, **fields)
        self.keeper.start_container(container_id)
        return self.exit_code(container_id), self.output(container_id)

    def exit_code(self, container_id: str) -> int:
        """Wait for the end of a container."""
        return self.wait(ContainerExited, lambda event: event.container == container_id).exit_code

    def state(self, container_id: str) -> ContainerState:
        """Return the proven state."""
        return read_state(self.paths, container_id)

    def output(self, container_id: str, stream: str | None = None) -> str:
        """Return what is in the log, of one stream or both."""
        text = ""
        path = self.paths.container(container_id) / "log/container.log"
        for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True):
            _stamp, name, mark, rest = line.split(" ", 3)
            if stream in (None, name):
                text += rest if mark == "F" else rest.removesuffix("\n")
        return text

    def exec(self, container_id: str, script: str | Sequence[str], **process: Any) -> tuple[int, str]:
        """Execute in a container; return the exit code and what it printed."""
        args = ("sh", "-c", script) if isinstance(script, str) else tuple(script)
        reader, writer = os.pipe()
        try:
            done = self.keeper.exec(
                container_id, Process(args=args, **process), stdin=None, stdout=writer, stderr=writer
            )
        finally:
            os.close(writer)
        with os.fdopen(reader, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
        return self.exec_code(done), text

    def exec_code(self, done: StartedExec) -> int:
        """Wait for the end of an executed process."""
        return self.wait(ExecExited, lambda event: event.exec == done.id).exit_code

    def wait_for_output(self, container_id: str, text: str) -> None:
        """Wait until the container has printed `text`."""
        poll = threading.Event()
        for _ in range(int(WAIT_S / 0.01)):
            if text in self.output(container_id):
                return
            poll.wait(0.01)
        raise AssertionError(f"{text!r} not in {self.output(container_id)!r}")

    def pin(self, container_id: str) -> None:
        """Pin a new network namespace, with nothing but a loopback device, where networking would."""
        path = self.paths.netns(container_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

        def body() -> None:
            unshare(CLONE_NEWNET)
            mount("/proc/thread-self/ns/net", path, flags=0x1000)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        self.pinned.append(path)

    def close(self) -> None:
        """End everything; what the keeper said is part of the test's output."""
        for container_id in self.made:
            self.keeper.discard(container_id)
        self.keeper.shutdown(force=True)
        self.keeper.close()
        for path in self.pinned:
            umount(path)
            path.unlink()
        for directory in (
            self.paths.projects_run / PROJECT,
            self.paths.projects_run,
            self.paths.run / "netns",
        ):
            if directory.exists():
                directory.rmdir()
        said = self.log_of_keeper.read_text(encoding="utf-8")
        for tree in (self.paths.project(PROJECT), *map(self.paths.container, self.made)):
            shutil.rmtree(tree)
        assert not said, said


def runs(pid: int) -> bool:
    """Tell whether there is such a process and it isn't a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def status_field(text: str, name: str) -> str:
    """Return a field of /proc/PID/status."""
    (line,) = [line for line in text.splitlines() if line.startswith(name + ":")]
    return line.partition(":")[2].strip()


def read_json_file(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def put_into(group: Cgroup, pid: int) -> None:
    """Put a process into all directories of a control group."""
    for directory in {*group.leaves.values(), *([group.inside] if group.inside else [])}:
        (directory / "cgroup.procs").write_text(str(pid), encoding="ascii")
