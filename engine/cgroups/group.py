"""The control group of one container or exec as an object: kill, freeze, count, limit, remove.

Where there is cgroup2, its directory is the handle, even without controllers; v1 directories hold limits.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files, v1, v2
from pycompose.engine.cgroups.hosts import detect
from pycompose.engine.cgroups.limits import (
    check,
    cpu_bandwidth,
    device_number,
    key_of,
    optional_files,
    v1_files,
    v2_files,
)
from pycompose.engine.cgroups.lost import insists
from pycompose.engine.config import Limits
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import CgroupError, doctor_row
from pycompose.engine.linux import userns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Controllers of v1 whose limits hold for the groups below, too (not so throttles of blkio).
LIMITED = frozenset({"cpu", "cpuset", "memory", "pids"})
REMOVE_S = 2.0
RT_PERIOD_US = 1_000_000  # the kernel's default
_V1_NAMES = {"io": "blkio"}


class Cgroup:
    """The directories of one container or exec; made by `create`, found again by `open_existing`.

    `unified` is the cgroup2 directory, `inside` the one below that processes are put into, if not the same.
    `leaves` are the directories of v1 hierarchies that processes are put into, `walls` those above them that limit
    them too. `freezer` is the v1 group to stop and kill by where there is no cgroup2. `own` are the directories that
    `remove` removes, `parents` those that go with the last child, and whether they are in our own root.
    `warnings` are sentences about keys that have no effect here.
    """

    def __init__(  # noqa: PLR0913 - sides of one group
        self,
        *,
        unified: Path | None,
        leaves: dict[str, Path],
        own: tuple[Path, ...],
        inside: Path | None = None,
        walls: dict[str, Path] | None = None,
        warnings: tuple[str, ...] = (),
        parents: tuple[tuple[Path, bool], ...] = (),
    ) -> None:
        self.unified = unified
        self.inside = inside or unified
        self.leaves = leaves
        self.walls = walls or {}
        self.own = own
        self.warnings = warnings
        self._parents = parents
        self._fd: int | None = None

    @property
    def freezer(self) -> Path | None:
        """The v1 freezer group, where it is what we kill and freeze by."""
        return None if self.unified else self.leaves.get("freezer")

    def leaf_fd(self) -> int | None:
        """Return the descriptor for CLONE_INTO_CGROUP, None on pure v1; it stays ours, see `close`."""
        if self._fd is None and self.inside is not None:
            self._fd = files.open_file(self.inside, ".", os.O_RDONLY | os.O_DIRECTORY)
        return self._fd

    def close(self) -> None:
        """Close the descriptor of `leaf_fd`; the groups stay."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def enter(self, *, unified: bool) -> None:
        """Put the calling process, of one thread, into every v1 group, and with `unified` into the cgroup2 one.

        The kernel moves a thread that asks for itself at once. Whoever else is moved, or a whole process, waits for an
        RCU grace period of 5 to 15 ms (cgroup_procs_write_start in kernel/cgroup/cgroup.c). Raises CgroupError.
        """
        for door in self._doors(unified=unified):
            _enter(door)

    def enter_for_a_child(self, *, unified: bool) -> list[int]:
        """Do what `enter` does, but for the group that counts processes; return what a child enters that one by.

        There may be no room in it for this process and its child both, nor for a child at its birth; but who asks to
        be moved is let in, as by Docker. The child writes b"0" to the descriptor, if there is one. Raises CgroupError.
        """
        doors = self._doors(unified=unified)
        counting = self.leaves.get("pids", self.inside)
        later = [door for door in doors if door[0] == counting]
        for door in doors:
            if door not in later:
                _enter(door)
        return [files.open_file(*door, os.O_WRONLY) for door in later]

    def _doors(self, *, unified: bool) -> list[tuple[Path, str]]:
        doors = [(group, "tasks") for group in dict.fromkeys(self.leaves.values())]
        if unified and self.inside:
            doors.append((self.inside, "cgroup.procs"))
        return doors

    def has_room(self, count: int) -> bool:
        """Tell whether `count` more processes can be born in the cgroup2 group; where that doesn't count, they can."""
        if self.unified is None or "pids" in self.leaves:
            return True
        try:
            limit, now = (files.read(self.unified, name) for name in ("pids.max", "pids.current"))
        except OSError:  # no controller
            return True
        return limit == "max" or int(now) + count <= int(limit)

    def kill(self) -> bool:
        """SIGKILL every process, frozen or not; False where this machine has nothing to do it by.

        Returns when the signals are sent; the caller reaps. Raises CgroupError.
        """
        killed = self._run("kill", v2.kill, v1.kill)
        if (
            self.unified and "freezer" in self.leaves
        ):  # a container may have found a way to freeze itself there
            v1.thaw_all(self.leaves["freezer"])
        return killed

    def freeze(self, timeout_s: float = 5.0) -> bool:
        """Stop every process and wait until all have; False where this machine has no freezer.

        Raises CgroupError when some don't stop within `timeout_s`; then none is left frozen.
        """
        return self._run(
            "freeze",
            lambda group: v2.freeze(group, frozen=True, timeout_s=timeout_s),
            lambda group: v1.freeze(group, frozen=True, timeout_s=timeout_s),
        )

    def thaw(self) -> bool:
        """Undo `freeze`; no error when nothing is frozen."""
        return self._run(
            "thaw",
            lambda group: v2.freeze(group, frozen=False),
            lambda group: v1.freeze(group, frozen=False),
        )

    def populated(self) -> bool:
        """Tell whether any process is in it or below."""
        if self.unified:
            with contextlib.suppress(OSError):
                return bool(files.read_flat(self.unified, "cgroup.events").get("populated"))
            return False
        return bool(self.procs())

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until no process is left; False after `timeout_s`. The caller must reap its own."""
        if self.unified:
            with contextlib.suppress(OSError):
                return v2.wait_event(self.unified, "populated", value=0, timeout_s=timeout_s)
            return True
        deadline = time.monotonic() + timeout_s
        while self.procs():
            if time.monotonic() >= deadline:
                return False
            time.sleep(files.RETRY_S)
        return True

    def procs(self) -> list[int]:
        """Return the pids in it and below, as seen from our pid namespace."""
        group = self.unified or self.freezer or next(iter(self.leaves.values()), None)
        return files.processes(group) if group else []

    def oom_kills(self) -> int:
        """Return how many processes the memory limit has killed, 0 where nothing counts it."""
        group, name = (
            (self.leaves["memory"], "memory.oom_control")
            if "memory" in self.leaves
            else (self.unified, "memory.events")
        )
        if group:
            with contextlib.suppress(OSError):
                return files.read_flat(group, name).get("oom_kill", 0)
        return 0

    def update(self, limits: Limits) -> None:
        """Write the limits that are set, leave the others alone.

        Raises CgroupError; also for a memory limit below what is in use, which would kill.
        """
        if limits.memory_bytes and limits.memory_bytes > 0:
            self._refuse_below_usage(limits.memory_bytes)
        with _opened(self.walls, limits):
            write_limits(self, limits)

    def exec_leaf(self, exec_id: str) -> Cgroup:
        """Create a group for one exec or probe below this one: same limits, and can be killed alone.

        Raises CgroupError.
        """
        leaves, own = dict(self.leaves), []
        unified = self.inside / f"exec-{exec_id}" if self.inside else None
        if self.freezer:
            leaves["freezer"] = self.freezer / f"exec-{exec_id}"
        for group in (unified, None if unified else leaves.get("freezer")):
            if group:
                try:
                    files.make(group)
                except OSError as exc:
                    raise CgroupError(f"cgroup {group}: cannot create: {exc.strerror}") from exc
                own.append(group)
        return Cgroup(unified=unified, leaves=leaves, own=tuple(own))

    def remove(self, timeout_s: float = REMOVE_S) -> None:
        """Remove it and everything below; dying processes get `timeout_s` to go, nothing is left frozen.

        Raises CgroupError that names the processes that are left. Once it is gone, another call does nothing.
        """
        self.close()
        for group, name, thawed in (
            (self.unified, "cgroup.freeze", "0"),
            (self.freezer, "freezer.state", "THAWED"),
        ):
            if group in self.own:
                with contextlib.suppress(OSError):
                    files.write(group, name, thawed)
        deadline = time.monotonic() + timeout_s
        failures = []
        for group in self.own:
            try:
                files.remove_tree(group, deadline)
            except CgroupError as exc:
                failures.append(exc)
        for parent, ours in self._parents:
            files.remove_parent(parent, ours=ours)
        if failures:
            raise failures[0]
        self.own = self._parents = ()

    def _run(self, verb: str, unified: Callable[[Path], None], freezer: Callable[[Path], None]) -> bool:
        group, action = (self.unified, unified) if self.unified else (self.freezer, freezer)
        if group is None:
            return False
        try:
            action(group)
        except OSError as exc:
            raise CgroupError(f"cgroup {group}: cannot {verb}: {exc.strerror}") from exc
        return True

    def memory_peak_bytes(self) -> int | None:
        """Return the most memory that was in use at once; None where the kernel doesn't count it (v2 before 5.19)."""
        group, name = (
            (self.leaves["memory"], "memory.max_usage_in_bytes")
            if "memory" in self.leaves
            else (self.unified, "memory.peak")
        )
        try:
            return int(files.read(group, name)) if group is not None else None
        except (OSError, ValueError):
            return None

    def _refuse_below_usage(self, limit: int) -> None:
        group, name = (
            (self.leaves["memory"], "memory.usage_in_bytes")
            if "memory" in self.leaves
            else (self.unified, "memory.current")
        )
        if group is None:
            return
        with contextlib.suppress(OSError):
            used = int(files.read(group, name))
            if used > limit:
                raise CgroupError(
                    f"mem_limit: cannot set {limit}: {used} bytes are in use", hint="raise mem_limit"
                )


