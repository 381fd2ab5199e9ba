"""The keeper's side of one start: what the child needs is gathered here, then it is cloned.

```
child (engine/container/child.py)            keeper
                                             clone3, straight into the cgroup2 group
mounts …, the v1 groups
{"terminal"} + master                   -->
READY                                   -->  state.json: created, with the pid
                                        <--  GO
execve; the socket closes               -->  state.json: running
{"errno", "op", "path", "message"}      -->  the error, at any time; the child exits
```
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

from pycompose.engine.cgroups.base import Cgroup
from pycompose.engine.config import ContainerConfig, Process, from_json
from pycompose.engine.container import devices, rootfs
from pycompose.engine.container.child import NO_FD, Launch, host_name, run, run_container, run_exec
from pycompose.engine.container.layers import make_base
from pycompose.engine.container.uppers import container_uppers, warnings
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import DOCTOR, NO_PROCESSES, EngineError, NamespaceError, doctor_row
from pycompose.engine.init import program
from pycompose.engine.linux import caps, elsewhere, namespaces, process, userns
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status, read_state
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json
from pycompose.engine.sysctls import path_of

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIPE_BYTES = 1 << 20
_JOINABLE = ("network", "pid", "ipc", "uts")


@dataclass(slots=True, kw_only=True)
class Child:
    """A cloned process, which `sync` talks to until it has executed; an adopted one has no `sync`."""

    pid: int
    pidfd: int
    sync: socket.socket | None


@dataclass(slots=True, kw_only=True)
class Pipes:
    """The ends of a container's streams; -1 where there is none. `child` are its 0, 1 and 2."""

    child: tuple[int, int, int]
    stdin: int = -1
    stdout: int = -1
    stderr: int = -1


def make_pipes(directory: Path, wanted: Process) -> Pipes:
    """Make the FIFOs of a container in its run directory and open both ends; raises OSError.

    The container has them open for reading too: its writes can't fail with EPIPE, whoever dies on this side.
    """
    stdin = child_stdin = -1
    if wanted.stdin_open and not wanted.tty:
        name = _fifo(directory, "stdin")
        child_stdin = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stdin = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(child_stdin, True)
    if wanted.tty:
        return Pipes(child=(-1, -1, -1))
    ends = [open_reader(_fifo(directory, name)) for name in ("stdout", "stderr")]
    inner = [os.open(directory / name, os.O_RDWR | os.O_CLOEXEC) for name in ("stdout", "stderr")]
    return Pipes(child=(child_stdin, inner[0], inner[1]), stdin=stdin, stdout=ends[0], stderr=ends[1])


def _fifo(directory: Path, name: str) -> Path:
    path = directory / name
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    return path


