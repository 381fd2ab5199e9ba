"""`system reset`: away with everything that pycompose has on the machine, or that this user has."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError, StateError
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.statedirs import IN_ROOT, IN_RUN
from pycompose.machine import networks
from pycompose.state.snapshot import STANDALONE
from pycompose.state.users import all_containers

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.client.context import Context


def reset(context: Context) -> int:
    """Remove images, volumes, snapshots, networks, build cache and records; return the bytes that this freed.

    Files of mapped users are among them, which an ordinary user can't remove from outside his private host.
    Raises StateError while there are containers, PycomposeError for what can't be removed.
    """
    if found := next(all_containers(context.paths), None):
        project = found.config.project
        remove = f"-p {project} down" if project != STANDALONE else f"container rm -f {found.name}"
        raise StateError(
            f"system: cannot reset: there are containers, such as {found.name}", hint=f"pycompose {remove}"
        )
    networks.prune(context)
    paths = context.paths
    ours = [
        paths.root / name
        for name in (*IN_ROOT, paths.base.name, paths.init.name, paths.relay.name, paths.subnets.name)
    ]
    ours += [paths.run / name for name in IN_RUN]
    freed = 0
    try:
        for path in ours:
            freed += _remove(path)
    except OSError as exc:
        raise PycomposeError(f"system: cannot remove {exc.filename or paths.root}: {exc.strerror}") from exc
    with contextlib.suppress(OSError):  # somebody else's things are in it too, or it is a mount
        os.rmdir(paths.root)
    return freed


def _remove(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return remove_tree(path)
    path.unlink(missing_ok=True)
    return 0
