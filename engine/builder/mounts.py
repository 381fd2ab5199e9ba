"""What `RUN --mount` brings: cache directories, secrets, agents' sockets, views of other trees; gone with the step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import posixpath
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.mountflags import (
    LOCKED,
    PRIVATE,
    ShownTree,
    StepMount,
    secret_id,
    secret_target,
)
from pycompose.engine.config import Mount, MountKind
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pycompose.engine.builder.request import Secret

MAX_SECRET_BYTES = 500 * 1024
_SSH_TARGET = "/run/buildkit/ssh_agent.{}"


@dataclass(slots=True)
class Prepared:
    """The mounts of one step, and variables that come with them."""

    mounts: list[Mount] = field(default_factory=list)
    env: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSources:
    """Where mounts get things from.

    `views(mount)` returns the overlays that a bind shows, the outermost first.
    """

    caches: Path
    scratch: Path
    # On a tmpfs: no secret reaches the disk.
    volatile: Path
    secrets: dict[str, Secret]
    ssh: dict[str, str]
    views: Callable[[StepMount], list[ShownTree]]
    fill: Callable[[StepMount, Path], None]


@contextlib.contextmanager
def prepared(mounts: tuple[StepMount, ...], cwd: str, sources: MountSources) -> Iterator[Prepared]:
    """Yield what to mount for the time of the block. Raises BuildError for a secret or agent that is not there."""
    made = Prepared()
    with contextlib.ExitStack() as stack:
        for number, mount in enumerate(mounts):
            target = mount.target if mount.target.startswith("/") else posixpath.join(cwd, mount.target)
            match mount.kind:
                case "tmpfs":
                    options = (f"size={mount.size_bytes}",) if mount.size_bytes else ()
                    made.mounts.append(Mount(kind=MountKind.TMPFS, target=target, options=("exec", *options)))
                case "cache":
                    path = stack.enter_context(_cache(mount, target, sources))
                    made.mounts.append(
                        Mount(kind=MountKind.BIND, target=target, source=str(path), read_only=mount.read_only)
                    )
                case "secret":
                    _secret(mount, made, sources, number)
                case "ssh":
                    _agent(mount, made, sources, number, stack)
                case _:
                    for part, view in enumerate(sources.views(mount)):
                        own = make_directory(sources.scratch / f"bind{number}.{part}")
                        made.mounts.append(
                            Mount(
                                kind=MountKind.OVERLAY,
                                target=posixpath.join(target, view.target) if view.target else target,
                                source=str(own),
                                lowers=view.lowers,
                                subpath=view.subpath,
                                read_only=mount.read_only,
                            )
                        )
        yield made


@contextlib.contextmanager
def _cache(mount: StepMount, target: str, sources: MountSources) -> Iterator[Path]:
    """Yield the directory of a cache mount, locked as its sharing asks for.

    Shared: for everybody at once. Locked: one after the other. Private: one of several, free at the moment.
    """
    name = hashlib.sha256(os.fsencode(_cache_name(mount, target))).hexdigest()[:32]
    folder = make_directory(sources.caches / name)
    number = 0
    while True:
        path = folder / str(number)
        lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if mount.sharing == LOCKED:
                fcntl.flock(lock, fcntl.LOCK_EX)
            elif mount.sharing == PRIVATE:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                fcntl.flock(lock, fcntl.LOCK_SH)
        except BlockingIOError:
            os.close(lock)
            number += 1
            continue
        break
    try:
        if not path.is_dir():
            _new_cache(mount, path, sources)
        with contextlib.suppress(OSError):
            os.utime(folder)  # `builder prune` takes what was used longest ago
        yield path
    finally:
        os.close(lock)


def _cache_name(mount: StepMount, target: str) -> str:
    """Return what a cache is known by; one that begins with another owner, mode or content is another for BuildKit."""
    begins = (mount.uid, mount.gid, mount.mode, mount.origin, mount.source)
    name = mount.id or target
    return name if begins == (0, 0, -1, "", "") else f"{name}\0{begins}"


def _new_cache(mount: StepMount, path: Path, sources: MountSources) -> None:
    making = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    making.mkdir(mode=0o700)
    if mount.origin:
        sources.fill(mount, making)
    os.chown(making, mount.uid, mount.gid)
    os.chmod(making, 0o755 if mount.mode < 0 else mount.mode)
    try:
        os.rename(making, path)
    except OSError as exc:
        if exc.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        making.rmdir()  # another step made it at the same time


def _secret(mount: StepMount, made: Prepared, sources: MountSources, number: int) -> None:
    name = secret_id(mount)
    secret = sources.secrets.get(name)
    if secret is None or not secret.is_there:
        if mount.required:
            unset = secret.variable if secret is not None else ""
            raise BuildError(
                f"secret {name}: environment variable {unset} is not set"
                if unset
                else f"secret {name}: not found",
                hint=f"give it with --secret id={name},src=FILE, or in the compose file",
            )
        return
    value = read_secret(secret)
    if mount.env:
        made.env.append(f"{mount.env}={value.decode('utf-8', 'surrogateescape')}")
    target = secret_target(mount)
    if not target:
        return
    path = sources.volatile / f"secret{number}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, value)
        os.fchown(fd, mount.uid, mount.gid)
        os.fchmod(fd, 0o400 if mount.mode < 0 else mount.mode)
    finally:
        os.close(fd)
    made.mounts.append(Mount(kind=MountKind.BIND, target=target, source=str(path), read_only=True))


def read_secret(secret: Secret) -> bytes:
    """Return the bytes of a secret; raises BuildError for a file that can't be read or is too large."""
    if secret.value is not None:
        return secret.value
    try:
        with open(secret.path, "rb") as file:
            value = file.read(MAX_SECRET_BYTES + 1)
    except OSError as exc:
        raise BuildError(f"secret {secret.id}: {secret.path}: {exc.strerror}") from exc
    if len(value) > MAX_SECRET_BYTES:
        raise BuildError(f"secret {secret.id}: {secret.path}: larger than {MAX_SECRET_BYTES} bytes")
    return value


