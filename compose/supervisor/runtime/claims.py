"""Whose a container and its name are: a claim per container, written before anything of it exists.

projects/P/containers/ID        "ID NAME": the project's claim
names/NAME                      a link of it, so that a name has one owner on the machine
names/.ID, names/ID.claim       while somebody takes a name from another, or gets another one
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import AlreadyExists, EngineError
from pycompose.engine.statedirs import make_directory
from pycompose.state.snapshot import owner_of, read_container

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths


class Claims:
    """The claims of one project, and the names of the machine."""

    def __init__(self, paths: StatePaths, project: str) -> None:
        self._paths = paths
        self._project = project

    def make(self, container_id: str, name: str, replaces: str) -> None:
        """Write down that a container is ours, then take its name (from the one it replaces).

        Raises AlreadyExists, EngineError, and nothing has changed then.
        """
        try:
            claim = self._claim(container_id)
            make_directory(claim.parent)
            claim.write_text(f"{container_id} {name}", encoding="utf-8")
            try:
                self._take(claim, container_id, name, replaces)
            except (AlreadyExists, OSError):
                claim.unlink()
                raise
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG:
                raise EngineError(f"container {name}: cannot create: the name is too long") from exc
            raise EngineError(
                f"container {name}: cannot write to {self._paths.root}: {exc.strerror}",
                hint="pycompose needs a writable state directory; PYCOMPOSE_ROOT chooses another one",
            ) from exc

    def rename(self, container_id: str, old: str, new: str) -> None:
        """Take another name; the old one stays taken. Raises AlreadyExists, EngineError."""
        try:
            claim = self._renamed(container_id)
            claim.write_text(f"{container_id} {new}", encoding="utf-8")
            try:
                self._take(claim, container_id, new, "")
                os.replace(claim, self._claim(container_id))
            finally:
                claim.unlink(missing_ok=True)
        except OSError as exc:
            raise EngineError(f"container {old}: cannot rename to {new}: {exc.strerror or exc}") from exc

    def keep(self, container_id: str, name: str) -> None:
        """Take a container's name back, which went with a replacement that was never finished."""
        if not (self._paths.names / name).exists():
            with contextlib.suppress(AlreadyExists, OSError):
                self._take(self._claim(container_id), container_id, name, "")

    def release(self, container_id: str, name: str) -> None:
        """Give a name up, unless somebody else has it by now."""
        with contextlib.suppress(FileNotFoundError):
            if owner_of(self._paths, name) == container_id:
                (self._paths.names / name).unlink()

    def forget(self, container_id: str, name: str) -> None:
        """Give up the name ("" is none), and then the claim: nothing of the container is left."""
        if name:
            self.release(container_id, name)
        # The first two are there if somebody was killed while they took a name.
        for path in (
            self._paths.names / f".{container_id}",
            self._renamed(container_id),
            self._claim(container_id),
        ):
            path.unlink(missing_ok=True)

    def name(self, container_id: str) -> str:
        """Return the name that was claimed for a container, "" without a claim."""
        try:
            return self._claim(container_id).read_text(encoding="utf-8").partition(" ")[2]
        except FileNotFoundError:
            return ""

    def find(self, text: str) -> str:
        """Return the id of the container of any project with this name or beginning of an id, "" without one."""
        with contextlib.suppress(OSError):
            if "/" not in text:
                return owner_of(self._paths, text)
        ids: list[str] = []
        with contextlib.suppress(FileNotFoundError):  # the machine's first container is still to be made
            ids = [entry for entry in os.listdir(self._paths.containers) if entry.startswith(text)]
        return ids[0] if len(ids) == 1 else ""

    def _claim(self, container_id: str) -> Path:
        return self._paths.project_claims(self._project) / container_id

    def _renamed(self, container_id: str) -> Path:
        """Return where a container's next claim is written; no container has such a long name."""
        return self._paths.names / f"{container_id}.claim"

    def _take(self, claim: Path, container_id: str, name: str, replaces: str) -> None:
        """Take a name, also from a container that is gone or `replaces`; raises AlreadyExists, OSError.

        Nothing happens when the container has it already.
        """
        make_directory(self._paths.names)
        path = self._paths.names / name
        try:
            os.link(claim, path)
        except FileExistsError:
            owner = owner_of(self._paths, name)
            if owner == container_id:
                return
            if owner != replaces and read_container(self._paths, owner) is not None:
                raise AlreadyExists(
                    f"container {name}: cannot create: the name is in use by container {owner[:12]}",
                    hint="remove that container, or choose another name",
                ) from None
            temporary = self._paths.names / f".{container_id}"
            temporary.unlink(missing_ok=True)
            os.link(claim, temporary)
            os.replace(temporary, path)
