"""One step that changes files: what its key is made of, and how its layer is made."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.copying import CopyOptions, CopyTarget, parse_mode
from pycompose.engine.builder.ignore import exclude_patterns
from pycompose.engine.builder.instructions import error
from pycompose.engine.builder.mountflags import BIND, StepMount
from pycompose.engine.builder.mounts import MountSources
from pycompose.engine.builder.owners import find_owner
from pycompose.engine.builder.platforms import PROXIES
from pycompose.engine.builder.snapshot import Layer, Snapshot, commit, opened
from pycompose.engine.builder.steps import Copy, MakeDirectory, Run, Step
from pycompose.engine.errors import StepFailed
from pycompose.engine.images.removal import remove_tree
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.builder.dockerfile import Dockerfile
    from pycompose.engine.builder.request import BuildRequest
    from pycompose.engine.builder.running import StepRunner
    from pycompose.engine.builder.sources import Sources
    from pycompose.engine.builder.tree import SourceTree
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths

TAIL_LINES = 20


class StepWork:
    """Knows how the steps of one build are done; used by all of its threads."""

    def __init__(
        self,
        paths: StatePaths,
        layout: ImageLayout,
        file: Dockerfile,
        request: BuildRequest,
        sources: Sources,
        runner: StepRunner,
    ) -> None:
        self._paths = paths
        self._layout = layout
        self._file = file
        self._request = request
        self._sources = sources
        self._runner = runner

    def make(self, step: Step, parent: Snapshot, scratch: Path, output: Callable[[bytes], None]) -> Layer:
        """Do the step above `parent`, return its layer. Raises StepFailed, BuildError, EngineError, OSError."""
        match step.action:
            case Run():
                return self._run(step, step.action, parent, scratch, output)
            case Copy():
                return self._copy(step.action, parent, scratch)
            case MakeDirectory():
                return self._directory(step.action, parent, scratch)
            case None:
                raise AssertionError("a step that changes files")

    def key_parts(self, step: Step, parent: Snapshot, scratch: Path) -> dict[str, Any]:
        """Return everything that decides what the step makes, as JSON values. Raises BuildError, OSError."""
        action = step.action
        epoch = self._request.source_date_epoch
        match action:
            case Run():
                return {
                    "does": "run",
                    "on": parent.chain_id,
                    "args": action.args,
                    "env": [item for item in action.env if not _is_proxy(item)],
                    "user": action.user,
                    "cwd": action.cwd,
                    "network": action.network,
                    "insecure": action.insecure,
                    "scripts": [doc.text for doc in action.heredocs],
                    "mounts": [self._mount_key(mount, scratch) for mount in action.mounts],
                }
            case Copy():
                return {
                    "does": "add" if action.is_add else "copy",
                    "on": "" if action.link else parent.chain_id,
                    "to": action.target,
                    "chown": action.chown,
                    "chmod": action.chmod,
                    "parents": action.parents,
                    "unpack": action.unpack,
                    "link": action.link,
                    "epoch": epoch,
                    "files": self._copied(action, scratch),
                    "documents": [[doc.name, doc.text] for doc in action.heredocs],
                }
            case MakeDirectory():
                return {"does": "directory", "on": parent.chain_id, "path": action.path, "user": action.user}
            case None:
                raise AssertionError("a step that changes files")

    def _copied(self, action: Copy, scratch: Path) -> list[Any]:
        if not action.sources:
            return []
        exclude = exclude_patterns(action.exclude) if action.exclude else None
        with self._sources.tree(action.origin, action.origin_stage, scratch) as (tree, _name):
            found = [(source, tree.match(source)) for source in action.sources]
            return [
                [source, paths, list(action.exclude), tree.digest(paths, exclude)] for source, paths in found
            ]

    def _mount_key(self, mount: StepMount, scratch: Path) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "kind": mount.kind, "target": mount.target, "id": mount.id, "env": mount.env,
            "read_only": mount.read_only,
        }  # fmt: skip
        if mount.kind != BIND:
            return parts
        number = int(mount.origin) if mount.origin.isdecimal() else None
        with self._sources.tree(mount.origin, number, scratch) as (tree, name):
            parts["source"] = mount.source
            parts["content"] = name or tree.digest(tree.match(mount.source or "."))
        return parts

    def _run(
        self, step: Step, action: Run, parent: Snapshot, scratch: Path, output: Callable[[bytes], None]
    ) -> Layer:
        layout = self._layout
        tail: list[bytes] = []
        lock = threading.Lock()

        def take(_stream: str, data: bytes) -> None:
            with lock:
                tail.append(data)
                del tail[:-200]
            output(data)

        network = self._request.network if action.network == "default" else action.network
        trees = parent.trees(layout, make_directory(scratch / "empty"))
        with self._runner.slot(network) as slot:
            volatile = make_directory(self._paths.injected(slot))
            try:
                sources = MountSources(
                    caches=self._paths.builder / "mounts",
                    scratch=scratch,
                    volatile=volatile,
                    secrets=dict(self._request.secrets),
                    ssh=dict(self._request.ssh),
                    lowers=lambda mount: self._sources.lowers(mount, scratch),
                    fill=lambda mount, place: self._sources.fill(mount, place, scratch),
                )
                stubs = _mount_points(action)
                ended = self._runner.run(slot, action, trees, sources, take)
            finally:
                _remove(volatile)
            if ended.exit_code != 0:
                raise self._failure(step, action, ended.exit_code, ended.oom_killed, b"".join(tail))
            os.rename(ended.directory / "rw", scratch / "rw")
        return commit(layout, scratch, parent, leave_out=stubs)

    def _failure(self, step: Step, action: Run, code: int, oom: bool, output: bytes) -> StepFailed:  # noqa: FBT001
        shown = " ".join(action.args)
        why = " (killed: out of memory)" if oom else ""
        place = error(self._file, step.instruction, "")
        lines = output.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        return StepFailed(
            f'process "{shown}" did not complete successfully: exit code: {code}{why}',
            file=place.file,
            line=place.line,
            text=place.text,
            output=tuple(lines),
            exit_code=code,
        )

    def _copy(self, action: Copy, parent: Snapshot, scratch: Path) -> Layer:
        below = Snapshot() if action.link else parent
        mode = parse_mode(action.chmod) if action.chmod else None
        with opened(self._paths, scratch, below, self._layout) as root:
            options = CopyOptions(
                owner=find_owner(root, action.chown) if action.chown else None,
                mode=mode,
                exclude=exclude_patterns(action.exclude) if action.exclude else None,
                parents=action.parents,
                latest_s=self._request.source_date_epoch,
            )
            target = CopyTarget(root, options)
            if action.sources:
                with self._sources.tree(action.origin, action.origin_stage, scratch) as (tree, _name):
                    paths = [path for source in action.sources for path in tree.match(source)]
                    self._copy_all(action, tree, paths, target)
            several = len(action.heredocs) + len(action.sources) > 1
            for doc in action.heredocs:
                where = action.target if not several or action.target.endswith("/") else f"{action.target}/"
                target.write(doc.name, doc.text.encode("utf-8", "surrogateescape"), where)
        return commit(self._layout, scratch, parent)

    def _copy_all(self, action: Copy, tree: SourceTree, paths: Sequence[str], target: CopyTarget) -> None:
        if action.is_add:
            from pycompose.engine.builder.adding import add  # noqa: PLC0415 - few files use ADD

            add(tree, paths, target, action)
        else:
            target.copy(tree, paths, action.target)

    def _directory(self, action: MakeDirectory, parent: Snapshot, scratch: Path) -> Layer:
        with opened(self._paths, scratch, parent, self._layout) as root:
            owner = find_owner(root, action.user) if action.user else None
            options = CopyOptions(owner=owner, latest_s=self._request.source_date_epoch)
            CopyTarget(root, options).make_directory(action.path)
        return commit(self._layout, scratch, parent)


def _is_proxy(item: str) -> bool:
    return item.partition("=")[0] in PROXIES


def _remove(directory: Path) -> None:
    with contextlib.suppress(OSError):
        remove_tree(directory)


def _mount_points(action: Run) -> list[bytes]:
    """Return the paths (deepest first) that may be there only because something is mounted on them."""
    found: list[bytes] = []
    for mount in action.mounts:
        target = mount.target if mount.target.startswith("/") else f"{action.cwd}/{mount.target}"
        parts = [part for part in target.split("/") if part]
        found += [os.fsencode("/".join(parts[:count])) for count in range(len(parts), 0, -1)]
    return found
