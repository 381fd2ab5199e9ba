"""One step that changes files: how its layer is made."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.commit import commit
from pycompose.engine.builder.copying import CopyOptions, CopyTarget
from pycompose.engine.builder.ignore import exclude_patterns
from pycompose.engine.builder.instructions import error
from pycompose.engine.builder.modes import parse_mode
from pycompose.engine.builder.mountflags import SECRET, SSH, secret_target
from pycompose.engine.builder.mounts import MountSources, agent_target
from pycompose.engine.builder.owners import find_owner
from pycompose.engine.builder.snapshot import Layer, Snapshot, opened, upper_of
from pycompose.engine.builder.steps import Copy, MakeDirectory, Run, Step
from pycompose.engine.container.uppers import move_uppers
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import StepFailed
from pycompose.engine.linux import fs
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.builder.dockerfile import Dockerfile
    from pycompose.engine.builder.held import Held
    from pycompose.engine.builder.request import BuildRequest, DebugTerminal, OnFailure
    from pycompose.engine.builder.running import StepRunner
    from pycompose.engine.builder.sources import Sources
    from pycompose.engine.builder.tree import SourceTree
    from pycompose.engine.config import RootfsTree
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths

TAIL_LINES = 20


class StepWork:
    """Knows how the steps of one build are done; used by all of its threads."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is somebody's own
        self,
        paths: StatePaths,
        layout: ImageLayout,
        file: Dockerfile,
        request: BuildRequest,
        sources: Sources,
        runner: Callable[[], StepRunner],
        on_failure: OnFailure | None = None,
    ) -> None:
        self._paths = paths
        self._layout = layout
        self._file = file
        self._request = request
        self._sources = sources
        self._runner = runner
        self._on_failure = on_failure

    def make(
        self,
        step: Step,
        parent: Snapshot,
        scratch: Path,
        output: Callable[[int, bytes], None],
        held: Held | None = None,
    ) -> Layer:
        """Do the step above `parent`, return its layer; what is `held` is copied from memory.

        Raises StepFailed, BuildError, EngineError, OSError.
        """
        match step.action:
            case Run():
                return self._run(step, step.action, parent, scratch, output)
            case Copy():
                return self._copy(step.action, parent, scratch, held)
            case MakeDirectory():
                return self._directory(step.action, parent, scratch)
            case None:
                raise AssertionError("a step that changes files")

    def _run(
        self, step: Step, action: Run, parent: Snapshot, scratch: Path, output: Callable[[int, bytes], None]
    ) -> Layer:
        layout = self._layout
        tail: list[bytes] = []
        lock = threading.Lock()

        def take(stream: str, data: bytes) -> None:
            with lock:
                tail.append(data)
                del tail[:-200]
            output(2 if stream == "stderr" else 1, data)

        network = self._request.network if action.network == "default" else action.network
        action = replace(action, network=network)
        trees = parent.trees(layout, make_directory(scratch / "empty"))
        runner = self._runner()
        with runner.slot(network) as slot:
            with self._mount_sources(slot, scratch) as sources:
                stubs = _mount_points(action)
                ended = runner.run(slot, action, trees, sources, take)
            if ended.exit_code != 0:
                failure = self._failure(step, action, ended.exit_code, ended.oom_killed, b"".join(tail))
                if self._on_failure is not None:
                    self._on_failure(
                        failure, lambda terminal: self._shell(runner, slot, action, trees, scratch, terminal)
                    )
                raise failure
            move_uppers(ended.directory / "rw", scratch / "rw")
        return commit(layout, scratch, parent, leave_out=stubs, latest_s=self._request.latest_s)

    @contextlib.contextmanager
    def _mount_sources(self, slot: str, scratch: Path) -> Iterator[MountSources]:
        volatile = make_directory(self._paths.injected(slot))
        try:
            yield MountSources(
                caches=self._paths.builder / "mounts",
                scratch=scratch,
                volatile=volatile,
                secrets=dict(self._request.secrets),
                ssh=dict(self._request.ssh),
                views=lambda mount: self._sources.views(mount, scratch),
                fill=lambda mount, place: self._sources.fill(mount, place, scratch),
            )
        finally:
            _remove(volatile)

    def _shell(
        self,
        runner: StepRunner,
        slot: str,
        action: Run,
        trees: tuple[RootfsTree, ...],
        scratch: Path,
        terminal: DebugTerminal,
    ) -> None:
        """Run a shell where the step has failed: upon what it has left, with its environment and its mounts."""
        shell = replace(action, args=("/bin/sh",), heredocs=())
        again = make_directory(scratch / "shell")
        with self._mount_sources(slot, again) as sources:
            runner.interact(slot, shell, trees, sources, terminal)

    def _failure(self, step: Step, action: Run, code: int, oom: bool, output: bytes) -> StepFailed:  # noqa: FBT001
        shown = json.dumps(" ".join(action.args), ensure_ascii=False)  # as Go quotes (%q), which Docker does
        why = " (killed: out of memory)" if oom else ""
        place = error(self._file, step.instruction, "")
        lines = output.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        return StepFailed(
            f"process {shown} did not complete successfully: exit code: {code}{why}",
            file=place.file,
            line=place.line,
            text=place.text,
            output=tuple(lines),
            exit_code=code,
        )

    def _copy(self, action: Copy, parent: Snapshot, scratch: Path, held: Held | None) -> Layer:
        below = Snapshot() if action.link else parent
        mode = parse_mode(action.chmod) if action.chmod else None
        with opened(self._paths, scratch, below, self._layout) as root, upper_of(scratch, below) as upper:
            options = CopyOptions(
                owner=find_owner(root, action.chown) if action.chown else None,
                mode=mode,
                exclude=exclude_patterns(action.exclude) if action.exclude else None,
                parents=action.parents,
                latest_s=self._request.latest_s,
            )
            target = CopyTarget(root, options, upper, held)
            if action.local_sources:
                with self._sources.tree(action.origin, action.origin_stage, lambda: scratch) as (tree, _name):
                    found = [tree.match(source) for source in action.local_sources]
                    for paths in found:
                        self._copy_all(action, tree, paths, target)
            for source in action.remote_sources:
                with self._sources.fetched(source, action, scratch) as (tree, path):
                    self._copy_all(action, tree, [path], target, fetched=True)
            several = len(action.heredocs) + len(action.sources) > 1
            for doc in action.heredocs:
                where = action.target if not several or action.target.endswith("/") else f"{action.target}/"
                target.write(doc.name, doc.text.encode("utf-8", "surrogateescape"), where)
        latest_s = self._request.latest_s
        return commit(self._layout, scratch, parent, latest_s=latest_s, contents=target.contents)

    def _copy_all(
        self,
        action: Copy,
        tree: SourceTree,
        paths: Sequence[str],
        target: CopyTarget,
        *,
        fetched: bool = False,
    ) -> None:
        if action.is_add:
            from pycompose.engine.builder.adding import add  # noqa: PLC0415 - few files use ADD

            add(tree, paths, target, action, fetched=fetched)
        else:
            target.copy(tree, paths, action.target)

    def _directory(self, action: MakeDirectory, parent: Snapshot, scratch: Path) -> Layer:
        with opened(self._paths, scratch, parent, self._layout) as root:
            owner = find_owner(root, action.user) if action.user else None
            options = CopyOptions(owner=owner, latest_s=self._request.latest_s)
            CopyTarget(root, options).make_directory(fs.clean(action.path))
        return commit(self._layout, scratch, parent, latest_s=self._request.latest_s)


def _remove(directory: Path) -> None:
    with contextlib.suppress(OSError):
        remove_tree(directory)


def _mount_points(action: Run) -> list[bytes]:
    """Return the paths (deepest first) that may be there only because something is mounted on them."""
    found: list[bytes] = []
    for number, mount in enumerate(action.mounts):
        target = mount.target
        if mount.kind == SECRET:
            target = secret_target(mount)
        elif mount.kind == SSH:
            target = agent_target(mount, number)
        if not target:
            continue
        parts = fs.split(target if target.startswith("/") else f"{action.cwd}/{target}")
        found += [os.fsencode("/".join(parts[:count])) for count in range(len(parts), 0, -1)]
    return found
