"""What we do beyond Docker Compose: init containers per replica, readiness from outside, healing."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.scenario import Host, eventually

INIT = """
services:
  db:
    image: busybox
    command: [sh, -c, "cat /data/init; exec sleep 1000"]
    stop_signal: SIGKILL
    scale: 2
    volumes: ["data:/data"]
    pre_start:
      - command: [sh, -c, "echo once $$X >>/data/init"]
        environment: [X=1]
      - command: [sh, -c, "echo each >>/data/init"]
        per_replica: true
volumes: {data: {}}
"""
BROKEN = """
services:
  db:
    image: busybox
    command: sleep 1000
    pre_start:
      - command: [sh, -c, "echo the disk is on fire; exit 3"]
"""
READY = """
services:
  db:
    image: busybox
    command: [sh, -c, "sleep 0.5; echo ready to accept; mkdir /www; exec httpd -f -p 80 -h /www"]
    stop_signal: SIGKILL
    x-ready: {tcp: 80, log: "ready to"}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
"""
SICK = """
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, test, "!", -e, /tmp/sick], interval: 200ms, retries: 1}
    x-restart-on: unhealthy
"""


def project(folder: Path, text: str) -> Path:
    (folder / "compose.yaml").write_text(f"name: demo\n{text}")
    return folder


def test_init_containers_run_once_or_per_replica(busy: Host, tmp_path: Path) -> None:
    """Before the service starts, in order; a second `up` does not run them again."""
    folder = project(tmp_path, INIT)
    busy.run("up", "-d", cwd=folder).ok()
    logs = busy.run("logs", "--no-log-prefix", cwd=folder).ok().stdout
    busy.run("up", "-d", "--force-recreate", cwd=folder).ok()
    names = busy.run("ps", "-a", "--format", "{{.Name}}", cwd=folder).ok().stdout.split()
    content = busy.run("exec", "-T", "db", "cat", "/data/init", cwd=folder).ok().stdout
    busy.run("down", "-v", cwd=folder).ok()

    assert "once 1" in logs
    assert sorted(names) == ["demo-db-1", "demo-db-2"]
    assert content.count("once 1") == 1
    assert content.count("each") == 4


def test_a_failed_init_container_is_kept_and_quoted(busy: Host, tmp_path: Path) -> None:
    """The error says which hook, its code and its last words."""
    folder = project(tmp_path, BROKEN)
    result = busy.run("up", "-d", cwd=folder)
    kept = busy.run("ps", "-a", "--format", "{{.Name}}", cwd=folder).ok().stdout
    busy.run("down", "--remove-orphans", cwd=folder).ok()

    assert result.code == 1
    assert "exited with 3" in result.stderr
    assert "the disk is on fire" in result.stderr
    assert re.search(r"demo-db-pre-start-0-\w+", kept)


def test_readiness_from_outside_holds_dependants_back(busy: Host, tmp_path: Path) -> None:
    """No probe runs in the container, and the dependant starts after the port and the line are there."""
    folder = project(tmp_path, READY)
    busy.run("up", "-d", cwd=folder).ok()
    line = busy.run("logs", "--no-log-prefix", "db", cwd=folder).ok().stdout
    status = busy.run("ps", "db", "--format", "{{.Status}}", cwd=folder).ok().stdout
    busy.run("down", "--remove-orphans", cwd=folder).ok()

    assert "ready to accept" in line
    assert "(healthy)" in status


def test_an_unhealthy_container_is_restarted_when_asked(busy: Host, tmp_path: Path) -> None:
    """Off by default; with x-restart-on the container starts anew and is healthy again."""
    folder = project(tmp_path, SICK)
    busy.run("up", "-d", "--wait", cwd=folder).ok()
    before = busy.run("ps", "-a", "--format", "{{.ID}}", cwd=folder).ok().stdout
    busy.run("exec", "-T", "web", "touch", "/tmp/sick", cwd=folder).ok()

    def restarted() -> bool:
        return "restart" in busy.run("events", "--since", "1h", "--until", "0s", cwd=folder).stdout

    eventually(restarted)
    after = busy.run("ps", "-a", "--format", "{{.ID}}", cwd=folder).ok().stdout
    busy.run("down", "--remove-orphans", cwd=folder).ok()

    assert before == after
