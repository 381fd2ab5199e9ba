"""What a compose file may say and no container can be made of: printed, and refused before it does harm."""

from __future__ import annotations

import pytest
from pycompose.engine.machine import has_apparmor, has_selinux

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
        "volumes: [{type: bind, source: /tmp, target: /x, bind: {recursive: readonly}}]",
        "volumes: [{type: bind, source: /tmp, target: /x, bind: {recursive: writable}}]",
        "volumes: [{type: bind, source: /tmp, target: /x, bind: {propagation: rslave}}]",
        "volumes: [{type: bind, source: /tmp, target: /x, bind: {propagation: shared}}]",
        "restart: alwasy",
        "dns: [dns.example]",
        "extra_hosts: [db=nope]",
        "logging: {driver: nosuch}",
        "logging: {options: {max-size: abc}}",
        "logging: {options: {nosuch: 1}}",
        "cap_add: [NOSUCH]",
        "ulimits: {nosuch: 3}",
        "mem_limit: -1",
        "mem_limit: 100m, mem_reservation: 200m",
        "cpus: 100000",
        "sysctls: {kernel.nosuch: 1}",
        "device_cgroup_rules: [x 1:2 r]",
        "user: '99999999999'",
        "working_dir: rel",
        "shm_size: -1",
        "volumes: [{type: tmpfs, target: rel}]",
        "volumes: [{type: tmpfs, source: x, target: /x}]",
        "volumes: ['/tmp:/']",
        "tmpfs: [rel]",
        "mac_address: '01:00:5e:00:00:01'",
        "ports: ['18080:80', '18080:81']",
    ),
)
def test_it_is_refused(scene: Scene, text: str) -> None:
    """`up` and `run` must fail, `config` must print it, and `down` must work."""
    scene.up(TWO % text, code=1)
    assert "a-1" not in {name for name, state in scene.states().items() if state == "running"}
    if not text.startswith(("restart", "ports")):  # which `run` of Docker's doesn't look at
        scene.compose("run", "--rm", "--no-deps", "-T", "a", "true", code=1)
    assert "a:" in scene.compose("config").stdout
    scene.compose("down", "-t", "0")


@pytest.mark.parametrize(
    "option",
    (
        pytest.param("apparmor=mine", marks=pytest.mark.skipif(has_apparmor(), reason="this kernel has it")),
        pytest.param("label=type:mine", marks=pytest.mark.skipif(has_selinux(), reason="this kernel has it")),
    ),
)
def test_a_wall_that_the_kernel_lacks(scene: Scene, option: str) -> None:
    """Who asks for a profile or a label by name must not run without."""
    code = scene.differs("walls-that-are-not-there", docker=0, pycompose=1)
    scene.up(TWO % f"security_opt: ['{option}']", code=code)
    assert ("a-1" in scene.states()) == (code == 0)
    scene.compose("down", "-t", "0")


def test_the_others_run(scene: Scene) -> None:
    """A service that isn't asked for must not stand in the way."""
    scene.up(TWO % "gpus: all", "b")
    scene.expect({"b-1": "running"})
