"""Looking at the machine: who asks, where state lies, what the network can do."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.doctor.attempts import attempts
from pycompose.doctor.facts import (
    FIRST_SUBID,
    Firewall,
    Identities,
    NetworkFacts,
    Program,
    Reason,
    StateDirectory,
    Storage,
    UserFacts,
)
from pycompose.engine.container.uppers import SUSPECTS
from pycompose.engine.errors import NetworkError
from pycompose.engine.linux import caps, mounts, namespaces, userns
from pycompose.rootless import uplink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycompose.engine.paths import StatePaths
    from pycompose.networking.model import NetworkState

_WHOLE_MAP = ["0", "0", "4294967295"]
_OVERLAY_STEPS = ("mount", "remove a file", "replace a directory")
_NETWORK_STEPS = ("bridge", "veth", "nftables", "forwarding", "ipv6", "netem", "tbf")
_ID_TOOLS = ("newuidmap", "newgidmap")
_MTU = 1500
_WITHOUT = {"nosuid": os.ST_NOSUID, "noexec": os.ST_NOEXEC}
_LINGERING, _SYSTEMD = Path("/var/lib/systemd/linger"), Path("/run/systemd/system")


def user() -> UserFacts:
    """Return who we are."""
    mask = caps.permitted()
    known = enumerate(caps.CAPABILITIES[: caps.last_capability() + 1])
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return UserFacts(
        uid=os.geteuid(),
        name=_name(os.geteuid()),
        lacking=frozenset(name for number, name in known if not mask >> number & 1),
        in_initial_namespace=_words("/proc/self/uid_map") == _WHOLE_MAP,
        filtered="Seccomp:\t2" in status,
    )


def _name(uid: int) -> str:
    """Return a user's name by /etc/passwd; "" when it isn't there."""
    for line in _lines("/etc/passwd"):
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(uid):
            return fields[0]
    return ""


def program() -> Program:
    """Return how we run. What others may change, they may have root run."""
    code = Path(__file__).resolve().parents[1]
    loose = []
    for path in (Path(sys.executable).resolve(), Path(os.__file__).resolve().parent, code):
        loose += [str(one) for one in (path, *path.parents) if _others_may_write(one)]
    interpreter = str(Path(sys.executable).resolve())
    return Program(
        python=platform.python_version(), interpreter=interpreter, loose=tuple(dict.fromkeys(loose))
    )


def _others_may_write(path: Path) -> bool:
    try:
        info = path.stat()
    except OSError:
        return False
    uid, gid = userns.as_root_for_nobody(info)
    if uid not in (0, os.geteuid()):
        return True
    bits = stat.S_IWOTH | (stat.S_IWGRP if gid else 0)
    return bool(info.st_mode & bits) and not info.st_mode & stat.S_ISVTX


def storage(paths: StatePaths, *, root: bool) -> Storage:
    """Return where state lies, and whether containers can write above images there."""
    place = _place(paths.root)
    overlay = dict.fromkeys(_OVERLAY_STEPS)
    in_memory = place.fstype.removesuffix("4").partition(".")[0] in SUSPECTS.values()
    if root and place.writable:
        with tempfile.TemporaryDirectory(prefix=".pycompose-doctor-", dir=_nearest(paths.root)) as scratch:
            trial = _OverlayTrial(Path(scratch))
            overlay = attempts(namespaces.CLONE_NEWNS, trial.steps())
            # An overlay on an overlay on an overlay is none: FILESYSTEM_MAX_STACK_DEPTH is 2.
            in_memory = in_memory and not any(attempts(namespaces.CLONE_NEWNS, trial.in_memory()).values())
    return Storage(root=place, run=_place(paths.run), overlay=overlay, in_memory=in_memory)


class _OverlayTrial:
    """What an image's layers need of an overlay, step by step, in a mount namespace that goes away."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._merged = scratch / "merged"
        for name in ("lower/directory", "upper", "work", "merged", "memory"):
            (scratch / name).mkdir(parents=True)
        for name in ("lower/file", "lower/directory/file"):
            (scratch / name).touch()

    def steps(self) -> dict[str, Callable[[], object]]:
        """Return name → what to do."""
        return dict(zip(_OVERLAY_STEPS, (self._mount, self._remove, self._replace), strict=True))

    def in_memory(self) -> dict[str, Callable[[], object]]:
        """Return the same for what is written to lie in memory (engine/container/uppers.py)."""
        return {"mount in memory": self._mount_in_memory}

    def _mount(self) -> None:
        mounts.set_propagation("/", mounts.MS_PRIVATE | mounts.MS_REC)
        self._mount_above("")

    def _mount_in_memory(self) -> None:
        mounts.set_propagation("/", mounts.MS_PRIVATE | mounts.MS_REC)
        memory = self._scratch / "memory"
        mounts.attach(mounts.new_filesystem("tmpfs"), os.open(memory, os.O_PATH | os.O_DIRECTORY))
        for name in ("upper", "work"):
            (memory / name).mkdir()
        self._mount_above("memory")

    def _mount_above(self, folder: str) -> None:
        """Mount with the upper directory of `folder` in the scratch directory."""
        own = self._scratch / folder
        paths = (self._scratch / "lower", own / "upper", own / "work", self._scratch / "merged")
        lower, upper, work, merged = (os.open(path, os.O_PATH | os.O_DIRECTORY) for path in paths)
        mounts.attach(mounts.overlay([lower], upper, work, merged), merged)

    def _remove(self) -> None:
        """Remove a file of the image: a whiteout, a device node 0:0."""
        (self._merged / "file").unlink()

    def _replace(self) -> None:
        """Replace a directory of the image by an empty one, which an attribute marks as opaque."""
        shutil.rmtree(self._merged / "directory")
        (self._merged / "directory").mkdir()
        if os.listdir(self._merged / "directory"):
            raise OSError(0, "what was removed is there again")


