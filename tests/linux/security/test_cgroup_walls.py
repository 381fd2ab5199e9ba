"""A container that can make user namespaces gets at no control group but its own, and stays limited.

In a user and a cgroup namespace of its own it may mount every hierarchy, writable. Docker's system-call filter forbids
it to make them; this is about containers without one, and about what holds should the filter not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.cgroups.hosts import Kind, detect
from pycompose.engine.config import Limits, Mount, MountKind, Namespaces, Security

from tests.support.lab import Lab

MIB = 1024 * 1024
LIMITS = Limits(memory_bytes=24 * MIB, memory_swap_bytes=24 * MIB, pids=20, cpus=0.5, cpuset="0")
TOOLS = tuple(
    Mount(kind=MountKind.BIND, source=os.path.realpath(path), target=path, read_only=True)
    for path in ("/usr", "/lib", "/lib64")
    if os.path.exists(path)
)
ENTER = "/usr/bin/unshare --user --map-root-user --mount --cgroup /bin/sh -c"
FILES = {
    "memory": {"memory.memsw.limit_in_bytes": "-1", "memory.limit_in_bytes": "-1"},
    "pids": {"pids.max": "max"},
    "cpu": {"cpu.cfs_quota_us": "-1"},
    "": {"memory.max": "max", "memory.swap.max": "max", "pids.max": "max", "cpu.max": "max"},
}


def hierarchies() -> dict[str, Path]:
    """Return the options by which each hierarchy is mounted ("" for cgroup2) and where the machine has it."""
    machine = detect()
    found = {",".join(names): mount for mount, names in machine.v1_mounts().items()}
    return found | ({"": machine.unified} if machine.unified else {})


def mounts() -> str:
    """Return the script that mounts all hierarchies below /tmp/N."""
    lines = []
    for number, names in enumerate(hierarchies()):
        if not names:
            how = "-t cgroup2 none"
        elif names.startswith("name="):
            how = f"-t cgroup -o none,{names} none"
        else:
            how = f"-t cgroup -o {names} none"
        lines.append(
            f"mkdir -p /tmp/{number}; mount {how} /tmp/{number} && echo mounted {number} `ls /tmp/{number}`"
        )
    return "; ".join(lines)


def attack(lab: Lab, script: str, **fields: Any) -> str:
    """Start a container that attacks and then sleeps; return its id when it has printed `over`."""
    text = f"{ENTER} '{mounts()}; {script}; echo over; exec sleep 600'"
    container = lab.make(text, mounts=TOOLS, security=Security(seccomp="unconfined"), **fields)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "over\n")
    return container


@pytest.fixture
def victims() -> Iterator[list[Path]]:
    """Make a group of the machine's own in every hierarchy."""
    made = [mount / f"victim-{os.getpid()}" for mount in hierarchies().values()]
    for group in made:
        group.mkdir()
    yield made
    for group in made:
        group.rmdir()


def test_no_group_of_the_machine_is_seen(kind: Kind, victims: list[Path], lab: Lab) -> None:
    """Not in the hierarchies without limits either: freezer, devices, name=systemd and whatever else is mounted."""
    container = attack(lab, "true")
    output = lab.output(container)

    seen = re.findall(r"mounted \d+ (.*)", output)
    assert len(seen) == len(hierarchies()), output
    assert [line for line in seen if "victim" in line or "pycompose" in line] == []
    assert (
        "release_agent" not in output
    )  # CVE-2022-0492: what the machine runs, as root, when a group becomes empty
    for line in Path(f"/proc/{lab.state(container).pid}/cgroup").read_text(encoding="ascii").splitlines():
        number, _names, path = line.split(":")
        assert container in path or (kind is Kind.V1 and number == "0"), line
    lab.keeper.discard(container)


def test_every_hierarchy_is_left_clean(kind: Kind, lab: Lab) -> None:
    """Also with groups that the container has made in them, and after a kill."""
    inner = "; ".join(f"mkdir -p /tmp/{number}/own/deeper" for number in range(len(hierarchies())))
    container = attack(lab, inner)
    assert len(list(found(lab, "own"))) == len(hierarchies())
    lab.keeper.discard(container)

    assert list(found(lab, lab.paths.cgroup_parent)) == []


def found(lab: Lab, name: str) -> Iterator[Path]:
    """Yield the groups called `name` of this test."""
    for mount in hierarchies().values():
        yield from (mount / lab.paths.cgroup_parent).rglob(name)
        yield from mount.glob(
            f"{lab.paths.cgroup_parent}*" if name == lab.paths.cgroup_parent else "no/where"
        )


