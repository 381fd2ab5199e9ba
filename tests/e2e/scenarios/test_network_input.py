"""What a service says about addresses, ports and volumes: refused where it can't be, shown where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.scene import Scene

WAIT = "[sh, -c, 'trap exit TERM; sleep 1000 & wait']"
SERVICE = f"services: {{a: {{image: busybox, command: {WAIT}, %s}}}}\n"
DATA = "volumes: {data: {}}\n"


@pytest.mark.parametrize(
    ("part", "reason"),
    (
        ("extra_hosts: ['h1:notanip']", "invalid IP address"),
        ("dns: [notanip]", "bad nameserver address"),
        (
            "volumes: [{type: volume, source: data, target: /d, volume: {subpath: ../..}}]",
            "must be a relative path within the volume",
        ),
    ),
    ids=("extra_hosts", "dns", "subpath"),
)
def test_it_is_refused(scene: Scene, part: str, reason: str) -> None:
    """What is no address, and a path that leaves its volume, must be errors."""
    result = scene.up(SERVICE % part + DATA, code=None)
    assert result.code != 0
    assert reason in (result.stdout + result.stderr).replace('\\"', '"')
    assert "running" not in scene.states().values()


def test_exposed_ports_are_shown(scene: Scene) -> None:
    """`ps` must show the ports that are exposed beside those that are published."""
    scene.up(SERVICE % 'expose: ["8080", "9000/udp"], ports: ["8080"]')
    shown = scene.compose("ps", "--format", "{{.Ports}}").stdout
    assert "->8080/tcp" in shown
    assert "9000/udp" in shown
    assert shown.count("8080/tcp") == len([part for part in shown.split(", ") if "->8080/tcp" in part])


def test_anonymous_volumes_of_earlier_containers(scene: Scene) -> None:
    """`down -v` must remove the anonymous volumes of the containers that there are, and no others."""
    scene.up(SERVICE % "volumes: [/anonymous]")
    first = scene.one("a").volumes["/anonymous"]
    scene.compose("down", "-t", "0")
    scene.compose("up", "-d")
    second = scene.one("a").volumes["/anonymous"]
    scene.compose("down", "-v", "-t", "0")
    assert first in scene.engine.volumes()
    assert second not in scene.engine.volumes()
    scene.engine.run("volume", "rm", first, cwd=scene.folder).ok()