def open_reader(path: Path) -> int:
    """Open a container's FIFO for copying, with room for a megabyte while nobody copies; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(PermissionError):  # an ordinary user has room for some of that size (pipe(7))
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return fd


def environment(wanted: Process, host_name: str) -> dict[str, str]:
    """Return the variables of a process but for HOME: PATH, HOSTNAME, TERM, those of links, then its own.

    The last one wins.

    Raises EngineError for an entry without a name or `=`, or with a NUL in it.
    """
    env = {"PATH": DEFAULT_PATH}
    if wanted.tells_hostname:
        env["HOSTNAME"] = host_name
    if wanted.tty:
        env["TERM"] = "xterm"
    for entry in (*wanted.linked, *wanted.env):
        name, equals, value = entry.partition("=")
        if not name or not equals or "\0" in entry:
            raise EngineError(f"environment {entry!r}: cannot set: it must be NAME=value")
        env[name] = value
    return env


def sysctls(config: ContainerConfig) -> dict[str, str]:
    """Return the kernel parameters to set, as paths below /proc/sys.

    Raises EngineError for one that isn't the container's own.
    """
    modes = config.namespaces
    own = {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": userns.ping_group_range(),
    }
    wanted = {**(own if modes.network == "private" else {}), **config.sysctls}
    return {
        path_of(key, network=modes.network, ipc=modes.ipc, uts=modes.uts): value
        for key, value in wanted.items()
    }


def check_modes(config: ContainerConfig) -> None:
    """Raise EngineError for a namespace mode that doesn't exist: it must not come to mean the host's."""
    for kind in ("network", "pid", "ipc", "uts", "cgroup", "user"):
        mode = getattr(config.namespaces, kind)
        joins = kind in _JOINABLE and mode.startswith("container:") and len(mode) > len("container:")
        if not joins and mode not in ("private", "host", *(("shareable", "none") if kind == "ipc" else ())):
            raise NamespaceError(f"container {config.name}: cannot start: unknown {kind} mode {mode!r}")


class Launcher:
    """Starts the children of one keeper; owns the descriptors that a start opens until it is done."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._born_inside: bool | None = None

    def container(
        self,
        config: ContainerConfig,
        packed: bytes,
        group: Cgroup,
        pipes: Pipes,
        size: tuple[int, int] = (0, 0),
    ) -> Child:
        """Clone the first process of a container, which enters its groups by itself; `size` is its terminal's.

        Raises EngineError for what the config asks in vain, NamespaceError when the clone fails, OSError.
        """
        paths = self._paths
        opened: list[int] = []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            flags, joins, pid_namespace = self._namespaces(config, opened)
            wanted = config.process
            if wanted.init and wanted.args and pid_namespace is None and flags & namespaces.CLONE_NEWPID:
                binary = program.install(paths.init)
                wanted = with_init(wanted)
            else:
                binary = ""
            privileged = config.security.privileged
            extra = devices.all_host_nodes() if privileged else []
            launch = Launch(
                config=config,
                process=wanted,
                sync=theirs,
                group=group,
                born_inside=self._clones_into(group),
                env=environment(wanted, host_name(config)),
                capabilities=caps.mask_of(("ALL",) if privileged else wanted.capabilities),
                filter=packed,
                stdio=pipes.child,
                rows=size[0],
                columns=size[1],
                steps=tuple(rootfs.plan(config, paths.etc(config.id), binary)),
                nodes=(*extra, *devices.host_nodes(config.devices)),
                sysctls=sysctls(config),
                joins=joins,
                shared_memory=self._shared_memory(config, opened),
                base=make_base(paths.base),
                rw=self._directories(config, group),
                attach_at=paths.container_run(config.id) / "rootfs",
            )
            return _clone(run_container, launch, ours, flags, pid_namespace)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            for fd in opened:
                os.close(fd)

    def execution(  # noqa: PLR0913 - the parts of one request
        self,
        config: ContainerConfig,
        wanted: Process,
        packed: bytes,
        group: Cgroup,
        leader: tuple[int, int],
        *,
        stdio: tuple[int, int, int],
        size: tuple[int, int],
        room: bool,
    ) -> Child:
        """Clone the helper that enters the container of process `leader` (its pid, a pidfd) and becomes `wanted` there.

        `room` tells whether two more processes can be born in its group. Raises alike.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            launch = Launch(
                config=config,
                process=wanted,
                sync=theirs,
                group=group,
                born_inside=room and self._clones_into(group),
                env=environment(wanted, host_name(config)),
                capabilities=caps.mask_of(wanted.capabilities),
                filter=packed,
                stdio=stdio,
                rows=size[0],
                columns=size[1],
                pidfd=leader[1],
                enters=_entered(config, leader[0]),
            )
            return _clone(run_exec, launch, ours, 0)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def _clones_into(self, group: Cgroup) -> bool:
        """Tell whether to clone into `group` instead of letting the child enter it; found out once."""
        fd = group.leaf_fd()
        if fd is None:
            return False
        if self._born_inside is None:
            self._born_inside = can_be_born_in(fd)
        return self._born_inside

    def _namespaces(
        self, config: ContainerConfig, opened: list[int]
    ) -> tuple[int, tuple[tuple[int, int], ...], int | None]:
        """Return the flags for clone3, the namespaces to join, and the pid namespace to be born in."""
        check_modes(config)
        flags = namespaces.CLONE_NEWNS
        joins: list[tuple[int, int]] = []
        pid_namespace = None
        wanted = config.namespaces
        for kind, mode in (
            ("net", wanted.network),
            ("pid", wanted.pid),
            ("ipc", wanted.ipc),
            ("uts", wanted.uts),
        ):
            if mode == "host":
                continue
            if mode.startswith("container:"):
                opened.append(self._open_other(mode, kind))
            elif kind == "net":
                opened.append(self._open_pinned(config))
            else:
                flags |= namespaces.KINDS[kind]
                continue
            if kind == "pid":
                pid_namespace = None if namespaces.is_ours(opened[-1], kind) else opened[-1]
            else:
                joins.append((opened[-1], namespaces.KINDS[kind]))
        return flags, tuple(joins), pid_namespace

    def _open_pinned(self, config: ContainerConfig) -> int:
        path = self._paths.netns(config.id)
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise NamespaceError(
                f"container {config.name}: cannot join its network namespace {path}: {exc.strerror}"
            ) from exc

    def _open_other(self, mode: str, kind: str) -> int:
        """Open a namespace of the container that `mode` names ("container:ID"); raises NamespaceError."""
        other = mode.partition(":")[2]
        state = read_state(self._paths, other)
        if state.status not in (Status.RUNNING, Status.PAUSED):
            raise NamespaceError(f"container {other}: cannot join its {kind} namespace: it is not running")
        try:
            return namespaces.open_namespace(state.pid, kind)
        except OSError as exc:
            raise NamespaceError(
                f"container {other}: cannot join its {kind} namespace: {exc.strerror}"
            ) from exc

    def _shared_memory(self, config: ContainerConfig, opened: list[int]) -> int:
        if not config.namespaces.ipc.startswith("container:"):
            return NO_FD
        self._require_shareable(config)
        opened.append(self._open_other(config.namespaces.ipc, "mnt"))
        return opened[-1]

    def _require_shareable(self, config: ContainerConfig) -> None:
        """Raise NamespaceError unless the container whose IPC namespace is joined has agreed to that, as in Docker."""
        other = config.namespaces.ipc.partition(":")[2]
        with contextlib.suppress(FileNotFoundError):
            donor = from_json(ContainerConfig, read_json(self._paths.container(other) / "config.json"))
            if donor.namespaces.ipc == "shareable":
                return
            other = donor.name
        raise NamespaceError(
            f"container {config.name}: cannot join the ipc namespace of container {other}: it is not shareable",
            hint="set `ipc: shareable` for the container that shares it",
        )

    def _directories(self, config: ContainerConfig, group: Cgroup) -> Path:
        """Make where the rootfs is mounted, and its upper and work directories."""
        make_directory(self._paths.container_run(config.id) / "rootfs")
        rw = container_uppers(self._paths, config.id, config.rootfs)
        group.warnings += warnings(self._paths, config.id)
        if config.process.oom_score_adj < 0 and not userns.is_initial():
            group.warnings += ("oom_score_adj has no effect: only root's processes are spared before others",)
        if granted := caps.without_effect(config.process.capabilities):
            reason = "the kernel lets only the machine's root do what it is for"
            group.warnings += (f"cap_add: {', '.join(granted)} has no effect: {reason}",)
        if config.process.user.additional_groups and not userns.may_set_groups():
            group.warnings += (f"group_add has no effect: this user has one id; {doctor_row('id maps')}",)
        return rw


def with_init(wanted: Process) -> Process:
    """Return the process that reaps for `wanted` and runs it."""
    return replace(wanted, args=(rootfs.INIT_TARGET, "--", *wanted.args))


def can_be_born_in(fd: int) -> bool:
    """Find out by a child that does nothing whether children can be cloned into the group `fd`.

    Kernels before 5.7 can't. Those that count kills of a group (6.14, and stable ones of its time) compare
    the wrong two counts: where our own group has been killed once, such a child gets SIGKILL at its birth
    (cgroup_css_set_fork reads kill_seq of the parent's group, cgroup_post_fork that of the child's).
    """
    try:
        pid, pidfd = process.clone3(0, cgroup_fd=fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.E2BIG, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return False
    if pid == 0:
        os._exit(0)
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)
    return result is not None and result.si_code == os.CLD_EXITED


def _entered(config: ContainerConfig, pid: int) -> tuple[str, ...]:
    """Return the kinds of namespaces to enter for a container whose process is `pid`; raises OSError.

    It may have those of the machine that we are in, and that an ordinary user can't enter a second time.
    """
    pids, groups = config.namespaces.pid, config.namespaces.cgroup
    joined = pids.startswith("container:")
    return (
        "mnt", "uts", "ipc", "net",
        *(("pid",) if pids == "private" or (joined and not namespaces.is_ours(f"/proc/{pid}/ns/pid", "pid")) else ()),
        *(("cgroup",) if groups == "private" else ()),
    )  # fmt: skip


def _clone(
    body: Callable[[Launch], None],
    launch: Launch,
    ours: socket.socket,
    flags: int,
    pid_namespace: int | None = None,
) -> Child:
    """Clone, into the cgroup2 group where that works, and into `pid_namespace`; raises NamespaceError."""
    into = launch.group.leaf_fd() if launch.born_inside else None
    try:
        if pid_namespace is None:
            pid, pidfd = process.clone3(flags, cgroup_fd=into)
        else:
            pid, pidfd = elsewhere.clone_into(pid_namespace, flags, into)
    except OSError as exc:
        raise NamespaceError(
            f"container {launch.config.name}: cannot clone its process: {exc.strerror}",
            hint=NO_PROCESSES if exc.errno == errno.EAGAIN else DOCTOR,
        ) from exc
    if pid == 0:
        run(body, launch)
    ours.setblocking(False)
    return Child(pid=pid, pidfd=pidfd, sync=ours)
