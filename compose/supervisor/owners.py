"""The processes that a project ends with: watched through pidfds, also by the supervisor after this one."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import StateError
from pycompose.state.owners import Owner, Owners, keep, read_owners, write_owners

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pycompose.engine.paths import StatePaths

log = logging.getLogger("pycompose.supervisor")


class ProjectOwners:
    """Who owns the project; `on_orphaned` is called when the last owner has died, or was dead from the beginning."""

    def __init__(
        self,
        paths: StatePaths,
        project: str,
        loop: asyncio.AbstractEventLoop,
        on_orphaned: Callable[[], None],
    ) -> None:
        self._paths = paths
        self._project = project
        self._loop = loop
        self._on_orphaned = on_orphaned
        self._watched: dict[Owner, int] = {}
        # Whether the data goes with them.
        self.volumes = False

    @property
    def present(self) -> bool:
        """Whether the project has an owner, so that somebody has to stay and see his end."""
        return bool(self._watched)

    def begin(self) -> None:
        """Watch those that an earlier supervisor has noted. Raises StateError for a damaged note."""
        noted = read_owners(self._paths, self._project)
        self.volumes = noted is not None and noted.volumes
        for owner in noted.owners if noted else ():
            self._watch(owner)
        if noted is not None and not self._watched:
            log.info("project %s: its owners have died", self._project)
            self._loop.call_soon(self._on_orphaned)

    def add(self, pid: int, *, volumes: bool) -> None:
        """Let the project end with the process `pid`, and its data if nobody minds that owns it.

        Raises StateError for a process that has ended or can't be seen.
        """
        self.volumes = volumes and (self.volumes or not self._watched)
        owner = Owner.of(pid)
        self._watch(owner)
        if owner not in self._watched:
            raise StateError(f"project {self._project}: cannot be owned by process {pid}: it isn't there")
        self._note()

    def release(self, pid: int, *, leave: bool) -> bool:
        """Take an owner back if there are others, and return whether there are.

        The last one stays its owner until the project is down, or dies over it; unless he means to `leave` it behind.
        """
        own = [owner for owner in self._watched if owner.pid == pid]
        others = len(self._watched) > len(own)
        if others or leave:
            for owner in own:
                self._forget(owner)
        if others:
            self._note()
        elif leave:
            keep(self._paths, self._project, volumes=self.volumes)
        return others

    def clear(self) -> None:
        """Have no owner any more: there is nothing to own."""
        if self._watched:
            self.close()
            self._note()

    def close(self) -> None:
        """Watch nobody any more; what is noted stays."""
        for owner in list(self._watched):
            self._forget(owner)

    def _watch(self, owner: Owner) -> None:
        if owner in self._watched:
            return
        try:
            fd = os.pidfd_open(owner.pid)
        except OSError:
            return
        if not owner.alive:  # asked behind the open: the pid can't have changed hands since
            os.close(fd)
            return
        self._watched[owner] = fd
        self._loop.add_reader(
            fd, self._died, owner
        )  # a pidfd is readable when its process has ended: pidfd_open(2)

    def _died(self, owner: Owner) -> None:
        self._forget(owner)
        if not self._watched:
            log.info("project %s: process %d, its last owner, has ended", self._project, owner.pid)
            self._on_orphaned()

    def _forget(self, owner: Owner) -> None:
        fd = self._watched.pop(owner)
        self._loop.remove_reader(fd)
        os.close(fd)

    def _note(self) -> None:
        noted = Owners(owners=tuple(self._watched), volumes=self.volumes)
        write_owners(self._paths, self._project, noted)
