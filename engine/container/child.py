"""The child, from clone to execve: what happens in which order is what keeps the image's program inside.

Nothing is imported here after pivot_root: an import would look into the image. Errors leave as errno,
operation and path (child_error.py). `run_container` becomes pid 1 of a container, `run_exec` a further
process in it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from pycompose.engine.cgroups.base import Cgroup
from pycompose.engine.config import ContainerConfig, Process
from pycompose.engine.container import mount, rootfs, terminal
from pycompose.engine.container.child_error import CHANGE_USER, SET_LIMIT, at, describe
from pycompose.engine.container.devices import NULL, DeviceNode
from pycompose.engine.container.hooks import run_hooks
from pycompose.engine.container.users import Ids, resolve_user
from pycompose.engine.dataclass import dataclass
from pycompose.engine.linux import (
    apparmor,
    caps,
    fs,
    inherited,
    mounts,
    namespaces,
    process,
    seccomp,
    sibling,
    userns,
)
from pycompose.engine.linux.libc import AT_FDCWD

GO = b"go"
READY = {"ready": True}
NO_FD = -1
# Who is meant by /proc/NAME/root and /proc/NAME/cwd that a working directory may begin with.
_OWN = ("self", "thread-self", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything the child needs, decided before the clone; descriptors are inherited.

    It is `born_inside` the cgroup2 directory of its `group`, or enters it. `env` lacks HOME, which only the image's
    passwd knows. `stdio` has NO_FD for /dev/null. `joins` are namespaces of others, `shared_memory` is the mount
    namespace whose /dev/shm is shared (NO_FD: the host's). An execution `enters` these kinds of namespaces.
    """

    config: ContainerConfig
    process: Process
    sync: socket.socket
    group: Cgroup
    born_inside: bool
    env: dict[str, str]
    capabilities: int
    filter: bytes = b""
    stdio: tuple[int, int, int] = (NO_FD, NO_FD, NO_FD)
    rows: int = 0
    columns: int = 0
    steps: tuple[rootfs.Step, ...] = ()
    nodes: tuple[DeviceNode, ...] = ()
    sysctls: dict[str, str] | None = None
    joins: tuple[tuple[int, int], ...] = ()
    shared_memory: int = NO_FD
    base: Path = Path()
    rw: Path = Path()
    attach_at: Path = Path()
    pidfd: int = NO_FD
    enters: tuple[str, ...] = ()

    def descriptors(self) -> list[int]:
        """Return the descriptors that the child keeps when it starts."""
        fds = [self.sync.fileno(), *self.stdio, self.shared_memory, self.pidfd]
        return [fd for fd in (*fds, *(fd for fd, _kind in self.joins)) if fd >= 0]


def run(body: Callable[[Launch], None], launch: Launch) -> NoReturn:
    """Run `body`, which ends in execve; tell the keeper what went wrong if it doesn't."""
    try:
        body(launch)
    except BaseException as exc:  # noqa: BLE001 - nothing may ever return into the keeper's loop
        with contextlib.suppress(BaseException):
            launch.sync.send(json.dumps(describe(exc)).encode())
    os._exit(1)


def run_container(launch: Launch) -> None:
    """Become pid 1 of a new container; returns only by an exception."""
    config = launch.config
    _isolate(launch)
    os.setsid()
    _set_oom_score(launch.process)
    for fd, kind in launch.joins:
        at("join a namespace")
        namespaces.setns(fd, kind)
    _names(config)
    sources = mount.clone_sources(launch.steps)
    at("make mounts private")
    # Slave, not private: what the host unmounts goes away here too, and nothing of ours can get out.
    mounts.set_propagation("/", mounts.MS_SLAVE | mounts.MS_REC)
    _share_memory(launch, sources)
    trees = mount.mount_root(config.rootfs, launch.base, launch.rw, launch.attach_at)
    root = trees[0]
    late = mount.mount_all(root, launch.steps, sources, launch.nodes, launch.sysctls or {})
    _stubs(root)
    _enter_groups(launch)
    _cgroup_namespace(launch, root)
    slave = _terminal(launch, root)
    if slave != NO_FD:
        at("mount", "/dev/console")
        terminal.bind_console(root, slave)
    run_hooks(config, launch.attach_at)
    mount.protect(root, *rootfs.protections(config))
    at("create the working directory", launch.process.cwd)
    os.close(_working_directory(root, launch.process.cwd))
    at("make the rootfs read-only")
    for fd in [*late, *(trees if config.security.read_only_rootfs else [])]:
        mounts.set_attributes(fd, mounts.MOUNT_ATTR_RDONLY)
    mount.pivot(root)
    _become(launch, root, slave, wait=True)