@contextlib.contextmanager
def _opened(walls: dict[str, Path], limits: Limits) -> Iterator[None]:
    """Lift the v1 limits above for the block, which writes new ones, where a group may not get more than its parent.

    If it doesn't come to that, they are what they were.
    """
    before: list[tuple[Path, str, str]] = []
    wanted = {
        ("cpu", "cpu.cfs_quota_us"): cpu_bandwidth(limits) != (0, 0),
        ("cpuset", "cpuset.cpus"): bool(limits.cpuset),
        ("cpuset", "cpuset.mems"): bool(limits.cpuset_mems),
    }
    for (controller, name), changes in wanted.items():
        wall = walls.get(controller)
        if wall and changes:
            with contextlib.suppress(OSError):
                before.append((wall, name, files.read(wall, name)))
                files.write(wall, name, "-1" if controller == "cpu" else files.read(wall.parent, name))
    try:
        yield
    except BaseException:
        for wall, name, text in before:
            with contextlib.suppress(OSError):
                files.write(wall, name, text)
        raise


def write_limits(group: Cgroup, limits: Limits) -> None:
    """Write `limits`, each to the side, v1 or v2, that has its controller: where the processes are, then above.

    Raises CgroupError that names key, value and reason, also when neither side has it.
    """
    if limits == Limits():  # most containers
        return
    group.warnings += _write_device_weights(group, limits)
    limits = replace(limits, blkio_weight_device=())
    _grant_realtime(group.leaves, limits)
    _write_v1(group.leaves, limits)
    if "cpu" in group.leaves:  # above, they were granted
        limits = replace(limits, cpu_rt_runtime_us=None, cpu_rt_period_us=None)
    _write_v1(group.walls, limits)
    lost = [
        _write_v2(unified, group.leaves, limits) for unified in dict.fromkeys((group.inside, group.unified))
    ]
    group.warnings += tuple(dict.fromkeys(text for texts in lost for text in texts))


