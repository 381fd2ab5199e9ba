"""What we do beyond Docker Compose: init containers per replica, readiness from outside, healing."""

from __future__ import annotations

import signal
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
      - command: [sh, -c, "echo hello; echo the disk is on fire >&2; exit 3"]
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
    left = busy.run("volume", "ls", "-q").ok().stdout.split()
    busy.run("up", "-d", "--force-recreate", cwd=folder).ok()
    names = busy.run("ps", "-a", "--format", "{{.Name}}", cwd=folder).ok().stdout.split()
    content = busy.run("exec", "-T", "db", "cat", "/data/init", cwd=folder).ok().stdout
    busy.run("down", "-v", cwd=folder).ok()

    assert "once 1" in logs
    assert sorted(names) == ["demo-db-1", "demo-db-2"]
    assert content.count("once 1") == 1
    assert content.count("each") == 4
    assert left == ["demo_data"]


def test_a_failed_init_container_is_kept_until_the_next_up_or_down(busy: Host, tmp_path: Path) -> None:
    """Only `container ls` shows it; the error says which hook, its code, its last words and where it is."""
    folder = project(tmp_path, BROKEN)
    result = busy.run("up", "-d", cwd=folder)
    (first,) = _kept(busy)
    listed = busy.run("ps", "-a", "--format", "{{.Name}}", cwd=folder).ok().stdout.split()
    said = busy.run("container", "logs", "demo-db-pre_start-0").ok()
    label = '{{index .Config.Labels "com.docker.compose.hook"}}'
    hook = busy.run("inspect", "-f", label, "demo-db-pre_start-0").ok().stdout
    again = busy.run("up", "-d", cwd=folder)
    (second,) = _kept(busy)
    busy.run("down", "db", cwd=folder).ok()

    assert result.code == again.code == 1
    assert (
        'error: service "db" pre_start[0] exited with code 3: the disk is on fire '
        f"(hook container {first} retained for inspection)\n"
    ) in result.stderr
    assert listed == ["demo-db-1"]
    assert (said.stdout, said.stderr, hook) == ("hello\n", "the disk is on fire\n", "pre_start\n")
    assert first != second
    assert _kept(busy) == []
    busy.run("down", cwd=folder).ok()


def _kept(host: Host) -> list[str]:
    listed = host.run("container", "ls", "-a", "--format", "{{.ID}} {{.Names}}").ok().stdout.splitlines()
    return [line.split()[0] for line in listed if "pre_start" in line]


def test_an_up_that_is_interrupted_keeps_no_init_container(busy: Host, tmp_path: Path) -> None:
    """There is nothing to look at in one that has only been told to end."""
    folder = project(tmp_path, BROKEN.replace("exit 3", "sleep 1000"))
    up = busy.spawn("up", "-d", cwd=folder)
    eventually(lambda: _kept(busy))
    up.process.send_signal(signal.SIGINT)
    assert up.wait() == 130
    eventually(lambda: not _kept(busy))
    busy.run("down", cwd=folder).ok()


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
