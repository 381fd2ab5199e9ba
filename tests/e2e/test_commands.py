"""What the commands print: data on stdout in Docker Compose's columns, progress on stderr."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "echo one; echo two; trap exit TERM; sleep 1000 & wait"]
    ports: ["8080:80"]
  job:
    image: busybox
    command: [sh, -c, "echo done; exit 3"]
"""


@pytest.fixture
def project(busy: Host) -> Path:
    """Make a project and start it."""
    folder = busy.project({"compose.yaml": COMPOSE})
    result = busy.run("up", "-d", cwd=folder).ok()
    assert result.stdout == ""
    return folder


def test_ps(busy: Host, project: Path) -> None:
    """Docker's columns; ended containers only with -a."""
    eventually(lambda: "Exited (3)" in busy.run("ps", "-a", cwd=project).ok().stdout)
    heading, *rows = busy.run("ps", cwd=project).ok().stdout.splitlines()

    assert heading.split() == ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]
    assert [row.split()[0] for row in rows] == ["demo-web-1"]
    assert re.search(r"busybox +\"sh -c .*\" +web +.*ago +Up .* +0\.0\.0\.0:8080->80/tcp", rows[0])
    assert len(busy.run("ps", "-aq", cwd=project).ok().stdout.split()) == 2
    assert busy.run("ps", "--services", cwd=project).ok().stdout.split() == ["web"]

    busy.run("down", cwd=project).ok()
    assert busy.run("ps", "-aq", cwd=project).ok().stdout == ""


def test_compose_5_s_words(busy: Host, project: Path, tmp_path: Path) -> None:
    """Remarks with a line break, where COMPOSE_STATUS_STDOUT wants them; docker's format of `ps`; ports by number."""
    docker = tmp_path / "docker"
    docker.mkdir()
    (docker / "config.json").write_text('{"psFormat": "{{.Names}}!"}')
    named = busy.run("ps", cwd=project, env={"DOCKER_CONFIG": str(docker)}).ok().stdout
    listed = busy.run("container", "ls", env={"DOCKER_CONFIG": str(docker)}).ok().stdout
    port = busy.run("port", "web", "99", cwd=project).exited(1).stderr
    recreated = busy.run("up", "-d", "--force-recreate", "web", cwd=project).ok()
    there = busy.run("kill", cwd=project, env={"COMPOSE_STATUS_STDOUT": "1"}).ok()
    kill = busy.run("kill", cwd=project).ok()
    busy.run("rm", "-f", cwd=project).ok()
    rm = busy.run("rm", "-f", cwd=project, env={"COMPOSE_STATUS_STDOUT": "1"}).ok()
    busy.run("down", cwd=project).ok()

    assert (named, listed) == ("demo-web-1!\n", "demo-web-1!\n")
    assert "no port 99/tcp for container demo-web-1: 80/tcp\n" in port
    words = [line.split()[2] for line in recreated.stderr.splitlines() if "demo-web-1" in line]
    assert (recreated.stdout, words) == ("", ["Recreate", "Recreated", "Starting", "Started"])
    assert (there.stdout, kill.stderr, kill.stdout) == ("", "No container to kill\n", "")
    assert (rm.stdout, rm.stderr) == ("No stopped containers\n", "")


def test_ls(busy: Host, project: Path) -> None:
    """One line per project, from any folder."""
    eventually(lambda: "exited(1)" in busy.run("ls", "-a").ok().stdout)
    heading, row = busy.run("ls", "-a").ok().stdout.splitlines()

    assert re.split(r" {2,}", heading.strip()) == ["NAME", "STATUS", "CONFIG FILES"]
    assert re.split(r" {2,}", row.strip()) == ["demo", "exited(1), running(1)", str(project / "compose.yaml")]

    busy.run("down", cwd=project).ok()
    assert busy.run("ls", "-aq").ok().stdout == ""


