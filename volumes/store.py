"""Named volumes: plain directories under `volumes/NAME/`, with their data in `_data` and what they are in `meta.json`.

The directory is claimed by mkdir(2), so a name belongs to one volume; a directory without `meta.json` is one whose
creation was cut off, and is taken over by the next who wants the name.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import StateError, VolumeError
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json

if TYPE_CHECKING:
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
    """A volume that exists. `created_ns` is CLOCK_REALTIME."""

    name: str
    driver: str = "local"
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    created_ns: int = 0

    @property
    def anonymous(self) -> bool:
        """Whether it belongs to one container only."""
        return ANONYMOUS in self.labels


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
        """Return the volume, made if it doesn't exist. Raises VolumeError for a bad name or an unknown driver."""
        if not _NAME.match(spec.name):
            raise VolumeError(
                f"volume {spec.name!r}: not a volume name",
                hint="letters, digits, _ . and - are allowed, starting with a letter or digit",
            )
        if spec.driver not in ("", "local"):
            raise VolumeError(
                f"volume {spec.name}: unknown driver {spec.driver!r}",
                hint='only the driver "local" exists here',
            )
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
                return state
        except OSError as exc:
            raise VolumeError(f"volume {spec.name}: cannot create {directory}: {exc.strerror}") from exc

    def ensure_anonymous(self, project: str, labels: dict[str, str]) -> VolumeState:
        """Return a new volume with a random name that belongs to one container."""
        return self.ensure(
            VolumeSpec(name=secrets.token_hex(32), labels={**labels, ANONYMOUS: "", PROJECT: project})
        )

    def remove(self, name: str) -> None:
        """Remove a volume and its data; nothing happens when there is none. The caller knows that nobody uses it.

        The name is free at once (rename first), and a removal that is cut off is finished by `sweep`.
        """
        directory = self._paths.volume(name)
        grave = self._paths.volumes / f".{name}.{secrets.token_hex(4)}"
        try:
            os.rename(directory, grave)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise VolumeError(f"volume {name}: cannot remove {directory}: {exc.strerror}") from exc
        self._bury(grave, name)

    def sweep(self) -> None:
        """Finish removals that were cut off."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._paths.volumes):
                if entry.name.startswith("."):
                    self._bury(Path(entry.path), entry.name)

    @staticmethod
    def _bury(grave: Path, name: str) -> None:
        try:
            shutil.rmtree(grave)
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
