"""The control protocol: messages of any length, descriptors, errors that keep their class."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from pycompose.engine.config import from_json, plain
from pycompose.engine.errors import ExecError, PortInUse, error_from_json
from pycompose.errors import ConfigError, Location, NotRunning, ProtocolMismatch
from pycompose.ipc.client import Connection
from pycompose.ipc.protocol import PROTOCOL, receive, send
from pycompose.model import Condition, Dependency, Endpoint, Health, Network, Port, Project, Service, Volume


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_a_message_arrives_as_it_was(pair: tuple[socket.socket, socket.socket]) -> None:
    """Plain JSON in one packet."""
    send(pair[0], {"op": "x", "n": [1, 2]})

    assert receive(pair[1]) == ({"op": "x", "n": [1, 2]}, [])


def test_a_long_message_travels_in_a_memfd_beside_other_descriptors(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Several megabytes are no problem, and the order of descriptors stays."""
    reading, writing = os.pipe()
    send(pair[0], {"text": "y" * 3_000_000}, [writing])
    message, (received,) = receive(pair[1])
    os.write(received, b"hello")
    for fd in (writing, received):
        os.close(fd)

    assert message is not None
    assert len(message["text"]) == 3_000_000
    with open(reading, "rb") as file:
        assert file.read() == b"hello"


def test_the_end_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    """A closed connection is not an error of the protocol."""
    pair[0].close()

    assert receive(pair[1]) == (None, [])


def test_another_protocol_number_is_refused_with_a_hint(pair: tuple[socket.socket, socket.socket]) -> None:
    """An old supervisor is named, not talked to."""
    send(pair[0], {"hello": PROTOCOL + 1, "pid": 77})

    with pytest.raises(ProtocolMismatch, match=f"speaks protocol {PROTOCOL + 1}") as caught:
        Connection(pair[1])
    assert caught.value.hint is not None
    assert "up -d` replaces it" in caught.value.hint


def test_a_vanishing_supervisor_is_not_running(pair: tuple[socket.socket, socket.socket]) -> None:
    """The client can tell it from an answer."""
    send(pair[0], {"hello": PROTOCOL, "pid": 1})
    connection = Connection(pair[1])
    pair[0].close()

    with pytest.raises(NotRunning):
        connection.receive()


def test_errors_keep_class_hint_and_exit_code() -> None:
    """Between processes an error is the same error."""
    for error in (ExecError("no such file", exit_code=127, hint="look"), PortInUse("port 80: taken")):
        copy = error_from_json(error.to_json())

        assert type(copy) is type(error)
        assert (str(copy), copy.hint, copy.exit_code) == (str(error), error.hint, error.exit_code)


def test_a_config_error_names_its_place() -> None:
    """File, line, column, path, reason."""
    error = ConfigError("unknown key", location=Location("compose.yaml", 4, 5, "services.web"))

    assert str(error) == "compose.yaml:4:5: services.web: unknown key"
    assert str(error_from_json(error.to_json())) == str(error)


def test_a_project_survives_the_way_through_json() -> None:
    """Nested dataclasses, enums, tuples and None."""
    service = Service(
        name="web",
        command=("a", "b"),
        entrypoint=(),
        environment={"A": "1", "B": None},
        depends_on=(Dependency(service="db", condition=Condition.HEALTHY),),
        ports=(Port(target=80, published=(8080, 8081)), Port(target=53, protocol="udp")),
        networks=(Endpoint(network="default", aliases=("x",)),),
        health=Health(test=("CMD", "true"), interval_s=1.5),
        links=(("db", "database"),),
    )
    project = Project(
        name="demo",
        directory="/x",
        services={"web": service},
        networks={"default": Network(key="default", name="demo_default")},
        volumes={"data": Volume(key="data", name="demo_data")},
    )

    assert from_json(Project, plain(project)) == project
