"""What `volume snapshot`, `restore` and `clone` do: a volume's data remembered under a tag, put back, copied.

A snapshot lies in ROOT/snapshots/VOLUME/TAG, apart from the volume, which may go meanwhile: its data and what it was
made with. The containers that use a volume are frozen while it is copied, as one moment's data is what a database can
recover from; their supervisors let them go on as soon as we are gone, however that comes.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import AlreadyExists, VolumeError, VolumeInUse
from pycompose.engine.state import Status
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json
from pycompose.ipc.client import connect
from pycompose.ipc.requests import HoldRequest
from pycompose.labels import PROJECT
from pycompose.machine.rows import directory_bytes
from pycompose.state.users import volume_users
from pycompose.volumes import mounting, snapshots
from pycompose.volumes.removal import mounts_below, remove_tree
from pycompose.volumes.store import VolumeSpec, VolumeState, VolumeStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pycompose.client.context import Context
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import ObservedContainer

_TAG = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}\Z")
# Clocks of file systems tick every 1 to 10 ms: what is written after that has another time than what was copied.
_TICK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRow:
    """One line of `volume snapshots`."""

    volume: str
    tag: str
    created_ns: int
    size_bytes: int


def take(context: Context, name: str, tag: str, *, replaces: bool = False, pause: bool = True) -> None:
    """Remember the data of a volume under `tag`. Raises AlreadyExists, VolumeError."""
    state = _existing(context.paths, name)
    place = _place(context.paths, name, tag)
    with _failing(f"volume {name}: cannot keep snapshot {tag}"), _locked(place.parent):
        if place.exists() and not replaces:
            raise AlreadyExists(
                f"volume {name}: has a snapshot {tag} already",
                hint="--force replaces it; see: pycompose volume snapshots",
            )
        making = place.with_name(f".{tag}")
        with _still(context, state, pause=pause) as data:
            snapshots.take(data, making)
            time.sleep(_TICK_S)
        write_json(making / "meta.json", {"taken_ns": time.time_ns(), "volume": plain(state)})
        snapshots.sync(making)
        snapshots.replace(making, place)


def restore(context: Context, name: str, tag: str) -> int:
    """Put back what `tag` remembers, in a new volume where there is none; return how many entries that has changed.

    Raises VolumeInUse while a container runs that uses it, VolumeError.
    """
    place = _place(context.paths, name, tag)
    if not place.is_dir():
        known = ", ".join(_tags(place.parent)) or "none"
        raise VolumeError(f"volume {name}: no snapshot {tag}", hint=f"known: {known}")
    store = VolumeStore(context.paths)
    with _failing(f"volume {name}: cannot restore {tag}"), _locked(place.parent):
        kept = from_json(VolumeState, read_json(place / "meta.json")["volume"])
        state = store.ensure(VolumeSpec(name=name, options=kept.options, labels=kept.labels))
        if state.options.get("type") == "tmpfs":
            raise VolumeError(
                f"volume {name}: cannot restore it: it is a tmpfs, empty whenever nobody uses it",
                hint=f"pycompose volume clone makes a volume on the disk of it: volume clone {name} NEW",
            )
        store.mark(name, restoring=tag)  # from here on no container starts with it
        if running := [one.name for one in _users(context.paths, name) if one.running]:
            store.mark(name, restoring=state.restoring)
            raise VolumeInUse(
                f"volume {name}: in use by {', '.join(running)}",
                hint="stop the containers first: pycompose stop",
            )
        with _mounted(context.paths, state) as data:
            changed = snapshots.put_back(data, place)
            snapshots.sync(data)
        store.mark(name, restoring="")
    return changed


def clone(context: Context, name: str, new: str, labels: dict[str, str], *, pause: bool = True) -> str:
    """Make the volume `new` with what a volume holds, return its name. Raises AlreadyExists, VolumeError."""
    state = _existing(context.paths, name)
    spec = VolumeSpec(name=new, labels=labels)
    with _failing(f"volume {name}: cannot clone it"), VolumeStore(context.paths).making(spec) as made:
        with _still(context, state, pause=pause) as data:
            snapshots.copy(data, made)
        snapshots.sync(made)
    return new


def rows(context: Context, names: Sequence[str] = ()) -> list[SnapshotRow]:
    """Return the snapshots of the volumes `names`, of all without any, in the order in which they were taken."""
    top = context.paths.snapshots
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in names or sorted(os.listdir(top)):
            for tag in _tags(top / name):
                taken_ns = read_json(top / name / tag / "meta.json")["taken_ns"]
                size = directory_bytes(top / name / tag / "tree")
                found.append(SnapshotRow(volume=name, tag=tag, created_ns=taken_ns, size_bytes=size))
    return sorted(found, key=lambda row: (row.volume, row.created_ns))


def remove(context: Context, name: str, tag: str) -> None:
    """Forget a snapshot. Raises VolumeError."""
    place = _place(context.paths, name, tag)
    if not place.is_dir():
        raise VolumeError(f"volume {name}: no snapshot {tag}", hint="see: pycompose volume snapshots")
    with _failing(f"volume {name}: cannot remove snapshot {tag}"):
        with _locked(place.parent):
            os.rename(place, place.with_name(f".{tag}"))
        if not os.listdir(place.parent):
            place.parent.rmdir()


def _existing(paths: StatePaths, name: str) -> VolumeState:
    state = VolumeStore(paths).get(name) if name and "/" not in name else None
    if state is None:
        raise VolumeError(f"volume {name}: no such volume", hint="see: pycompose volume ls")
    if state.restoring:
        raise VolumeError(
            f"volume {name}: restoring {state.restoring} was cut off",
            hint=f"do it again: pycompose volume restore {name} {state.restoring}",
        )
    return state


def _place(paths: StatePaths, name: str, tag: str) -> Path:
    if not _TAG.match(tag):
        raise VolumeError(
            f"snapshot {tag!r}: not a tag", hint="letters, digits, _ . and -, starting with a letter or digit"
        )
    if not name or "/" in name or name.startswith("."):
        raise VolumeError(f"volume {name}: no such volume", hint="see: pycompose volume ls")
    return paths.snapshots / name / tag


def _tags(directory: Path) -> list[str]:
    try:
        return sorted(tag for tag in os.listdir(directory) if not tag.startswith("."))
    except FileNotFoundError:
        return []


def _users(paths: StatePaths, name: str) -> list[ObservedContainer]:
    return volume_users(paths).get(name, [])


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Be the only one who changes a volume's snapshots; what somebody was killed over is cleared away."""
    make_directory(directory)
    with locked(directory):
        _clear(directory)
        try:
            yield
        finally:
            _clear(directory)


