"""What POST /containers/create makes of a body: bodies as clients send them, and back what `inspect` shows."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.api.creation import asked
from pycompose.api.errors import ApiError
from pycompose.api.shapes import CONNECT, CREATE, EXEC_CREATE, NETWORK, VOLUME, checked, restart_policy
from pycompose.machine.run_project import project_of
from pycompose.model import Restart, Service


def made(body: dict[str, Any]) -> Service:
    """Return the service that a body becomes."""
    options, _ = asked({"Image": "busybox", **body}, "c1", "pycompose")
    project, _ = project_of(options, {}, lambda name: name)
    return project.services["c1"]


def test_docker_run_sends_everything_and_means_little() -> None:
    """`docker run -i busybox cat`, as docker 28 writes it: most fields at what Go has for nothing."""
    service = made(
        {
            "Hostname": "", "Domainname": "", "User": "", "AttachStdin": True, "AttachStdout": True,
            "AttachStderr": True, "Tty": False, "OpenStdin": True, "StdinOnce": True, "Env": None, "Cmd": ["cat"],
            "Volumes": {}, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {},
            "HostConfig": {
                "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}},
                "NetworkMode": "default", "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
                "AutoRemove": True, "ConsoleSize": [0, 0], "CapAdd": None, "CgroupnsMode": "", "Dns": [],
                "IpcMode": "", "PidMode": "", "Privileged": False, "ShmSize": 0, "CpuShares": 0, "Memory": 0,
                "NanoCpus": 0, "PidsLimit": 0, "Ulimits": [], "MaskedPaths": None, "OomKillDisable": False,
                "MemorySwappiness": -1, "DeviceRequests": None, "Init": None,
            },
            "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": None, "Aliases": None}}},
        }
    )  # fmt: skip
    assert (service.command, service.stdin_open, service.tty) == (("cat",), True, False)
    assert service.restart == Restart()
    assert [endpoint.network for endpoint in service.networks] == ["bridge"]


def test_compose_sends_labels_that_are_its_own() -> None:
    """They are kept apart from those by which the supervisor knows its containers."""
    service = made({"Labels": {"com.docker.compose.service": "web", "a": "b"}})
    assert service.labels == {"pycompose.given.com.docker.compose.service": "web", "a": "b"}


def test_dollars_mean_themselves() -> None:
    assert made({"Cmd": ["sh", "-c", "echo ${HOME}"], "Env": ["A=$B"]}).command == (
        "sh",
        "-c",
        "echo ${HOME}",
    )


def test_networks_and_addresses() -> None:
    service = made(
        {
            "HostConfig": {"NetworkMode": "front"},
            "NetworkingConfig": {
                "EndpointsConfig": {
                    "back": {"Aliases": ["db", "data"]},
                    "front": {"IPAMConfig": {"IPv4Address": "10.1.2.3"}, "MacAddress": "02:00:00:00:00:01"},
                }
            },
        }
    )
    first, second = service.networks
    assert (first.network, first.ipv4_address, first.mac_address) == (
        "front",
        "10.1.2.3",
        "02:00:00:00:00:01",
    )
    assert (second.network, second.aliases) == ("back", ("db", "data"))


def test_ports_limits_mounts_and_health() -> None:
    service = made(
        {
            "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 500_000_000, "Retries": 3},
            "HostConfig": {
                "PortBindings": {
                    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                    "53/udp": [{"HostPort": ""}],
                },
                "Memory": 67108864,
                "NanoCpus": 1_500_000_000,
                "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
                "Mounts": [
                    {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 448}}
                ],
                "Binds": ["data:/data:ro"],
            },
        }
    )
    assert [(p.host_ip, p.published, p.target, p.protocol) for p in service.ports] == [
        ("127.0.0.1", (8080, 8080), 80, "tcp"),
        ("", None, 53, "udp"),
    ]
    assert (service.limits.memory_bytes, service.limits.cpus) == (67108864, 1.5)
    assert (service.restart.kind, service.restart.max_attempts) == ("on-failure", 3)
    assert {(v.kind, v.source, v.target, v.read_only) for v in service.volumes} == {
        ("tmpfs", "", "/t", False),
        ("volume", "data", "/data", True),
    }
    assert service.health is not None
    assert service.health.test == ("CMD", "true")


@pytest.mark.parametrize(
    ("body", "message"),
    (
        ({"Image": ""}, "no image"),
        ({"Image": "x", "HostConfig": {"Runtime": "kata"}}, "unknown or invalid runtime name: kata"),
        ({"Image": "x", "HostConfig": {"Isolation": "hyperv"}}, r"invalid isolation \(hyperv\)"),
        ({"Image": "x", "HostConfig": {"RestartPolicy": {"Name": "alwasy"}}}, "unknown policy 'alwasy'"),
        ({"Image": "x", "HostConfig": {"StorageOpt": {"nosuch": "1"}}}, "unknown option nosuch"),
        ({"Image": "x", "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/a", "BindOptions":
            {"ReadOnlyForceRecursive": True}}]}}, "!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
        ({"Image": "x", "HostConfig": {"Mounts": [{"Target": "/a", "VolumeOptions": {"DriverConfig": {"Name": "n"}}}]}},
         "make the volume first")),
)  # fmt: skip
def test_what_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        asked(body, "", "pycompose")


def test_what_clients_make_of_systempaths_unconfined() -> None:
    """They send nothing to be masked; null is what isn't said."""
    assert made({"HostConfig": {"MaskedPaths": [], "ReadonlyPaths": []}}).security_opt == (
        "systempaths=unconfined",
    )
    assert made({"HostConfig": {"MaskedPaths": None, "ReadonlyPaths": None}}).security_opt == ()


