"""What clients of the Engine API get wrong: told so as Docker tells it, at once, and nothing happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import docker
import pytest
from docker.errors import APIError

from tests.support.requires import requires
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.served import Served


def refused(error: pytest.ExceptionInfo[APIError]) -> tuple[int, str]:
    """Return status and message of an error."""
    return error.value.status_code or 0, str(error.value.explanation)


@requires("docker")
@pytest.mark.timeout(150)
def test_a_failed_start_ends_docker_run_and_its_container(served: Served, sdk: docker.DockerClient) -> None:
    """`docker run --rm` waits for the removal of what never came to run."""
    for flags in (["--rm"], ["--rm", "-d"]):
        environment = {"DOCKER_HOST": served.url, "DOCKER_CONFIG": str(served.host.folder / "none")}
        command = ["docker", "run", *flags, "busybox", "nosuch"]
        result = served.host.command(command, env=environment, timeout_s=40).exited(127)
        assert "cannot execute nosuch" in result.stderr
    assert sdk.containers.list(all=True) == []


@pytest.mark.timeout(150)
def test_a_restart_is_not_the_end_of_what_is_removed_at_its_end(sdk: docker.DockerClient) -> None:
    """`docker restart` of a container of `run --rm`."""
    one = sdk.containers.run("busybox", ["sleep", "1000"], detach=True, remove=True, stop_signal="SIGKILL")
    one.restart()
    one.reload()
    assert one.status == "running"
    one.kill()
    assert eventually(lambda: not sdk.containers.list(all=True))


@pytest.mark.timeout(150)
def test_what_prune_does_not_understand_it_does_not_do(sdk: docker.DockerClient) -> None:
    """An unknown filter, or a moment that is none, must not prune everything."""
    sdk.volumes.create("vol")
    for things in (sdk.containers, sdk.volumes, sdk.images, sdk.networks):
        with pytest.raises(APIError) as error:
            things.prune(filters={"bogus": "1"})
        assert refused(error) == (400, "invalid filter 'bogus'")
    with pytest.raises(APIError) as error:
        sdk.containers.prune(filters={"until": "zz"})
    assert refused(error)[0] == 400
    sdk.volumes.get("vol").remove()
    cases: tuple[tuple[Any, dict[str, Any]], ...] = (
        (sdk.containers, {"status": "bogus"}),
        (sdk.images, {"dangling": "zz"}),
    )
    for listed, filters in cases:
        with pytest.raises(APIError) as error:
            listed.list(filters=filters)
        assert refused(error)[0] == 400
    assert sdk.images.list(filters={"until": "24h"}) == []


@pytest.mark.timeout(150)
def test_changes_that_cannot_be(sdk: docker.DockerClient) -> None:
    """Names, limits and restart policies of `rename` and `update`; the container stays as it was."""
    one = sdk.containers.create("busybox", "true", name="one", mem_limit="64m", memswap_limit="128m")
    for name in ("bad name", "one"):
        with pytest.raises(APIError) as error:
            one.rename(name)
        assert refused(error)[0] == 400
    changes: tuple[dict[str, Any], ...] = (
        {"restart_policy": {"Name": "bogus"}},
        {"restart_policy": {"Name": "always", "MaximumRetryCount": 3}},
        {"mem_limit": "1m"},
        {"mem_limit": "256m"},
        {"cpuset_cpus": "4096"},
    )
    for change in changes:
        with pytest.raises(APIError) as error:
            one.update(**change)
        assert refused(error)[0] == 400, change
    one.reload()
    host = one.attrs["HostConfig"]
    assert (one.name, host["Memory"], host["RestartPolicy"]["Name"]) == ("one", 64 << 20, "no")
    one.remove()


@pytest.mark.timeout(150)
def test_containers_that_cannot_be(sdk: docker.DockerClient) -> None:
    """400, whatever is wrong: of 404 clients think that the image is missing, and pull it."""
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"network": "nosuch"}, "network nosuch not found"),
        ({"links": {"nosuch": "x"}}, "could not get container for nosuch"),
        ({"mem_limit": "1m"}, "6 MiB"),
        ({"volumes": ["/tmp:/x:bogus"]}, "invalid mode: bogus"),
        ({"volumes": ["/tmp:/"]}, "destination can't be '/'"),
        ({"volumes": ["/tmp:/x", "/var:/x"]}, "Duplicate mount point: /x"),
        ({"restart_policy": {"Name": "on-failure", "MaximumRetryCount": -1}}, "cannot be negative"),
        ({"name": "bad name"}, "not a container name"),
    )
    for wrong, word in cases:
        with pytest.raises(APIError) as error:
            sdk.containers.create("busybox", "true", **wrong)
        status, message = refused(error)
        assert status == 400, message
        assert word in message
    assert sdk.containers.list(all=True) == []


@pytest.mark.timeout(150)
def test_links_by_the_api(sdk: docker.DockerClient) -> None:
    """Those of the default bridge ask for a container that runs, those of a network are shown with it."""
    network = sdk.networks.create("net")
    db = sdk.containers.create("busybox", ["sleep", "1000"], name="db", environment={"A": "b"})
    web = sdk.containers.create("busybox", "env", name="web", links={"db": "store"})
    with pytest.raises(APIError) as error:
        web.start()
    assert refused(error) == (
        500,
        "Cannot link to a non running container: /db AS /web/store (start that one first)",
    )
    db.start()
    web.start()
    web.wait()
    assert {b"STORE_NAME=/web/store", b"STORE_ENV_A=b"} <= set(web.logs().splitlines())
    config = sdk.api.create_networking_config({"net": sdk.api.create_endpoint_config(links={"other": "x"})})
    one = sdk.api.create_container(
        "busybox",
        "true",
        networking_config=config,
        host_config=sdk.api.create_host_config(network_mode="net"),
    )
    shown = sdk.api.inspect_container(one["Id"])
    assert shown["NetworkSettings"]["Networks"]["net"]["Links"] == ["other:x"]
    assert sdk.api.inspect_container("web")["HostConfig"]["Links"] == ["/db:/web/store"]
    for found in sdk.containers.list(all=True):
        found.remove(force=True)
    network.remove()


@pytest.mark.timeout(150)
def test_the_statuses_of_what_cannot_be(sdk: docker.DockerClient, served: Served) -> None:
    """As dockerd has them: 400 for the request's own words, 404 for drivers and platforms that aren't there."""
    cases: tuple[tuple[Any, dict[str, Any], int], ...] = (
        (sdk.api.create_volume, {"name": "a b"}, 400),
        (sdk.api.create_volume, {"name": "v"}, 400),
        (sdk.api.create_volume, {"name": "vv", "driver": "bogus"}, 404),
        (sdk.api.create_volume, {"name": "vv", "driver_opts": {"bogus": "x"}}, 400),
        (sdk.api.create_network, {"name": "n", "driver": "bogus"}, 404),
        (sdk.api.create_network, {"name": "n", "ipam": {"Config": [{"Subnet": "x"}]}}, 400),
        (sdk.api.create_container, {"image": "busybox", "environment": ["=x"]}, 400),
        (sdk.api.create_container, {"image": "busybox", "platform": "linux/arm64"}, 404),
    )
    for call, arguments, status in cases:
        with pytest.raises(APIError) as error:
            call(**arguments)
        assert refused(error)[0] == status, (arguments, refused(error))
    assert "does not match the specified platform" in failure_of(
        served, "containers/create?platform=linux/arm64"
    )
    assert failure_of(served, "commit") == 'invalid name or ID supplied: ""'
    assert failure_of(served, "system/df?type=bogus", "GET") == "unknown object type: bogus"
    sdk.containers.create("busybox", "true", name="one")
    assert "is not running" in failure_of(served, "containers/one/resize?h=1&w=1")
    sdk.containers.get("one").remove()


def failure_of(served: Served, path: str, method: str = "POST") -> str:
    """Return what an answer says went wrong."""
    body = b'{"Image": "busybox"}'
    head = f"{method} /v1.45/{path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n"
    answer = served.raw(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["message"])
