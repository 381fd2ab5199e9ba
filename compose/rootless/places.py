"""Where the state of an ordinary user lies (XDG Base Directory Specification). Loaded at each start of his."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing takes 3 ms to import
if TYPE_CHECKING:
    from collections.abc import MutableMapping

# "0" in the environment: only root runs containers.
SWITCH = "PYCOMPOSE_ROOTLESS"
# The file in the run directory with the boot and the numbers of the namespaces that the private host is, in this order,
# in which they are also entered: the user namespace is what gives the right to the others. Its second line is the
# control group that containers' groups are made in, if the user has one.
RECORD = "host"
# Held while a host begins and ends.
LOCK = "host.lock"
# The process outside has the socket of whoever has started it here.
FIRST_FD = 3
KINDS = ("user", "mnt", "net", "ipc", "uts")
_ROOT, _RUN, _CGROUP = "PYCOMPOSE_ROOT", "PYCOMPOSE_RUN", "PYCOMPOSE_CGROUP"


def is_refused() -> bool:
    """Tell whether a private host isn't wanted."""
    return os.environ.get(SWITCH) == "0"


def settle(environment: MutableMapping[str, str]) -> None:
    """Name the state directories in `environment`, for us and all that we start, unless it does so already.

    No place for what a reboot forgets is no reason to fail yet: many commands need none.
    """
    if not environment.get(_ROOT):
        data = environment.get("XDG_DATA_HOME") or os.path.join(
            environment.get("HOME") or os.path.expanduser("~"), ".local/share"
        )
        environment[_ROOT] = os.path.join(data, "pycompose")
    if not environment.get(_RUN):
        environment[_RUN] = os.path.join(_runtime_directory(environment), "pycompose")
    if not environment.get(_CGROUP) and (group := _record(environment[_RUN])[1]):
        environment[_CGROUP] = group


def inside(run: str) -> dict[str, int]:
    """Return the numbers of the private host's namespaces, none where there is no host."""
    try:
        return dict(zip(KINDS, map(int, _record(run)[0].split()[1:]), strict=True))
    except ValueError:
        return {}


def _record(run: str) -> tuple[str, str]:
    """Return the lines of the host's record."""
    try:
        with open(f"{run}/{RECORD}", encoding="utf-8", errors="surrogateescape") as file:
            first, _, second = file.read().partition("\n")
    except OSError:
        return "", ""
    return first, second


def _runtime_directory(environment: MutableMapping[str, str]) -> str:
    """Return the user's own directory in memory: not that of somebody whose variables `su` has left behind."""
    own = f"/run/user/{os.geteuid()}"
    named = environment.get("XDG_RUNTIME_DIR", "")
    try:
        return named if os.path.isabs(named) and os.stat(named).st_uid == os.geteuid() else own
    except OSError:
        return own