def _agent(
    mount: StepMount, made: Prepared, sources: MountSources, number: int, stack: contextlib.ExitStack
) -> None:
    name = mount.id or "default"
    path = sources.ssh.get(name)
    if path is None:
        if mount.required:
            raise BuildError(
                f"ssh agent {name}: not given",
                hint=f"give it with --ssh {name}, or ssh: [{name}] in the compose file",
            )
        return
    target = agent_target(mount, number)
    listening = sources.volatile / f"agent{number}"
    stack.enter_context(_relayed(path, listening))
    os.chown(listening, mount.uid, mount.gid)
    os.chmod(listening, 0o600 if mount.mode < 0 else mount.mode)
    made.mounts.append(Mount(kind=MountKind.BIND, target=target, source=str(listening)))
    if not any(item.startswith("SSH_AUTH_SOCK=") for item in made.env):
        made.env.append(f"SSH_AUTH_SOCK={target}")


def agent_target(mount: StepMount, number: int) -> str:
    """Return where the socket of an agent, the step's `number`th mount, appears."""
    return mount.target or _SSH_TARGET.format(number)


@contextlib.contextmanager
def _relayed(agent: str, listening: Path) -> Iterator[None]:
    """Answer at `listening` for the agent at `agent`, whose own socket the step's user may not be allowed to open."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        # sun_path holds 107 bytes; the directory's descriptor makes any path short.
        folder = os.open(listening.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, folder)
        server.bind(f"/proc/self/fd/{folder}/{listening.name}")
        server.listen(8)
        thread = threading.Thread(target=_serve, args=(server, agent), daemon=True, name="ssh-agent")
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, agent: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_relay, args=(client, agent), daemon=True, name="ssh-agent").start()


def _relay(client: socket.socket, agent: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as other, contextlib.suppress(OSError):
        other.connect(agent)
        back = threading.Thread(target=_pump, args=(other, client), daemon=True)
        back.start()
        _pump(client, other)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
