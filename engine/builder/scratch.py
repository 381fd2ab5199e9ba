"""Where a step works: beside the layers, or in memory where that file system can't hold upper directories (uppers.py).

A directory in memory has the name of one in the image store, which is locked as long as somebody works in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from pycompose.engine.container.uppers import memory_uppers, refusing, remove_uppers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths

_PURPOSE = "build"


@contextlib.contextmanager
def step_scratch(paths: StatePaths, layout: ImageLayout) -> Iterator[Path]:
    """Give a new directory that can hold upper directories, removed afterwards. Raises EngineError, OSError."""
    with layout.scratch(_PURPOSE) as beside:
        if not refusing(str(paths.root)):
            yield beside
            return
        remove_dead(paths)
        try:
            yield memory_uppers(paths, beside.name)
        finally:
            remove_uppers(paths, beside.name)


def remove_dead(paths: StatePaths) -> None:
    """Remove what killed builds have left in memory. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(paths.layers):
            if name.startswith(f"{_PURPOSE}-") and not _is_held(paths.images / "tmp" / name):
                remove_uppers(paths, name)


def _is_held(place: Path) -> bool:
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
