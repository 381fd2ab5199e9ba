"""What the flags of `container run` mean."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.client.options import ContainerRunOptions
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.engine.images.spec import Image, ImageConfig
from pycompose.machine.run_flags import FLAGS
from pycompose.machine.run_mounts import parse_mount
from pycompose.machine.run_project import generated_name, project_of, publish_exposed
from pycompose.model import Port, Service
from pycompose.state.snapshot import STANDALONE


def service(options: ContainerRunOptions, environment: dict[str, str] | None = None) -> Service:
    """Return the one service that the flags describe."""
    project, _ = project_of(options, environment or {}, lambda name: f"{name}-found")
    assert project.name == STANDALONE
    (only,) = project.services.values()
    return only


def test_nothing_given() -> None:
    """An image alone is a service with a random name, on the common network."""
    found = service(ContainerRunOptions(image="busybox"))
    assert found.image == "busybox"
    assert (found.command, found.entrypoint) == (None, None)
    assert [endpoint.network for endpoint in found.networks] == ["bridge"]
    assert found.name != service(ContainerRunOptions(image="busybox")).name


def test_values_are_literal() -> None:
    """A dollar, a brace, a quote mean themselves; nothing steers the loading of compose files."""
    options = ContainerRunOptions(
        image="busybox",
        command=("echo", "$HOME ${x:?no}"),
        keys={"environment": ("A=$B", "FROM", "NOT"), "labels": ("l=${",), "hostname": "a$b"},
    )
    found = service(options, {"FROM": "here", "B": "wrong", "COMPOSE_FILE": "x", "COMPOSE_ENV_FILES": "y"})
    assert found.command == ("echo", "$HOME ${x:?no}")
    assert found.environment == {"A": "$B", "FROM": "here", "NOT": None}
    assert found.labels == {"l": "${"}
    assert found.hostname == "a$b"


def test_entrypoint() -> None:
    """One word, or none at all."""
    assert service(ContainerRunOptions(image="x", entrypoint=("a b",))).entrypoint == ("a b",)
    assert service(ContainerRunOptions(image="x", entrypoint=())).entrypoint == ()


def test_networks() -> None:
    """Several, with aliases and addresses; those that are no network are a mode."""
    options = ContainerRunOptions(
        image="x", networks=("one", "name=two,alias=a,alias=b,ip=10.0.0.9"), aliases=("c",), ip="10.0.0.8"
    )
    project, _ = project_of(options, {}, lambda name: f"{name}-found")
    first, second = next(iter(project.services.values())).networks
    assert (first.network, first.aliases, first.ipv4_address) == ("one-found", ("c",), "10.0.0.8")
    assert (second.network, second.aliases, second.ipv4_address) == ("two-found", ("a", "b"), "10.0.0.9")
    assert all(network.external for network in project.networks.values())
    assert service(ContainerRunOptions(image="x", networks=("container:y",))).network_mode == "container:y"
    assert service(ContainerRunOptions(image="x", networks=("host",))).networks == ()


@pytest.mark.parametrize(
    ("text", "mount"),
    (
        ("source=a,target=/b", {"type": "volume", "source": "a", "target": "/b"}),
        (
            "type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave",
            {
                "type": "bind",
                "source": "/a",
                "target": "/b",
                "read_only": True,
                "bind": {"propagation": "rslave", "create_host_path": False},
            },
        ),
        (
            "type=tmpfs,destination=/b,tmpfs-size=1m,tmpfs-mode=1777",
            {"type": "tmpfs", "target": "/b", "tmpfs": {"size": "1m", "mode": 0o1777}},
        ),
        (
            "source=/a,target=/b,type=bind,consistency=cached",  # as the documents of dev containers have it
            {
                "type": "bind",
                "source": "/a",
                "target": "/b",
                "consistency": "cached",
                "bind": {"create_host_path": False},
            },
        ),
        ('type=volume,"target=/a,b",ro=false', {"type": "volume", "target": "/a,b", "read_only": False}),
    ),
)
def test_mounts(text: str, mount: dict[str, Any]) -> None:
    """The long form of a volume."""
    assert parse_mount(text) == mount


def test_rates_of_devices() -> None:
    """Bytes may have a unit, repeated flags add up."""
    keys = {
        "blkio_config_device_read_bps": ("/dev/a:1mb", "/dev/b:2048"),
        "blkio_config_device_write_iops": ("/dev/a:100",),
        "blkio_config_weight_device": ("/dev/a:300",),
    }
    limits = service(ContainerRunOptions(image="x", keys=keys)).limits
    assert [(item.path, item.rate) for item in limits.device_read_bps] == [
        ("/dev/a", 1 << 20),
        ("/dev/b", 2048),
    ]
    assert [(item.path, item.rate) for item in limits.device_write_iops] == [("/dev/a", 100)]
    assert [(item.path, item.rate) for item in limits.blkio_weight_device] == [("/dev/a", 300)]
    assert limits.device_write_bps == limits.device_read_iops == ()


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"keys": {"ports": ("80:80", "x:y")}}, "--publish x:y: invalid container port"),
        ({"keys": {"mem_limit": "much"}}, "--memory: invalid size"),
        ({"keys": {"mem_limit": "1"}}, "--memory: cannot set 1: the least is"),
        ({"cpuset_mems": "4000"}, "--cpuset-mems: cannot set 4000: no memory node"),
        ({"keys": {"healthcheck_interval": "soon"}}, "--health-interval: invalid duration"),
        ({"keys": {"logging_options": ("a",)}}, "--log-opt a: not of the form"),
        (
            {"keys": {"blkio_config_device_read_bps": ("sda:1mb",)}},
            "--device-read-bps sda:1mb: not of the form",
        ),
        (
            {"keys": {"blkio_config_device_read_bps": ("/dev/a",)}},
            "--device-read-bps /dev/a: not of the form",
        ),
        (
            {"keys": {"blkio_config_device_write_bps": ("/dev/a:1", "/dev/a:x")}},
            "--device-write-bps /dev/a:x: invalid size",
        ),
        (
            {"keys": {"blkio_config_device_read_iops": ("/dev/a:1k",)}},
            "--device-read-iops /dev/a:1k: '1k' is no",
        ),
        (
            {"keys": {"blkio_config_weight_device": ("/dev/a:5",)}},
            "--blkio-weight-device: /dev/a: cannot set 5",
        ),
        ({"volumes": ("v:data",)}, '--volume or --mount: mount path "v:data"'),
        ({"mounts": ("type=bind,target=/x",)}, "--mount .*: a bind needs a source"),
        ({"mounts": ("target=/x,what=1",)}, "--mount .*: unknown key 'what'"),
        ({"mounts": ("target=/x,tmpfs-mode=9",)}, "--mount .*: tmpfs-mode is no octal number"),
        ({"mounts": ("source=x",)}, "--mount source=x: no target"),
        ({"keys": {"tmpfs": ("x",)}}, '--tmpfs x: mount path "x" is not absolute'),
        ({"ulimits": ("nofile",)}, "--ulimit nofile: not of the form"),
        ({"gpus": "what=1"}, "--gpus what=1: unknown key"),
        ({"networks": ("ip=1.2.3.4",)}, "--network ip=1.2.3.4: no name"),
        ({"networks": ("host", "x")}, "--network host: cannot be combined"),
        ({"name": "-x"}, "--name -x: not a container name"),
        ({"remove": True, "restart": {"kind": "always"}}, "--restart and --rm"),
        ({"env_files": ("not-there",)}, "--env-file: env file not-there not found"),
    ),
    ids=str,
)
def test_errors_name_the_flag(options: dict[str, Any], said: str) -> None:
    """Whoever finds the mistake, the message names the flag that it is in."""
    with pytest.raises(PycomposeError, match=said):
        service(ContainerRunOptions(image="busybox", **options))


def test_all_exposed_ports() -> None:
    """`-P` publishes what the image and --expose have, each once, at any free port."""
    image = Image(
        id="sha256:x", reference="x", trees=(), config=ImageConfig(exposed_ports=("80/tcp", "53/udp"))
    )
    given = Port(target=80, published=(8080, 8080))
    found = publish_exposed(replace(Service(name="x"), ports=(given,), expose=("90-91",)), image)
    assert found.ports == (
        given,
        Port(target=53, protocol="udp"),
        Port(target=90),
        Port(target=91),
    )


def test_flags_are_unique() -> None:
    """Every flag and every key is in the table once."""
    names = [name for flag in FLAGS for name in flag.names]
    assert len(names) == len(set(names))
    assert len({flag.path for flag in FLAGS}) == len(FLAGS)


def test_names_are_names() -> None:
    """A generated name can be given with --name."""
    service(ContainerRunOptions(image="x", name=generated_name()))
