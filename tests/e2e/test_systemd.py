"""The units under a real systemd: projects and containers start with the machine, and end well with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.requires import requires
from tests.support.scenario import PYCOMPOSE, REPOSITORY, eventually
from tests.support.systemd_machine import SystemdMachine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [requires("systemctl", "ip"), pytest.mark.timeout(300)]

SOCKET = "/run/pycompose/docker.sock"
ASK = (
    "import http.client, socket; c = http.client.HTTPConnection('docker'); c.sock = socket.socket(socket.AF_UNIX); "
    f"c.sock.connect({SOCKET!r}); c.request('GET', '/_ping'); print(c.getresponse().read().decode())"
)
SCRIPT = "trap 'echo ends; exit' TERM; echo begins; while true; do sleep 0.1; done"
COMPOSE = f"""
services:
  web: {{image: host, command: [sh, -c, "{SCRIPT}"], restart: always}}
  job: {{image: host, command: ["true"]}}
"""
UNIT = "pycompose-app.service"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SystemdMachine]:
    """Boot a machine."""
    with SystemdMachine(tmp_path) as machine:
        yield machine


def running(machine: SystemdMachine) -> set[str]:
    """Return the names of the containers that run."""
    said = machine.pycompose("container", "ls", "--format", "{{.Names}}", cwd="/srv/app").ok()
    return set(said.stdout.split())


def output(machine: SystemdMachine) -> list[str]:
    """Return what `web` has said in all its runs."""
    return machine.pycompose("logs", "--no-log-prefix", "web", cwd="/srv/app").ok().stdout.split()


def test_a_machine_that_goes_down_and_comes_up(machine: SystemdMachine) -> None:
    """Started by systemd, stopped with their signal when it goes down, back after it; in the unit's control group."""
    machine.write("app/compose.yaml", COMPOSE)
    machine.pycompose("systemd", "--install", cwd="/srv/app").ok()
    machine.pycompose("systemd", "--containers", "--install", cwd="/").ok()
    machine.run("systemctl", "start", UNIT, "pycompose.service").ok()
    assert running(machine) == {"app-web-1"}
    group = (
        machine.run("systemctl", "show", "--property", "ControlGroup", "--value", UNIT).ok().stdout.strip()
    )
    (supervisor,) = machine.run("pgrep", "-f", "m pycompose.supervisor").ok().stdout.split()
    assert f":{group}\n" in machine.run("cat", f"/proc/{supervisor}/cgroup").ok().stdout
    alone = ("--name", "alone", "--restart", "unless-stopped", "host", "sleep", "1000")
    machine.pycompose("container", "run", "-d", *alone, cwd="/").ok()

    machine.run("systemctl", "reboot")
    machine.await_boot(machine.pid)
    assert eventually(lambda: running(machine) == {"app-web-1", "alone"})
    eventually(lambda: output(machine) == ["begins", "ends", "begins"])

    machine.run("systemctl", "stop", UNIT).ok()
    assert running(machine) == {"alone"}
    assert output(machine) == ["begins", "ends", "begins", "ends"]
    assert machine.run("systemctl", "is-failed", UNIT, "pycompose.service").stdout == "inactive\nactive\n"


def test_a_killed_supervisor_does_not_fail_the_unit(machine: SystemdMachine) -> None:
    """Its keeper starts another one in the unit's group; `systemctl stop` finds it."""
    machine.write("app/compose.yaml", COMPOSE)
    machine.pycompose("systemd", "--install", cwd="/srv/app").ok()
    machine.run("systemctl", "start", UNIT).ok()
    machine.run("pkill", "-KILL", "-f", "m pycompose.supervisor").ok()
    eventually(lambda: machine.run("pgrep", "-f", "m pycompose.supervisor").stdout)
    assert running(machine) == {"app-web-1"}

    machine.run("systemctl", "stop", UNIT).ok()
    assert running(machine) == set()
    assert output(machine) == ["begins", "ends"]


def test_the_api_is_there_for_who_asks(machine: SystemdMachine) -> None:
    """The units of docs/engine-api.md: systemd listens, nobody serves until somebody comes, and not for long after."""
    text = (REPOSITORY / "docs/engine-api.md").read_text(encoding="utf-8")
    (units,) = re.findall(r"^```ini\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for part in re.split(r"^# /etc/systemd/system/", units, flags=re.MULTILINE)[1:]:
        name, _, unit = part.partition("\n")
        unit = unit.replace("/usr/local/bin/pycompose", str(PYCOMPOSE)).replace("--idle 300", "--idle 1")
        machine.write(name, unit)
        machine.run("cp", f"/srv/{name}", f"/etc/systemd/system/{name}").ok()
    machine.run("systemctl", "daemon-reload").ok()
    machine.run("systemctl", "start", "pycompose-api.socket").ok()
    assert machine.run("stat", "-c", "%a", SOCKET).ok().stdout == "600\n"

    def serves() -> bool:
        return machine.run("systemctl", "is-active", "pycompose-api.service").stdout == "active\n"

    for _ in range(2):
        assert not serves()
        assert machine.run("/usr/bin/python3", "-c", ASK).ok().stdout == "OK\n"
        assert serves()
        eventually(lambda: not serves())
    assert machine.run("systemctl", "is-failed", "pycompose-api.service").stdout == "inactive\n"
    machine.run("systemctl", "stop", "pycompose-api.socket").ok()
