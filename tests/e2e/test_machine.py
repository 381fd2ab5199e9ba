"""The private machine itself: what the scenarios rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, Host, Hosts, eventually


def test_the_machine_is_private(host: Host) -> None:
    """Its pid 1, its links and its state roots are its own."""
    result = host.command(
        ["sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'; ls /sys/class/net; ls -A /run"]
    ).ok()

    own_pid, processes, *rest = result.stdout.split()
    assert int(own_pid) < 100
    assert int(processes) < 10
    assert rest == ["lo", "pycompose"]


def test_exit_codes_and_signals_are_the_commands_own(host: Host) -> None:
    """Nothing stands between the test and the command."""
    assert host.command(["sh", "-c", "exit 7"]).code == 7
    assert host.command(["sh", "-c", "kill -TERM $$"]).code == -signal.SIGTERM


def test_the_state_roots_can_be_seen_from_here(host: Host) -> None:
    """`inside` has the machine's files."""
    host.command(["touch", "/run/pycompose/x"]).ok()

    assert host.inside(lambda: os.listdir("/run/pycompose")) == ["x"]
    host.inside(lambda: os.unlink("/run/pycompose/x"))


@requires("ip")
def test_the_neighbour_reaches_the_machine(hosts: Hosts) -> None:
    """A server on the machine's wire answers the neighbour, one on its loopback doesn't."""
    host = hosts(neighbour=True)
    server = host.inside(lambda: socket.create_server((HOST_ADDRESS, 8000)))
    with server:
        with host.outside(lambda: socket.create_connection((HOST_ADDRESS, 8000), 5)) as client:
            assert client.getpeername() == (HOST_ADDRESS, 8000)
        with pytest.raises(ConnectionRefusedError):
            host.outside(lambda: socket.create_connection(("127.0.0.1", 8000), 5))


def test_a_process_left_behind_is_found(host: Host) -> None:
    """Whatever runs in the machine's pid namespace counts, whoever is its parent."""
    host.command(["sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &"]).ok()

    (line,) = eventually(host.watch.find)
    assert line.startswith("process ")
    assert line.endswith("sleep 1000")
    host.watch.clean()
    assert host.watch.find() == []


def test_the_pid_of_the_machine_is_translated(host: Host) -> None:
    """A pid read from a state file can be killed from here."""
    pid = int(
        host.command(["sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"]).ok().stdout
    )

    outside = host.pid_outside(pid)
    assert outside not in (0, pid)
    os.kill(outside, signal.SIGKILL)
    eventually(lambda: host.watch.find() == [])


def test_outside_processes_are_none_of_its_business(host: Host) -> None:
    """The check doesn't blame the machine for its neighbours."""
    with subprocess.Popen(["sleep", "60"]) as other:
        assert host.watch.find() == []
        other.kill()


def test_in_a_chroot_a_container_is_closed_too(busy: Host) -> None:
    """There `exec` and probes enter a mount namespace whose root must be the container's, not the machine's."""
    compose = """
        services:
          app:
            image: busybox
            command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
            healthcheck: {test: [CMD, test, "!", -e, /jail], interval: 100ms}
        """
    project = busy.project({"compose.yaml": compose})
    script = """
        mkdir -p /run/jail && touch /run/jail-outside && mount --rbind / /run/jail
        exec chroot /run/jail sh -ec 'cd "$1"; export PATH="$2:$PATH"
            pycompose up -d --wait; pycompose exec -T app ls /run; pycompose down' - "$0" "$1"
        """
    scripts = str(Path(sysconfig.get_path("scripts")))

    result = busy.command(["unshare", "--mount", "sh", "-ec", script, str(project), scripts]).ok()

    assert "jail-outside" not in result.stdout
    assert "Healthy" in result.stderr
    busy.command(["rm", "-r", "/run/jail-outside", "/run/jail"])