def _write_v1(leaves: dict[str, Path], limits: Limits) -> None:
    optional = optional_files(limits)
    bfq = "blkio" in leaves and (leaves["blkio"] / "blkio.bfq.weight").exists()
    for controller, entries in (v1_files(limits, bfq=bfq) if leaves else {}).items():
        if controller in leaves:
            files.apply(leaves[controller], entries, optional)


def _write_device_weights(group: Cgroup, limits: Limits) -> tuple[str, ...]:
    """Write `blkio_config.weight_device`; return what to say where kernel or device know no weights, or there is none.

    Docker goes on without, too: a weight is a wish, not a wall. Raises CgroupError for a weight out of range.
    """
    weights = Limits(blkio_weight_device=limits.blkio_weight_device)
    if not limits.blkio_weight_device:
        return ()
    place = group.leaves.get("blkio", group.unified)
    v1 = "blkio" in group.leaves
    bfq = place is not None and (place / ("blkio.bfq.weight" if v1 else "io.bfq.weight")).exists()
    name = f"blkio{'.bfq' * bfq}.weight_device" if v1 else f"io{'.bfq' * bfq}.weight"
    if place is None or not (place / name).exists():
        return (f"blkio_config.weight_device has no effect: the kernel has no {name}",)
    check(weights)
    try:
        if v1:
            entries = v1_files(weights, bfq=bfq, number=device_number)["blkio"]
        else:
            entries = v2_files(weights, bfq=bfq, number=device_number)
        files.write(place, name, entries[name])
    except OSError as exc:
        return (f"blkio_config.weight_device has no effect: {name}: {exc.strerror or exc}",)
    except CgroupError as exc:
        return (f"blkio_config.weight_device has no effect: {exc.message}",)
    return ()