def run_exec(launch: Launch) -> None:
    """Enter a running container and become a process in it; returns only by an exception.

    No descriptor of the host but /dev/null, the sync socket and, for a moment, the file that lets processes into the
    container's own group is open when its processes can see us, which is from the second clone on (CVE-2016-9962,
    CVE-2024-21626). Where that is possible it takes the memory along, and our first process with it as it executes.
    """
    _isolate(launch)
    _set_oom_score(launch.process)
    at("enter its control groups")
    doors = launch.group.enter_for_a_child(unified=not launch.born_inside)
    at("enter the container")
    namespaces.setns(launch.pidfd, sum(namespaces.KINDS[kind] for kind in launch.enters))
    os.close(launch.pidfd)
    os.chdir("/")
    # The pid namespace is for children; CLONE_PARENT makes this one a child of the keeper, who waits for it.
    light = sibling.possible()
    pid, pidfd = sibling.go_on() if light else process.clone3(process.CLONE_PARENT, exit_signal=0)
    if pid:
        socket.send_fds(launch.sync, [json.dumps({"pid": pid}).encode()], [pidfd])
        if not light:
            os._exit(0)
        os.close(pidfd)
    at("enter its control groups")
    for door in doors:
        os.write(door, b"0")
        os.close(door)
    process.set_parent_death_signal(signal.SIGKILL)
    os.setsid()
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    slave = _terminal(launch, root)
    _become(launch, root, slave, wait=False)


def _isolate(launch: Launch) -> None:
    """Drop what was inherited from the keeper, and forbid everybody to look at us."""
    at("start")
    process.set_dumpable(dumpable=False)
    process.set_parent_death_signal(signal.SIGKILL)
    process.reset_signals()
    process.close_all_but(launch.descriptors())
    os.dup2(0, 2)  # instead of the keeper's log
    sys.meta_path.clear()
    sys.path.clear()
    process.join_new_keyring()
    os.umask(0)


def _enter_groups(launch: Launch) -> None:
    """Be limited and counted from here on."""
    at("enter its control groups")
    launch.group.enter(unified=not launch.born_inside)


def _set_oom_score(wanted: Process) -> None:
    """Set the OOM score, which needs the host's /proc."""
    at("set oom_score_adj")
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    # Without CAP_SYS_RESOURCE it can only be raised; what we have is as good as it gets then.
    with contextlib.suppress(PermissionError):
        os.write(fd, str(wanted.oom_score_adj).encode())
    os.close(fd)


def _limit(wanted: Process) -> None:
    """Set the resource limits, late, for they could be too small for ourselves."""
    for name, (soft, hard) in inherited.excess_limits().items():
        at(SET_LIMIT, name)
        process.set_default_rlimit(name, soft, hard)
    for limit in wanted.rlimits:
        at(SET_LIMIT, limit.name)
        process.set_rlimit(limit.name, limit.soft, limit.hard)


def _expect(sync: socket.socket, word: bytes) -> None:
    """Wait for `word` of the keeper; without one there is nobody to run for."""
    if sync.recv(64) != word:
        os._exit(1)


def _share_memory(launch: Launch, sources: dict[str, int]) -> None:
    """Add the /dev/shm of the IPC namespace that the container joins to `sources`."""
    for step in launch.steps:
        if not isinstance(step, rootfs.SharedMemory):
            continue
        at("mount", step.target)
        if launch.config.namespaces.ipc == "host":
            sources[step.target] = mounts.clone_tree(AT_FDCWD, step.target)
            continue
        ours = namespaces.open_namespace("self", "mnt")
        namespaces.setns(launch.shared_memory, namespaces.CLONE_NEWNS)
        sources[step.target] = mounts.clone_tree(AT_FDCWD, step.target)
        namespaces.setns(ours, namespaces.CLONE_NEWNS)
        os.close(ours)