def test_limits_are_not_lifted(kind: Kind, lab: Lab) -> None:
    """What it writes where it is changes nothing above: the kernel's own counters stop it as before."""
    script = ""
    for number, names in enumerate(hierarchies()):
        for name in names.split(","):
            for file, text in FILES.get(name, {}).items():
                script += f"[ -e /tmp/{number}/{file} ] && echo {text} >/tmp/{number}/{file}; "
    forks = 'trap "kill \\$p; wait" EXIT; for i in `seq 30`; do sleep 600 & p="$p $!"; done'
    script += f"({forks}) 2>&1 | head -n 1; "
    script += "head -c 40000000 /dev/zero | tail; echo memory $?; nproc"
    container = attack(lab, script, limits=LIMITS)
    output = lab.output(container)

    assert "can't fork" in output
    assert "memory 137" in output
    assert output.splitlines()[-2:] == ["1", "over"]
    group = open_existing(lab.paths, container)
    for place in (group.walls, *([] if kind is not Kind.V2 else [{"": group.unified}])):
        for controller, wanted in (
            ("memory", {"memory.limit_in_bytes": str(24 * MIB)}),
            ("pids", {"pids.max": "20"}),
            ("cpu", {"cpu.cfs_quota_us": "50000"}),
            ("cpuset", {"cpuset.cpus": "0"}),
            ("", {"memory.max": str(24 * MIB), "pids.max": "20", "cpu.max": "50000 100000"}),
        ):
            for file, text in wanted.items() if controller in place else ():
                directory = place[controller]
                assert directory is not None
                assert (directory / file).read_text(encoding="ascii").strip() == text
    lab.keeper.discard(container)


def test_a_container_that_freezes_itself_is_killed(kind: Kind, lab: Lab) -> None:
    """A process frozen by v1 doesn't even die of SIGKILL; with cgroup2 as the handle nobody would thaw it."""
    freezer = next((n for n, names in enumerate(hierarchies()) if "freezer" in names.split(",")), None)
    if freezer is None:
        pytest.skip("needs the v1 freezer")
    script = f"mkdir /tmp/{freezer}/cold; sleep 600 & echo $! >/tmp/{freezer}/cold/cgroup.procs"
    script += f"; echo FROZEN >/tmp/{freezer}/cold/freezer.state"
    container = attack(lab, script)
    (cold,) = found(lab, "cold")
    assert (cold / "freezer.state").read_text(encoding="ascii") == "FROZEN\n"

    lab.keeper.discard(container)

    assert list(found(lab, "cold")) == []


def test_an_update_reaches_a_limited_container(kind: Kind, lab: Lab) -> None:
    """Up, down and sideways: a group may not have more than the one above, whichever is written first."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    container = lab.make("exec sleep 600", limits=LIMITS)
    lab.keeper.start_container(container)
    group = open_existing(lab.paths, container)
    for limits in (
        Limits(cpus=1.5, cpuset="0-1"),
        Limits(cpus=0.1, cpuset="1"),
        Limits(cpuset="0", memory_bytes=128 * MIB, pids=20),
    ):
        group.update(limits)

    if kind is Kind.V2:
        assert group.unified
        assert group.inside
        for place in (group.unified, group.inside):
            read = {
                name: (place / name).read_text(encoding="ascii").strip()
                for name in ("cpu.max", "cpuset.cpus")
            }
            assert read == {"cpu.max": "10000 100000", "cpuset.cpus": "0"}
    else:
        for places in (group.walls, group.leaves):
            assert (places["cpu"] / "cpu.cfs_quota_us").read_text(encoding="ascii").strip() == "10000"
            assert (places["cpuset"] / "cpuset.cpus").read_text(encoding="ascii").strip() == "0"
            assert (places["pids"] / "pids.max").read_text(encoding="ascii").strip() == "20"
    lab.keeper.discard(container)


def test_an_ordinary_user_reads_his_limits(kind: Kind, lab: Lab) -> None:
    """Java, Go and Node choose their sizes by them; in Docker they can."""
    if kind is Kind.V2:
        script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max"
        wanted = [str(24 * MIB), "20", "50000 100000"]
    else:
        script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us"
        wanted = [str(24 * MIB), "20", "50000"]
    code, text = lab.run(["su", "-s", "/bin/sh", "app", "-c", script], limits=LIMITS)

    assert (code, text.splitlines()) == (0, wanted)


def test_cgroup_host_shows_its_own_limits(kind: Kind, lab: Lab) -> None:
    """With v1, as in Docker, its own groups are at /sys/fs/cgroup, although the paths are the machine's."""
    if kind is Kind.V2:
        pytest.skip("cgroup2 alone shows the machine's tree, as in Docker")
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; ls -d /sys/fs/cgroup/*/victim*; cat /proc/self/cgroup"
    code, text = lab.run(
        script, limits=LIMITS, namespaces=Namespaces(network="host", cgroup="host"), process={}
    )

    assert text.splitlines()[0] == str(24 * MIB)
    assert f"/{lab.paths.cgroup_parent}/" in text
    assert code == 0


def test_an_exec_enters_a_full_container(kind: Kind, lab: Lab) -> None:
    """At its limit of processes: Docker's exec gets in, so that somebody can look why."""
    container = lab.make("for i in 1 2 3 4; do sleep 600 & done; echo full; wait", limits=Limits(pids=5))
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "full\n")
    wanted = (0, "in\n")

    assert lab.exec(container, ["echo", "in"]) == wanted
    assert lab.exec(container, "echo in; true | true")[0] != 0, "but what it starts itself counts"
    lab.keeper.discard(container)
