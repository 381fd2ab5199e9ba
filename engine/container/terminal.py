"""A pseudo terminal out of the container's own devpts, found by descriptors only (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from pycompose.engine.container.devices import PTMX
from pycompose.engine.linux import fs, mounts

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_PTMX_INODE = 2


def open_pair(root_fd: int, rows: int = 0, columns: int = 0) -> tuple[int, int]:
    """Return (master, slave) of a new terminal of the devpts in `root_fd`; 0 by 0 leaves the size unset.

    Checks that it is devpts' own multiplexer, and asks the master for its slave instead of opening a name
    (CVE-2025-52565). Raises OSError.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW
    master = fs.open_in_root(root_fd, "/dev/pts/ptmx", flags, extra=fs.RESOLVE_NO_SYMLINKS)
    info = os.fstat(master)
    if (
        fs.filesystem(master) != fs.DEVPTS_SUPER_MAGIC
        or info.st_ino != _PTMX_INODE
        or info.st_rdev != PTMX
        or not stat.S_ISCHR(info.st_mode)
    ):
        raise OSError(errno.ENODEV, "not the terminal multiplexer", "/dev/pts/ptmx")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    if rows and columns:
        resize(master, rows, columns)
    return master, fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def bind_console(root_fd: int, slave: int) -> None:
    """Put the terminal on /dev/console; raises OSError."""
    target = fs.make_file(root_fd, "/dev/console", 0o600)
    mount = mounts.clone_tree(slave)
    mounts.attach(mount, target, "/dev/console")
    os.close(mount)
    os.close(target)


def make_controlling(slave: int) -> None:
    """Make the terminal the controlling one of this session leader; raises OSError."""
    fcntl.ioctl(slave, _TIOCSCTTY, 0)


def resize(fd: int, rows: int, columns: int) -> None:
    """Set the size in characters; the kernel sends SIGWINCH. Raises OSError."""
    fcntl.ioctl(fd, _TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