def _grant_realtime(leaves: dict[str, Path], limits: Limits) -> None:
    if limits.cpu_rt_runtime_us and "cpu" in leaves:
        share = limits.cpu_rt_runtime_us / (limits.cpu_rt_period_us or RT_PERIOD_US)
        v1.grant_realtime(detect().v1["cpu"], leaves["cpu"], share)


def _write_v2(unified: Path | None, leaves: dict[str, Path], limits: Limits) -> tuple[str, ...]:
    bfq = unified is not None and (unified / "io.bfq.weight").exists()
    entries = {
        name: text
        for name, text in v2_files(limits, bfq=bfq).items()
        if _V1_NAMES.get(_controller(name), _controller(name)) not in leaves
    }
    return _apply_unified(unified, entries, optional_files(limits)) if entries else ()


def _enter(door: tuple[Path, str]) -> None:
    group, name = door
    try:
        files.write(group, name, "0")
    except OSError as exc:
        # Until the first process is in, whoever tidies up can take it for abandoned.
        reason = "somebody else has removed it" if exc.errno in files.GONE else exc.strerror
        raise CgroupError(f"cgroup {group}: {reason}") from exc


def _controller(name: str) -> str:
    return name.partition(".")[0]


def _apply_unified(
    unified: Path | None, entries: dict[str, str], optional: frozenset[str]
) -> tuple[str, ...]:
    """Write `entries`; return what to say about those that can't be, where an ordinary user has to live with that.

    (As Docker's rootless mode does. Root has limits that hold, or an error.)
    """
    available = files.read(unified, "cgroup.controllers").split() if unified else []
    lost = []
    for name, text in entries.items():
        if _controller(name) not in available and name not in optional:
            if not userns.is_initial() and not insists():
                reason = f"this user has no {_controller(name)} controller"
                lost.append(f"{key_of(name)} has no effect: {reason}; {doctor_row('control groups')}")
                continue
            raise CgroupError(
                f"{key_of(name)}: cannot set {name} to {text}: no {_controller(name)} controller here",
                hint=f"remove the key from the service; {doctor_row('control groups')}",
            )
    if unified:
        files.apply(
            unified,
            {name: text for name, text in entries.items() if _controller(name) in available},
            optional,
        )
    return tuple(dict.fromkeys(lost))
