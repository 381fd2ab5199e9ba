"""What belongs to a container that is called by its name, `container:NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.scenarios.conftest import Keeper
    from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
OWN = f"""
services:
  other:
    image: busybox
    command: {WAIT}
    network_mode: "container:PROJECT-the-one"
    volumes_from: ["container:PROJECT-the-one:ro"]
    depends_on: [one]
  one:
    image: busybox
    container_name: PROJECT-the-one
    command: {WAIT}
    volumes: [/shared]
"""
OF_ANOTHER = f"""
services:
  guest: {{image: busybox, command: {WAIT}, network_mode: "container:%s-host-1"}}
"""
HOST = f"services: {{host: {{image: busybox, command: {WAIT}, labels: {{of: '%s'}}}}}}"


def address(scene: Scene, service: str) -> str:
    """Return the addresses of all interfaces."""
    return scene.compose("exec", "-T", service, "ip", "-o", "-4", "address").stdout


def test_a_container_of_the_same_project(scene: Scene) -> None:
    """A container of the same project must be there when its network and volumes are asked for."""
    scene.up(OWN)
    scene.expect({"one-1": "running", "other-1": "running"})
    assert "eth0" in address(scene, "other")
    assert address(scene, "other") == address(scene, "one")
    scene.compose("exec", "-T", "one", "touch", "/shared/file")
    scene.compose("exec", "-T", "other", "test", "-e", "/shared/file")


def test_one_that_was_made_anew(scene: Scene, keeper: Keeper) -> None:
    """A name must mean at each start the container that has it then."""
    other = keeper.scene()
    other.up(HOST % "first")
    scene.up(OF_ANOTHER % other.project)
    scene.compose("stop", "-t", "0")
    other.up(HOST % "second")
    started = scene.compose("start", code=None)
    if scene.differs("joined-anew", docker=True, pycompose=False):
        assert "No such container" in started.exited(1).stderr
        return
    started.ok()
    assert "eth0" in address(scene, "guest")
    assert address(scene, "guest") == address(other, "host")