def test_logs(busy: Host, project: Path) -> None:
    """Prefixed, the last lines only if asked, one service if asked."""
    eventually(lambda: "two" in busy.run("logs", "web", cwd=project).ok().stdout)

    everything = busy.run("logs", cwd=project).ok().stdout.splitlines()
    assert sorted(everything) == ["job-1  | done", "web-1  | one", "web-1  | two"]
    assert busy.run("logs", "--tail", "1", "web", cwd=project).ok().stdout == "web-1  | two\n"
    assert busy.run("logs", "--no-log-prefix", "job", cwd=project).ok().stdout == "done\n"
    stamped = busy.run("logs", "-t", "job", cwd=project).ok().stdout
    assert re.fullmatch(r"job-1  \| \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z done\n", stamped)

    busy.run("down", cwd=project).ok()


def test_config_is_the_canonical_project(busy: Host) -> None:
    """Absolute paths, long forms, and nothing is started."""
    folder = busy.project({"compose.yaml": COMPOSE})
    found = json.loads(busy.run("config", "--format", "json", cwd=folder).ok().stdout)

    assert found["name"] == "demo"
    assert found["services"]["web"]["ports"] == [
        {"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}
    ]
    assert busy.run("config", "--services", cwd=folder).ok().stdout.split() == ["job", "web"]


def test_down_works_without_the_compose_file(busy: Host, project: Path) -> None:
    """The name of the project is enough, from anywhere."""
    (project / "compose.yaml").unlink()

    busy.run("-p", "demo", "down").ok()
    assert busy.run("ls", "-aq").ok().stdout == ""


def test_down_of_nothing_is_fine(busy: Host) -> None:
    """Twice is as good as once."""
    folder = busy.project({"compose.yaml": COMPOSE})

    assert busy.run("down", cwd=folder).code == 0


def test_version(host: Host) -> None:
    """Text and JSON."""
    pretty = host.run("version").ok().stdout
    short = host.run("version", "--short").ok().stdout.strip()

    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", short)
    assert short in pretty
    versions = json.loads(host.run("version", "--format", "json").ok().stdout)
    assert versions["version"] == f"v{short}"
    assert versions["pycompose"] in pretty


def test_images_come_and_go(host: Host, busybox_tar: Path) -> None:
    """Imported, listed, used, refused to be removed while used, removed."""
    host.run("image", "import", busybox_tar, "tools:1").ok()
    assert re.search(r"^tools +1 +[0-9a-f]{12} ", host.run("image", "ls").ok().stdout, re.MULTILINE)
    folder = host.project({"compose.yaml": "services: {app: {image: 'tools:1', command: [sleep, '9']}}"})
    host.run("up", "-d", cwd=folder).ok()

    assert "tools:1" in host.run("image", "rm", "tools:1").exited(1).stderr
    host.run("down", "-t", "0", cwd=folder).ok()
    host.run("image", "rm", "tools:1").ok()
    assert "tools" not in host.run("image", "ls").ok().stdout


def test_a_folder_is_an_image(busy: Host, busybox_tar: Path) -> None:
    """`rootfs:./tree` shows the folder; the container's writes don't reach it."""
    text = """
services:
  app:
    image: rootfs:./tree
    command: [sh, -c, "echo changed >/etc/motd; cat /etc/motd"]
"""
    folder = busy.project({"compose.yaml": text, "tree/etc/motd": "original\n"})
    busy.command(["tar", "-xf", busybox_tar, "-C", folder / "tree"]).ok()

    assert "app-1  | changed\n" in busy.run("up", cwd=folder).ok().stdout
    assert (folder / "tree/etc/motd").read_text() == "original\n"
    busy.run("down", cwd=folder).ok()


def test_the_host_image_hides_what_is_private(host: Host) -> None:
    """The machine's programs, without its homes, its passwords and our own state."""
    script = "test -e /usr/bin/env && ls -A /root /home /etc/gshadow /var/lib/pycompose 2>/dev/null; echo end"
    text = f"services: {{app: {{image: host, command: [sh, -c, '{script}']}}}}"
    folder = host.project({"compose.yaml": text})

    out = host.run("up", "--no-log-prefix", cwd=folder).ok().stdout
    shown = [line for line in out.splitlines() if line and not line.startswith(("Attaching", "app-1 exited"))]
    assert [line for line in shown if not line.endswith(":")] == ["end"]
    host.run("down", cwd=folder).ok()
