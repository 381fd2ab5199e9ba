"""What control groups this machine has, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class Kind(Enum):
    """How control groups are mounted; on a hybrid machine v1 has controllers and cgroup2 is there too."""

    V2 = "v2"
    HYBRID = "hybrid"
    V1 = "v1"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """The cgroup2 mount point, and the mount point of each v1 controller and named hierarchy ("name=systemd")."""

    unified: Path | None = None
    v1: dict[str, Path] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What to call this machine."""
        if self.unified:
            return Kind.HYBRID if self.v1 else Kind.V2
        return Kind.V1 if self.v1 else Kind.NONE

    def v1_mounts(self) -> dict[Path, tuple[str, ...]]:
        """Return mount point → controllers; several may share one (`cpu,cpuacct`)."""
        found: dict[Path, tuple[str, ...]] = {}
        for name, mount in self.v1.items():
            found[mount] = (*found.get(mount, ()), name)
        return found


def detect() -> Hierarchies:
    """Return what is mounted in this mount namespace, looked for again when there are others than before."""
    with open("/proc/self/cgroup", "rb", buffering=0) as file:
        lines = file.readall().decode().splitlines()
    return _detect(frozenset(name for line in lines for name in line.split(":")[1].split(",") if name))


@cache
def _detect(names: frozenset[str]) -> Hierarchies:
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    return parse_mountinfo(text, visible, names)


def forget() -> None:
    """Have `detect` look again; for tests, which mount and unmount what is there."""
    _detect.cache_clear()


def visible(mount: Path, device: str) -> bool:
    """Tell whether `mount` leads to the filesystem `device` ("major:minor"), not to one mounted above it."""
    try:
        number = os.stat(mount).st_dev
    except OSError:
        return False
    return f"{os.major(number)}:{os.minor(number)}" == device


def parse_mountinfo(text: str, usable: Callable[[Path, str], bool], names: Collection[str]) -> Hierarchies:
    """Return the writable cgroup mounts that are `usable`; of several of one hierarchy the first counts.

    `names` are the v1 controllers in use and the named hierarchies, as /proc/self/cgroup has them.
    """
    unified: Path | None = None
    v1: dict[str, Path] = {}
    split = [line.partition(" - ")[::2] for line in text.splitlines()]
    mounts = [(before.split(" "), after.split(" ")) for before, after in split]
    topmost = {fields[4]: (fields, rest) for fields, rest in mounts if len(fields) > 5 and len(rest) > 2}
    for fields, rest in topmost.values():
        if "ro" in fields[5].split(","):
            continue
        mount = Path(_unescape(fields[4]))
        if not rest[0].startswith("cgroup") or not usable(mount, fields[2]):
            continue
        if rest[0] == "cgroup2":
            unified = unified or mount
            continue
        for name in rest[2].split(","):
            if name in names:
                v1.setdefault(name, mount)
    return Hierarchies(unified=unified, v1=v1)


def _unescape(text: str) -> str:
    """Undo the kernel's escapes for blank, tab, newline and backslash."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
