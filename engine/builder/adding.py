"""ADD: COPY, and archives of the context are unpacked (Dockerfile reference, ADD)."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from pycompose.engine.builder.copying import CopyTarget
from pycompose.engine.builder.tree import SourceTree
from pycompose.engine.errors import ArchiveError, BuildError
from pycompose.engine.filesystem.transfer import IN_ROOT, Extractor
from pycompose.engine.images.layers.compress import Budget, detect, pieces
from pycompose.engine.images.layers.tarstream import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from pycompose.engine.builder.steps import Copy

_HEAD_BYTES = 512


def add(
    tree: SourceTree, paths: Sequence[str], target: CopyTarget, action: Copy, *, fetched: bool = False
) -> None:
    """Put `paths` of `tree` at the action's target, archives unpacked into it. Raises BuildError, ArchiveError.

    What was `fetched` is unpacked only when --unpack asks for it.
    """
    for path in paths:
        found = tree.look(path)
        wanted = action.unpack if action.unpack is not None else not (found.is_directory or fetched)
        if found.is_directory or not wanted or not _unpack(tree, path, target, action):
            target.copy(tree, [path], action.target)


def _unpack(tree: SourceTree, path: str, target: CopyTarget, action: Copy) -> bool:
    """Unpack the file at `path` if it is an archive; False when it isn't one."""
    fd = tree.open_file(path)
    try:
        with open(fd, "rb", closefd=False) as file:
            content = _archive(file)
            if content is None:
                if action.unpack:
                    raise BuildError(f"/{path}: --unpack: is no archive")
                return False
            target.make_directory(action.target)
            target.contents.clear()  # what is unpacked may take their places
            Extractor(target.root, action.target, resolve=IN_ROOT, owners=True, special=True).tar(
                TarReader(content)
            )
    except ArchiveError as exc:
        raise BuildError(f"/{path}: cannot unpack: {exc.message}", hint=exc.hint) from exc
    except OSError as exc:
        place = f"{exc.filename}: " if exc.filename else ""
        raise BuildError(f"/{path}: cannot unpack: {place}{exc.strerror}") from exc
    finally:
        os.close(fd)
    return True


def _archive(file: BinaryIO) -> Iterator[bytes] | None:
    """Return the tar stream in `file`, None when there is none; compressed data that hold no tar are no archive."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    compression = detect(head)
    stream = pieces(file, compression, Budget())
    first = b""
    try:
        while len(first) < _HEAD_BYTES and (piece := next(stream, b"")):
            first += piece
    except ArchiveError:
        return None
    return itertools.chain((first,), stream) if _is_tar(first[:_HEAD_BYTES]) else None


def _is_tar(head: bytes) -> bool:
    """Tell whether `head` is a tar header: its checksum (tar(5)) counts itself as spaces."""
    if len(head) < _HEAD_BYTES:
        return False
    try:
        stored = int(head[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:]) == stored
