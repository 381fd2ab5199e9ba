"""Trees as values, to be compared: what live reload has to make equal."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import stat
from pathlib import Path

Tree = dict[str, tuple[str, int, str]]


def read_tree(top: str | Path) -> Tree:
    """Return relative path → (kind, mode, hash or text of the link) of everything below `top`, which may be missing.

    What goes while we look is left out: whoever waits looks once more.
    """
    found: Tree = {}
    base = os.fspath(top)
    for directory, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = os.path.join(directory, name)
            with contextlib.suppress(FileNotFoundError):
                found[os.path.relpath(path, base)] = _leaf(path)
    return found


def _leaf(path: str) -> tuple[str, int, str]:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "link", 0, os.readlink(path)
    if stat.S_ISDIR(status.st_mode):
        return "directory", stat.S_IMODE(status.st_mode), ""
    content = Path(path).read_bytes()
    return "file", stat.S_IMODE(status.st_mode), hashlib.md5(content).hexdigest()  # noqa: S324


def difference(wanted: Tree, found: Tree) -> dict[str, tuple[object, object]]:
    """Return what differs, as path → (wanted, found)."""
    return {
        path: (wanted.get(path), found.get(path))
        for path in sorted({*wanted, *found})
        if wanted.get(path) != found.get(path)
    }


class Vandal:
    """Changes a tree at random: create, write, append, rename, replace, delete, chmod, links, directories moved.

    Also what leaves no trace but the time of the change: another content of the same size and time stamp, and writes to
    a file under another of its names.
    """

    def __init__(self, top: Path, seed: int) -> None:
        self._top = top
        self._chance = random.Random(seed)  # noqa: S311 - to be repeated

    def act(self) -> None:
        """Do one thing; one that can't be done now is left."""
        kinds = (
            self._create, self._create, self._write, self._write, self._append, self._rename, self._replace,
            self._delete, self._chmod, self._link, self._directory, self._move_directory, self._delete_directory,
            self._hard_link, self._write_unseen, self._chmod_directory,
        )  # fmt: skip
        try:
            self._chance.choice(kinds)()
        except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, OSError):
            return

    def _name(self) -> Path:
        depth = self._chance.randrange(1, 4)
        return self._top.joinpath(*(f"n{self._chance.randrange(6)}" for _ in range(depth)))

    def _some(self, *, directory: bool) -> Path:
        paths = [path for path in self._top.rglob("*") if path.is_dir() == directory or path.is_symlink()]
        return self._chance.choice(paths) if paths else self._name()

    def _data(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((0, 1, 7, 100, 5000)))

    def _create(self) -> None:
        path = self._name()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._data())

    def _write(self) -> None:
        self._some(directory=False).write_bytes(self._data())

    def _append(self) -> None:
        with self._some(directory=False).open("ab") as file:
            file.write(self._data())

    def _rename(self) -> None:
        self._some(directory=False).rename(self._name())

    def _replace(self) -> None:
        path = self._some(directory=False)
        beside = path.with_name(f"{path.name}.new")
        beside.write_bytes(self._data())
        beside.replace(path)

    def _delete(self) -> None:
        self._some(directory=False).unlink()

    def _chmod(self) -> None:
        path = self._some(directory=False)
        if not path.is_symlink():
            path.chmod(self._chance.choice((0o600, 0o644, 0o755)))

    def _hard_link(self) -> None:
        self._name().hardlink_to(self._some(directory=False))

    def _write_unseen(self) -> None:
        path = self._some(directory=False)
        status = path.stat()
        path.write_bytes(self._chance.randbytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _chmod_directory(self) -> None:
        path = self._some(directory=True)
        if not path.is_symlink():
            path.chmod(self._chance.choice((0o700, 0o711, 0o755)))

    def _link(self) -> None:
        path = self._name()
        path.symlink_to(self._chance.choice(("n1", "../n2", "/nowhere/at/all", "nowhere")))

    def _directory(self) -> None:
        self._name().mkdir(parents=True, exist_ok=True)

    def _move_directory(self) -> None:
        self._some(directory=True).rename(self._name())

    def _delete_directory(self) -> None:
        path = self._some(directory=True)
        if not path.is_symlink():
            shutil.rmtree(path)
