"""Verdicts on storage, networks, the machine's limits, and what goes without root. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.doctor.rows import Row, State, failures, limited, missing, ok, unknown, untried

if TYPE_CHECKING:
    from pycompose.doctor.facts import Facts, StateDirectory

GIB = 1 << 30
LEAST_FREE_BYTES = GIB
LEAST_FREE_INODES = 50_000
LEAST_WATCHES, LEAST_INSTANCES = 65_536, 64
LEAST_PROCESSES, LEAST_MOUNTS, LEAST_NAMESPACES = 4_096, 20_000, 1_000
CONTAINERS_NOFILE = 524_288
WHOLE_RANGE = 65_536
FIRST_FREE_PORT = 1_024


# Where state lies


def overlay(facts: Facts) -> Row:
    """Judge whether the state directory can hold an upper directory, with its whiteouts and attributes."""
    place, steps = facts.storage.root, facts.storage.overlay
    where = f"{place.path} on {place.fstype or 'an unknown file system'}"
    if untried(steps):
        return unknown("overlay", where)
    failed = next(((name, reason) for name, reason in steps.items() if reason), None)
    if failed:
        limits = "no container can write to its file system"
        mend = (
            "modprobe overlay; or set PYCOMPOSE_ROOT to a directory on ext4, xfs, btrfs or tmpfs: "
            "network file systems, vfat and overlays can't hold what containers write"
        )
        return missing("overlay", f"{where}; {failed[0]}: {failed[1]}", limits, mend)
    return ok("overlay", where)


def state_directory(facts: Facts) -> Row:
    """Judge the room for images, volumes and containers."""
    return _room("state directory", facts.storage.root, "PYCOMPOSE_ROOT", facts.user.uid)


def run_directory(facts: Facts) -> Row:
    """Judge the place of sockets, secrets and run-time state: memory, which a reboot forgets."""
    row = _room("run directory", facts.storage.run, "PYCOMPOSE_RUN", facts.user.uid)
    if row.state is State.OK and facts.storage.run.fstype not in ("tmpfs", "ramfs"):
        limits = "secrets reach the disk"
        mend = "mount -t tmpfs tmpfs /run, or set PYCOMPOSE_RUN to a directory on a tmpfs"
        return limited("run directory", row.found, limits, mend)
    return row


def _room(check: str, place: StateDirectory, variable: str, uid: int) -> Row:
    free = f"{place.free_bytes / GIB:.1f} GiB free"
    found = f"{place.path} on {place.fstype or 'an unknown file system'}, {free}"
    if not place.writable:
        if uid:
            return unknown(check, f"{place.path}: root's")
        return missing(
            check, f"{found}; not writable", "nothing can be started", f"mount it rw, or set {variable}"
        )
    small = place.fstype in ("tmpfs", "ramfs")
    least = min(LEAST_FREE_BYTES, place.total_bytes // 10) if small else LEAST_FREE_BYTES
    if place.free_bytes < least:
        limits = (
            "images can't be pulled, containers can't write" if not small else "starts fail when it is full"
        )
        return limited(check, found, limits, f"`pycompose system prune`, or set {variable} to a larger place")
    if place.total_inodes and place.free_inodes < min(LEAST_FREE_INODES, place.total_inodes // 10):
        found = f"{place.path} on {place.fstype}, {place.free_inodes} more files"
        return limited(check, found, "no room for more files", f"`pycompose system prune`, or set {variable}")
    return ok(check, found)


# Networks


def network_devices(facts: Facts) -> Row:
    """Judge what networks are made of."""
    steps = {name: facts.network.steps[name] for name in ("bridge", "veth")}
    if untried(steps):
        return unknown("network devices")
    if failed := failures(steps):
        limits = "no networks, only network_mode host and none"
        return missing("network devices", failed, limits, "modprobe bridge; modprobe veth")
    return ok("network devices", "bridge, veth")


def nftables(facts: Facts) -> Row:
    """Judge what publishes ports, translates, and keeps networks apart."""
    reason = facts.network.steps["nftables"]
    if reason is None:
        return unknown("nftables")
    if reason:
        limits = "no published ports, no way out, no walls between networks"
        mend = "modprobe nf_tables; modprobe nft_chain_nat; modprobe nft_masq; modprobe nft_fib_inet"
        return missing("nftables", reason, limits, mend)
    return ok("nftables", "tables, nat, sets")


def forwarding(facts: Facts) -> Row:
    """Judge whether the machine can route for its containers."""
    reason = facts.network.steps["forwarding"]
    if reason is None:
        return unknown("forwarding")
    if reason:
        limits = "containers can't reach the outside, nor it them"
        mend = "sysctl -w net.ipv4.ip_forward=1; inside another container, a writable /proc/sys (`privileged: true`)"
        return missing("forwarding", reason, limits, mend)
    return ok("forwarding", "can be switched")


def ipv6(facts: Facts) -> Row:
    """Judge what networks with enable_ipv6 need."""
    reason = facts.network.steps["ipv6"]
    if reason is None:
        return unknown("IPv6")
    if reason:
        mend = "start the kernel without ipv6.disable=1"
        return limited("IPv6", reason, "networks with enable_ipv6 can't be made", mend)
    return ok("IPv6", "yes")


def firewalls(facts: Facts) -> Row:
    """Judge other firewalls: we can't accept what they drop."""
    check, found = "other firewalls", facts.network.firewalls
    if found is None:
        return unknown(check)
    if not found:
        return ok(check, "none drops what is forwarded")
    chains = "; ".join(dict.fromkeys(one.chain for one in found))
    limits = "containers can't reach the outside, published ports can't be reached from it"
    return limited(
        check, f"drops what is forwarded: {chains}", limits, "; ".join(one.remedy for one in found)
    )


