"""testcontainers for Python upon an Engine API (DOCKER_HOST): containers, networks, files, a build."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy, LogMessageWaitStrategy

scratch = Path(sys.argv[1])
SERVE = "echo Serving; mkdir /w; echo page >/w/index.html; exec httpd -f -p 8000 -h /w"

container = (
    DockerContainer("busybox").with_command(["sh", "-c", SERVE]).with_env("A", "1").with_exposed_ports(8000)
)
with container.waiting_for(LogMessageWaitStrategy("Serving")):
    address = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8000)}/"
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert answer.read() == b"page\n"
    assert container.exec(["sh", "-c", "echo $A; exit 3"]) == (3, b"1\n")
    assert container.get_logs()[0] == b"Serving\n"
    assert container.status == "running"
    info = container.get_container_info()
    assert info is not None
    assert info.State is not None
    assert info.State.Status == "running"
    container.copy_into_container(b"copied", "/tmp/in", 0o600)
    container.copy_from_container("/tmp/in", scratch / "out")
    assert (scratch / "out").read_bytes() == b"copied"

with (
    Network() as network,
    DockerContainer("busybox").with_command("sleep 1000").with_network(network).with_network_aliases("db"),
    DockerContainer("busybox").with_command("sleep 1000").with_network(network) as asking,
):
    assert asking.exec(["ping", "-c1", "db"]).exit_code == 0

healthy = DockerContainer("busybox").with_command("sleep 1000").with_kwargs(
    healthcheck={"test": ["CMD", "true"], "interval": 500_000_000}
)  # fmt: skip
with healthy.waiting_for(HealthcheckWaitStrategy()):
    assert healthy.get_wrapped_container().health == "healthy"

(scratch / "Dockerfile").write_text("FROM busybox\nRUN echo made >/made\nCMD cat /made\n", encoding="ascii")
with DockerImage(path=scratch, tag="tc-built:1") as image, DockerContainer(str(image)) as built:
    assert built.wait() == 0
    assert built.get_logs()[0] == b"made\n"
print("all of it")
