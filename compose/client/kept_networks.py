"""The networks that have to be there before a container is started: made again after a reboot.

Networks live in the kernel and on a tmpfs, and a project makes its own ones. What `network create` was asked for is
kept in ROOT/networks/NAME.json too, so that `external: true` finds the network again. Every command that starts
containers looks here first; most machines have no such network, so that what makes one is imported when there is
one to make.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json, plain
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths
    from pycompose.networking.model import NetworkSpec


def _file(paths: StatePaths, name: str) -> Path:
    return paths.kept_networks / f"{name}.json"


def keep(paths: StatePaths, spec: NetworkSpec) -> None:
    """Let a network come back after a reboot; raises OSError."""
    make_directory(paths.kept_networks)
    write_json(_file(paths, spec.name), plain(spec))


def forget(paths: StatePaths, name: str) -> None:
    """Let a network not come back, if it was to."""
    _file(paths, name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        paths.kept_networks.rmdir()


def read(paths: StatePaths, name: str) -> NetworkSpec | None:
    """Return what a kept network is made from, None for another name."""
    try:
        value = read_json(_file(paths, name))
    except FileNotFoundError:
        return None
    from pycompose.networking.model import NetworkSpec  # noqa: PLC0415 - most machines have none to read

    return from_json(NetworkSpec, value)


def restore(paths: StatePaths, name: str) -> None:
    """Make a kept network again that has gone with a reboot; nothing for another name. Raises NetworkError."""
    if paths.network(name).exists() or (spec := read(paths, name)) is None:
        return
    from pycompose.networking.api import Networking  # noqa: PLC0415 - once after a reboot

    with contextlib.closing(Networking(paths)) as networking:
        networking.ensure_network(spec)


def restore_of(paths: StatePaths, container_id: str) -> None:
    """Make the networks again on which a container was that have gone with a reboot: those of projects that aren't up.

    They are what the project makes of them when it comes up: it finds them as its own. Raises NetworkError.
    """
    from pycompose.state.records import read_service  # noqa: PLC0415 - for what is started only

    with contextlib.suppress(FileNotFoundError):
        for network in read_service(paths, container_id).networks.values():
            if not network.external or paths.network(network.name).exists():
                continue
            from pycompose.networking.api import Networking  # noqa: PLC0415 - once after a reboot
            from pycompose.state.networks import remembered_spec  # noqa: PLC0415 - as above

            if spec := remembered_spec(paths, network.name):
                with contextlib.closing(Networking(paths)) as networking:
                    networking.ensure_network(spec)


def restore_all(paths: StatePaths) -> None:
    """Make every kept network again that has gone with a reboot. Raises NetworkError."""
    try:
        files = sorted(os.listdir(paths.kept_networks))
    except FileNotFoundError:
        return
    for file in files:
        if file.endswith(".json") and not file.startswith("."):  # one that is being written
            restore(paths, file.removesuffix(".json"))
