"""Verdicts on what goes without root, in a private host: root misses none of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.doctor.rows import Row, failures, limited, ok

if TYPE_CHECKING:
    from pycompose.doctor.facts import Facts

NOT_NEEDED = "not needed by root"
WHOLE_RANGE = 65_536
FIRST_FREE_PORT = 1_024
# File systems of other machines: without overlays, and without files of subordinate ids.
REMOTE = ("9p", "afs", "ceph", "cifs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3")


def identities(facts: Facts) -> Row:
    """Judge subuid(5) and its tools, by which a container without root has more ids than one."""
    check, ids = "id maps", facts.identities
    if facts.user.uid == 0:
        return ok(check, NOT_NEEDED)
    if failed := failures(ids.tools):
        return limited(check, failed, "one id for all files and users of a container", "apt install uidmap")
    if min(ids.users, ids.groups) < WHOLE_RANGE:
        name = facts.user.name or str(facts.user.uid)
        those = f"{ids.free}-{ids.free + WHOLE_RANGE - 1}"
        mend = f"usermod --add-subuids {those} --add-subgids {those} {name}"
        found = f"{ids.users} in /etc/subuid, {ids.groups} in /etc/subgid"
        return limited(check, found, "images with other owners than root can't be unpacked", mend)
    return ok(check, f"{ids.users} users, {ids.groups} groups")


def uplink(facts: Facts) -> Row:
    """Judge what carries packets without root."""
    if facts.user.uid == 0:
        return ok("uplink", NOT_NEEDED)
    limits = "containers without root, and the RUN steps of builds, can't reach the outside"
    if not facts.network.uplinks:
        found = facts.network.unsound or "neither pasta nor slirp4netns"
        return limited("uplink", found, limits, "apt install slirp4netns, or passt of 2024 or newer")
    if facts.network.tun:
        return limited(
            "uplink", f"/dev/net/tun: {facts.network.tun}", limits, "modprobe tun; chmod 666 /dev/net/tun"
        )
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
    return ok("runtime directory", "yes" if facts.user.uid else NOT_NEEDED)


def linger(facts: Facts) -> Row:
    """Judge whether the user's runtime directory, and what runs, outlive his last session (loginctl(1))."""
    check, reason = "linger", facts.identities.linger
    if facts.user.uid == 0 or reason is None:
        return ok(check, "no systemd here" if facts.user.uid else NOT_NEEDED)
    if reason:
        limits = "containers end with the user's last session, and don't start with the machine"
        return limited(check, reason, limits, f"loginctl enable-linger {facts.user.name or facts.user.uid}")
    return ok(check, "yes")


def home(facts: Facts) -> Row:
    """Judge the file system of the user's state: one of another machine's, or without setuid or programs."""
    place = facts.storage.root
    found = f"{place.path} on {', '.join((place.fstype or 'an unknown file system', *place.without))}"
    mend = "set PYCOMPOSE_ROOT to a directory on a local disk"
    if facts.user.uid == 0:
        return ok("home", NOT_NEEDED)
    if place.fstype in REMOTE:
        limits = "no overlays there, nor files of other users than this one: no containers"
        return limited("home", found, limits, mend)
    if place.without:
        what = {"nosuid": "setuid programs are run as any other", "noexec": "no program can be run"}
        limits = f"in volumes {' and '.join(what[name] for name in place.without)}"
        return limited("home", found, limits, f"{mend} that is mounted without {', '.join(place.without)}")
    return ok("home", found)


def ping(facts: Facts) -> Row:
    """Judge whether the program of the way out may send what containers ping (icmp(7), ping_group_range)."""
    if facts.user.uid and not facts.identities.ping:
        limits = "containers can't ping the outside; each other they can"
        mend = 'sysctl -w net.ipv4.ping_group_range="0 2147483647"'
        return limited("ping", "net.ipv4.ping_group_range is without this user's group", limits, mend)
    return ok("ping", "yes" if facts.user.uid else NOT_NEEDED)