def _clear(directory: Path) -> None:
    for name in os.listdir(directory):
        if name.startswith("."):
            remove_tree(directory / name)


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise VolumeError(f"{what}: {exc.strerror}{f' ({exc.filename})' if exc.filename else ''}") from exc


@contextlib.contextmanager
def _still(context: Context, state: VolumeState, *, pause: bool) -> Iterator[Path]:
    """Yield where a volume's data is; with `pause` no container changes it meanwhile. Raises VolumeError."""
    before = [one for one in _users(context.paths, state.name) if one.running]
    moving = [one for one in before if one.state.status is Status.RUNNING]
    with contextlib.ExitStack() as stack:
        for project, ids in _by_project(moving).items() if pause else ():
            connection = stack.enter_context(connect(context.paths, project))
            connection.call(HoldRequest(pause=ids), lambda _event: None)
        yield stack.enter_context(_mounted(context.paths, state))
        known = {one.id for one in before}
        late = [one.name for one in _users(context.paths, state.name) if one.running and one.id not in known]
        if pause and late:
            raise VolumeInUse(
                f"volume {state.name}: {', '.join(late)} began to use it meanwhile", hint="do it again"
            )


def _by_project(containers: Sequence[ObservedContainer]) -> Mapping[str, tuple[str, ...]]:
    """Return the ids of containers by project, in an order that is everybody's: who holds one may wait for the next."""
    found: dict[str, tuple[str, ...]] = {}
    for one in sorted(containers, key=lambda one: one.config.labels.get(PROJECT, one.config.project)):
        project = one.config.labels.get(PROJECT, one.config.project)
        found[project] = (*found.get(project, ()), one.id)
    return found


@contextlib.contextmanager
def _mounted(paths: StatePaths, state: VolumeState) -> Iterator[Path]:
    """Yield where the data of a volume is, mounted if that is what it is. Raises VolumeError, OSError."""
    data = VolumeStore(paths).data(state.name)
    with contextlib.ExitStack() as stack:
        if state.mounted:
            stack.enter_context(mounting.held(paths, state, f"snapshot-{os.getpid()}"))
        if places := [place for place in mounts_below(data) if place != os.path.realpath(data)]:
            raise VolumeError(
                f"volume {state.name}: something is mounted on {places[0]}, which isn't the volume's",
                hint=f"umount {places[0]}",
            )
        yield data
