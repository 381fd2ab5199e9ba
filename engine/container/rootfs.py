"""What is mounted in a container, as data: which filesystem or bind goes where, when, with which flags.

Nothing here touches the system; mount.py carries it out inside the child. Types, flags and order
are Docker's (engine defaults of moby, runtime-spec config-linux.md "Default Filesystems").
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from pycompose.engine.config import ContainerConfig, Mount, MountKind
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import MountError
from pycompose.engine.linux import mounts, userns
from pycompose.engine.linux.fs import split

QUIET = mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC
INIT_TARGET = "/sbin/docker-init"

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
    "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
# Docker's, and one more: `echo +p >/proc/dynamic_debug/control` fills the machine's log, and takes no capability.
READ_ONLY = (
    "/proc/bus", "/proc/dynamic_debug", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
)  # fmt: skip

# What lxcfs puts over single files of /proc; runc allows exactly these.
_PROC_FILES = frozenset(
    "/proc/" + name
    for name in (
        "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo",
        "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled",
    )
)  # fmt: skip
PROPAGATIONS = {
    "private": (mounts.MS_PRIVATE, False),
    "rprivate": (mounts.MS_PRIVATE, True),
    "slave": (mounts.MS_SLAVE, False),
    "rslave": (mounts.MS_SLAVE, True),
    "shared": (mounts.MS_SHARED, False),
    "rshared": (mounts.MS_SHARED, True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """A new filesystem at `target`. `strict`: the target must be a real directory, reached by no symlink.

    `read_only` is set when everything is in place, so that mounts below it still get their directories.
    """

    target: str
    fstype: str
    options: tuple[mounts.Option, ...] = ()
    attributes: int = 0
    strict: bool = False
    read_only: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or directory of the host at `target`; `subpath` is followed inside `source` only.

    With `lowers` (topmost first) it is an overlay of them, and `source` the directory of its upper one.
    """

    target: str
    source: str
    subpath: str = ""
    attributes: int = 0
    submounts: bool = True
    recursive: bool = True
    propagation: str = "rprivate"
    create_source: bool = False
    lowers: tuple[str, ...] = ()
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemory:
    """The /dev/shm of whose IPC namespace the container joins."""

    target: str = "/dev/shm"  # noqa: S108 - in the container


Step = Filesystem | Bind | SharedMemory


def plan(config: ContainerConfig, directory: Path, init_binary: str = "") -> list[Step]:
    """Return everything to be mounted on the rootfs, parents first.

    `directory` holds the generated files; `init_binary` is the host's reaper for `init: true`. A mount of the
    user replaces a default one at the same place, and one on /dev everything below it. The control groups
    come later (mounting.cgroups), when the container is in them. Raises MountError for a target no mount may
    have.
    """
    wanted = [user_mount(mount) for mount in config.mounts]
    taken = {step.target for step in wanted}
    base: list[Step] = [*default_filesystems(config)]
    read_only = mounts.MOUNT_ATTR_RDONLY if config.security.read_only_rootfs else 0
    base += [
        Bind(target=clean(target), source=str(directory / name), attributes=read_only)
        for target, name in config.files.items()
    ]
    if init_binary:
        base.append(Bind(target=INIT_TARGET, source=init_binary, attributes=mounts.MOUNT_ATTR_RDONLY))
    kept = [
        step
        for step in base
        if step.target not in taken and not ("/dev" in taken and step.target.startswith("/dev/"))
    ]
    return sorted([*kept, *wanted], key=lambda step: len(split(step.target)))


# Terminals belong to it, as grantpt(3) has it on every distribution.
TTY_GROUP = 5


def default_filesystems(config: ContainerConfig) -> list[Step]:
    """Return the filesystems of every container, as `config` changes them."""
    privileged = config.security.privileged
    sys_attributes = QUIET | (0 if privileged else mounts.MOUNT_ATTR_RDONLY)
    steps: list[Step] = [
        _proc(config),
        Filesystem(
            target="/dev",
            fstype="tmpfs",
            options=(("mode", "755"), ("size", "65536k")),
            attributes=mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_STRICTATIME,
            strict=True,
        ),
        Filesystem(target="/sys", fstype="sysfs", attributes=sys_attributes, strict=True),
        Filesystem(
            target="/dev/pts",
            fstype="devpts",
            options=(
                ("newinstance", None),
                ("ptmxmode", "0666"),
                ("mode", "0620"),
                *((("gid", str(TTY_GROUP)),) if userns.maps_group(TTY_GROUP) else ()),
            ),
            attributes=mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NOEXEC,
            strict=True,
        ),
        Filesystem(target="/dev/mqueue", fstype="mqueue", attributes=QUIET, strict=True),
    ]
    if config.namespaces.ipc in ("private", "shareable"):
        options = (("mode", "1777"), ("size", str(config.shm_bytes)))
        steps.append(
            Filesystem(
                target=SharedMemory().target, fstype="tmpfs", options=options, attributes=QUIET, strict=True
            )
        )
    elif config.namespaces.ipc == "host" or config.namespaces.ipc.startswith("container:"):
        steps.append(SharedMemory())
    return steps


