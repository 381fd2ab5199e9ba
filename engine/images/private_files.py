"""Finds what not everybody may read, in parallel: `python -I -S private_files.py` with directories on standard input.

Run as a program by host_mask.py: a walk through /usr is 140,000 system calls, which one processor does in half a
second. Imports nothing but the smallest.
"""

from __future__ import annotations

import os
import sys

TYPE = 0o170000
DIRECTORY = 0o040000
ENTERED = 0o005  # list and enter, for others
READ = 0o004


def look(directory: str, pending: list[str]) -> list[str]:
    """Return the entries of `directory` that others may not read; those to look into go to `pending`.

    What vanishes meanwhile is passed over.
    """
    hidden: list[str] = []
    try:
        entries = os.scandir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return hidden
    with entries:
        for entry in entries:
            if entry.is_symlink():
                continue
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue
            if mode & TYPE != DIRECTORY:
                if not mode & READ:
                    hidden.append(entry.path)
            elif mode & ENTERED == ENTERED:
                pending.append(entry.path)
            else:
                hidden.append(entry.path)
    return hidden


def main() -> None:
    """Read directories and write the hidden paths below them, each ended by NUL."""
    pending = [os.fsdecode(path) for path in sys.stdin.buffer.read().split(b"\0") if path]
    while pending:
        hidden = look(pending.pop(), pending)
        sys.stdout.buffer.write(b"".join(os.fsencode(path) + b"\0" for path in hidden))


if __name__ == "__main__":
    main()