def _stubs(root: int) -> None:
    """Make the two files by which programs know that they are in a container, where no layer has them."""
    # Asked first: with O_EXCL the overlay would prepare a creation before it sees that there is one.
    at("create", "/.dockerenv")
    if not _is_there(".dockerenv", root):
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
        os.close(os.open(".dockerenv", flags, 0o755, dir_fd=root))
    etc = fs.make_directories(root, "/etc")
    # A volume that is mounted there has what its owner put into it.
    if os.fstat(etc).st_dev == os.fstat(root).st_dev and not _is_there("mtab", etc):
        os.symlink("/proc/mounts", "mtab", dir_fd=etc)
    os.close(etc)


def _is_there(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _cgroup_namespace(launch: Launch, root: int) -> None:
    """Make the container's group the root of what it sees: only now, when it is in all of its groups."""
    config = launch.config
    hierarchies = mount.own_hierarchies(config.id)
    groups: dict[str, int] = {}
    if config.namespaces.cgroup == "host":
        groups = mount.own_groups(hierarchies, launch.group)
    else:
        at("unshare the cgroup namespace")
        namespaces.unshare(namespaces.CLONE_NEWCGROUP)
    if not any(step.target in ("/sys/fs", "/sys/fs/cgroup") for step in launch.steps):
        mount.mount_cgroups(root, hierarchies, groups, read_only=not config.security.privileged)


def _terminal(launch: Launch, root: int) -> int:
    """Open the terminal if one is wanted, send its master to the keeper, return its slave."""
    if not launch.process.tty:
        return NO_FD
    at("open a terminal", "/dev/pts/ptmx")
    master, slave = terminal.open_pair(root, launch.rows, launch.columns)
    socket.send_fds(launch.sync, [json.dumps({"terminal": True}).encode()], [master])
    os.close(master)
    return slave


def _names(config: ContainerConfig) -> None:
    if config.namespaces.uts != "private":
        return
    name = host_name(config)
    at("set hostname", name)
    socket.sethostname(name)
    if config.domainname:
        at("set domainname", config.domainname)
        namespaces.set_domain_name(config.domainname)


def host_name(config: ContainerConfig) -> str:
    """Return the name the container goes by: as asked, or the first 12 digits of its id."""
    return config.hostname or config.id[:12]


def _own_link(path: str) -> tuple[str, str]:
    """Return the link below /proc to the container's root or working directory at which `path` begins, and the rest.

    ("", path) for all other paths.
    """
    parts = fs.split(path)
    if len(parts) > 2 and parts[0] == "proc" and parts[1] in _OWN and parts[2] in ("root", "cwd"):
        return "/" + "/".join(parts[:3]), "/".join(parts[3:])
    return "", path


def _working_directory(root: int, path: str) -> int:
    """Return the directory `path` of the container, made if missing; raises OSError."""
    if _own_link(path)[0]:  # leads somewhere only when the root is ours
        path = "/"
    fd = fs.make_directories(root, path or "/")
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ENOTDIR, "not a directory", path)
    return fd


def _become(launch: Launch, root: int, slave: int, *, wait: bool) -> None:
    """Give up what makes us the engine, then execve: inside the container's root from here on."""
    wanted = launch.process
    at("set up standard streams")
    _streams(launch, root, slave)
    os.umask(0o022)
    at("look up the user", wanted.user.spec)
    ids = resolve_user(root, wanted.user)
    env = with_home(launch.env, ids)
    os.close(root)
    at("change to the working directory", wanted.cwd)
    late = not _enter(wanted.cwd)
    _limit(wanted)
    if wanted.apparmor:
        at("enter the AppArmor profile", wanted.apparmor)
        apparmor.enter_at_exec(wanted.apparmor)
    at("drop capabilities")
    caps.drop_bounding(launch.capabilities)
    process.set_keep_capabilities(keep=True)
    at(CHANGE_USER, wanted.user.spec)
    _own_streams(ids, slave)
    if userns.may_set_groups():
        os.setgroups(ids.groups)
    os.setresgid(ids.gid, ids.gid, ids.gid)
    os.setresuid(ids.uid, ids.uid, ids.uid)
    process.set_dumpable(dumpable=False)
    at("change to the working directory", wanted.cwd)
    if late and not _enter(wanted.cwd):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), wanted.cwd)
    _check_inside(wanted.cwd)
    process.set_keep_capabilities(keep=False)
    at("set capabilities")
    held = launch.capabilities if ids.uid == 0 else 0
    caps.set_capabilities(held, held | caps.SYS_ADMIN)
    if wanted.no_new_privs:
        process.set_no_new_privileges()
    if wait:
        launch.sync.send(json.dumps(READY).encode())
        _expect(launch.sync, GO)
    process.set_parent_death_signal(0)
    at("execve", wanted.args[0] if wanted.args else "")
    path = find_program(wanted.args, env)
    process.close_on_exec_from(3)
    _filter(launch, held)
    at("execve", wanted.args[0])
    os.execve(path, list(wanted.args), env)  # noqa: S606