def _proc(config: ContainerConfig) -> Step:
    """Return the mount of /proc, which shows the container's pid namespace.

    That of the machine belongs to its user namespace: in another one what is there already can be shown, no new mount.
    """
    if config.namespaces.pid == "host" and not userns.is_initial():
        return Bind(target="/proc", source="/proc", attributes=QUIET, submounts=True)
    return Filesystem(target="/proc", fstype="proc", attributes=QUIET, strict=True)


def user_mount(mount: Mount) -> Step:
    """Return the step for a mount of the user; raises MountError."""
    target = clean(mount.target)
    if not mount.target.startswith("/"):
        raise MountError(f"mount {mount.target}: cannot mount: the target must be absolute")
    if target == "/":
        raise MountError(f"mount {mount.source or 'tmpfs'}: cannot mount on /: it is the image's place")
    if (target == "/proc" or target.startswith("/proc/")) and target not in _PROC_FILES:
        raise MountError(
            f"mount {target}: cannot mount: it is inside /proc",
            hint="programs in the container trust what they read there",
        )
    attributes, data = parse_options(mount.options)
    if mount.kind is MountKind.TMPFS:
        # Docker's defaults; the user's options come later and win (moby: MergeTmpfsOptions).
        attributes, data = parse_options(("noexec", "nosuid", "nodev", *mount.options))
        read_only = mount.read_only or bool(attributes & mounts.MOUNT_ATTR_RDONLY)
        propagation = [key for key, value in data if key in PROPAGATIONS and value is None]
        return Filesystem(
            target=target,
            fstype="tmpfs",
            options=tuple(option for option in data if option[0] not in propagation),
            attributes=attributes & ~mounts.MOUNT_ATTR_RDONLY,
            read_only=read_only,
            propagation=propagation[-1] if propagation else "rprivate",
        )
    if data:
        raise MountError(f"mount {target}: cannot mount: unknown option {data[0][0]}")
    if mount.propagation not in PROPAGATIONS:
        raise MountError(
            f"mount {target}: cannot mount: unknown propagation {mount.propagation}",
            hint="one of " + ", ".join(PROPAGATIONS),
        )
    return Bind(
        target=target,
        source=mount.source,
        subpath=mount.subpath,
        attributes=attributes | (mounts.MOUNT_ATTR_RDONLY if mount.read_only else 0),
        submounts=mount.submounts,
        recursive=mount.recursive,
        uid_map=mount.uid_map,
        gid_map=mount.gid_map,
        propagation=mount.propagation,
        create_source=mount.create_source,
        lowers=mount.lowers,
    )


def parse_options(options: tuple[str, ...]) -> tuple[int, list[tuple[str, str | None]]]:
    """Return MOUNT_ATTR_* flags and the filesystem's own options; the last of a contradicting pair wins."""
    attributes = 0
    data: dict[str, str | None] = {}
    for option in options:
        if option in mounts.OPTION_ATTRIBUTES:
            flag, on = mounts.OPTION_ATTRIBUTES[option]
            attributes = attributes | flag if on else attributes & ~flag
        else:
            key, equals, value = option.partition("=")
            data[key] = value if equals else None
    return attributes, list(data.items())


def protections(config: ContainerConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the masked and the read-only paths of a container."""
    security = config.security
    if security.privileged or security.system_paths_unconfined:
        return (), ()
    return (*MASKED, *thermal_paths()), READ_ONLY


@cache
def thermal_paths() -> tuple[str, ...]:
    """Return the directories in which processors tell how hot they ran, where this machine has them."""
    base = "/sys/devices/system/cpu"
    try:
        names = sorted(os.listdir(base))
    except OSError:
        return ()
    paths = (f"{base}/{name}/thermal_throttle" for name in names if name[3:].isdigit())
    return tuple(path for path in paths if os.path.isdir(path))


def clean(target: str) -> str:
    """Return `target` absolute, without `.`, `..` and empty components."""
    return "/" + "/".join(split(target))