def test_where_inspect_shows_our_own_words_they_mean_nothing_new() -> None:
    """Watchtower sends back what it has read."""
    service = made({"HostConfig": {"Runtime": "pycompose", "CgroupParent": "pycompose", "PidsLimit": None}})
    assert service.cgroup_parent == ""


@pytest.mark.parametrize(
    ("body", "place"),
    (
        ({"Image": 5}, "Image"),
        ({"Cmd": [1]}, "Cmd[0]"),
        ({"Tty": "yes"}, "Tty"),
        ({"Env": "A=1"}, "Env"),
        ({"Labels": {"a": 1}}, "Labels[a]"),
        ({"HostConfig": {"Binds": "x"}}, "HostConfig.Binds"),
        ({"HostConfig": {"Memory": 1.5}}, "HostConfig.Memory"),
        ({"HostConfig": {"Memory": True}}, "HostConfig.Memory"),
        ({"HostConfig": {"Memory": 1 << 63}}, "HostConfig.Memory"),
        ({"HostConfig": {"PortBindings": {"1/tcp": [{"HostPort": 8}]}}}, "HostConfig.PortBindings[1/tcp][0].HostPort"),
        (
            {"NetworkingConfig": {"EndpointsConfig": {"a": {"Aliases": "b"}}}},
            "NetworkingConfig.EndpointsConfig[a].Aliases",
        ),
    ),
)  # fmt: skip
def test_types_are_those_of_go(body: dict[str, Any], place: str) -> None:
    with pytest.raises(ApiError) as error:
        checked(body, CREATE)
    assert error.value.status == 400
    assert error.value.message.startswith(f"invalid JSON: {place}: ")


@pytest.mark.parametrize(
    ("shape", "body", "place"),
    (
        (EXEC_CREATE, {"Cmd": "true"}, "Cmd"),
        (EXEC_CREATE, {"Cmd": ["true"], "ConsoleSize": [1.5, 2]}, "ConsoleSize[0]"),
        (NETWORK, {"Name": 5}, "Name"),
        (NETWORK, {"Name": "a", "IPAM": {"Config": {"Subnet": "10.0.0.0/8"}}}, "IPAM.Config"),
        (NETWORK, {"Name": "a", "IPAM": {"Config": [{"Subnet": 10}]}}, "IPAM.Config[0].Subnet"),
        (CONNECT, {"Container": ["a"]}, "Container"),
        (CONNECT, {"EndpointConfig": {"IPAMConfig": {"IPv4Address": 1}}}, "EndpointConfig.IPAMConfig.IPv4Address"),
        (VOLUME, {"Name": "a", "Labels": ["a"]}, "Labels"),
    ),
)  # fmt: skip
def test_other_bodies_have_types_too(shape: dict[str, Any], body: dict[str, Any], place: str) -> None:
    with pytest.raises(ApiError) as error:
        checked(body, shape)
    assert error.value.message.startswith(f"invalid JSON: {place}: ")


def test_commands_are_words_or_one_text() -> None:
    for body in ({"Cmd": "true"}, {"Cmd": ["true"]}, {"Cmd": None}):
        assert checked(body, CREATE) is body


@pytest.mark.parametrize(
    ("policy", "word"),
    (
        ({"Name": "bogus"}, "unknown policy 'bogus'"),
        ({"Name": "always", "MaximumRetryCount": 3}, "only be used with 'on-failure'"),
        ({"Name": "on-failure", "MaximumRetryCount": -1}, "cannot be negative"),
    ),
)
def test_restart_policies_that_are_none(policy: dict[str, Any], word: str) -> None:
    with pytest.raises(ApiError, match=word):
        restart_policy(policy)
