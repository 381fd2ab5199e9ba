"""Tools that drive `docker compose` for tests, told by their own documented settings to call pycompose."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import PYCOMPOSE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "mkdir /www; echo page > /www/index.html; echo serving; exec httpd -f -p 80 -h /www"]
    ports: ["80"]
    healthcheck: {test: wget -qO /dev/null http://127.0.0.1/, interval: 1s}
  cache: {image: busybox, command: [sleep, inf]}
"""


@pytest.fixture
def tools(busy: Host) -> Path:
    return busy.project({"compose.yaml": COMPOSE}, "tools")


def nothing_left(host: Host) -> None:
    assert host.run("ls", "-a", "-q").ok().stdout == ""


def test_testcontainers(busy: Host, tools: Path) -> None:
    (tools / "script.py").write_text(
        textwrap.dedent(
            f"""
            import urllib.request
            from testcontainers.compose import DockerCompose
            stack = DockerCompose(".", "compose.yaml", wait=True, docker_command_path="{PYCOMPOSE}")
            with stack as compose:
                host, port = compose.get_service_host_and_port("web", 80)
                assert urllib.request.urlopen(f"http://{{host}}:{{port}}/").read() == b"page\\n"
                out, err, code = compose.exec_in_container(["sh", "-c", "echo out; echo err >&2; exit 0"], "web")
                assert (out, err, code) == ("out\\n", "err\\n", 0), (out, err, code)
                assert "serving" in compose.get_logs("web")[0]
                assert {{c.Service for c in compose.get_containers()}} == {{"web", "cache"}}
                container = compose.get_container("web")
                assert container.State == "running" and container.Health == "healthy", container
            """
        )
    )
    busy.command([sys.executable, "script.py"], cwd=tools).ok()
    nothing_left(busy)


def test_pytest_docker(busy: Host, tools: Path) -> None:
    (tools / "conftest.py").write_text(
        textwrap.dedent(
            f"""
            import pytest
            @pytest.fixture(scope="session")
            def docker_compose_command(): return "{PYCOMPOSE} compose"
            @pytest.fixture(scope="session")
            def docker_compose_file(): return "compose.yaml"
            """
        )
    )
    (tools / "test_it.py").write_text(
        textwrap.dedent(
            """
            import urllib.request
            def get(url):
                try:
                    return urllib.request.urlopen(url).read()
                except OSError:
                    return b""
            def test_it(docker_ip, docker_services):
                url = f"http://{docker_ip}:{docker_services.port_for('web', 80)}/"
                docker_services.wait_until_responsive(timeout=20, pause=0.1, check=lambda: get(url) == b"page\\n")
            """
        )
    )
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    busy.command(argv, cwd=tools, env={"PYTHONDONTWRITEBYTECODE": "1"}).ok()
    nothing_left(busy)
