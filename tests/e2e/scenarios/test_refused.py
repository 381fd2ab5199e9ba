"""What a compose file may say and no container can be made of: printed, and refused before it does harm."""

from __future__ import annotations

import pytest

from tests.support.scene import Scene

TWO = """
services:
  a: {image: busybox, command: [sleep, '100'], init: true, %s}
  b: {image: busybox, command: [sleep, '100'], init: true}
"""


@pytest.mark.parametrize(
    "text",
    (
        "ipc: Private",
        "ipc: 'service:b'",
        "pid: private",
        "uts: 'service:b'",
        "uts: host, hostname: h",
        "network_mode: Host",
        "network_mode: 'service:b', hostname: h",
        "network_mode: 'service:b', ports: ['80']",
        "runtime: runsc",
        "isolation: hyperv",
        "security_opt: [no-new-privileges:yes]",
        "security_opt: [nosuch=1]",
        "security_opt: [systempaths:unconfined]",
        "storage_opt: {nosuch: 1}",
        "gpus: all",
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        "healthcheck: {test: 'true', interval: 500us}",
        "healthcheck: {test: 'true', start_interval: 1s}",
        "restart: alwasy",
        "dns: [dns.example]",
        "extra_hosts: [db=nope]",
        "logging: {driver: nosuch}",
        "logging: {options: {max-size: abc}}",
        "logging: {options: {nosuch: 1}}",
    ),
)
def test_it_is_refused(scene: Scene, text: str) -> None:
    """`up` and `run` must fail, `config` must print it, and `down` must work."""
    scene.up(TWO % text, code=1)
    assert "a-1" not in {name for name, state in scene.states().items() if state == "running"}
    if not text.startswith("restart"):  # which `run` of Docker's doesn't look at
        scene.compose("run", "--rm", "--no-deps", "-T", "a", "true", code=1)
    assert "a:" in scene.compose("config").stdout
    scene.compose("down", "-t", "0")


def test_the_others_run(scene: Scene) -> None:
    """A service that isn't asked for must not stand in the way."""
    scene.up(TWO % "gpus: all", "b")
    scene.expect({"b-1": "running"})
