"""The root file system of a container as a descriptor, for `cp`, `export` and `commit`.

A running container's is the root of its process 1. A stopped one's is mounted anew, in a mount namespace that only
one thread has: nothing of it can be seen from outside, and everything of it goes with the thread. Whoever gets the
descriptor resolves paths with RESOLVE_IN_ROOT (linux/fs.py), since what lies there belongs to strangers.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.container import mount, rootfs
from pycompose.engine.container.layers import make_base, make_uppers
from pycompose.engine.container.uppers import container_uppers
from pycompose.engine.errors import MountError, StateError
from pycompose.engine.linux import fs, mounts, namespaces
from pycompose.engine.state import Status, alive
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.config import ContainerConfig, RootfsTree
    from pycompose.engine.paths import StatePaths
    from pycompose.engine.state import ContainerState

_CLONE_FS = 0x200  # a working directory of its own (unshare(2)), which setns(2) into a mount namespace needs
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def whole(paths: StatePaths, config: ContainerConfig, state: ContainerState) -> Iterator[int]:
    """Yield the root with everything that is mounted on it: volumes, binds, generated files.

    Raises StateError when the container has just ended, MountError.
    """
    if state.status in (Status.RUNNING, Status.PAUSED):
        root = _running_root(config, state)
        try:
            yield root
        finally:
            os.close(root)
        return
    etc = paths.etc(config.id)
    generated = {str(etc / name) for name in config.files.values()}
    steps = [
        step
        for step in rootfs.plan(config, etc)
        if isinstance(step, rootfs.Bind)
        and not (step.source in generated and not os.path.exists(step.source))  # written by its first start
    ]

    def clone_trees(attach_at: Path) -> list[int]:
        sources = mount.clone_sources(steps)
        trees = _mount_trees(paths, config, attach_at)
        if steps:
            mount.mount_all(trees[0], steps, sources, (), {})
        if config.security.read_only_rootfs:
            for tree in trees:
                mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY)
        return trees

    with _in_private_namespace(paths, f"container {config.name}", clone_trees) as trees:
        yield trees[0]


@contextmanager
def bare(paths: StatePaths, config: ContainerConfig, state: ContainerState) -> Iterator[list[int]]:
    """Yield the roots of the container's overlays, in the order of `config.rootfs`, with nothing mounted on them.

    Raises StateError, MountError.
    """
    if state.status in (Status.RUNNING, Status.PAUSED):
        namespace = namespaces.open_namespace(state.pid, "mnt")
        root = _running_root(config, state)

        def clone() -> list[int]:
            # A mount can be cloned only by who lives in its namespace. Nothing is imported or run in there.
            namespaces.setns(namespace, namespaces.CLONE_NEWNS)
            return [_clone(root, tree.target) for tree in config.rootfs]

        try:
            with _thread(f"container {config.name}", clone) as trees:
                yield trees
        finally:
            os.close(namespace)
            os.close(root)
        return
    what = f"container {config.name}"
    with _in_private_namespace(paths, what, lambda place: _mount_trees(paths, config, place)) as trees:
        yield trees


def _running_root(config: ContainerConfig, state: ContainerState) -> int:
    try:
        root = os.open(f"/proc/{state.pid}/root", _DIRECTORY)
    except OSError as exc:
        raise StateError(f"container {config.name}: has just ended", hint="try again") from exc
    if not alive(state):  # the pid may belong to somebody else by now
        os.close(root)
        raise StateError(f"container {config.name}: has just ended", hint="try again")
    return root


def _clone(root: int, target: str) -> int:
    place = fs.open_in_root(root, target, _DIRECTORY)
    try:
        return mounts.clone_tree(place)
    finally:
        os.close(place)


def _mount_trees(paths: StatePaths, config: ContainerConfig, attach_at: Path) -> list[int]:
    rw = container_uppers(paths, config.id, config.rootfs)
    return mount.mount_root(config.rootfs, make_base(paths.base), rw, attach_at)


@contextmanager
def mounted(
    paths: StatePaths, what: str, trees: Sequence[RootfsTree], base: Path, directory: Path
) -> Iterator[int]:
    """Yield the root of overlays that belong to no container; what is written lands in `directory`/rw.

    `base` is the lowest layer of all. `what` names it in errors. Raises MountError.
    """
    rw = make_uppers(directory, trees)
    with _in_private_namespace(paths, what, lambda place: mount.mount_root(trees, base, rw, place)) as fds:
        yield fds[0]


@contextmanager
def _in_private_namespace(
    paths: StatePaths, what: str, clone_trees: Callable[[Path], list[int]]
) -> Iterator[list[int]]:
    make_directory(paths.run)
    with tempfile.TemporaryDirectory(prefix=".root-", dir=paths.run) as place:

        def enter() -> list[int]:
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mounts.set_propagation("/", mounts.MS_PRIVATE | mounts.MS_REC)
            return clone_trees(Path(place))

        with _thread(what, enter) as fds:
            yield fds


@contextmanager
def _thread(what: str, work: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Yield the descriptors that `work` returns on a thread of its own, which lives as long as the block.

    Namespaces and the working directory belong to threads; mounts live as long as somebody is in their namespace.
    Raises MountError for an OSError.
    """
    done, leave = threading.Event(), threading.Event()
    fds: list[int] = []
    failures: list[BaseException] = []

    def live() -> None:
        try:
            namespaces.unshare(_CLONE_FS)
            fds.extend(work())
        except BaseException as exc:  # noqa: BLE001 - raised by whoever waits
            failures.append(exc)
        done.set()
        leave.wait()

    thread = threading.Thread(target=live, name="container-root", daemon=True)
    thread.start()
    try:
        done.wait()
        if failures:
            if isinstance(failures[0], OSError):
                reason = failures[0].strerror or str(failures[0])
                place = failures[0].filename or "/"
                raise MountError(f"{what}: cannot mount {place}: {reason}") from failures[0]
            raise failures[0]
        yield fds
    finally:
        for fd in fds:
            os.close(fd)
        leave.set()
        thread.join()
