"""An ordinary user's own service manager, as root has delegated it: what control groups of version 2 give him there.

Limits need a machine that has their controllers in version 2 (HACKING.md, "Tests that need more").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.ordinary import FIRST_SUBID, NAME, SUBIDS, UID
from tests.support.requires import requires
from tests.support.scenario import PYCOMPOSE, SEARCH, eventually
from tests.support.systemd_machine import CGROUPS, SystemdMachine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Result

CONTROLLERS = CGROUPS / "cgroup.controllers"
pytestmark = [
    requires("systemctl", "newuidmap", "static-busybox"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not CONTROLLERS.exists() or "memory" not in CONTROLLERS.read_text().split(),
        reason="the controllers are those of version 1",
    ),
]
HOME, RUNTIME = "/srv/home", f"/run/user/{UID}"
COMPOSE = """
services:
  web:
    image: box
    command: [sleep, "1000"]
    stop_signal: KILL
    restart: always
    mem_limit: 64m
    memswap_limit: 64m
    cpus: 0.5
    cpu_shares: 512
    pids_limit: 20
"""
# Not `host`, which an emulated machine looks through for a quarter of an hour.
IMAGE = """
mkdir -p box/bin box/etc box/proc box/sys box/dev
cp /bin/busybox box/bin
for name in sh cat head tail sleep; do ln -s busybox box/bin/$name; done
tar -C box -cf box.tar .
"""
# What a session's modules of PAM would do, and `systemctl edit user@.service` as `doctor` says it.
MANAGER = f"""[Service]
PAMName=
Environment=XDG_RUNTIME_DIR={RUNTIME} HOME={HOME}
Delegate=cpu cpuset io memory pids
"""
RUNTIME_DIRECTORY = f"""[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=install -d -m 700 -o {UID} -g {UID} {RUNTIME}
"""
FILES = {
    "/etc/passwd": f"{NAME}:x:{UID}:{UID}::{HOME}:/bin/sh\n",
    "/etc/group": f"{NAME}:x:{UID}:\n",
    "/etc/subuid": f"{NAME}:{FIRST_SUBID}:{SUBIDS}\n",
    "/etc/subgid": f"{NAME}:{FIRST_SUBID}:{SUBIDS}\n",
    "/etc/systemd/system/user@.service.d/manager.conf": MANAGER,
    "/etc/systemd/system/user-runtime-dir@.service": RUNTIME_DIRECTORY,
    f"{HOME}/demo/compose.yaml": COMPOSE,
}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SystemdMachine]:
    """Boot a machine on which a user's service manager runs."""
    with SystemdMachine(tmp_path) as machine:
        for name, text in FILES.items():
            script = 'mkdir -p "$(dirname "$1")"; printf %s "$2" >>"$1"'
            machine.run("sh", "-c", script, "write", name, text).ok()
        machine.run("sh", "-c", IMAGE, cwd=HOME).ok()
        machine.run("chown", "-R", f"{UID}:{UID}", HOME).ok()
        machine.run("chmod", "o+x", "/root").ok()  # where a Python may be
        machine.run("systemctl", "daemon-reload").ok()
        machine.run("systemctl", "start", f"user@{UID}.service").ok()
        yield machine


def _by_user(machine: SystemdMachine, *arguments: str | Path) -> Result:
    change = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
    names = {
        "HOME": HOME,
        "XDG_RUNTIME_DIR": RUNTIME,
        "PATH": f"{PYCOMPOSE.parent}:{SEARCH}",
        "LANG": "C.UTF-8",
    }
    environment = ("env", "-i", *(f"{name}={value}" for name, value in names.items()))
    return machine.run(*change, *environment, *arguments, cwd=f"{HOME}/demo")


def test_limits_counts_and_pauses(machine: SystemdMachine) -> None:
    """A project that his service manager has started has all of them; commands may come from any group."""
    # From outside of the manager, and so in a group that isn't the user's: the host that this makes has none yet.
    _by_user(machine, PYCOMPOSE, "image", "import", f"{HOME}/box.tar", "box").ok()
    _by_user(machine, PYCOMPOSE, "systemd", "--install").ok()
    _by_user(machine, "systemctl", "--user", "start", "pycompose-demo.service").ok()

    def inside(*names: str) -> list[str]:
        files = [f"/sys/fs/cgroup/{name}" for name in names]
        return _by_user(machine, PYCOMPOSE, "exec", "-T", "web", "cat", *files).ok().stdout.splitlines()

    limits = inside("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max")
    assert limits == ["67108864", "0", "50000 100000", "59", "20"]
    eats = ["exec", "-T", "web", "sh", "-c", "head -c 100m /dev/zero | tail >/dev/null"]
    assert _by_user(machine, PYCOMPOSE, *eats).code == 137
    said = _by_user(machine, PYCOMPOSE, "up", "-d", "--force-recreate").ok().stderr
    assert "has no effect" not in said

    words = "{{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.PIDs}}"
    counted = _by_user(machine, PYCOMPOSE, "stats", "--no-stream", "--format", words).ok().stdout
    assert "--" not in counted
    assert "/ 64MiB" in counted
    assert counted.split()[-1] == "1"

    (container,) = _by_user(machine, PYCOMPOSE, "ps", "-q", "--no-trunc").ok().stdout.split()
    group = (
        machine.run("find", "/sys/fs/cgroup/user.slice", "-type", "d", "-name", container).ok().stdout.strip()
    )
    assert f"/user@{UID}.service/pycompose/" in group
    _by_user(machine, PYCOMPOSE, "pause").ok()
    assert "(Paused)" in _by_user(machine, PYCOMPOSE, "ps").ok().stdout
    assert "frozen 1" in machine.run("cat", f"{group}/cgroup.events").ok().stdout
    _by_user(machine, PYCOMPOSE, "unpause").ok()
    assert "frozen 0" in machine.run("cat", f"{group}/cgroup.events").ok().stdout

    _by_user(machine, "systemctl", "--user", "stop", "pycompose-demo.service").ok()
    assert eventually(lambda: machine.run("test", "-e", group).code)
