"""`doctor`: what each fact means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pycompose.cli.commands.doctor import text
from pycompose.doctor.facts import (
    Facts,
    Firewall,
    Groups,
    Identities,
    Isolation,
    Kernel,
    LimitFacts,
    NetworkFacts,
    Program,
    StateDirectory,
    Storage,
    UserFacts,
    Walls,
)
from pycompose.doctor.rows import Row, State
from pycompose.doctor.verdicts import verdicts
from pycompose.engine.dataclass import replace

GIB = 1 << 30
TOP = Path(__file__).parents[3]
UNTRIED = None
OVERLAY = ("mount", "remove a file", "replace a directory")
STEPS = ("bridge", "veth", "nftables", "forwarding", "ipv6", "netem", "tbf")


def place(path: str, fstype: str, **changes: Any) -> StateDirectory:
    whole = StateDirectory(
        path=path,
        fstype=fstype,
        writable=True,
        free_bytes=50 * GIB,
        total_bytes=100 * GIB,
        free_inodes=10**6,
        total_inodes=10**7,
    )
    return replace(whole, **changes)


# A machine on which all is well.
WHOLE = Facts(
    user=UserFacts(uid=0, name="root", lacking=frozenset(), in_initial_namespace=True, filtered=False),
    program=Program(python="3.11.7", interpreter="/usr/bin/python3.11", loose=()),
    kernel=Kernel(
        release="6.18.0", machine="x86_64", calls={"clone3": "", "openat2": ""}, landlock=7, exit_by_pidfd=""
    ),
    isolation=Isolation(namespaces={"mnt": "", "net": ""}, user="", sysctls={}),
    walls=Walls(seccomp="", apparmor=True, profiles=True, selinux=""),
    groups=Groups(
        kind="v2",
        controllers=frozenset({"cpu", "cpuset", "io", "memory", "pids"}),
        unwritable=(),
        swap=True,
        device_filter="",
        birth="",
    ),
    storage=Storage(
        root=place("/var/lib/pycompose", "ext4"),
        run=place("/run/pycompose", "tmpfs"),
        overlay=dict.fromkeys(OVERLAY, ""),
    ),
    network=NetworkFacts(steps=dict.fromkeys(STEPS, ""), firewalls=(), tun="", uplinks=()),
    identities=Identities(
        tools={"newuidmap": "", "newgidmap": ""}, users=65536, groups=65536, runtime_directory=True, linger=""
    ),
    limits=LimitFacts(values={"kernel.pid_max": 4194304, "nofile": 1048576}),
)
ORDINARY = replace(
    WHOLE,
    user=replace(
        WHOLE.user,
        uid=1000,
        name="ada",
        lacking=frozenset({"SYS_ADMIN", "NET_ADMIN", "SYS_RESOURCE"}),
        refused="private host: cannot make",
    ),
    groups=replace(WHOLE.groups, controllers=frozenset(), device_filter=UNTRIED, birth=UNTRIED),
    storage=replace(
        WHOLE.storage,
        root=replace(WHOLE.storage.root, writable=False),
        run=replace(WHOLE.storage.run, writable=False),
        overlay=dict.fromkeys(OVERLAY),
    ),
    network=replace(WHOLE.network, steps=dict.fromkeys(STEPS), firewalls=UNTRIED, uplinks=("pasta",)),
)


def changed(facts: Facts, **parts: dict[str, Any]) -> Facts:
    """Return the facts with some fields of some parts changed."""
    return replace(facts, **{name: replace(getattr(facts, name), **fields) for name, fields in parts.items()})


def row(facts: Facts, check: str) -> Row:
    """Return one verdict."""
    (found,) = [row for row in verdicts(facts) if row.check == check]
    return found


def test_all_is_well_on_a_whole_machine() -> None:
    """No row says anything, and each check is there once."""
    rows = verdicts(WHOLE)

    assert [row for row in rows if row.state is not State.OK or row.limits or row.mend] == []
    assert len({row.check for row in rows}) == len(rows) > 25


def test_an_ordinary_user_is_told_what_root_could() -> None:
    """What can't be tried is unknown, never well; one row is what keeps containers from being made."""
    states = {row.check: row.state for row in verdicts(ORDINARY)}

    assert states.pop("user") is State.MISSING
    assert {check for check, state in states.items() if state is State.UNKNOWN} == {
        "device filter", "clone into a control group", "overlay", "state directory",
        "run directory", "network devices", "nftables", "forwarding", "IPv6", "network faults",
        "other firewalls",
    }  # fmt: skip
    assert states["control groups"] is State.LIMITED
    assert row(ORDINARY, "user").found == "ada, 1000; private host: cannot make"


def test_an_ordinary_user_has_a_private_host() -> None:
    """Where it can be made, containers can."""
    found = row(changed(ORDINARY, user={"refused": ""}), "user")

    assert (found.state, found.found) == (State.OK, "ada, 1000, root of a private host")


