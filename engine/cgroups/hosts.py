"""What control groups this machine has, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path

V1_CONTROLLERS = ("cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids")


class Kind(Enum):
    """How control groups are mounted; on a hybrid machine v1 has controllers and cgroup2 is there too."""

    V2 = "v2"
    HYBRID = "hybrid"
    V1 = "v1"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """The cgroup2 mount point, and the mount point of each v1 controller."""

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
        return {
            mount: tuple(name for name, place in self.v1.items() if place == mount)
            for mount in dict.fromkeys(self.v1.values())
        }


@cache
def detect() -> Hierarchies:
    """Return what is mounted in this mount namespace; read once per process."""
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))


def parse_mountinfo(text: str) -> Hierarchies:
    """Return the writable cgroup mounts; of several mounts of one hierarchy the first counts."""
    unified: Path | None = None
    v1: dict[str, Path] = {}
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not dash or len(fields) < 6 or len(rest) < 3 or "ro" in fields[5].split(","):
            continue
        mount = Path(_unescape(fields[4]))
        if rest[0] == "cgroup2":
            unified = unified or mount
        elif rest[0] == "cgroup":
            for name in rest[2].split(","):
                if name in V1_CONTROLLERS:
                    v1.setdefault(name, mount)
    return Hierarchies(unified=unified, v1=v1)


def _unescape(text: str) -> str:
    """Undo the kernel's escapes for blank, tab, newline and backslash."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
