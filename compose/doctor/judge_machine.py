"""Verdicts on storage, networks and the machine's limits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.doctor.rows import Row, State, failures, limited, missing, ok, unknown, untried

if TYPE_CHECKING:
    from pycompose.doctor.facts import Facts, StateDirectory

GIB = 1 << 30
LEAST_FREE_BYTES = GIB
LEAST_FREE_INODES = 50_000
# Where root's state is.
ROOTS = ("/var/lib/pycompose", "/run/pycompose")
LEAST_WATCHES, LEAST_INSTANCES = 65_536, 64
LEAST_PROCESSES, LEAST_MOUNTS, LEAST_NAMESPACES = 4_096, 20_000, 1_000
CONTAINERS_NOFILE = 524_288


# Where state lies


def overlay(facts: Facts) -> Row:
    """Judge whether the state directory can hold an upper directory, with its whiteouts and attributes."""
    place, steps = facts.storage.root, facts.storage.overlay
    where = f"{place.path} on {place.fstype or 'an unknown file system'}"
    if untried(steps):
        return unknown("overlay", where)
    failed = next(((name, reason) for name, reason in steps.items() if reason), None)
    if failed:
        found = f"{where}; {failed[0]}: {failed[1]}"
        place_to_set = "set PYCOMPOSE_ROOT to a directory on ext4, xfs, btrfs or tmpfs"
        if facts.storage.in_memory:
            limits = "what containers write lies in memory; builds, and images that remove files of others, don't work"
            return limited("overlay", found, limits, place_to_set)
        limits = "no container can write to its file system"
        return missing("overlay", found, limits, f"modprobe overlay; or {place_to_set}")
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
        if uid and place.path.startswith(ROOTS):
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


def network_faults(facts: Facts) -> Row:
    """Judge the queues by which tests make a network slow (sch_netem) and narrow (sch_tbf)."""
    check = "network faults"
    steps = {name: facts.network.steps[name] for name in ("netem", "tbf")}
    if untried(steps):
        return unknown(check)
    effects = {"netem": "latency and jitter", "tbf": "bandwidth"}
    absent = [name for name, reason in steps.items() if reason]
    if absent:
        limits = f"tests can't have {', '.join(effects[name] for name in absent)}"
        mend = "; ".join(f"modprobe sch_{name}" for name in absent) + ", or a kernel that has it"
        return limited(check, failures(steps), limits, mend)
    return ok(check, "netem, tbf")


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