MISSING: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "no admin": ("user", {"user": {"lacking": frozenset({"SYS_ADMIN", "CHOWN"})}}),
    "old kernel": ("kernel", {"kernel": {"calls": {"clone3": "this kernel has no such call"}}}),
    "other machine": ("kernel", {"kernel": {"machine": "riscv64"}}),
    "no net": ("namespaces", {"isolation": {"namespaces": {"mnt": "", "net": "invalid argument"}}}),
    "no seccomp": ("seccomp", {"walls": {"seccomp": "invalid argument"}}),
    "no bpf": ("device filter", {"groups": {"device_filter": "operation not permitted"}}),
    "nfs": ("overlay", {"storage": {"overlay": {"mount": "invalid argument", "remove a file": "no"}}}),
    "no whiteouts": ("overlay", {"storage": {"overlay": {"mount": "", "remove a file": "not supported"}}}),
    "read-only": (
        "state directory",
        {"storage": {"root": place("/var/lib/pycompose", "ext4", writable=False)}},
    ),
    "no bridge": ("network devices", {"network": {"steps": {**dict.fromkeys(STEPS, ""), "bridge": "no"}}}),
    "no nftables": ("nftables", {"network": {"steps": {**dict.fromkeys(STEPS, ""), "nftables": "no"}}}),
    "ro sysctls": (
        "forwarding",
        {"network": {"steps": {**dict.fromkeys(STEPS, ""), "forwarding": "read-only"}}},
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_needed_and_missing(name: str) -> None:
    """One row, with the way out; the others stay as they were."""
    check, parts = MISSING[name]
    facts = changed(WHOLE, **parts)
    found = row(facts, check)

    assert found.state is State.MISSING
    assert found.found
    assert found.limits
    assert found.mend
    assert [other.check for other in verdicts(facts) if other.state is not State.OK] == [check]


LIMITED: dict[str, tuple[str, dict[str, dict[str, Any]], str]] = {
    "few capabilities": ("user", {"user": {"lacking": frozenset({"SYS_RESOURCE"})}}, "all capabilities"),
    "loose": ("program", {"program": {"loose": ("/home/ada/venv",)}}, "chmod go-w /home/ada/venv"),
    "landlock": ("landlock", {"kernel": {"landlock": 0}}, "CONFIG_SECURITY_LANDLOCK"),
    "exit codes": ("exit codes by pidfd", {"kernel": {"exit_by_pidfd": "no"}}, "6.15"),
    "birth": ("clone into a control group", {"groups": {"birth": "no"}}, "5.7"),
    "userns off": (
        "user namespaces",
        {"isolation": {"user": "no space left", "sysctls": {"user.max_user_namespaces": "0"}}},
        "user.max_user_namespaces=15000",
    ),
    "userns of Debian": (
        "user namespaces",
        {"isolation": {"user": "not permitted", "sysctls": {"kernel.unprivileged_userns_clone": "0"}}},
        "kernel.unprivileged_userns_clone=1",
    ),
    "userns of Ubuntu": (
        "user namespaces",
        {
            "isolation": {
                "user": "denied",
                "sysctls": {"kernel.apparmor_restrict_unprivileged_userns": "1"},
            }
        },
        "profile pycompose /usr/bin/python3.11 flags=(unconfined) { userns, }",
    ),
    "no module": ("security modules", {"walls": {"apparmor": False}}, "lsm="),
    "no parser": ("security modules", {"walls": {"profiles": False}}, "apparmor_parser"),
    "no cgroups": (
        "control groups",
        {"groups": {"kind": "none", "controllers": frozenset(), "unwritable": ("/sys/fs/cgroup",)}},
        "mount -t cgroup2",
    ),
    "no memory": (
        "control groups",
        {"groups": {"controllers": frozenset({"cpu", "cpuset", "io", "pids"})}},
        "cgroup_enable=memory",
    ),
    "swap": ("swap limits", {"groups": {"swap": False}}, "swapaccount=1"),
    "secrets": ("run directory", {"storage": {"run": place("/run/pycompose", "ext4")}}, "tmpfs"),
    "disk full": (
        "state directory",
        {"storage": {"root": place("/var/lib/pycompose", "ext4", free_bytes=GIB // 2)}},
        "system prune",
    ),
    "run full": (
        "run directory",
        {"storage": {"run": place("/run/pycompose", "tmpfs", free_bytes=GIB // 100, total_bytes=GIB // 5)}},
        "PYCOMPOSE_RUN",
    ),
    "no inodes": (
        "state directory",
        {"storage": {"root": place("/var/lib/pycompose", "ext4", free_inodes=10)}},
        "system prune",
    ),
    "no latency": (
        "network faults",
        {"network": {"steps": {**dict.fromkeys(STEPS, ""), "netem": "x"}}},
        "sch_netem",
    ),
    "IPv6": ("IPv6", {"network": {"steps": {**dict.fromkeys(STEPS, ""), "ipv6": "off"}}}, "ipv6.disable"),
    "Docker": (
        "other firewalls",
        {"network": {"firewalls": (Firewall(chain="chain FORWARD", remedy="iptables -I FORWARD …"),)}},
        "iptables -I FORWARD",
    ),
    "tun": ("tun", {"network": {"tun": "not there"}}, "modprobe tun"),
    "watches": ("inotify", {"limits": {"values": {"fs.inotify.max_user_watches": 8192}}}, "524288"),
    "pids": ("processes", {"limits": {"values": {"pids.max": 200}}}, "TasksMax"),
    "pid_max": ("processes", {"limits": {"values": {"kernel.pid_max": 1000}}}, "kernel.pid_max=4194304"),
    "mounts": ("mounts", {"limits": {"values": {"fs.mount-max": 100}}}, "fs.mount-max=100000"),
    "net namespaces": (
        "number of namespaces",
        {"limits": {"values": {"user.max_net_namespaces": 10}}},
        "user.max_net_namespaces=100000",
    ),
}


@pytest.mark.parametrize("name", LIMITED)
def test_what_works_with_less(name: str) -> None:
    """One row that says what is less, and what would mend it."""
    check, parts, mend = LIMITED[name]
    facts = changed(WHOLE, **parts)
    found = row(facts, check)

    assert found.state is State.LIMITED
    assert found.limits
    assert mend in found.mend
    assert [other.check for other in verdicts(facts) if other.state is not State.OK] == [check]


@pytest.mark.parametrize(
    ("check", "parts", "mend"),
    (
        ("id maps", {"identities": {"tools": {"newuidmap": "not installed"}}}, "apt install uidmap"),
        ("id maps", {"identities": {"users": 1000}}, "usermod --add-subuids 100000-165535"),
        ("id maps", {"identities": {"users": 0, "free": 231072}}, "--add-subgids 231072-296607"),
        ("uplink", {"network": {"uplinks": ()}}, "apt install slirp4netns, or passt"),
        ("linger", {"identities": {"linger": "not switched on"}}, "loginctl enable-linger ada"),
        ("ping", {"identities": {"ping": False}}, 'net.ipv4.ping_group_range="0 2147483647"'),
        (
            "home",
            {"storage": {"root": place("/home/ada/pycompose", "nfs4")}},
            "PYCOMPOSE_ROOT to a directory on",
        ),
        (
            "home",
            {"storage": {"root": place("/home/ada/pycompose", "ext4", without=("nosuid", "noexec"))}},
            "mounted without nosuid, noexec",
        ),
        ("low ports", {"limits": {"values": {}}}, "net.ipv4.ip_unprivileged_port_start=80"),
        ("runtime directory", {"identities": {"runtime_directory": False}}, "enable-linger"),
        ("open files", {"limits": {"values": {"nofile": 4096}}}, "ulimit -Hn 524288"),
    ),
)
def test_what_only_ordinary_users_miss(check: str, parts: dict[str, Any], mend: str) -> None:
    """For root the same facts are no matter."""
    found = row(changed(ORDINARY, **parts), check)

    assert found.state is State.LIMITED
    assert mend in found.mend
    assert row(changed(WHOLE, **parts), check).state is State.OK


def test_the_devices_controller_stands_for_bpf() -> None:
    """On a hybrid machine without BPF devices are restricted all the same."""
    groups = {"device_filter": "invalid argument", "controllers": WHOLE.groups.controllers | {"devices"}}

    assert row(changed(WHOLE, groups=groups), "device filter").state is State.OK


def test_limits_name_the_keys_that_are_refused() -> None:
    """By what the user writes, not by the kernel's names."""
    found = row(changed(WHOLE, groups={"controllers": frozenset({"memory"})}), "control groups")

    assert "cpus, cpu_shares; cpuset; blkio_config; pids_limit" in found.limits


def test_the_table_has_the_remedy_below_its_row() -> None:
    """Aligned with what was found; what is well has one line; the unknown has one footnote."""
    lines = text(verdicts(changed(WHOLE, network={"tun": "not there"}))).splitlines()
    (number,) = [number for number, line in enumerate(lines) if line.startswith("tun ")]

    assert lines[0].split() == ["CHECK", "STATE", "FOUND"]
    assert [line.strip() for line in lines[number + 1 : number + 3]] == [
        "limits: containers of VPNs can't have /dev/net/tun",
        "to mend: modprobe tun; chmod 666 /dev/net/tun for ordinary users",
    ]
    assert len(lines) == len(verdicts(WHOLE)) + 3
    assert text(verdicts(ORDINARY)).endswith("\n\nunknown: `sudo pycompose doctor` tells\n")


def test_who_may_change_what_an_ordinary_user_runs() -> None:
    """He is the one in danger, and nothing of it is root's to be."""
    found = row(changed(ORDINARY, program={"loose": ("/home/ada/venv",)}), "program")

    assert "have this user run" in found.limits
    assert found.mend == "chmod go-w /home/ada/venv"


def test_errors_lead_to_rows_that_there_are() -> None:
    """Each `doctor_row("…")` of our code names one."""
    sources = [
        path for room in ("compose", "engine", "networking", "volumes") for path in (TOP / room).rglob("*.py")
    ]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    named = {name for text in texts for name in re.findall(r"""doctor_row\(["']([^"']+)""", text)}

    assert "id maps" in named
    assert named <= {row.check for row in verdicts(WHOLE)}
