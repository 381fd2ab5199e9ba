"""`doctor` on machines that lack something, and errors that send to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host, Result

# A user who is nobody here. The interpreter may lie in a folder that only root can read: that one capability stays.
NOBODY = (
    "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
)  # fmt: skip
# On an overlay none can be written, and on an overlay on an overlay there is none at all.
ON_OVERLAY = {"PYCOMPOSE_ROOT": "/run/elsewhere"}
ON_TWO = {"PYCOMPOSE_ROOT": "/run/deeper"}
OVERLAYS = """
cd /run && mkdir low up work elsewhere up2 work2 deeper
mount -t overlay one elsewhere -o lowerdir=/run/low,upperdir=/run/up,workdir=/run/work
mount -t overlay two deeper -o lowerdir=/run/elsewhere,upperdir=/run/up2,workdir=/run/work2
"""


@pytest.fixture
def stacked(busy: Host) -> Iterator[Host]:
    """Mount one overlay, and one on it."""
    busy.command(["sh", "-c", OVERLAYS]).ok()
    yield busy
    busy.command(["umount", "-l", "/run/deeper", "/run/elsewhere"]).ok()


def checks(result: Result) -> dict[str, dict[str, Any]]:
    """Return the rows by check; the exit code and `ok` agree."""
    told = result.json()
    assert result.stderr == ""
    assert result.code == (0 if told["ok"] else 1)
    assert told["ok"] == all(row["state"] != "missing" for row in told["checks"])
    return {row["check"]: row for row in told["checks"]}


def without(host: Host, script: str) -> dict[str, dict[str, Any]]:
    """Return the rows in a mount namespace where `script` has run."""
    return checks(
        host.command(["unshare", "--mount", "sh", "-c", f"{script} && exec pycompose doctor --json"])
    )


def test_a_machine_that_can_run_containers(busy: Host) -> None:
    """Nothing needed is missing where containers run; nothing of what was tried stays (the fixture looks)."""
    before = busy.inside(lambda: sorted(busy.paths.root.iterdir()))
    found = checks(busy.run("doctor", "--json"))

    for check in ("user", "kernel", "namespaces", "overlay", "network devices", "nftables", "forwarding"):
        assert found[check]["state"] in ("ok", "limited"), found[check]
    assert found["run directory"]["found"].startswith("/run/pycompose on tmpfs, ")
    assert busy.inside(lambda: sorted(busy.paths.root.iterdir())) == before
    assert busy.run("doctor").ok().stdout.startswith("CHECK ")


def test_a_state_directory_that_cannot_hold_containers(stacked: Host, busybox_tar: Path) -> None:
    """Doctor says so before; what containers write lies in memory then, which is said, and goes with the last one."""
    found = checks(stacked.run("doctor", "--json", env=ON_OVERLAY))["overlay"]
    assert found["state"] == "limited"
    assert found["found"].startswith("/run/elsewhere on overlay; mount: ")
    assert "PYCOMPOSE_ROOT" in found["mend"]

    stacked.run("image", "import", busybox_tar, "busybox", env=ON_OVERLAY).ok()
    project = stacked.project(
        {"compose.yaml": "services: {a: {image: busybox, init: true, command: [sleep, '1000']}}"}
    )
    told = stacked.run("up", "-d", cwd=project, env=ON_OVERLAY).ok().stderr
    assert "lies in memory (/run/pycompose/layers, 50% of it at most): the overlay of /run/elsewhere" in told
    stacked.run(
        "exec", "-T", "a", "sh", "-c", "echo kept >/file; rm /etc/group", cwd=project, env=ON_OVERLAY
    ).ok()
    stacked.run("stop", cwd=project, env=ON_OVERLAY).ok()
    assert "D /etc/group" in stacked.run("container", "diff", "demo-a-1", env=ON_OVERLAY).ok().stdout
    stacked.run("start", cwd=project, env=ON_OVERLAY).ok()
    assert stacked.run("exec", "-T", "a", "cat", "/file", cwd=project, env=ON_OVERLAY).ok().stdout == "kept\n"
    assert "/run/pycompose/layers" in stacked.command(["cat", "/proc/mounts"]).ok().stdout
    stacked.run("down", "-t", "0", cwd=project, env=ON_OVERLAY).ok()
    assert "/run/pycompose/layers" not in stacked.command(["cat", "/proc/mounts"]).ok().stdout


def test_a_state_directory_that_cannot_hold_images(stacked: Host, busybox_tar: Path) -> None:
    """The kernel stacks two overlays; what doctor says is missing is missing."""
    found = checks(stacked.run("doctor", "--json", env=ON_TWO))["overlay"]
    assert found["state"] == "missing"
    assert found["limits"] == "no container can write to its file system"
    stacked.run("image", "import", busybox_tar, "busybox", env=ON_TWO).ok()
    told = stacked.run("container", "run", "--rm", "busybox", "true", env=ON_TWO)
    assert told.code
    assert "set PYCOMPOSE_ROOT to a directory on a file system of its own" in told.stderr


def test_a_firewall_that_drops_what_is_forwarded(host: Host) -> None:
    """With the commands that let our bridges through; they are right."""
    table = "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    host.command(["nft", table])
    found = checks(host.run("doctor", "--json"))["other firewalls"]
    assert found["state"] == "limited"
    assert "chain FORWARD of table ip filter" in found["found"]
    assert "iptables -I FORWARD -i pc-+ -j ACCEPT" in found["mend"]

    host.command(["nft", 'add rule ip filter FORWARD iifname "pc-*" accept'])
    assert checks(host.run("doctor", "--json"))["other firewalls"]["state"] == "ok"
    host.command(["nft", "delete table ip filter"])


def test_a_user_who_is_not_root(host: Host) -> None:
    """What root would know is unknown, not well; what keeps containers from being made is one row."""
    command = [*NOBODY, "pycompose", "doctor"]
    found = checks(host.command([*command, "--json"]))

    assert [check for check, row in found.items() if row["state"] == "missing"] == ["user"]
    assert found["user"]["mend"].endswith("or run pycompose with sudo")
    for check in ("overlay", "nftables", "other firewalls"):
        assert found[check]["state"] == "unknown"
    assert host.command(command).exited(1).stdout.endswith("unknown: `sudo pycompose doctor` tells\n")


def test_read_only_kernel_parameters(host: Host) -> None:
    """As in a container that is not privileged."""
    found = without(host, "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")

    assert found["forwarding"]["state"] == "missing"
    assert "writable /proc/sys" in found["forwarding"]["mend"]


def test_no_control_groups(host: Host) -> None:
    """Containers run without limits: limited, not missing."""
    assert without(host, "umount --recursive --lazy /sys/fs/cgroup")["control groups"]["state"] == "limited"


def test_a_state_directory_that_is_read_only(host: Host) -> None:
    """As an appliance's disk."""
    row = without(host, "mount -o remount,bind,ro /var/lib/pycompose")["state directory"]

    assert (row["state"], "not writable" in row["found"]) == ("missing", True)


def test_few_capabilities(host: Host) -> None:
    """Root of an ordinary container."""
    drop = "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"
    found = checks(host.command(["setpriv", *drop, "pycompose", "doctor", "--json"]))

    assert found["user"]["state"] == "missing"
    assert "SYS_ADMIN" in found["user"]["found"]
    assert found["overlay"]["state"] == "missing"
    assert found["namespaces"]["state"] == "missing"
