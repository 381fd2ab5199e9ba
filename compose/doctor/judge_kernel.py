"""Verdicts on who asks and what the kernel can do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.doctor.rows import Row, failures, limited, missing, ok, unknown
from pycompose.engine.init.program import MACHINES

if TYPE_CHECKING:
    from pycompose.doctor.facts import Facts

# What the engine cannot do without, and what it uses, or hands to containers by default.
NEEDED_CAPABILITIES = frozenset({"NET_ADMIN", "SYS_ADMIN"})
USED_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "SYS_PTRACE",
        "SYS_RESOURCE",
    }
)  # fmt: skip
CONTROLLER_KEYS = {
    "cpu": "cpus, cpu_shares",
    "cpuset": "cpuset",
    "io": "blkio_config",
    "memory": "mem_limit",
    "pids": "pids_limit",
}

# A profile that takes nothing away, and lets namespaces of users be made (apparmor.d(5)).
_PROFILE = "abi <abi/4.0>, profile pycompose {} flags=(unconfined) {{ userns, }}"


# Who asks


def user(facts: Facts) -> Row:
    """Judge who asks: root with its capabilities makes containers, others do in a private host of theirs."""
    user = facts.user
    if user.uid != 0:
        name = f"{user.name or 'a user without a name'}, {user.uid}"
        if user.refused:
            limits = "containers can be neither made nor seen"
            return missing(
                "user", f"{name}; {user.refused}", limits, "what is missing below, or run pycompose with sudo"
            )
        return ok("user", f"{name}, root of a private host")
    where = "root" if user.in_initial_namespace else "root of a user namespace"
    needed = sorted(NEEDED_CAPABILITIES & user.lacking)
    used = sorted(USED_CAPABILITIES & user.lacking)
    if needed:
        limits = "no containers: namespaces, mounts and networks can't be made"
        mend = "inside another container, give that one `privileged: true`"
        return missing("user", f"{where}, without {', '.join(needed)}", limits, mend)
    if used:
        limits = (
            "containers don't have these either, nor what depends on them (raised ulimits need SYS_RESOURCE)"
        )
        mend = "start pycompose where root has all capabilities"
        return limited("user", f"{where}, without {', '.join(used)}", limits, mend)
    return ok("user", where)


def program(facts: Facts) -> Row:
    """Judge who may change what root runs."""
    if facts.program.loose:
        places = ", ".join(facts.program.loose)
        whom, own = ("this user", "") if facts.user.uid else ("root", f"chown root {places}; ")
        limits = f"whoever may write there can have {whom} run what they like"
        return limited("program", f"others may write {places}", limits, f"{own}chmod go-w {places}")
    return ok("program", f"Python {facts.program.python}")


# The kernel


def kernel(facts: Facts) -> Row:
    """Judge the calls without which there is no container (Linux 5.12: mount_setattr)."""
    kernel = facts.kernel
    found = f"Linux {kernel.release}, {kernel.machine}"
    if kernel.machine not in MACHINES:
        return missing("kernel", found, "no containers", f"a machine of {' or '.join(MACHINES)}")
    failed = failures(kernel.calls)
    if failed:
        limits = "no containers"
        mend = (
            "Linux 5.12 or newer; inside another container, one without a seccomp filter (`privileged: true`)"
        )
        return missing("kernel", f"{found}; {failed}", limits, mend)
    return ok("kernel", found)


def birth(facts: Facts) -> Row:
    """Judge CLONE_INTO_CGROUP: limited and counted from birth, and faster."""
    check, reason = "clone into a control group", facts.groups.birth
    if reason is None:
        return unknown(check) if facts.user.uid else ok(check, "no cgroup2 here")
    if reason:
        return limited(
            check, reason, "processes enter their groups after their birth: slower", "Linux 5.7 or newer"
        )
    return ok(check, "yes")


def exit_codes(facts: Facts) -> Row:
    """Judge whether the end of a container is known whose parent was killed."""
    check, reason = "exit codes by pidfd", facts.kernel.exit_by_pidfd
    if reason:
        limits = "when the keeper is killed, the exit codes of its containers are lost (137 is assumed)"
        return limited(check, reason, limits, "Linux 6.15 or newer")
    return ok(check, "yes")


def landlock(facts: Facts) -> Row:
    """Judge the wall around what unpacks images."""
    if not facts.kernel.landlock:
        limits = "layers of images are unpacked behind one wall less"
        mend = "a kernel with CONFIG_SECURITY_LANDLOCK, and landlock in its lsm= parameter"
        return limited("landlock", "no", limits, mend)
    return ok("landlock", f"version {facts.kernel.landlock}")


# Isolation


def namespaces(facts: Facts) -> Row:
    """Judge what every container has one of each of."""
    failed = failures(facts.isolation.namespaces)
    if failed:
        mend = "sysctl user.max_*_namespaces above 0; inside another container, `privileged: true`"
        return missing("namespaces", failed, "no containers", mend)
    return ok("namespaces", ", ".join(sorted(facts.isolation.namespaces)))


def user_namespaces(facts: Facts) -> Row:
    """Judge what containers without root stand on."""
    check, reason = "user namespaces", facts.isolation.user
    if not reason:
        return ok(check, "yes")
    sysctls = facts.isolation.sysctls
    if sysctls.get("user.max_user_namespaces") == "0":
        mend = "sysctl -w user.max_user_namespaces=15000"
    elif sysctls.get("kernel.unprivileged_userns_clone") == "0":
        mend = "sysctl -w kernel.unprivileged_userns_clone=1"
    elif sysctls.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        mend = (
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or for this Python alone: "
            f"echo '{_PROFILE.format(facts.program.interpreter)}' >/etc/apparmor.d/pycompose; "
            "apparmor_parser -r /etc/apparmor.d/pycompose"
        )
    else:
        mend = "a kernel with CONFIG_USER_NS; inside another container, one without a seccomp filter"
    return limited(
        check, reason, "no containers without root, no sandboxes inside containers (browsers)", mend
    )


def seccomp(facts: Facts) -> Row:
    """Judge the filter of system calls."""
    if facts.walls.seccomp:
        limits = "only containers that are privileged, or have `security_opt: [seccomp=unconfined]`"
        return missing("seccomp", facts.walls.seccomp, limits, "a kernel with CONFIG_SECCOMP_FILTER")
    return ok("seccomp", "yes; we are under a filter ourselves" if facts.user.filtered else "yes")


def security_modules(facts: Facts) -> Row:
    """Judge AppArmor and SELinux."""
    walls = facts.walls
    names = [
        *(["apparmor"] if walls.apparmor else []),
        *([f"selinux, {walls.selinux}"] if walls.selinux else []),
    ]
    if walls.apparmor and not walls.profiles:
        limits = "containers are in no profile of AppArmor, but for those that they name"
        mend = "as root with apparmor_parser (Debian: apt install apparmor), and /sys/kernel/security mounted"
        return limited("security modules", f"{', '.join(names)}; no profiles can be loaded", limits, mend)
    if names:
        return ok("security modules", ", ".join(names))
    limits = "security_opt apparmor= can't be had"
    mend = "a kernel that is started with one of them (lsm= parameter)"
    return limited("security modules", "neither apparmor nor selinux", limits, mend)


# Control groups


def groups(facts: Facts) -> Row:
    """Judge where limits are written."""
    groups = facts.groups
    if facts.user.uid and not groups.controllers:
        limits = "no stats; limits have no effect, with a warning (PYCOMPOSE_STRICT_LIMITS=1: an error)"
        mend = (
            "cgroup v2, and start pycompose in a group that is this user's, or as root: "
            f"systemctl edit user@{facts.user.uid}.service: [Service] Delegate=cpu cpuset io memory pids"
        )
        return limited("control groups", f"{groups.kind}; none of them is this user's", limits, mend)
    if groups.kind == "none":
        found = f"read-only: {', '.join(groups.unwritable)}" if groups.unwritable else "none is mounted"
        mend = "mount -t cgroup2 cgroup2 /sys/fs/cgroup; inside another container, `privileged: true`"
        return limited("control groups", found, "no limits, no stats", mend)
    absent = sorted(CONTROLLER_KEYS.keys() - groups.controllers)
    if absent:
        keys = "; ".join(CONTROLLER_KEYS[name] for name in absent)
        mend = (
            "Delegate=yes for the unit we run in; kernel parameter cgroup_enable=memory for memory; "
            "a hierarchy that is mounted as v1 without it holds it: reboot with systemd.unified_cgroup_hierarchy=1"
        )
        found = f"{groups.kind}, without {', '.join(absent)}"
        return limited("control groups", found, f"these keys are refused: {keys}", mend)
    return ok("control groups", f"{groups.kind}, {', '.join(sorted(CONTROLLER_KEYS))}")


def swap(facts: Facts) -> Row:
    """Judge the accounting of swap, on cgroup v1 a kernel parameter of its own."""
    if facts.groups.swap is None:
        return ok("swap limits", "no group to look at")
    if not facts.groups.swap:
        mend = "kernel parameter swapaccount=1"
        return limited("swap limits", "no", "memswap_limit is refused; mem_limit doesn't bound swap", mend)
    return ok("swap limits", "yes")


def device_filter(facts: Facts) -> Row:
    """Judge what restricts devices: BPF, or the devices controller of v1."""
    check, reason = "device filter", facts.groups.device_filter
    if "devices" in facts.groups.controllers and reason is not None:
        return ok(check, "the devices controller" if reason else "bpf")
    if reason is None:
        return unknown(check) if facts.user.uid else ok(check, "no cgroup2 here")
    if reason:
        limits = "only privileged containers start"
        mend = "a kernel with CONFIG_CGROUP_BPF; inside another container, `privileged: true`"
        return missing(check, f"bpf: {reason}", limits, mend)
    return ok(check, "bpf")
