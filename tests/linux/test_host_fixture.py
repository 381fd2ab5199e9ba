"""The fixture that everything else relies on: it must see what is left behind."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from pycompose.engine.paths import StatePaths

from tests.support.leftovers import Watch
from tests.support.namespaces import mount
from tests.support.requires import requires


def test_the_session_has_a_network_of_its_own(host_paths: StatePaths) -> None:
    """Only loopback, and it answers."""
    assert [name for _index, name in socket.if_nameindex()] == ["lo"]
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_mounts_stay_in_the_session(host_paths: StatePaths) -> None:
    """The parent of the test process does not see the state roots."""
    outside = Path(f"/proc/{os.getppid()}/mountinfo").read_text(encoding="utf-8")

    assert str(host_paths.run) in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert str(host_paths.run) not in outside


@requires("ip", "nft")
def test_everything_left_behind_is_found_and_removed(host_paths: StatePaths) -> None:
    """One leftover of each kind is named; after clean() nothing is."""
    watch = Watch(paths=host_paths)
    watch.baseline()
    assert watch.find() == []

    netns = host_paths.netns("ab12")
    netns.parent.mkdir(parents=True)
    netns.touch()
    mount("/proc/self/ns/net", netns, flags=0x1000)
    subprocess.run(["ip", "link", "add", "pc-test", "type", "bridge"], check=True)
    subprocess.run(["nft", "add", "table", "inet", "pyc_test"], check=True)
    group = Path("/sys/fs/cgroup/pids", host_paths.cgroup_parent, "ab12")
    if not group.parent.parent.is_dir():
        group = Path("/sys/fs/cgroup", host_paths.cgroup_parent, "ab12")
    group.mkdir(parents=True)
    host_paths.container("ab12").mkdir(parents=True)
    environment = {**os.environ, **host_paths.to_environment()}
    with subprocess.Popen(["sleep", "60"], env=environment) as sleeper:
        found = "\n".join(watch.find())
        watch.clean()

    assert sleeper.returncode == -9
    for part in (
        "process", "sleep 60", f"mount {netns}", "link pc-test", "nft table inet pyc_test", f"cgroup {group}",
        "lib/containers/ab12",
    ):  # fmt: skip
        assert part in found
    assert watch.find() == []
