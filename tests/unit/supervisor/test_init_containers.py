"""Init containers: what is left of the service."""

from __future__ import annotations

from pycompose.engine.dataclass import replace
from pycompose.model import (
    Endpoint,
    FileReference,
    Health,
    Hook,
    Port,
    Restart,
    Service,
    ServiceVolume,
)
from pycompose.supervisor.init_containers import init_service

SERVICE = Service(
    name="db",
    image="postgres",
    command=("postgres",),
    entrypoint=("/entry",),
    environment={"A": "service", "B": "service"},
    user="70",
    working_dir="/srv",
    container_name="the-db",
    hostname="db",
    ports=(Port(target=5432),),
    networks=(Endpoint(network="back"),),
    volumes=(ServiceVolume(kind="volume", source="data", target="/data"),),
    secrets=(FileReference(source="password", target="/run/secrets/password"),),
    health=Health(test=("CMD", "true")),
    restart=Restart(kind="always"),
    tty=True,
    stdin_open=True,
    pre_start=(Hook(command=("migrate", "up")), Hook(command=())),
    post_start=(Hook(command=("warm",)),),
    pre_stop=(Hook(command=("drain",)),),
    extensions={"x-ready": {"tcp": 5432}},
)


def test_it_has_the_mounts_and_networks_and_nothing_that_belongs_to_serving() -> None:
    """No port, no name, no health, no restart, no hook of its own."""
    made = init_service(SERVICE, SERVICE.pre_start[0])

    assert (made.volumes, made.networks, made.secrets) == (SERVICE.volumes, SERVICE.networks, SERVICE.secrets)
    assert (made.ports, made.container_name, made.hostname, made.extensions) == ((), "", "", {})
    assert made.health == Health(disable=True)
    assert made.restart == Restart()
    assert (made.pre_start, made.post_start, made.pre_stop) == ((), (), ())
    assert (made.tty, made.stdin_open) == (False, False)


def test_the_hook_says_what_differs() -> None:
    """Command, user, folder and variables; what it leaves out is the service's."""
    hook = Hook(
        command=("a", "b"),
        user="0",
        working_dir="/tmp",
        environment=("A=hook", "C=", "D=x=y"),
        privileged=True,
    )
    made = init_service(SERVICE, hook)

    assert (made.command, made.user, made.working_dir, made.privileged) == (("a", "b"), "0", "/tmp", True)
    assert made.environment == {"A": "hook", "B": "service", "C": "", "D": "x=y"}
    plain = init_service(SERVICE, Hook(command=("a",)))
    assert (plain.user, plain.working_dir, plain.privileged) == ("70", "/srv", False)


def test_an_image_of_its_own_brings_its_own_command() -> None:
    """The service's entrypoint is not in it."""
    own = init_service(SERVICE, Hook(command=(), image="busybox"))
    shared = init_service(SERVICE, Hook(command=()))

    assert (own.entrypoint, own.command) == (None, None)
    assert (shared.entrypoint, shared.command) == (("/entry",), ("postgres",))


def test_the_service_itself_is_left_as_it_is() -> None:
    """It is started after its init container."""
    before = replace(SERVICE)
    init_service(SERVICE, SERVICE.pre_start[0])

    assert before == SERVICE
