"""Kernel parameters that a container may have to itself, and their paths below /proc/sys (sysctl(8))."""

from __future__ import annotations

from pycompose.engine.errors import EngineError

_IPC = frozenset(
    f"kernel/{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
# Between the two spellings of a kernel parameter.
_SWAPPED = str.maketrans("./", "/.")


def path_of(key: str, *, network: str, ipc: str, uts: str) -> str:
    """Return the path of a parameter for a container with these namespaces ("private", "host", "container:ID").

    `net.ipv4.conf.eth0/1.forwarding` and `net/ipv4/conf/eth0.1/forwarding` are the same: the first separator tells.
    Raises EngineError for one that isn't the container's own.
    """
    first = next((character for character in key if character in "./"), "")
    path = key.translate(_SWAPPED) if first == "." else key
    if ".." in path.split("/"):
        own = False
    elif path.startswith("net/"):
        own = network != "host"
    elif path == "kernel/domainname":
        own = uts == "private"
    else:
        own = (path in _IPC or path.startswith("fs/mqueue/")) and ipc != "host"
    if not own:
        raise EngineError(
            f"sysctl {key}: cannot set: it is not the container's own",
            hint="net.* needs its own network; kernel.shm*, msg*, sem and fs.mqueue.* its own ipc; "
            "kernel.domainname its own uts",
        )
    return path