def tun(facts: Facts) -> Row:
    """Judge what VPNs, and networks without root, are made of."""
    if facts.network.tun:
        limits = "containers of VPNs can't have /dev/net/tun"
        return limited(
            "tun", facts.network.tun, limits, "modprobe tun; chmod 666 /dev/net/tun for ordinary users"
        )
    return ok("tun", "/dev/net/tun")


# Limits of the machine


def inotify(facts: Facts) -> Row:
    """Judge what live reload watches with."""
    watches = facts.limits.values.get("fs.inotify.max_user_watches", LEAST_WATCHES)
    instances = facts.limits.values.get("fs.inotify.max_user_instances", LEAST_INSTANCES)
    found = f"{watches} watches, {instances} instances"
    if watches < LEAST_WATCHES or instances < LEAST_INSTANCES:
        limits = "live reload and programs that watch files see less than they should"
        mend = "sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"
        return limited("inotify", found, limits, mend)
    return ok("inotify", found)


def open_files(facts: Facts) -> Row:
    """Judge the hard limit that containers inherit; root with SYS_RESOURCE raises it."""
    hard = facts.limits.values.get("nofile")
    if hard is not None and hard < CONTAINERS_NOFILE and "SYS_RESOURCE" in facts.user.lacking:
        limits = f"containers get {hard} at most, not Docker's {CONTAINERS_NOFILE}"
        mend = (
            f"ulimit -Hn {CONTAINERS_NOFILE} before pycompose starts (LimitNOFILE= in a unit, limits.conf(5))"
        )
        return limited("open files", str(hard), limits, mend)
    return ok("open files", "unlimited" if hard is None else str(hard))


def processes(facts: Facts) -> Row:
    """Judge the least of the bounds on their number."""
    values = facts.limits.values
    bounds = {
        name: values[name] for name in ("kernel.pid_max", "kernel.threads-max", "pids.max") if name in values
    }
    if not bounds:
        return ok("processes", "not told")
    name, number = min(bounds.items(), key=lambda item: item[1])
    if number < LEAST_PROCESSES:
        mend = (
            f"sysctl -w {name}=4194304" if name != "pids.max" else "TasksMax=infinity for the unit we run in"
        )
        return limited(
            "processes", f"{name} {number}", "containers can't start more processes than that", mend
        )
    return ok("processes", f"{name} {number}")


def mounts(facts: Facts) -> Row:
    """Judge the bound on a mount namespace; a container has about 30 of its own."""
    number = facts.limits.values.get("fs.mount-max", LEAST_MOUNTS)
    if number < LEAST_MOUNTS:
        limits = "a container with many mounts doesn't start"
        return limited("mounts", f"fs.mount-max {number}", limits, "sysctl -w fs.mount-max=100000")
    return ok("mounts", f"fs.mount-max {number}")


def namespace_counts(facts: Facts) -> Row:
    """Judge the bounds on what each container takes one of."""
    names = ("user.max_net_namespaces", "user.max_mnt_namespaces")
    number, name = min((facts.limits.values.get(name, LEAST_NAMESPACES), name) for name in names)
    if number < LEAST_NAMESPACES:
        limits = f"{number} containers at most"
        return limited("number of namespaces", f"{name} {number}", limits, f"sysctl -w {name}=100000")
    return ok("number of namespaces", f"{name} {number}")


# Without root


def identities(facts: Facts) -> Row:
    """Judge subuid(5) and its tools, by which a container without root has more ids than one."""
    check, ids = "id maps", facts.identities
    if facts.user.uid == 0:
        return ok(check, "not needed by root")
    if failed := failures(ids.tools):
        return limited(check, failed, "one id for all files and users of a container", "apt install uidmap")
    if min(ids.users, ids.groups) < WHOLE_RANGE:
        name = facts.user.name or str(facts.user.uid)
        mend = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
        found = f"{ids.users} in /etc/subuid, {ids.groups} in /etc/subgid"
        return limited(check, found, "images with other owners than root can't be unpacked", mend)
    return ok(check, f"{ids.users} users, {ids.groups} groups")


def uplink(facts: Facts) -> Row:
    """Judge what carries packets without root."""
    if facts.user.uid == 0:
        return ok("uplink", "not needed by root")
    if not facts.network.uplinks:
        limits = "containers without root can't reach the outside"
        return limited("uplink", "neither pasta nor slirp4netns", limits, "apt install passt")
    return ok("uplink", ", ".join(facts.network.uplinks))


def low_ports(facts: Facts) -> Row:
    """Judge from which port on everybody may publish."""
    first = facts.limits.values.get("net.ipv4.ip_unprivileged_port_start", FIRST_FREE_PORT)
    if facts.user.uid and first > 80:
        mend = "sysctl -w net.ipv4.ip_unprivileged_port_start=80"
        return limited(
            "low ports", f"from {first}", f"ports below {first} can't be published without root", mend
        )
    return ok("low ports", f"from {first}" if facts.user.uid else "all")


def runtime_directory(facts: Facts) -> Row:
    """Judge the place of sockets and locks without root."""
    if facts.user.uid and not facts.identities.runtime_directory:
        limits = "no place for sockets and locks without root"
        mend = "log in by a session of systemd's (`loginctl enable-linger`), or set XDG_RUNTIME_DIR"
        return limited("runtime directory", "none for this user", limits, mend)
    return ok("runtime directory", "yes" if facts.user.uid else "not needed by root")
