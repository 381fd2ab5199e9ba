"""Where a build reads from: its context, further contexts, its own stages, images; and what it starts from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.copying import CopyOptions, CopyTarget
from pycompose.engine.builder.ignore import Ignore, parse_ignore
from pycompose.engine.builder.instructions import error
from pycompose.engine.builder.snapshot import Snapshot, opened
from pycompose.engine.builder.statcache import DigestCache
from pycompose.engine.builder.tree import SourceTree
from pycompose.engine.errors import BuildError, DockerfileError, PycomposeError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.builder.bases import Base
    from pycompose.engine.builder.dockerfile import Dockerfile, Instruction
    from pycompose.engine.builder.mountflags import StepMount
    from pycompose.engine.builder.request import BuildRequest
    from pycompose.engine.builder.steps import BaseImage
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths


class Sources:
    """One build's. `bases(name, platform)` finds images, `stage(number)` waits for a stage's file system."""

    def __init__(
        self,
        paths: StatePaths,
        layout: ImageLayout,
        file: Dockerfile,
        request: BuildRequest,
        bases: Callable[[str, str], Base],
        stage: Callable[[int], Snapshot],
    ) -> None:
        self._paths = paths
        self._layout = layout
        self._file = file
        self._request = request
        self._bases = bases
        self._stage = stage
        self._cache_folder = paths.builder
        self._found: dict[str, Base] = {}
        self._ignore: Ignore | None = parse_ignore(request.ignore_text) if request.ignore_text else None
        self._stack = contextlib.ExitStack()
        self._context: SourceTree | None = None

    def close(self) -> None:
        """Close the context."""
        self._stack.close()

    def base(self, name: str, platform: str) -> Base:
        """Return an image to build upon, got once. Raises ImageError."""
        given = self._request.contexts.get(name) or self._request.contexts.get(name.lower())
        if given is not None and given.startswith("docker-image://"):
            name = given.removeprefix("docker-image://")
        key = f"{name}\0{platform or self._request.platform}"
        if key not in self._found:
            self._found[key] = self._bases(name, platform or self._request.platform)
        return self._found[key]

    def base_image(self, name: str, platform: str, instruction: Instruction) -> BaseImage:
        """Return what FROM needs of an image; raises DockerfileError with its place."""
        given = self._request.contexts.get(name.lower())
        if given is not None and not given.startswith("docker-image://"):
            raise error(
                self._file, instruction, f"context {name} is a directory: FROM needs an image", word=name
            )
        try:
            return self.base(name, platform).image
        except DockerfileError:
            raise
        except PycomposeError as exc:
            raise error(self._file, instruction, str(exc), word=name, hint=exc.hint) from exc

    def open_context(self) -> None:
        """Open the build context. Raises BuildError."""
        context = self._request.context
        if context is None:
            return
        try:
            fd = os.open(context, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise BuildError(f"build context {context}: cannot read: {exc.strerror}") from exc
        self._stack.callback(os.close, fd)
        digests = DigestCache(self._cache_folder / "contexts", str(context))
        self._context = SourceTree(fd, ignore=self._ignore, digests=digests)
        self._digests = digests

    def save_digests(self) -> None:
        """Remember the digests of the context's files."""
        if self._context is not None:
            self._digests.save()

    @contextlib.contextmanager
    def tree(self, origin: str, stage: int | None, scratch: Path) -> Iterator[tuple[SourceTree, str]]:
        """Yield a tree to read from, and what names its content ("" where only its digest does)."""
        layout = self._layout
        if stage is not None:
            snapshot = self._stage(stage)
            with opened(self._paths, make_directory(scratch / "from"), snapshot, layout) as root:
                yield SourceTree(root, keeps_owners=True, what=f"stage {origin}"), snapshot.chain_id
            return
        if not origin:
            if self._context is None:
                raise BuildError("there is no build context to copy from")
            yield self._context, ""
            return
        given = self._request.contexts.get(origin.lower())
        if given is not None and not given.startswith("docker-image://"):
            fd = os.open(given, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                text = _read_ignore(Path(given))
                ignore = parse_ignore(text) if text else None
                digests = DigestCache(self._cache_folder / "contexts", given)
                yield SourceTree(fd, ignore=ignore, digests=digests, what=f"context {origin}"), ""
                digests.save()
            finally:
                os.close(fd)
            return
        base = self.base(origin, "")
        with opened(self._paths, make_directory(scratch / "from"), base.snapshot, layout) as root:
            yield SourceTree(root, keeps_owners=True, what=f"image {origin}"), base.snapshot.chain_id

    def lowers(self, mount: StepMount, scratch: Path) -> tuple[str, ...]:
        """Return the lower directories that a bind mount shows, topmost first."""
        empty = str(make_directory(scratch / "empty"))
        layout = self._layout
        if mount.origin.isdecimal():
            snapshot = self._stage(int(mount.origin))
        elif mount.origin:
            given = self._request.contexts.get(mount.origin.lower())
            if given is not None and not given.startswith("docker-image://"):
                return (given, empty)
            snapshot = self.base(mount.origin, "").snapshot
        else:
            return self._context_lowers(scratch)
        trees = snapshot.trees(layout, Path(empty))
        return (*trees[0].lowers, empty)

    def _context_lowers(self, scratch: Path) -> tuple[str, ...]:
        """Return the context under whiteouts for what .dockerignore leaves out."""
        if self._request.context is None or self._context is None:
            raise BuildError("there is no build context to mount")
        mask = make_directory(scratch / "ignored")
        if self._ignore is not None:
            _mask(str(self._request.context), str(mask), self._ignore)
        os.chmod(mask, 0o755)  # noqa: S103 - it is the context's top in the container
        return (str(mask), str(self._request.context))

    def fill(self, mount: StepMount, place: Path, scratch: Path) -> None:
        """Give a new cache its first content."""
        number = int(mount.origin) if mount.origin.isdecimal() else None
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self.tree(mount.origin, number, scratch) as (tree, _name):
                CopyTarget(fd, CopyOptions()).copy(tree, tree.match(mount.source or "."), "/")
        finally:
            os.close(fd)


def _read_ignore(context: Path) -> str:
    with contextlib.suppress(OSError):
        return (context / ".dockerignore").read_text(encoding="utf-8", errors="surrogateescape")
    return ""


def _mask(context: str, mask: str, ignore: Ignore, below: str = "") -> None:
    """Make whiteouts (overlayfs.rst: character devices 0:0) for what `ignore` leaves out of the context."""
    with os.scandir(f"{context}/{below}") as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if ignore.ignored(path):
                if entry.is_dir(follow_symlinks=False) and ignore.may_contain_exceptions(path):
                    os.makedirs(f"{mask}/{path}", exist_ok=True)
                    _mask(context, mask, ignore, path)
                    continue
                os.makedirs(os.path.dirname(f"{mask}/{path}"), exist_ok=True)
                os.mknod(f"{mask}/{path}", 0o20000, 0)
            elif entry.is_dir(follow_symlinks=False):
                _mask(context, mask, ignore, path)
