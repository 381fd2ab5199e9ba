"""What the flags of `run` make of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pycompose.client.oneoff import given, oneoff
from pycompose.client.options import RunOptions
from pycompose.engine.errors import PycomposeError
from pycompose.model import Endpoint, Port, Project, Service, ServiceVolume

SERVICE = Service(
    name="web",
    command=("serve",),
    entrypoint=("/start",),
    environment={"COLOUR": "blue", "SIZE": "big"},
    labels={"a": "1"},
    ports=(Port(target=80, published=(8080, 8080)),),
    volumes=(ServiceVolume(kind="bind", source="/srv", target="/data/"),),
    networks=(Endpoint(network="default", aliases=("www",), ipv4_address="10.0.0.5", mac_address="02::1"),),
    cap_add=("NET_ADMIN",),
    cap_drop=("CHOWN",),
    container_name="fixed",
    replicas=3,
)


def made(**flags: Any) -> Service:
    """Return the service as `run web` with these flags makes it."""
    return made_project(**flags).services["web"]


def made_project(**flags: Any) -> Project:
    """Return the whole project."""
    project = Project(name="demo", directory="/", services={"web": SERVICE})
    return oneoff(project, RunOptions(service="web", **flags), {"OUTER": "seen"})


def test_without_flags_nothing_of_serving_is_left() -> None:
    """No ports, no names of the service, not the replica's MAC address, one container of any name."""
    service = made()

    assert (service.ports, service.container_name, service.replicas) == ((), "", 1)
    assert service.networks == (Endpoint(network="default", ipv4_address="10.0.0.5"),)
    assert (service.command, service.entrypoint) == (("serve",), ("/start",))
    assert service.volumes == SERVICE.volumes


def test_commands() -> None:
    """A command replaces the command; an entrypoint clears it (docker-compose run)."""
    assert made(command=("sh",)).command == ("sh",)
    cleared = made(entrypoint=("sh", "-c"))
    assert (cleared.entrypoint, cleared.command) == (("sh", "-c"), ())
    both = made(entrypoint=(), command=("ls",))
    assert (both.entrypoint, both.command) == ((), ("ls",))


def test_variables(tmp_path: Path) -> None:
    """-e beats the file beats the service; a bare name is the caller's, or nothing."""
    (tmp_path / "env").write_text("SIZE=small\nCOLOUR=green\nBOTH=${OUTER}-x\n", encoding="utf-8")

    service = made(env=("COLOUR=red", "OUTER", "MISSING"), env_files=(str(tmp_path / "env"),))

    assert service.environment == {"COLOUR": "red", "SIZE": "small", "BOTH": "seen-x", "OUTER": "seen"}
    with pytest.raises(PycomposeError, match="--env-from-file /nowhere: not found"):
        made(env_files=("/nowhere",))


def test_ports_and_names() -> None:
    """--service-ports keeps the ports, -p has its own, --use-aliases answers to the names."""
    assert made(service_ports=True).ports == SERVICE.ports
    assert made(publish=("9000:90/udp",)).ports == (Port(target=90, published=(9000, 9000), protocol="udp"),)
    assert made(use_aliases=True).networks[0].aliases == ("web", "www")
    with pytest.raises(PycomposeError, match="--publish nonsense"):
        made(publish=("nonsense",))


def test_mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mount takes the place of the service's at the same target; names that the file lacks become volumes."""
    monkeypatch.chdir(tmp_path)

    project = made_project(volumes=("./here:/data:ro", "new:/new", "/anonymous"))

    here, new, anonymous = project.services["web"].volumes
    assert (here.source, here.target, here.read_only) == (str(tmp_path / "here"), "/data", True)
    assert (new.kind, new.source) == ("volume", "new")
    assert (anonymous.kind, anonymous.source, anonymous.target) == ("volume", "", "/anonymous")
    assert {key: volume.name for key, volume in project.volumes.items()} == {"new": "new"}


def test_capabilities_move_between_the_lists() -> None:
    """What is added isn't dropped any more, and the other way round."""
    service = made(cap_add=("CHOWN",), cap_drop=("NET_ADMIN",))

    assert (service.cap_add, service.cap_drop) == (("CHOWN",), ("NET_ADMIN",))


def test_labels_and_the_rest() -> None:
    service = made(labels=("a=2", "b="), user="7", workdir="/tmp", tty=True, interactive=False)

    assert service.labels == {"a": "2", "b": ""}
    assert (service.user, service.working_dir, service.tty, service.stdin_open) == ("7", "/tmp", True, False)


def test_given() -> None:
    assert given(("A=1", "B=", "C", "D"), {"C": "3"}) == {"A": "1", "B": "", "C": "3"}
