"""What a stack's containers and volumes hold, remembered and put back: `stack.snapshot()`, `stack.restore()`.

Both work on containers that don't run: remembered after a gentle stop, so that a database starts from a clean state
each time; put back after a kill, as whatever happened since is forgotten anyway. Processes start anew on what was put
back: memory isn't remembered, nor is what lies outside (`bind` mounts, `external:` services).

Whoever is killed meanwhile leaves the last whole snapshot. One that was being put back is noted in `.restoring`: the
next stack on the same containers goes on with it before it starts anything (`finish`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pycompose.client import changes as use_cases
from pycompose.client import options as opt
from pycompose.engine.errors import PycomposeError, StateError
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.state import Status
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json
from pycompose.ipc.client import connect_or_start
from pycompose.ipc.requests import StartRequest
from pycompose.ipc.retry import persistently
from pycompose.model import Condition
from pycompose.policy.graph import select as with_dependencies
from pycompose.state.snapshot import observe_containers
from pycompose.state.users import volume_of
from pycompose.volumes import snapshots as trees
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.policy.observed import ObservedContainer
    from pycompose.testing.protocols import StackAccess

_VOLUME = "volume-"
_RESTORING = ".restoring"


def take(stack: StackAccess, tag: str) -> list[str]:
    """Stop the containers, remember them under `tag`, start again those that ran; return their services.

    Raises PycomposeError.
    """
    kept = place(stack, tag)
    with locked(kept.parent):
        running = _running(stack)
        use_cases.stop(stack.context, stack.name, None, opt.StopOptions())
        making = kept.with_name(f".{tag}.new")
        try:
            remove_tree(making)  # of somebody who was killed
            make_directory(making)
            for name, tree in _trees(stack):
                trees.take(tree, making / name)
            state = {"running": [c.name for c in running], "containers": _ids(stack)}
            write_json(making / "running.json", state, durable=False)
            trees.replace(making, kept)
        except OSError as exc:
            raise StateError(f"stack {stack.name}: cannot keep snapshot {tag!r}: {exc.strerror}") from exc
        finally:
            with contextlib.suppress(OSError):
                remove_tree(making)
            started = _start(stack, running)
        return started


def restore(stack: StackAccess, tag: str) -> list[str]:
    """Kill the containers, put back what `tag` remembers, start those that ran then; return their services.

    Raises PycomposeError.
    """
    kept = place(stack, tag)
    if not kept.is_dir():
        raise PycomposeError(f"stack {stack.name}: no snapshot {tag!r}", hint="make one with snapshot()")
    with locked(kept.parent):
        _put_back(stack, kept)
        ran = set(read_json(kept / "running.json")["running"])
        found, _ = observe_containers(stack.context.paths, stack.name)
        return _start(stack, [container for container in found if container.name in ran])


def finish(stack: StackAccess) -> None:
    """Put back the rest of what somebody was putting back who was killed. Raises PycomposeError."""
    snapshots = stack.context.paths.project(stack.name) / "snapshots"
    noted = snapshots / _RESTORING
    if not noted.exists():
        return
    with locked(snapshots):
        if noted.exists():  # he isn't at it any more
            kept = place(stack, read_json(noted)["tag"])
            if kept.is_dir():
                _put_back(stack, kept)


def _put_back(stack: StackAccess, kept: Path) -> None:
    use_cases.stop(stack.context, stack.name, None, opt.StopOptions(timeout_s=0))
    noted = kept.with_name(_RESTORING)
    write_json(noted, {"tag": kept.name}, durable=False)
    for name, tree in _trees(stack):
        if (kept / name).is_dir():
            trees.put_back(tree, kept / name)
        elif name.startswith(_VOLUME) and stack.isolated:  # it wasn't there: a test has made it
            VolumeStore(stack.context.paths).remove(name.removeprefix(_VOLUME))
    noted.unlink()


def place(stack: StackAccess, tag: str) -> Path:
    """Return where a snapshot lies: with the project, which takes it along when it goes."""
    if not tag or "/" in tag or tag.startswith("."):
        raise PycomposeError(f"snapshot {tag!r}: not a name", hint="no slash, no dot in front")
    return make_directory(stack.context.paths.project(stack.name) / "snapshots") / tag


def matches(stack: StackAccess, tag: str) -> bool:
    """Tell whether `tag` remembers the very containers that there are: none has been made or replaced since."""
    kept = place(stack, tag)
    return kept.is_dir() and read_json(kept / "running.json").get("containers") == _ids(stack)


def _ids(stack: StackAccess) -> list[str]:
    return sorted(c.id for c in observe_containers(stack.context.paths, stack.name)[0] if not c.oneoff)


def _running(stack: StackAccess) -> list[ObservedContainer]:
    found, _ = observe_containers(stack.context.paths, stack.name)
    active = (Status.RUNNING, Status.PAUSED)
    return [c for c in found if c.state.status in active and not c.oneoff]


def _trees(stack: StackAccess) -> Iterator[tuple[str, Path]]:
    """Yield the directories that belong to the stack's containers, with a name for each: uppers and volumes."""
    paths = stack.context.paths
    store = VolumeStore(paths)
    volumes = {volume.name: None for volume in store.of_project(stack.name)}
    for container in observe_containers(paths, stack.name)[0]:
        if container.oneoff:
            continue
        with contextlib.suppress(FileNotFoundError):
            for number in sorted(os.listdir(paths.container(container.id) / "rw")):
                upper = paths.container(container.id) / "rw" / number / "upper"
                if upper.is_dir():
                    yield f"rootfs-{container.name}-{number}", upper
        for mount in container.config.mounts:
            if name := volume_of(paths, mount):
                volumes[name] = None
    for name in volumes:
        state = store.get(name)
        if state is not None and not state.options and store.data(name).is_dir():
            yield f"{_VOLUME}{name}", store.data(name)


def _start(stack: StackAccess, containers: list[ObservedContainer]) -> list[str]:
    """Start containers, those behind `service_healthy` when what they wait for is; return their services in order."""
    services = {container.service for container in containers}
    known = {**stack.loaded.project.services, **stack.loaded.project.disabled_services}
    pending = [name for name in with_dependencies(known, sorted(services)) if name in services]
    order = list(pending)
    while pending:
        left = set(pending)
        batch = [name for name in pending if not left & {item.service for item in known[name].depends_on}]
        ids = tuple(container.id for container in containers if container.service in batch)
        request = StartRequest(ids=ids)

        def work(request: StartRequest = request) -> None:
            with connect_or_start(stack.context.paths, stack.name) as connection:
                connection.call(request, stack.context.sink)

        persistently(request, work, stack.context.sink)
        pending = [name for name in pending if name not in batch]
        for name in batch:
            if any(
                item.service == name and item.condition is Condition.HEALTHY
                for other in pending
                for item in known[other].depends_on
            ):
                stack.await_service(name)
    return order
