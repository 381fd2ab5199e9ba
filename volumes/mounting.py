"""Volumes that are a mount: those whose options name a `device`.

It is mounted on the volume's `_data` in the machine's namespace, as Docker does, from the start of the first container
that uses it to the end of the last one; so all of them share one tmpfs. Who uses it is a file
`RUN/volumes/NAME/CONTAINER`, written before the mount: like the mount, it is gone with a reboot. A user that was killed
before it could take its file away is passed over once its container is gone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import VolumeError
from pycompose.engine.linux import mounts
from pycompose.engine.linux.fs import open_host
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked
from pycompose.volumes.options import REMOTE, masked, mount_request
from pycompose.volumes.removal import is_mount, unmount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths
    from pycompose.volumes.options import MountRequest
    from pycompose.volumes.store import VolumeState

_HINTS = {
    errno.ENODEV: "this kernel doesn't know the filesystem; is its module there (modprobe)?",
    errno.ENOENT: "the device or directory has to exist before a container uses the volume",
}


def hold(paths: StatePaths, volumes: Iterable[VolumeState], container_id: str) -> None:
    """Mount what a container is about to use and isn't mounted yet; idempotent. Raises VolumeError."""
    for volume in volumes:
        request = mount_request(volume.options)
        if request is None:
            continue
        directory = paths.volume(volume.name)
        with locked(directory):
            users = make_directory(paths.volume_users(volume.name))
            (users / container_id).touch(0o600)
            try:
                if not is_mount(directory / "_data"):
                    _mount(request, directory / "_data")
            except OSError as exc:
                (users / container_id).unlink(missing_ok=True)
                raise _error(volume, exc) from exc


def release(paths: StatePaths, container_id: str) -> None:
    """Unmount what a container has used and nobody uses any more; idempotent."""
    try:
        names = os.listdir(paths.volumes_run)
    except FileNotFoundError:
        return
    for name in names:
        users = paths.volume_users(name)
        if (users / container_id).exists() and paths.volume(name).is_dir():
            with contextlib.suppress(FileNotFoundError), locked(paths.volume(name)):
                (users / container_id).unlink(missing_ok=True)
                if not any(paths.container(user).exists() for user in os.listdir(users)):
                    unmount(paths, name)


@contextlib.contextmanager
def held(paths: StatePaths, volume: VolumeState, container_id: str) -> Iterator[None]:
    """Have a volume mounted for the block, on behalf of a container that is being made. Raises VolumeError."""
    hold(paths, [volume], container_id)
    try:
        yield
    finally:
        release(paths, container_id)


def _mount(request: MountRequest, target: Path) -> None:
    request = _resolved(request)
    if request.bind:
        source = open_host(request.device)
        try:
            tree = mounts.clone_tree(source, recursive=request.recursive)
        finally:
            os.close(source)
        if request.attributes:
            mounts.set_attributes(tree, request.attributes)
    else:
        tree = mounts.new_filesystem(request.fstype, request.data, request.attributes, source=request.device)
    try:
        if request.propagation:
            mounts.set_attributes(tree, propagation=request.propagation)
        place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            mounts.attach(tree, place, str(target))
        finally:
            os.close(place)
    finally:
        os.close(tree)


def _resolved(request: MountRequest) -> MountRequest:
    """Return the request with addresses in place of host names, which the kernel doesn't look up. Raises OSError."""
    if request.fstype not in REMOTE:
        return request
    data = tuple(
        (key, _address(value)) if key == "addr" and isinstance(value, str) else (key, value)
        for key, value in request.data
    )
    host = urlsplit(request.device).hostname if request.device.startswith("//") else None
    device = request.device
    if host and not any(key == "addr" for key, _value in data):
        device = device.replace(host, _address(host), 1)
    return replace(request, data=data, device=device)


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror as exc:
        raise OSError(errno.EHOSTUNREACH, f"cannot resolve {host}: {exc.strerror}") from exc


def _error(volume: VolumeState, exc: OSError) -> VolumeError:
    options = ", ".join(f"{key}={masked(value)}" for key, value in sorted(volume.options.items()))
    # The calls of engine.linux name themselves first, which tells nobody anything about a volume.
    reason = masked(re.sub(r"^(openat2|fsopen|fsconfig|fsmount|move_mount): ", "", str(exc.strerror)))
    return VolumeError(
        f"volume {volume.name}: cannot mount it ({options}): {reason}", hint=_HINTS.get(exc.errno or 0)
    )
