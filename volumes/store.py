"""Named volumes: plain directories under `volumes/NAME/`, with their data in `_data` and what they are in `meta.json`.

The directory is claimed by mkdir(2), so a name belongs to one volume; a directory without `meta.json` is one whose
creation was cut off, and is taken over by the next who wants the name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine import journal
from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import AlreadyExists, StateError, VolumeError
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json
from pycompose.volumes.options import check_options
from pycompose.volumes.removal import mounts_below, remove_tree, unmount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.paths import StatePaths

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
ANONYMOUS = "com.docker.volume.anonymous"
PROJECT = "com.docker.compose.project"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """A volume to be made. `options` are the local driver's `type`, `o`, `device`."""

    name: str
    driver: str = "local"
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeState:
    """A volume that exists. `created_ns` is CLOCK_REALTIME, `restoring` the snapshot that it is being made of now."""

    name: str
    driver: str = "local"
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    created_ns: int = 0
    restoring: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether it belongs to one container only."""
        return ANONYMOUS in self.labels

    @property
    def mounted(self) -> bool:
        """Whether it is a mount (volumes/mounting.py), which isn't ours to empty, instead of a directory."""
        return bool(self.options.get("device"))


def check_name(name: str) -> None:
    """Raise VolumeError unless a volume can be called so."""
    if not _NAME.match(name):
        raise VolumeError(
            f"volume {name!r}: not a volume name",
            hint="letters, digits, _ . and - are allowed, starting with a letter or digit",
        )


class VolumeStore:
    """All volumes of the machine."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths

    def data(self, name: str) -> Path:
        """Return the directory that is mounted into containers."""
        return self._paths.volume(name) / "_data"

    def get(self, name: str) -> VolumeState | None:
        """Return the volume of this name, or None."""
        try:
            return from_json(VolumeState, read_json(self._paths.volume(name) / "meta.json"))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def all(self) -> list[VolumeState]:
        """Return every volume, by name."""
        try:
            names = sorted(os.listdir(self._paths.volumes))
        except FileNotFoundError:
            return []
        return [
            volume for name in names if not name.startswith(".") and (volume := self.get(name)) is not None
        ]

    def ensure(self, spec: VolumeSpec) -> VolumeState:
        """Return the volume, made if it doesn't exist. Raises VolumeError for a bad name, driver or option."""
        check_name(spec.name)
        if spec.driver not in ("", "local"):
            raise VolumeError(
                f"volume {spec.name}: unknown driver {spec.driver!r}",
                hint='only the driver "local" exists here',
            )
        check_options(spec.name, spec.options)
        directory = self._paths.volume(spec.name)
        try:
            make_directory(directory)
            with locked(directory):
                existing = self.get(spec.name)
                if existing is not None:
                    return existing
                make_directory(directory / "_data")
                # As a container sees it; the directories above keep everybody else out.
                os.chmod(directory / "_data", 0o755)  # noqa: S103 - see above
                state = VolumeState(
                    name=spec.name,
                    driver="local",
                    options=spec.options,
                    labels=spec.labels,
                    created_ns=time.time_ns(),
                )
                write_json(directory / "meta.json", plain(state))
                self._note("create", spec.name)
                return state
        except OSError as exc:
            raise VolumeError(f"volume {spec.name}: cannot create {directory}: {exc.strerror}") from exc

    @contextlib.contextmanager
    def making(self, spec: VolumeSpec) -> Iterator[Path]:
        """Yield a directory for the data of a new volume, which is there as a whole after the block, or not at all.

        Raises AlreadyExists, VolumeError for the name, and OSError.
        """
        check_name(spec.name)
        taken = AlreadyExists(f"volume {spec.name}: already exists", hint="see: pycompose volume ls")
        if self.get(spec.name) is not None:
            raise taken
        directory = self._paths.volumes / f".{spec.name}.{os.urandom(4).hex()}"
        make_directory(directory)
        with locked(directory):  # which keeps `sweep` away
            try:
                make_directory(directory / "_data")
                yield directory / "_data"
                state = VolumeState(name=spec.name, labels=spec.labels, created_ns=time.time_ns())
                write_json(directory / "meta.json", plain(state))
                os.rename(directory, self._paths.volume(spec.name))
                self._note("create", spec.name)
            except OSError as exc:
                if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise taken from exc
                raise
            finally:
                with contextlib.suppress(FileNotFoundError):
                    remove_tree(directory)

    def mark(self, name: str, *, restoring: str) -> None:
        """Write down that a volume is being made of a snapshot, or "" that it isn't; no container starts meanwhile.

        Raises OSError.
        """
        with locked(self._paths.volume(name)):
            if (state := self.get(name)) is not None:
                write_json(self._paths.volume(name) / "meta.json", plain(replace(state, restoring=restoring)))

    def ensure_anonymous(self, project: str, labels: dict[str, str]) -> VolumeState:
        """Return a new volume with a random name that belongs to one container."""
        return self.ensure(
            VolumeSpec(name=os.urandom(32).hex(), labels={**labels, ANONYMOUS: "", PROJECT: project})
        )

    def remove(self, name: str) -> None:
        """Remove a volume and its data; nothing happens when there is none. The caller knows that nobody uses it.

        The name is free at once (rename first), and a removal that is cut off is finished by `sweep`. What is mounted
        in it is left alone: what the volume itself mounts is unmounted before, for anything else it is a VolumeError.
        """
        directory = self._paths.volume(name)
        grave = self._paths.volumes / f".{name}.{os.urandom(4).hex()}"
        if not directory.is_dir():
            return
        try:
            places = mounts_below(directory)
            if places or self._paths.volume_users(name).exists():
                with locked(directory):
                    unmount(self._paths, name)
                places = mounts_below(directory)
            if places:
                raise VolumeError(
                    f"volume {name}: cannot remove it: something is mounted on {places[0]}",
                    hint=f"umount {places[0]}",
                )
            os.rename(directory, grave)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise VolumeError(f"volume {name}: cannot remove {directory}: {exc.strerror}") from exc
        self._note("destroy", name)
        self._bury(grave, name)

    def _note(self, action: str, name: str) -> None:
        journal.record(self._paths, "volume", action, name, {"driver": "local"})

    def sweep(self) -> None:
        """Finish removals that were cut off."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._paths.volumes):
                if entry.name.startswith("."):
                    with contextlib.suppress(StateError), locked(Path(entry.path), wait=False):
                        self._bury(Path(entry.path), entry.name)

    @staticmethod
    def _bury(grave: Path, name: str) -> None:
        try:
            remove_tree(grave)
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise VolumeError(
                f"volume {name}: cannot remove {exc.filename or grave}: {exc.strerror}"
            ) from exc

    def of_project(self, project: str) -> list[VolumeState]:
        """Return the volumes that a project has made."""
        found = []
        for volume in self.all():
            with contextlib.suppress(StateError):
                if volume.labels.get(PROJECT) == project:
                    found.append(volume)
        return found