def _nearest(path: Path) -> Path:
    """Return `path`, or the nearest directory above it that exists."""
    return next(one for one in (path, *path.parents) if one.is_dir())


def _place(path: Path) -> StateDirectory:
    there = _nearest(path)
    room = os.statvfs(there)
    return StateDirectory(
        path=str(path),
        fstype=_fstype(there),
        writable=os.access(there, os.W_OK),
        free_bytes=room.f_bavail * room.f_frsize,
        total_bytes=room.f_blocks * room.f_frsize,
        free_inodes=room.f_favail,
        total_inodes=room.f_files,
        without=tuple(name for name, flag in _WITHOUT.items() if room.f_flag & flag),
    )


def _fstype(path: Path) -> str:
    """Return the type of the filesystem that the directory `path` is on, by proc_pid_mountinfo(5)."""
    found = ""
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4]
        if point == "/" or f"{path}/".startswith(point + "/"):  # the last one that is above lies on top
            found = after.split(" ")[0]
    return found


def tun() -> Reason:
    """Return why this user has no /dev/net/tun, "" when he has."""
    path = Path("/dev/net/tun")
    return "" if os.access(path, os.R_OK | os.W_OK) else "not for this user" if path.exists() else "not there"


def network(tun: Reason, *, root: bool, firewalls: bool) -> NetworkFacts:
    """Return what networks can be made of, tried in a network namespace of its own by who is `root` there.

    `firewalls`: those that are met where we are are the machine's.
    """
    steps = dict.fromkeys(_NETWORK_STEPS)
    if root:
        steps = attempts(namespaces.CLONE_NEWNET, _NetworkTrial().steps())
    return NetworkFacts(
        steps=steps,
        firewalls=_firewalls() if firewalls else None,
        tun=tun,
        uplinks=tuple(name for name in uplink.there() if not uplink.unsound(name)),
        unsound=next(filter(None, map(uplink.unsound, uplink.there())), ""),
    )


