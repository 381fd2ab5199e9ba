"""Finds what not everybody may read: `python -I -S private_files.py` is one of the workers of host_mask.py.

A walk through /usr is 140,000 system calls. A worker is sent directories and answers with what it has found and with
the directories that it hasn't come to: so the work stays evenly shared, whatever the trees look like. Imports nothing
but the smallest.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE = 0o170000
LINK = 0o120000
ENTERED = 0o005  # list and enter, for others
READ = 0o004
# So many entries are looked at before an answer: 10 ms.
ENTRIES = 5000
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def look(directory: str, hidden: list[str], pending: list[str]) -> int:
    """Look at the files in `directory` and return how many entries it has; the directories in it go to `pending`.

    What others may not read goes to `hidden`: files, or the directory itself. What vanishes meanwhile is passed over.
    """
    try:
        fd = os.open(directory, _FLAGS)
    except PermissionError:
        hidden.append(directory)
        return 0
    except (FileNotFoundError, NotADirectoryError):
        return 0
    count = 0
    try:
        if os.fstat(fd).st_mode & ENTERED != ENTERED:
            hidden.append(directory)
            return 0
        with os.scandir(fd) as entries:  # by descriptor: the kernel looks up one name then, not a path
            for entry in entries:
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{directory}/{entry.name}")
                elif not entry.is_symlink() and _is_private(entry):
                    hidden.append(f"{directory}/{entry.name}")
    finally:
        os.close(fd)
    return count


def _is_private(entry: os.DirEntry[str]) -> bool:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return not mode & READ and mode & TYPE != LINK


def main() -> None:
    """Answer until there is nothing to read any more; both directions are marshalled."""
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            pending = marshal.load(given)  # noqa: S302 - our own parent has sent it
        except EOFError:
            return
        hidden: list[str] = []
        count = 0
        while pending and count < ENTRIES:
            count += 1 + look(pending.pop(), hidden, pending)
        marshal.dump((hidden, pending), answers)
        answers.flush()


if __name__ == "__main__":
    main()
