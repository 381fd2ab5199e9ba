"""Docker's own clients upon `pycompose system serve`: the SDK, the command line, Compose."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any

import docker
import pytest
from docker.errors import APIError, NotFound

from tests.e2e.test_flags import registered
from tests.support import oracle
from tests.support.registry import PASSWORD, USER
from tests.support.requires import requires
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.served import Served

WEB = """
services:
  web:
    image: busybox
    command: [sh, -c, "echo out; echo err >&2; exec sleep 1000"]
    stop_signal: SIGKILL
    labels: {a: b}
    ports: ["8080"]
    volumes: ["data:/data"]
volumes: {data: {}}
"""
LOGS = b"GET /containers/one/logs?stderr=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
HANDSHAKE = (
    b"GET /v1.45/containers/one/attach/ws?stream=1&logs=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"  # RFC 6455, section 1.3
)


def printed(served: Served, folder: Path) -> list[str]:
    """Return what the project has printed, sorted."""
    return sorted(served.host.run("logs", "--no-log-prefix", cwd=folder).ok().stdout.split())


@pytest.fixture
def web(served: Served) -> Iterator[Path]:
    """Bring a project of ours up beside it."""
    folder = served.host.project({"compose.yaml": WEB})
    served.host.run("up", "-d", cwd=folder).ok()
    eventually(lambda: printed(served, folder) == ["err", "out"])
    yield folder
    served.host.run("down", "-v", cwd=folder).ok()


@pytest.mark.timeout(150)
def test_what_the_sdk_reads_of_a_project(sdk: docker.DockerClient, web: Path) -> None:
    """Containers, logs, stats, processes, images, networks and volumes of an `up`."""
    (found,) = sdk.containers.list(filters={"label": "a=b"})
    assert found.image is not None
    assert (found.name, found.status, found.image.tags) == ("demo-web-1", "running", ["busybox:latest"])
    assert found.attrs["HostConfig"]["NetworkMode"] == "demo_default"
    assert found.logs(stdout=True, stderr=False) == b"out\n"
    assert found.logs(stdout=False, stderr=True, tail=1) == b"err\n"
    usage: Any = found.stats(stream=False)
    assert usage["memory_stats"]["usage"] > 0
    assert "sleep 1000" in found.top()["Processes"][0]
    assert sdk.networks.get("demo_default").attrs["Containers"].keys() == {found.id}
    assert [volume.name for volume in sdk.volumes.list()] == ["demo_data"]
    assert sdk.info()["ContainersRunning"] == 1
    assert sdk.version()["ApiVersion"] == sdk.api.api_version
    assert sdk.ping()
    with pytest.raises(NotFound, match="No such container: nosuch"):
        sdk.containers.get("nosuch")


@pytest.mark.timeout(150)
def test_what_the_sdk_changes(sdk: docker.DockerClient, served: Served) -> None:
    """Containers are made, talked to, changed and removed; so are networks, volumes and images."""
    assert sdk.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    network = sdk.networks.create("net", labels={"a": "b"})
    volume = sdk.volumes.create("vol")
    one = sdk.containers.run(
        "busybox", ["sleep", "1000"], name="one", detach=True, labels={"com.docker.compose.project": "other"},
        mem_limit="64m", environment={"A": "1"}, volumes={"vol": {"bind": "/v", "mode": "rw"}}, stop_signal="SIGKILL",
    )  # fmt: skip
    one.reload()
    assert one.labels == {"com.docker.compose.project": "other"}
    assert one.attrs["HostConfig"]["Memory"] == 64 << 20
    assert one.exec_run(["sh", "-c", "echo $A >/v/a; cat /v/a; exit 3"]) == (3, b"1\n")
    pieces, _ = one.get_archive("/v/a")
    assert one.put_archive("/tmp", b"".join(pieces))
    assert one.exec_run(["cat", "/tmp/a"]).output == b"1\n"
    network.connect(one, aliases=["uno"])
    assert [c.name for c in sdk.networks.get("net").containers] == ["one"]
    network.disconnect(one)
    one.pause()
    assert sdk.containers.get("one").status == "paused"
    one.unpause()
    one.rename("two")
    one.update(mem_limit="32m", memswap_limit="32m")
    assert sdk.containers.get("two").attrs["HostConfig"]["Memory"] == 32 << 20
    one.restart(timeout=0)
    one.kill()
    assert one.wait()["StatusCode"] == 137
    one.commit("mine", "1")
    assert sdk.images.get("mine:1").tag("yours")
    sdk.images.remove("mine:1")
    sdk.images.remove("yours:latest")
    with pytest.raises(APIError, match="No such image"):
        sdk.images.get("yours")
    one.remove(v=True)
    network.remove()
    volume.remove()
    assert served.get("/containers/json?all=1") == []


@pytest.mark.timeout(150)
def test_events_come_as_they_happen(sdk: docker.DockerClient, served: Served) -> None:
    """Of a project that nobody knew when the client began to listen, and at once."""
    heard: list[tuple[str, str, float]] = []
    stream = sdk.events(decode=True, filters={"type": "container"})

    def listen() -> None:
        for event in stream:
            heard.append(
                (event["Action"], event["Actor"]["Attributes"]["name"], time.time() - event["timeNano"] / 1e9)
            )
            if event["Action"] == "destroy":
                return

    listener = threading.Thread(target=listen)
    listener.start()
    folder = served.host.project({"compose.yaml": WEB})
    served.host.run("up", "-d", cwd=folder).ok()
    served.host.run("down", "-v", cwd=folder).ok()
    listener.join(30)
    stream.close()
    assert [action for action, _, _ in heard if action in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip
    assert {name for _, name, _ in heard} == {"demo-web-1"}
    assert min(late_s for _, _, late_s in heard) < 1


@requires("docker")
@pytest.mark.timeout(200)
def test_the_docker_command_line(served: Served, web: Path) -> None:
    """What people type: looking, `exec` and `run` with input and exit codes, `cp`, `wait`."""

    def say(*arguments: str, stdin: str = "", code: int = 0) -> str:
        environment = {"DOCKER_HOST": served.url, "DOCKER_CONFIG": str(served.host.folder / "none")}
        return served.host.command(["docker", *arguments], env=environment, stdin=stdin).exited(code).stdout

    assert "demo-web-1" in say("ps")
    assert say("logs", "demo-web-1") == "out\n"
    assert say("inspect", "-f", "{{.State.Status}}", "demo-web-1") == "running\n"
    assert say("exec", "demo-web-1", "sh", "-c", "echo in; exit 3", code=3) == "in\n"
    assert say("exec", "-i", "demo-web-1", "cat", stdin="typed") == "typed"
    assert "nosuch" in say("exec", "demo-web-1", "nosuch", code=127)
    assert say("run", "--rm", "busybox", "sh", "-c", "echo once; exit 4", code=4) == "once\n"
    assert say("run", "--rm", "-i", "busybox", "cat", stdin="through") == "through"
    assert say("run", "-d", "--name", "dd", "busybox", "sleep", "1000")
    assert "hosts" in say("cp", "dd:/etc/hosts", "-")
    assert say("kill", "dd") == "dd\n"
    assert say("wait", "dd") == "137\n"
    assert say("rm", "dd") == "dd\n"


@pytest.mark.timeout(200)
def test_the_real_compose(served: Served) -> None:
    """`up` with dependencies and health, `exec`, `logs`, scaling, a changed service, and `down` of all."""
    folder = served.host.project(
        {
            "compose.yaml": "services:\n  web: {image: busybox, command: [sh, -c, 'echo hello; exec sleep 1000'], "
            "stop_signal: SIGKILL, depends_on: {db: {condition: service_healthy}}, volumes: ['data:/data']}\n"
            "  db: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, "
            "healthcheck: {test: [CMD, 'true'], interval: 300ms}}\nvolumes: {data: {}}\n"
        },
        "real",
    )

    def compose(*arguments: str, code: int = 0) -> str:
        argv = [str(oracle.find()), *arguments]
        done = served.host.command(argv, cwd=folder, env={"DOCKER_HOST": served.url}, timeout_s=80)
        return done.exited(code).stdout

    compose("up", "-d")
    before = {row["Names"][0]: row["Id"] for row in served.get("/containers/json")}
    assert before.keys() == {"/real-web-1", "/real-db-1"}
    eventually(lambda: compose("logs", "--no-log-prefix", "web") == "hello\n")
    assert (
        compose("exec", "-T", "web", "sh", "-c", "ping -c1 db >/dev/null && echo found; exit 5", code=5)
        == "found\n"
    )
    compose("up", "-d")
    assert {row["Names"][0]: row["Id"] for row in served.get("/containers/json")} == before
    compose("up", "-d", "--scale", "web=2")
    assert len(compose("ps", "-q").split()) == 3
    text = (folder / "compose.yaml").read_text(encoding="utf-8").replace("echo hello", "echo changed")
    (folder / "compose.yaml").write_text(text, encoding="utf-8")
    compose("up", "-d")
    eventually(lambda: compose("logs", "--no-log-prefix", "web").split() == ["changed"])
    assert compose("run", "--rm", "-T", "web", "echo", "once").endswith("once\n")
    compose("down", "-v")
    assert served.get("/containers/json?all=1") == []
    assert served.get("/volumes")["Volumes"] == []


@pytest.mark.timeout(150)
def test_attaching_by_websocket(served: Served) -> None:
    """What is typed gets in, what is printed comes out, and what isn't asked for doesn't (Engine API, "attach/ws")."""
    script = "echo before; echo unseen >&2; cat; echo unseen >&2"
    served.host.run("container", "run", "-di", "--name", "one", "busybox", "sh", "-c", script).ok()
    eventually(lambda: b"unseen" in served.raw(LOGS))
    with served.connect() as sock, sock.makefile("rb") as heard:
        sock.sendall(HANDSHAKE)
        head = b"".join(iter(heard.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert heard.read(9) == b"\x82\x07before\n"
        sock.sendall(b"\x82\x83\0\0\0\0hi\n")
        assert heard.read(5) == b"\x82\x03hi\n"
        sock.sendall(b"\x88\x80\0\0\0\0")
        assert heard.read() == b"\x88\x00"
    served.host.run("container", "rm", "-f", "one").ok()
    plain = served.raw(
        b"GET /containers/one/attach/ws?stream=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    )
    assert plain.startswith(b"HTTP/1.1 400 ")


@requires("docker", "docker-registry")
@pytest.mark.timeout(150)
def test_registries_with_credentials(sdk: docker.DockerClient, served: Served, tmp_path: Path) -> None:
    """What a client sends along is for that request: push, pull and distribution know it, the next one doesn't."""
    right = {"username": USER, "password": PASSWORD}
    refusals = (
        (
            {"username": USER, "password": "guessed"},
            "access denied.*unauthorized: authentication required",
            401,
        ),
        (None, "asks for a user and password.*no basic auth credentials", 500),
    )
    with registered(served.host, tmp_path / "registry", auth=True) as address:
        name = f"{address}/mine"
        assert sdk.images.get("busybox").tag(name, "1")
        for given, reason, _ in refusals:
            assert re.search(reason, sdk.images.push(name, tag="1", auth_config=given))
        pushed = sdk.images.push(name, tag="1", auth_config=right, stream=True, decode=True)
        *_, last = pushed
        (digest,) = sdk.images.get("busybox").attrs["RepoDigests"][:1]
        assert last["aux"]["Digest"] == digest.partition("@")[2]
        assert 200 < last["aux"]["Size"] < 2000  # the manifest's, as everywhere where there is a digest
        sdk.images.remove(f"{name}:1")
        for given, reason, status in refusals:
            with pytest.raises(APIError, match=reason) as error:
                sdk.images.pull(name, tag="1", auth_config=given)
            assert error.value.status_code == 500
            with pytest.raises(APIError, match=reason) as error:
                sdk.images.get_registry_data(f"{name}:1", auth_config=given)
            assert error.value.status_code == status
        with pytest.raises(NotFound, match=f"manifest for {name}:2 not found: manifest unknown"):
            sdk.images.pull(name, tag="2", auth_config=right)
        refused = served.client("docker", "pull", f"{name}:1").exited(1)  # and nobody is asked who he is
        assert "asks for a user and password" in refused.stderr
        assert sdk.images.get_registry_data(f"{name}:1", auth_config=right).has_platform("linux/amd64")
        pulled = list(sdk.api.pull(name, tag="1", auth_config=right, stream=True, decode=True))
        assert pulled[0] == {"status": "Pulling from mine", "id": "1"}
        assert sdk.images.get(f"{name}:1").id == sdk.images.get("busybox").id
        assert sdk.api.login(USER, PASSWORD, registry=address)["Status"] == "Login Succeeded"
        for password, reason in (
            ("guessed", "login attempt to .*failed with status: 401"),
            ("", "no basic auth"),
        ):
            with pytest.raises(APIError, match=reason) as error:
                sdk.api.login(USER if password else "", password, registry=address, reauth=True)
            assert error.value.status_code == 500
