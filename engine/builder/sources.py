"""Where a build reads from: its context, further contexts, its own stages, images; and what it starts from."""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.copying import CopyOptions, CopyTarget
from pycompose.engine.builder.ignore import Ignore, context_ignore
from pycompose.engine.builder.instructions import checked, error, suggestion
from pycompose.engine.builder.mountflags import ShownTree
from pycompose.engine.builder.remotes import git_source
from pycompose.engine.builder.snapshot import Snapshot, opened
from pycompose.engine.builder.statcache import DigestCache
from pycompose.engine.builder.tree import SourceTree
from pycompose.engine.errors import BuildError, DockerfileError, PycomposeError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.builder.bases import Base
    from pycompose.engine.builder.dockerfile import Dockerfile, Instruction
    from pycompose.engine.builder.fetching import Fetcher
    from pycompose.engine.builder.git import Git
    from pycompose.engine.builder.mountflags import StepMount
    from pycompose.engine.builder.request import BuildRequest
    from pycompose.engine.builder.steps import BaseImage, Copy
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths


class Sources:
    """One build's. `bases(name, platform)` finds images, `stage(number)` waits for a stage's file system."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is somebody's own
        self,
        paths: StatePaths,
        layout: ImageLayout,
        file: Dockerfile,
        request: BuildRequest,
        bases: Callable[[str, str], Base],
        stage: Callable[[int], Snapshot],
        fetcher: Fetcher,
    ) -> None:
        self._paths = paths
        self._layout = layout
        self._file = file
        self._request = request
        self._bases = bases
        self._stage = stage
        self._fetcher = fetcher
        self._cache_folder = paths.builder
        self._found: dict[str, Base] = {}
        # What FROM lines have asked for, under the names that they have used.
        self.bases: dict[str, BaseImage] = {}
        self._ignore: Ignore | None = context_ignore(request.ignore_text)
        self._stack = contextlib.ExitStack()
        self._context: SourceTree | None = None
        self._digests: DigestCache | None = None

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
            self.bases[name] = self.base(name, platform).image
        except DockerfileError:
            raise
        except PycomposeError as exc:
            hint = self._stage_like(name) or exc.hint
            raise error(self._file, instruction, str(exc), word=name, hint=hint) from exc
        return self.bases[name]

    def _origin(self, name: str) -> Base:
        """Return an image to copy from. Raises BuildError with the stage that may have been meant."""
        try:
            return self.base(name, "")
        except PycomposeError as exc:
            raise BuildError(str(exc), hint=self._stage_like(name) or exc.hint) from exc

    def _stage_like(self, name: str) -> str | None:
        stages = [stage.name for stage in checked(self._file).stages if stage.name]
        return suggestion(name, [stage for stage in stages if stage != name])

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
        if not self._request.context_name:
            self._digests = DigestCache(self._cache_folder / "contexts", str(context))
        self._context = SourceTree(fd, ignore=self._ignore, digests=self._digests)

    def save_digests(self) -> None:
        """Remember the digests of the context's files, if it stays."""
        if self._digests is not None:
            self._digests.save()

    def identity(self, origin: str, stage: int | None) -> str:
        """Return what names the content of an origin that can't change: a stage, an image; "" for directories."""
        if stage is not None:
            return _lasting(self._stage(stage))
        given = self._request.contexts.get(origin.lower())
        if not origin or (given is not None and not given.startswith("docker-image://")):
            return ""
        return _lasting(self._origin(origin).snapshot)

    # From elsewhere

    def remote_content(self, source: str, action: Copy) -> list[str]:
        """Return what ADD of a URL or repository depends on: name, content, more. Raises BuildError, OSError."""
        git = git_source(source)
        if git is None:
            found = self._fetcher.file(source, action.checksum)
            return [found.name, found.digest, str(found.modified_s)]
        commit = self._git().fetch(git, action.checksum)
        return [git.remote, commit.id, git.folder, "with .git" if action.keep_git_dir else ""]

    @contextlib.contextmanager
    def fetched(self, source: str, action: Copy, scratch: Path) -> Iterator[tuple[SourceTree, str]]:
        """Yield the tree that ADD of a URL or repository copies from, and the path. Raises BuildError, OSError."""
        git = git_source(source)
        if git is None:
            found = self._fetcher.file(source, action.checksum)
            folder, path = found.folder, found.name
        else:
            runner = self._git()
            commit = runner.fetch(git, action.checksum)
            place = make_directory(Path(tempfile.mkdtemp(prefix="git", dir=scratch)))
            folder, path = runner.check_out(commit, place, keep_git_dir=action.keep_git_dir), ""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield SourceTree(fd, has_root=True, what=source), path
        finally:
            os.close(fd)

    def _git(self) -> Git:
        from pycompose.engine.builder.git import Git, access  # noqa: PLC0415 - seldom

        return Git(self._fetcher, access(self._request.secrets, self._request.ssh))

    @contextlib.contextmanager
    def tree(
        self, origin: str, stage: int | None, scratch: Callable[[], Path]
    ) -> Iterator[tuple[SourceTree, str]]:
        """Yield a tree to read from, and what names its content ("" where only its digest does).

        `scratch` is asked for a directory to mount it in, where it isn't one already.
        """
        layout = self._layout
        if stage is not None:
            snapshot = self._stage(stage)
            with opened(self._paths, make_directory(scratch() / "from"), snapshot, layout) as root:
                yield SourceTree(root, keeps_owners=True, what=f"stage {origin}"), snapshot.chain_id
            return
        if not origin:
            if self._context is None:
                raise BuildError("there is no build context to copy from")
            yield self._context, ""
            return
        if given := self._folder(origin):
            fd = os.open(given, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                text = _read_ignore(Path(given))
                ignore = context_ignore(text)
                digests = DigestCache(self._cache_folder / "contexts", given)
                yield SourceTree(fd, ignore=ignore, digests=digests, what=f"context {origin}"), ""
                digests.save()
            finally:
                os.close(fd)
            return
        base = self._origin(origin)
        with opened(self._paths, make_directory(scratch() / "from"), base.snapshot, layout) as root:
            yield SourceTree(root, keeps_owners=True, what=f"image {origin}"), base.snapshot.chain_id

    def _folder(self, origin: str) -> str:
        """Return the folder of a further context, "" for an image."""
        given = self._request.contexts.get(origin.lower())
        return "" if given is None or given.startswith("docker-image://") else given

    def views(self, mount: StepMount, scratch: Path) -> list[ShownTree]:
        """Return what a bind mount shows: one overlay, or several where an image is several (`host`)."""
        empty = str(make_directory(scratch / "empty"))
        source = posixpath.normpath("/" + mount.source.lstrip("/"))
        if not mount.origin:
            return [ShownTree("", self._context_lowers(scratch), source.strip("/"))]
        if mount.origin.isdecimal():
            snapshot = self._stage(int(mount.origin))
        elif folder := self._folder(mount.origin):
            return [ShownTree("", (folder, empty), source.strip("/"))]
        else:
            snapshot = self._origin(mount.origin).snapshot
        trees = snapshot.trees(self._layout, Path(empty))
        own = max((tree for tree in trees if _inside(source, tree.target)), key=lambda tree: len(tree.target))
        below = [tree for tree in trees if tree is not own and _inside(tree.target, source)]
        return [
            ShownTree("", (*own.lowers, empty), source[len(own.target) :].strip("/")),
            *(ShownTree(tree.target[len(source) :].strip("/"), (*tree.lowers, empty), "") for tree in below),
        ]

    def _context_lowers(self, scratch: Path) -> tuple[str, ...]:
        """Return the context under whiteouts for what .dockerignore leaves out."""
        if self._request.context is None or self._context is None:
            raise BuildError("there is no build context to mount")
        mask = scratch / "ignored"
        if not mask.exists():  # another mount of the same step may show the context, too
            make_directory(mask)
            if self._ignore is not None:
                _mask(str(self._request.context), str(mask), self._ignore)
            os.chmod(mask, 0o755)  # noqa: S103 - it is the context's top in the container
        return (str(mask), str(self._request.context))

    def fill(self, mount: StepMount, place: Path, scratch: Path) -> None:
        """Give a new cache its first content."""
        number = int(mount.origin) if mount.origin.isdecimal() else None
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self.tree(mount.origin, number, lambda: scratch) as (tree, _name):
                CopyTarget(fd, CopyOptions()).copy(tree, tree.match(mount.source or "."), "/")
        finally:
            os.close(fd)


def _lasting(snapshot: Snapshot) -> str:
    """Return the name of a file system's content; "" upon this machine's system, whose files change."""
    return "" if snapshot.identity else snapshot.chain_id


def _inside(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies in it; both are absolute."""
    return folder in ("/", path) or path.startswith(f"{folder}/")


def _read_ignore(context: Path) -> str:
    with contextlib.suppress(OSError):
        return (context / ".dockerignore").read_text(encoding="utf-8", errors="surrogateescape")
    return ""


def _mask(context: str, mask: str, ignore: Ignore, below: str = "") -> None:
    """Make whiteouts (overlayfs.rst: character devices 0:0) for what `ignore` leaves out of the context."""
    with os.scandir(f"{context}/{below}") as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if ignore.left_out(path):
                if entry.is_dir(follow_symlinks=False) and ignore.may_contain_exceptions(path):
                    os.makedirs(f"{mask}/{path}", exist_ok=True)
                    _mask(context, mask, ignore, path)
                    continue
                os.makedirs(os.path.dirname(f"{mask}/{path}"), exist_ok=True)
                os.mknod(f"{mask}/{path}", 0o20000, 0)
            elif entry.is_dir(follow_symlinks=False):
                _mask(context, mask, ignore, path)