def _filter(launch: Launch, held: int) -> None:
    """Give up the last capability behind the filter that needs it, which refuses nothing but capset and execve to us.

    The kernel takes a filter from a process that has CAP_SYS_ADMIN, or that can't gain privileges any more.
    """
    if launch.filter:
        at("filter system calls")
        if not launch.process.no_new_privs:
            caps.capset(held | caps.SYS_ADMIN, held | caps.SYS_ADMIN)
        seccomp.install(launch.filter)
    at("set capabilities")
    caps.capset(held, held)


def _streams(launch: Launch, root: int, slave: int) -> None:
    """Put the streams at 0, 1, 2: the terminal, what we were given, or the container's own /dev/null."""
    null = NO_FD
    for number, given in enumerate(launch.stdio):
        fd = slave if slave != NO_FD else given
        if fd == NO_FD or os.fstat(fd).st_rdev == NULL:  # never a node of the host
            null = null if null != NO_FD else mount.null_device(root, os.O_RDWR)
            fd = null
        os.dup2(fd, number, inheritable=True)
    at("set up standard streams")
    if slave != NO_FD:
        terminal.make_controlling(0)
    for fd in {null, slave, *launch.stdio} - {NO_FD, 0, 1, 2}:
        os.close(fd)


def _own_streams(ids: Ids, slave: int) -> None:
    """Let the container's user open /dev/stdout: our pipes and terminal are its own, nothing else is."""
    for fd in (0, 1, 2):
        info = os.fstat(fd)
        ours = stat.S_ISFIFO(info.st_mode) or slave != NO_FD
        if ours and info.st_rdev != NULL and info.st_uid != ids.uid:
            with contextlib.suppress(PermissionError):
                os.fchown(fd, ids.uid, -1)


def _enter(path: str) -> bool:
    """Make `path` the working directory; False when the user we are has no permission. Raises OSError.

    Magic links (/proc/self/fd/N) are refused: they lead to directories of the host that something left open. Those to
    the container's own root and working directory are none of these; `_check_inside` has the last word.
    """
    link, rest = _own_link(path)
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        start = os.open(link or "/", flags)
        try:
            fd = fs.openat2(start, rest or ".", flags, resolve=fs.RESOLVE_NO_MAGICLINKS)
            os.fchdir(fd)
            os.close(fd)
        finally:
            os.close(start)
    except PermissionError:
        return False
    return True


def _check_inside(path: str) -> None:
    """Raise OSError when the working directory lies outside the root, as CVE-2024-21626 made it."""
    try:
        inside = os.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False
    if not inside:
        raise OSError(errno.EPERM, "outside the container", path)


def with_home(env: dict[str, str], ids: Ids) -> dict[str, str]:
    """Return `env` with HOME out of passwd where none, or an empty one, was given."""
    return env if env.get("HOME") else {**env, "HOME": ids.home}


def find_program(args: tuple[str, ...], env: dict[str, str]) -> str:
    """Return the path to execute: `args[0]` with a slash as it is, else found along the container's PATH.

    Raises FileNotFoundError; PermissionError when there is something by that name, but nothing executable.
    """
    if not args or not args[0]:
        raise OSError(errno.ENOENT, "no command", "")
    name = args[0]
    if "/" in name:
        return name
    denied = False
    for directory in env.get("PATH", "").split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            info = os.stat(candidate)
        except OSError as exc:
            denied = denied or exc.errno == errno.EACCES
            continue
        if stat.S_ISREG(info.st_mode) and os.access(candidate, os.X_OK, effective_ids=True):
            return candidate
        denied = denied or stat.S_ISREG(info.st_mode)
    number = errno.EACCES if denied else errno.ENOENT
    raise OSError(number, os.strerror(number), name)