class _NetworkTrial:
    """A network and the rules of a project with a published port, by our own code."""

    def __init__(self) -> None:
        from pycompose.networking import bridge, ipam  # noqa: PLC0415 - 25 ms, for root only
        from pycompose.networking.model import NetworkSpec  # noqa: PLC0415

        self._driver = bridge.BridgeDriver()
        spec = NetworkSpec(name="doctor", project="doctor")
        self._state: NetworkState = self._driver.new_state(spec, ipam.AddressSpace())

    def steps(self) -> dict[str, Callable[[], object]]:
        """Return name → what to do."""
        return dict(
            zip(
                _NETWORK_STEPS,
                (
                    self._bridge,
                    self._veth,
                    self._nftables,
                    self._forwarding,
                    self._ipv6,
                    self._netem,
                    self._tbf,
                ),
                strict=True,
            )
        )

    def _bridge(self) -> None:
        self._driver.ensure(self._state)

    def _veth(self) -> None:
        from pycompose.networking import ipam  # noqa: PLC0415
        from pycompose.networking.netlink.requests import PeerSpec  # noqa: PLC0415
        from pycompose.networking.netlink.rtnetlink import Netlink  # noqa: PLC0415

        own = namespaces.open_namespace("self", "net")
        with Netlink() as netlink:
            batch = netlink.batch()
            peer = PeerSpec(name="pc-peer", mac=ipam.random_mac(), netns_fd=own)
            batch.create_veth(
                "pc-doctor",
                mac=ipam.random_mac(),
                mtu=_MTU,
                master=netlink.index(self._state.bridge),
                peer=peer,
            )
            batch.commit()

    def _nftables(self) -> None:
        from pycompose.networking.firewall import rules  # noqa: PLC0415
        from pycompose.networking.model import PublishedPort  # noqa: PLC0415
        from pycompose.networking.netlink.nfnetlink import Netfilter  # noqa: PLC0415

        port = PublishedPort(
            host_ip="", host_port=80, protocol="tcp", container_ip=self._state.gateway, container_port=80
        )
        rules.apply(Netfilter(), "doctor", [self._state], [port])

    def _forwarding(self) -> None:
        from pycompose.networking.netns import write_sysctls  # noqa: PLC0415

        write_sysctls({"ipv4/ip_forward": "1"})

    def _ipv6(self) -> None:
        from pycompose.networking.netns import read_sysctl  # noqa: PLC0415

        if not read_sysctl("ipv6/conf/all/forwarding"):
            raise NetworkError("this kernel has none, or it is switched off")

    def _netem(self) -> None:
        from pycompose.networking.netlink import qdisc, rtnetlink  # noqa: PLC0415

        with rtnetlink.Netlink() as netlink:
            qdisc.set_delay(netlink, "lo", 1, 0)

    def _tbf(self) -> None:
        from pycompose.networking.netlink import qdisc, rtnetlink  # noqa: PLC0415

        with rtnetlink.Netlink() as netlink:
            qdisc.set_rate(netlink, "lo", _MTU)


def _firewalls() -> tuple[Firewall, ...] | None:
    from pycompose.networking.firewall import other_firewalls  # noqa: PLC0415
    from pycompose.networking.netlink.nfnetlink import Netfilter  # noqa: PLC0415

    try:
        netfilter = Netfilter()
    except NetworkError:
        return None
    try:
        chains = other_firewalls.dropping_chains(netfilter)
    finally:
        netfilter.close()
    return tuple(Firewall(chain=str(chain), remedy=chain.remedy) for chain in chains)


def identities(environment: Mapping[str, str]) -> Identities:
    """Return what the user has for containers without root."""
    uid, name = str(os.geteuid()), _name(os.geteuid())
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}")
    return Identities(
        tools={tool: _privileged_tool(tool) for tool in _ID_TOOLS},
        users=_granted("/etc/subuid", {uid, name}),
        groups=_granted("/etc/subgid", {uid, name}),
        free=_free(),
        runtime_directory=runtime.is_dir() and os.access(runtime, os.W_OK),
        linger=_lingers(name or uid),
        ping=_may_ping(),
    )


def _lingers(name: str) -> Reason:
    """Return why what a user runs ends with his last session (loginctl(1)), None where systemd doesn't run."""
    if not _SYSTEMD.is_dir():
        return None
    return "" if (_LINGERING / name).exists() else "not switched on"


def _may_ping() -> bool:
    """Tell whether one of our groups may have sockets for echo requests (icmp(7))."""
    first, _, last = " ".join(_words("/proc/sys/net/ipv4/ping_group_range")).partition(" ")
    groups = {os.getegid(), *os.getgroups()}
    return first.isdigit() and last.isdigit() and any(int(first) <= gid <= int(last) for gid in groups)


def _privileged_tool(name: str) -> str:
    """Return why `name` can't write maps, "" when it can: setuid root, or with a file capability."""
    path = shutil.which(name, path="/usr/bin:/bin:/usr/local/bin")
    if path is None:
        return "not installed"
    if os.stat(path).st_mode & stat.S_ISUID:
        return ""
    with contextlib.suppress(OSError):
        os.getxattr(path, "security.capability")
        return ""
    return f"{path} is neither setuid nor has a capability"


def _granted(file: str, owners: set[str]) -> int:
    """Return how many ids subuid(5) or subgid(5) gives to the user who is known by `owners`."""
    fields = [line.split(":") for line in _lines(file)]
    return sum(int(f[2]) for f in fields if len(f) == 3 and f[0] in owners and f[2].isdigit())


def _free() -> int:
    """Return the first id behind all ranges of subuid(5) and subgid(5): two users with the same could be each other."""
    fields = [line.split(":") for file in ("/etc/subuid", "/etc/subgid") for line in _lines(file)]
    ends = [int(f[1]) + int(f[2]) for f in fields if len(f) == 3 and f[1].isdigit() and f[2].isdigit()]
    return max([FIRST_SUBID, *ends])


def _words(path: str) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
