"""What `pycompose volume …` does: the machine's volumes apart from any project."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import VolumeError, VolumeInUse
from pycompose.machine.rows import (
    PruneResult,
    VolumeRow,
    directory_bytes,
    filtered,
    in_the_making,
    matches_labels,
)
from pycompose.state.users import volume_users
from pycompose.volumes.store import ANONYMOUS, PROJECT, VolumeSpec, VolumeState, VolumeStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompose.client.context import Context
    from pycompose.policy.observed import ObservedContainer


def create(context: Context, name: str, driver: str, options: dict[str, str], labels: dict[str, str]) -> str:
    """Make a volume, return its name; "" makes an anonymous one, one that exists is fine. Raises VolumeError."""
    if not name:
        name, labels = os.urandom(32).hex(), {**labels, ANONYMOUS: ""}
    if len(name) == 1:
        raise VolumeError(
            f"volume {name}: create: the name is too short",
            hint="a single letter is taken for a Windows drive in `-v x:/data`; two are a name",
        )
    spec = VolumeSpec(name=name, driver=driver, options=options, labels=labels)
    return VolumeStore(context.paths).ensure(spec).name


def rows(context: Context, filters: Iterable[str] = ()) -> list[VolumeRow]:
    """Return the volumes by name; `filters` are dangling=BOOL, driver=X, label=KEY[=VALUE], name=TEXT.

    Raises PycomposeError for another filter.
    """
    store = VolumeStore(context.paths)
    users = volume_users(context.paths)
    found = [_row(store, volume, users) for volume in store.all()]
    return filtered(found, filters, {"driver": lambda row, value: row.driver == value})


def _row(
    store: VolumeStore, volume: VolumeState, users: Mapping[str, Sequence[ObservedContainer]]
) -> VolumeRow:
    return VolumeRow(
        name=volume.name,
        driver=volume.driver,
        mountpoint=str(store.data(volume.name)),
        labels=volume.labels,
        users=tuple(container.name for container in users.get(volume.name, ())),
    )


def remove(context: Context, name: str, *, force: bool = False) -> None:
    """Remove a volume and its data.

    Raises VolumeError when there is none (unless `force`), VolumeInUse while a container refers to it.
    """
    store = VolumeStore(context.paths)
    if store.get(name) is None:
        if force:
            return
        raise VolumeError(f"volume {name}: no such volume", hint="see: pycompose volume ls")
    if users := volume_users(context.paths).get(name):
        names = ", ".join(container.name for container in users)
        raise VolumeInUse(f"volume {name}: in use by {names}", hint="remove the containers first")
    store.remove(name)


def prune(
    context: Context, *, everything: bool, labels: Iterable[str] = (), without: Iterable[str] = ()
) -> PruneResult:
    """Remove anonymous volumes that no container refers to, with `everything` named ones too.

    Only those with `labels`, and not those with a label of `without`.
    """
    store = VolumeStore(context.paths)
    store.sweep()
    users = volume_users(context.paths)
    removed, freed = [], 0
    wanted, spared = list(labels), list(without)
    for volume in store.all():
        # What options name is data that lies elsewhere: docker spares such volumes, too.
        if volume.name in users or volume.options or not (everything or volume.anonymous):
            continue
        if in_the_making(context.paths, volume.labels.get(PROJECT, ""), volume.created_ns):
            continue
        if any(matches_labels(volume.labels, label) for label in spared):
            continue
        if all(matches_labels(volume.labels, label) for label in wanted):
            size = directory_bytes(store.data(volume.name))
            store.remove(volume.name)
            removed.append(volume.name)
            freed += size
    return PruneResult(names=tuple(removed), freed_bytes=freed)
