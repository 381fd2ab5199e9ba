"""Device nodes for a container, as they are on the host."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pycompose.engine.config import Device
from pycompose.engine.container.devices import DEFAULT_NODES, all_host_nodes, host_nodes
from pycompose.engine.errors import EngineError


def test_the_host_says_what_it_is(tmp_path: Path) -> None:
    """Type, numbers and permissions; the target is cleaned; a link on the host is followed."""
    (tmp_path / "zero").symlink_to("/dev/zero")
    nodes = host_nodes(
        [
            Device(source="/dev/null", target="/dev//nothing/"),
            Device(source=str(tmp_path / "zero"), target="z"),
        ]
    )
    null = os.stat("/dev/null")

    assert [(node.path, node.device) for node in nodes] == [
        ("/dev/nothing", os.makedev(1, 3)),
        ("/z", os.makedev(1, 5)),
    ]
    assert (nodes[0].mode, nodes[0].uid, nodes[0].gid) == (null.st_mode, null.st_uid, null.st_gid)


def test_a_directory_is_every_device_in_it(tmp_path: Path) -> None:
    """Neither links nor files; what is below directories has its place there."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/dev/null")

    assert host_nodes([Device(source=str(tmp_path), target="/dev/x")]) == []
    found = {node.path for node in host_nodes([Device(source="/dev", target="/dev/host")])}
    assert "/dev/host/null" in found
    assert "/dev/host/stdin" not in found


@pytest.mark.parametrize(
    ("source", "reason"), (("/dev/nowhere", "No such file"), ("/etc/passwd", "not a device node"))
)
def test_what_is_no_device(source: str, reason: str) -> None:
    """The message names what was asked for."""
    with pytest.raises(EngineError, match=rf"device {source}: cannot use: {reason}"):
        host_nodes([Device(source=source, target="/dev/x")])


def test_those_that_every_container_has_are_what_the_machine_has() -> None:
    """The numbers of Linux (admin-guide/devices.txt), for everybody to read and write."""
    for node in DEFAULT_NODES:
        assert os.stat(node.path).st_rdev == node.device
        assert stat.S_ISCHR(node.mode)
        assert stat.S_IMODE(node.mode) == 0o666
    assert {node.path for node in DEFAULT_NODES} <= {node.path for node in all_host_nodes()}
