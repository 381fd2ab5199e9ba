"""`network_mode` that isn't host, none or somebody else's: the default bridge, and networks by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.scenarios.conftest import Keeper
    from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
SERVE = "[sh, -c, 'while true; do echo %s | nc -l -p 80; done']"
BRIDGE = f"""
services:
  web: {{image: busybox, command: {SERVE % "web"}, stop_signal: SIGKILL, network_mode: bridge, ports: ["80"]}}
  app: {{image: busybox, command: {WAIT}, network_mode: default, links: ["web:data"]}}
"""
OTHER = f"services: {{app: {{image: busybox, command: {WAIT}, network_mode: bridge}}}}"
NAMED = f"""
services:
  web: {{image: busybox, command: {SERVE % "named"}, stop_signal: SIGKILL, network_mode: PROJECT-net, ports: ["80"]}}
  app: {{image: busybox, command: {WAIT}, network_mode: PROJECT-net}}
"""


def port_of(scene: Scene, service: str) -> int:
    """Return the port of the machine that leads to port 80."""
    return scene.one(service).ports["80/tcp"][0]


def fetched(scene: Scene, service: str, ip: str) -> str:
    """Return what a service gets from port 80, "" when it doesn't."""
    return scene.compose("exec", "-T", service, "nc", "-w", "3", ip, "80", code=None).stdout


def known(scene: Scene, service: str, name: str) -> str:
    """Return what a container has on a name: its own file, and the answer of its name server."""
    script = f"grep -w {name} /etc/hosts; nslookup {name} | tail -n +3"
    return scene.compose("exec", "-T", service, "sh", "-c", script, code=None).stdout


def address(scene: Scene, service: str) -> str:
    """Return the address of eth0 in a container."""
    words = scene.compose("exec", "-T", service, "ip", "-o", "-4", "address", "show", "eth0").stdout.split()
    return words[words.index("inet") + 1].partition("/")[0]


def test_the_default_bridge(scene: Scene, keeper: Keeper) -> None:
    """Containers of all projects must be on one bridge, published, known by address and links, and by no names."""
    scene.up(BRIDGE)
    web = address(scene, "web")
    scene.eventually(lambda: fetched(scene, "app", web) == "web\n")
    assert scene.eventually(lambda: scene.engine.connect(port_of(scene, "web")) == "web\n")
    assert web in known(scene, "app", "data")
    variables = scene.compose("exec", "-T", "app", "env").stdout.splitlines()
    assert {f"DATA_PORT=tcp://{web}:80", "WEB_1_PORT_80_TCP_PORT=80"} <= set(variables)
    other = keeper.scene()
    other.up(OTHER)
    other.eventually(lambda: fetched(other, "app", web) == "web\n")
    # What Docker Compose makes by our API is known there ("names-without-a-project" of docs/differences.md).
    by_name = web in known(other, "app", f"{scene.project}-web-1")
    assert by_name == (scene.engine.name == "socket")
    scene.compose("down", "-t", "0")
    assert address(other, "app")


def test_a_network_by_its_name(scene: Scene) -> None:
    """The name of a network must put the container on it, with its own name only, and publish its ports."""
    name = f"{scene.project}-net"
    scene.engine.run("network", "create", name, cwd=scene.folder).ok()
    try:
        scene.up(NAMED)
        web = address(scene, "web")
        scene.eventually(lambda: fetched(scene, "app", web) == "named\n")
        assert web in known(scene, "app", f"{scene.project}-web-1")
        assert web not in known(scene, "app", "web")
        assert scene.eventually(lambda: scene.engine.connect(port_of(scene, "web")) == "named\n")
        scene.compose("down", "-t", "0")
    finally:
        scene.engine.run("network", "rm", name, cwd=scene.folder).ok()


def test_a_name_that_nothing_has(scene: Scene) -> None:
    """A network that isn't there must be an error that names it."""
    result = scene.up(OTHER.replace("bridge", "PROJECT-none"), code=1)
    assert f"{scene.project}-none" in result.stderr
    assert "not found" in result.stderr


@pytest.mark.parametrize("name", ("bridge", "host"))
def test_names_that_are_taken(scene: Scene, name: str) -> None:
    """The names of predefined networks must not be given to others."""
    result = scene.engine.run("network", "create", name, cwd=scene.folder).exited(1)
    assert "operation is not permitted on" in result.stderr


def test_ports_in_the_machines_network(scene: Scene) -> None:
    """`ports` of a service in the machine's own network must be said to be discarded."""
    text = f"services: {{a: {{image: busybox, command: {WAIT}, network_mode: host, ports: ['47133:80']}}}}"
    scene.file("compose.yaml", text)
    said = scene.compose("up", "-d").stderr
    assert "ublished ports are discarded when using host network mode" in said
    assert scene.compose("port", "a", "80", code=None).code != 0
