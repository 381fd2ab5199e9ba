"""SIGKILL at any moment: whoever comes next finds everything, by the files and by names."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pycompose.networking.api import Networking

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths

CONTAINERS = [f"{n:064x}" for n in range(1, 4)]
WORK = """
import itertools, sys
from pycompose.engine.paths import StatePaths
from pycompose.networking.api import Networking
from pycompose.networking.model import EndpointSpec, NetworkSpec, PublishedPort

networking = Networking(StatePaths.from_environment())
print("ready", flush=True)
for turn in itertools.count():
    specs = [NetworkSpec(name=f"lab_{n}", project="lab", enable_ipv6=n == 1) for n in (0, 1)]
    networks = [networking.ensure_network(spec) for spec in specs]
    for number, container in enumerate(sys.argv[1:]):
        endpoints = [EndpointSpec(network=net.name, lease_key=f"lab/web/{number}") for net in networks[: number + 1]]
        networking.connect(container, endpoints)
        for sock in networking.dns_sockets(container):
            sock.close()
    port = PublishedPort(host_ip="", host_port=8080, protocol="tcp", container_ip="172.17.0.2", container_port=80)
    networking.apply_firewall("lab", networks, [port])
    if turn % 2:
        networking.disconnect(*sys.argv[1:])
        for network in networks:
            networking.remove_network(network.name)
        networking.remove_firewall("lab")
"""


@pytest.mark.parametrize("seed", range(6))
def test_nothing_survives_the_cleanup(host_paths: StatePaths, seed: int) -> None:
    """The fixture looks for links, tables, mounts and files afterwards."""
    moment_s = random.Random(seed).uniform(0, 0.12)  # noqa: S311 - a test's dice
    child = subprocess.Popen(
        [sys.executable, "-c", WORK, *CONTAINERS], env=host_paths.to_environment(), stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"ready\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(moment_s)
        child.kill()
        child.wait()
    networking = Networking(host_paths)
    networking.cleanup("lab", CONTAINERS)
    networking.close()

    assert networking.list_networks() == []
