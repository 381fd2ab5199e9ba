"""What `doctor` finds out about a machine, as data.

Where something was tried, its fact is a reason: "" when it worked, None when it can't be tried (only root may), else
what the kernel said.
"""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass

Reason = str | None
# Where useradd(8) begins to give ranges.
FIRST_SUBID = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts:
    """Who asks. `lacking`: capabilities that root has on a machine of its own, and this process hasn't.

    `refused` is why there is no private host for a user who isn't root, "" when there is.
    """

    uid: int
    name: str
    lacking: frozenset[str]
    in_initial_namespace: bool
    filtered: bool
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The interpreter, its file, and our files; `loose` are those of their paths that others than root may write."""

    python: str
    interpreter: str
    loose: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """System calls by name, Landlock's version (0: none), the exit code of others' children by pidfd."""

    release: str
    machine: str
    calls: dict[str, Reason]
    landlock: int
    exit_by_pidfd: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Namespaces by kind; the user's own one (`user`) with a map, as an ordinary user makes it; sysctls about that."""

    namespaces: dict[str, Reason]
    user: Reason
    sysctls: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What else holds a process: seccomp filters, AppArmor, SELinux ("enforcing", "permissive", or "" for none).

    `profiles`: profiles of AppArmor can be loaded.
    """

    seccomp: Reason
    apparmor: bool
    profiles: bool
    selinux: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Control groups. `controllers` are usable by us; `unwritable` are hierarchies that are read-only or not ours.

    `swap`: swap can be limited; None where there is no group to look at.
    """

    kind: str
    controllers: frozenset[str]
    unwritable: tuple[str, ...]
    swap: bool | None
    device_filter: Reason
    birth: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDirectory:
    """A state root, the filesystem that it is on or would be, and what is free there.

    `without`: mount options that take something from what is run there, "nosuid" and "noexec".
    """

    path: str
    fstype: str
    writable: bool
    free_bytes: int
    total_bytes: int
    free_inodes: int
    total_inodes: int
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Both state roots, and an overlay with its upper directory in the first: step → reason.

    `in_memory`: its file system is known to refuse that, so that what containers write lies in memory.
    """

    root: StateDirectory
    run: StateDirectory
    overlay: dict[str, Reason]
    in_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """A chain of somebody else's that drops what is forwarded, and the commands against that."""

    chain: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """What was tried in a network namespace of its own (step → reason); the machine's other firewalls; tun.

    `firewalls` is None when they can't be asked for; `tun` and `uplinks` are for networks without root, `unsound` is
    why an uplink that there is can't be used.
    """

    steps: dict[str, Reason]
    firewalls: tuple[Firewall, ...] | None
    tun: Reason
    uplinks: tuple[str, ...]
    unsound: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """For containers without root: newuidmap and newgidmap (→ reason), how many ids the user has in subuid, subgid.

    From `free` on, ids are nobody's.
    `linger` is why his processes end with his last session, None where no systemd would end them; `ping`: he may ping.
    """

    tools: dict[str, Reason]
    users: int
    groups: int
    runtime_directory: bool
    free: int = FIRST_SUBID
    linger: Reason = None
    ping: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFacts:
    """The machine's limits by name (sysctls, RLIMIT_NOFILE, pids.max of our group); absent where there is none."""

    values: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything."""

    user: UserFacts
    program: Program
    kernel: Kernel
    isolation: Isolation
    walls: Walls
    groups: Groups
    storage: Storage
    network: NetworkFacts
    identities: Identities
    limits: LimitFacts
