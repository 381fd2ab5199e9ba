"""A full disk, on purpose: only one that has a size of its own, never the machine's."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import VolumeError
from pycompose.engine.filesystem import view
from pycompose.engine.linux.fs import open_in_root
from pycompose.engine.state import Status
from pycompose.state.snapshot import observe_containers
from pycompose.state.users import volume_of
from pycompose.testing.undo import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.policy.observed import ObservedContainer
    from pycompose.testing.protocols import StackAccess

FILLER = ".pycompose-fill"
_CHUNK = bytes(65536)


def fill(stack: StackAccess, volume: str) -> Fault:
    """Write a file that takes all the room of a volume; undone, it goes. Raises VolumeError."""
    project = stack.loaded.project
    if volume not in project.volumes:
        known = ", ".join(sorted(project.volumes)) or "none"
        raise VolumeError(f"volume {volume}: unknown", hint=f"known: {known}")
    name = project.volumes[volume].name
    with _inside(stack, name) as directory:
        if os.fstat(directory).st_dev == os.stat(stack.context.paths.volumes).st_dev:
            raise VolumeError(
                f"volume {volume}: cannot be filled: it would take the machine's disk along",
                hint=f'give it a size: Compose(volume_sizes={{"{volume}": "64m"}})',
            )
        fd = os.open(FILLER, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            _fill(fd)
        finally:
            os.close(fd)

    def undo() -> None:
        # Gone by itself with the container, whose tmpfs it was.
        with contextlib.suppress(VolumeError, FileNotFoundError), _inside(stack, name) as directory:
            os.unlink(FILLER, dir_fd=directory)

    return Fault(undo)


def _fill(fd: int) -> None:
    room = os.fstatvfs(fd)
    with contextlib.suppress(OSError):
        os.posix_fallocate(fd, 0, room.f_bavail * room.f_frsize)
    os.lseek(fd, 0, os.SEEK_END)
    try:
        while True:
            os.write(fd, _CHUNK)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


@contextlib.contextmanager
def _inside(stack: StackAccess, volume: str) -> Iterator[int]:
    """Yield a descriptor of the volume's directory as a running container has it mounted. Raises VolumeError."""
    container, target = _user(stack, volume)
    with view.whole(stack.context.paths, container.config, container.state) as root:
        directory = open_in_root(root, target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield directory
        finally:
            os.close(directory)


def _user(stack: StackAccess, volume: str) -> tuple[ObservedContainer, str]:
    paths = stack.context.paths
    for container in observe_containers(paths, stack.name)[0]:
        for mount in container.config.mounts:
            if container.state.status is Status.RUNNING and volume_of(paths, mount) == volume:
                return container, mount.target
    raise VolumeError(f"volume {volume}: no running container has it mounted")
