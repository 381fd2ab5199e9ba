"""The way into the user's private host, for a command: what it does from then on, it does there as root.

The process must have one thread: that is the kernel's rule for whoever changes his user namespace (setns(2)).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import NamespaceError, PycomposeError, doctor_row
from pycompose.engine.linux import namespaces, outside, userns
from pycompose.rootless import delegation, places

if TYPE_CHECKING:
    from collections.abc import Sequence

# A host in which nothing is left ends after so long.
LINGER_S = 300.0
# What there is to tell the user, once per host that was made.
notices: list[str] = []


def enter() -> None:
    """Go into the user's private host, which is made unless it is there.

    The environment of this process says from then on where the user's state is. Raises PycomposeError.
    """
    places.settle(os.environ)
    run, here = os.environ["PYCOMPOSE_RUN"], _here()
    if len(os.listdir("/proc/self/task")) > 1:
        raise PycomposeError(
            f"private host of user {os.geteuid()}: cannot enter: this process has several threads",
            hint="start it there: `pycompose system enter COMMAND`",
        )
    _make_run(run)
    descriptors = _find(run) or _make(run)
    if not os.environ.get("PYCOMPOSE_CGROUP") and (group := delegation.group()):
        _bring(run, group)
    try:
        for fd, kind in zip(descriptors, places.KINDS, strict=True):
            namespaces.setns(fd, namespaces.KINDS[kind])
    except OSError as exc:
        raise NamespaceError(
            f"private host of user {os.geteuid()}: cannot enter: {exc.strerror}",
            hint=doctor_row("user namespaces"),
        ) from exc
    finally:
        for fd in descriptors:
            os.close(fd)
    userns.forget()
    places.settle(os.environ)  # by now there is a host, whose control group it is
    if here:
        os.chdir(here)


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _make_run(run: str) -> None:
    """Make the directory of sockets and locks; what is above it is the system's business."""
    try:
        os.mkdir(run, 0o700)
    except FileExistsError:
        pass
    except OSError as exc:
        raise PycomposeError(
            f"run directory {run}: cannot make: {exc.strerror}",
            hint="log in by a session (`loginctl enable-linger` gives one), or set XDG_RUNTIME_DIR or PYCOMPOSE_RUN; "
            + doctor_row("runtime directory"),
        ) from exc
    if os.stat(run).st_uid != os.geteuid():
        raise PycomposeError(f"run directory {run}: cannot use: it is another user's")


def _find(run: str) -> list[int]:
    """Return the namespaces of a host whose process outside lives, [] when there is none."""
    try:
        return _ask(run)[1]
    except OSError:
        return []


def _ask(run: str) -> tuple[dict[str, Any], list[int]]:
    return outside.ask(f"{run}/{outside.SOCKET}", {"op": "enter"})


def _make(run: str) -> list[int]:
    """Start the process outside, or find that of another command; raises PycomposeError."""
    from pathlib import Path  # noqa: PLC0415 - for the first command only

    from pycompose.engine.statefiles import locked  # noqa: PLC0415 - as above

    with locked(Path(run, places.LOCK)):
        if found := _find(run):
            return found
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                _spawn(theirs.fileno())
            answer = json.loads(
                ours.recv(outside.MESSAGE_BYTES) or b'{"message": "private host: its process died"}'
            )
        if "message" in answer:
            raise PycomposeError(answer["message"], hint=answer.get("hint") or doctor_row("user"))
        try:
            told, found = _ask(run)
        except OSError as exc:
            raise PycomposeError(
                f"private host: cannot ask for it: {exc.strerror}", hint=doctor_row("user")
            ) from exc
    if told["single"]:
        notices.append(f"containers have one user, root: {told['single']}; {doctor_row('id maps')}")
    if told["lack"]:
        notices.append(f"containers can't reach the outside: {told['lack']}; {doctor_row('uplink')}")
    return found


def _bring(run: str, group: str) -> None:
    """Make `group` the one of a host that has none, unless a project has begun without.

    Whoever has made the host may have come from a login's session, whose control group isn't the user's to divide;
    what his service manager starts is in groups that are.
    """
    from pathlib import Path  # noqa: PLC0415 - once per host

    from pycompose.engine.statefiles import locked, whole_file  # noqa: PLC0415 - as above

    record = f"{run}/{places.RECORD}"
    with locked(Path(run, places.LOCK)), contextlib.suppress(FileNotFoundError):
        if os.path.isdir(f"{run}/projects") and os.listdir(f"{run}/projects"):
            return
        with open(record, encoding="utf-8", errors="surrogateescape") as file:
            first, _, known = file.read().partition("\n")
        if not known:
            with whole_file(record) as changed:
                changed.write(f"{first}\n{group}".encode("utf-8", "surrogateescape"))


def _spawn(fd: int, options: Sequence[str] = ("-I", "-X", "utf8")) -> None:
    os.posix_spawn(
        sys.executable,
        [sys.executable, *options, "-m", "pycompose.rootless.host", str(LINGER_S)],
        {"PATH": os.defpath, "PYCOMPOSE_RUN": os.environ["PYCOMPOSE_RUN"]},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, fd, places.FIRST_FD),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )


def let_end() -> None:
    """Have the host end as soon as nothing is in it any more."""
    with contextlib.suppress(OSError):
        outside.ask(f"{os.environ['PYCOMPOSE_RUN']}/{outside.SOCKET}", {"op": "end"})
