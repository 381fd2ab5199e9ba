"""A directory that COPY makes is filled past the overlay: each file costs half of what it costs through it.

The kernel promises nothing for an overlay whose upper directory is changed beneath it, but for what it hasn't looked at
yet (overlayfs.rst, "Changes to underlying filesystems"): of a directory that has just been made it knows that it is
there, and nothing of what will be in it. So it is for the directory that is being filled, and for no other one.
"""

from __future__ import annotations

import os

from pycompose.engine.images.layers.layertar import read_xattrs
from pycompose.engine.linux import fs

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BENEATH = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS | fs.RESOLVE_NO_XDEV


class NewTree:
    """One directory at a time below `upper`, the upper directory of an overlay; none of it where `upper` is -1."""

    def __init__(self, upper: int) -> None:
        self._upper = upper
        # Whether what is made in it is as it is made: it has no access control list to hand down.
        self.plain = False
        self._path = ""
        self._fd = -1

    def enter(self, path: str) -> None:
        """Go on with the absolute `path`, which has just been made and is empty; stay outside if it isn't there.

        It is what has that name in the overlay: no link is on the way to it, or `upper` would have the link.
        """
        self.leave()
        if self._upper < 0:
            return
        try:
            self._fd = fs.openat2(self._upper, os.fsencode(path.strip("/")), _DIRECTORY, resolve=_BENEATH)
        except OSError:
            return  # it lies in another overlay, or behind a link
        self.plain = not read_xattrs(self._fd)
        self._path = f"{path.rstrip('/')}/"

    def leave(self) -> None:
        """Be done with it: from now on it may be looked at."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def holds(self, path: str) -> bool:
        """Tell whether the absolute `path` is the directory or in it."""
        return self._fd >= 0 and f"{path}/".startswith(self._path)

    def open(self, path: str) -> int:
        """Return the directory `path`, which it holds. Raises OSError."""
        name = os.fsencode(path[len(self._path) :]) or b"."
        return fs.openat2(self._fd, name, _DIRECTORY, resolve=_BENEATH)

    def make(self, path: str, mode: int) -> int:
        """Make the directory `path`, whose parent it holds, and return it. Raises OSError."""
        above, _, base = path.rpartition("/")
        parent = self.open(above)
        try:
            os.mkdir(base, mode, dir_fd=parent)
            return os.open(base, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        finally:
            os.close(parent)
