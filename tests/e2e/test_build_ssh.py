"""Repositories over SSH, from a real server by a real client: host keys, keys in files, an agent, compose's `ssh:`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.requires import requires
from tests.support.sshserver import SshServer, make_key, ssh_server
from tests.support.webserver import listening, repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host

pytestmark = requires("root", "git", "dropbear", "ssh-agent")


@pytest.fixture
def server(busy: Host, tmp_path: Path) -> Iterator[SshServer]:
    """Serve the machine's files, a repository `app.git` among them."""
    (tmp_path / "ssh").mkdir()
    with ssh_server(busy.inside(listening), tmp_path / "ssh") as served:
        repository(tmp_path / "app.git", {"Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "over ssh\n"})
        yield served


def environment(folder: Path, known: str) -> dict[str, str]:
    """Return what makes ssh a user's who knows the servers in `known`, and has neither keys nor an agent."""
    (folder / "known_hosts").write_text(known, encoding="ascii")
    options = (
        "BatchMode=yes",
        f"UserKnownHostsFile={folder}/known_hosts",
        "IdentityFile=none",
        "IdentitiesOnly=no",
    )
    command = " ".join(["ssh", "-F", "none", *(f"-o {option}" for option in options)])
    return {"GIT_SSH_COMMAND": command, "SSH_AUTH_SOCK": ""}


def content(host: Host, path: str) -> str:
    """Return a file of the image that was built."""
    return host.run("container", "run", "--rm", "--network", "none", "it", "cat", path).ok().stdout


def test_whom_the_server_lets_in(busy: Host, server: SshServer, tmp_path: Path) -> None:
    """A server that isn't known, no key, a wrong key: ssh's own reason; the right one, and a build comes of it."""
    url = f"ssh://root@{server.address}:{server.port}{tmp_path}/app.git"
    build = ("image", "build", "-t", "it", url)
    stranger = busy.run(*build, "--ssh", f"default={server.key}", env=environment(tmp_path, "")).exited(1)
    assert "Host key verification failed." in stranger.stderr
    assert "ssh-keyscan" in stranger.stderr

    env = environment(tmp_path, server.known)
    assert "Permission denied (publickey)" in busy.run(*build, env=env).exited(1).stderr
    make_key(tmp_path / "other")
    wrong = busy.run(*build, "--ssh", f"default={tmp_path}/other", env=env).exited(1)
    assert "Permission denied (publickey)" in wrong.stderr

    busy.run(*build, "--ssh", f"default={server.key}", env=env).ok()
    assert content(busy, "/f") == "over ssh\n"


def test_an_agent_for_add_and_for_services(busy: Host, server: SshServer, tmp_path: Path) -> None:
    """`--ssh default` is the caller's agent: for ADD, and for the context of a service that has `ssh:`."""
    where = f"ssh://root@{server.address}:{server.port}{tmp_path}/app.git"
    env = environment(tmp_path, server.known)
    agent = tmp_path / "agent"
    command = ["ssh-agent", "-D", "-a", str(agent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            running.stdout.readline()  # it listens
            env["SSH_AUTH_SOCK"] = str(agent)
            subprocess.run(["ssh-add", "-q", server.key], env=env, check=True)
            folder = busy.project({"Dockerfile": f"FROM busybox\nADD {where}#main /r\n"})
            busy.run("image", "build", "-t", "it", "--ssh", "default", ".", cwd=folder, env=env).ok()
            assert content(busy, "/r/f") == "over ssh\n"

            service = {"image": "it", "build": {"context": where, "ssh": ["default"]}}
            project = busy.project({"compose.yaml": json.dumps({"services": {"a": service}})})
            busy.run("build", "--no-cache", cwd=project, env=env).ok()
            assert content(busy, "/f") == "over ssh\n"
        finally:
            running.terminate()
