"""What starts when, what is started again, what ends how."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually

# Every service writes its name into a shared file when it starts and when it is told to stop.
ORDER = """
x-service: &service
  image: busybox
  volumes: ["./shared:/shared"]
services:
  web:
    <<: *service
    command:
      - sh
      - -c
      - |
        trap 'echo stop web >>/shared/order; exit' TERM
        echo web >>/shared/order
        sleep 1000 & wait
    depends_on:
      migrate: {condition: service_completed_successfully}
      cache: {condition: service_started}
  migrate:
    <<: *service
    command: [sh, -c, "cat /shared/ready; echo migrate >>/shared/order"]
    depends_on:
      db: {condition: service_healthy}
  cache:
    <<: *service
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
  db:
    <<: *service
    command:
      - sh
      - -c
      - |
        trap 'echo stop db >>/shared/order; exit' TERM
        echo db >>/shared/order
        sleep 1
        echo ready >/shared/ready
        sleep 1000 & wait
    healthcheck:
      test: [CMD, test, -e, /shared/ready]
      interval: 200ms
      start_period: 10s
      start_interval: 200ms
"""
FAILING = """
services:
  web:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    depends_on:
      needed: {condition: %s}
  needed:
    image: busybox
    command: [sh, -c, "%s"]
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, "false"], interval: 100ms, retries: 2}
"""
RESTART = """
services:
  app:
    image: busybox
    command: [sh, -c, "%s"]
    restart: %s
    volumes: ["./shared:/shared"]
    stop_signal: SIGKILL
"""


def one(host: Host, project: Path, service: str) -> dict[str, object]:
    """Return the container of a service as `ps -a --format json` has it."""
    found = host.run("ps", "-a", "--format", "json", service, cwd=project).ok().json()
    assert isinstance(found, dict)
    return found


def test_services_wait_for_each_other(busy: Host) -> None:
    """Healthy, completed and started, in one project; they stop in the opposite order."""
    project = busy.project({"compose.yaml": ORDER, "shared/order": ""})
    busy.run("up", "-d", cwd=project).ok()

    order = project / "shared/order"
    eventually(lambda: len(order.read_text().split()) == 3)
    assert order.read_text().split() == ["db", "migrate", "web"]
    assert one(busy, project, "migrate")["ExitCode"] == 0
    assert one(busy, project, "db")["Health"] == "healthy"

    busy.run("down", cwd=project).ok()
    assert order.read_text().splitlines()[3:] == ["stop web", "stop db"]


@pytest.mark.parametrize(
    ("condition", "script", "reason"),
    (
        ("service_completed_successfully", "exit 3", r"needed.*(exit|code).* 3"),
        ("service_healthy", "sleep 1000", r"needed.*unhealthy"),
        ("service_healthy", "exit 3", r"needed.*(exited|unhealthy)"),
    ),
)
def test_a_dependency_that_fails_fails_up(busy: Host, condition: str, script: str, reason: str) -> None:
    """`up` ends with 1 and the reason; what waited was never started."""
    project = busy.project({"compose.yaml": FAILING % (condition, script)})
    result = busy.run("up", "-d", cwd=project).exited(1)

    assert re.search(reason, result.stderr)
    assert one(busy, project, "web")["State"] == "created"
    busy.run("down", cwd=project).ok()


def test_restart_on_failure_gives_up(busy: Host) -> None:
    """`on-failure:2` runs three times in all, and leaves the last exit code."""
    script = "echo run >>/shared/runs; exit 7"
    project = busy.project({"compose.yaml": RESTART % (script, "on-failure:2"), "shared/runs": ""})
    busy.run("up", "-d", cwd=project).ok()

    runs = project / "shared/runs"
    eventually(lambda: len(runs.read_text().split()) == 3)
    eventually(lambda: one(busy, project, "app")["State"] == "exited")
    assert one(busy, project, "app")["ExitCode"] == 7
    assert len(runs.read_text().split()) == 3
    busy.run("down", cwd=project).ok()


def test_restart_on_failure_leaves_a_success_alone(busy: Host) -> None:
    """Exit code 0 is no failure."""
    project = busy.project(
        {"compose.yaml": RESTART % ("echo run >>/shared/runs", "on-failure"), "shared/runs": ""}
    )
    busy.run("up", "-d", cwd=project).ok()

    eventually(lambda: one(busy, project, "app")["State"] == "exited")
    assert (project / "shared/runs").read_text() == "run\n"
    busy.run("down", cwd=project).ok()


@pytest.mark.parametrize("policy", ("always", "unless-stopped"))
def test_restart_always_brings_a_killed_container_back(busy: Host, policy: str) -> None:
    """Same container, another process."""
    script = "echo run >>/shared/runs; exec sleep 1000"
    project = busy.project({"compose.yaml": RESTART % (script, policy), "shared/runs": ""})
    busy.run("up", "-d", cwd=project).ok()
    before = one(busy, project, "app")
    runs = project / "shared/runs"
    eventually(lambda: runs.read_text() == "run\n")

    (sleeper,) = busy.processes("sleep 1000")
    os.kill(sleeper, signal.SIGKILL)

    eventually(lambda: runs.read_text() == "run\nrun\n")
    eventually(lambda: one(busy, project, "app")["State"] == "running")
    assert one(busy, project, "app")["ID"] == before["ID"]
    busy.run("down", cwd=project).ok()


def test_a_container_that_ignores_the_signal_is_killed_after_its_grace_period(busy: Host) -> None:
    """`stop_grace_period: 1s` bounds `down`."""
    text = """
services:
  stubborn:
    image: busybox
    command: [sh, -c, "trap : TERM; while true; do sleep 1; done"]
    stop_grace_period: 1s
"""
    project = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=project).ok()

    busy.run("down", cwd=project, timeout_s=6).ok()


def test_the_exit_code_of_a_signal_is_128_more(busy: Host) -> None:
    """As a shell has it."""
    project = busy.project({"compose.yaml": RESTART % ("exec sleep 1000", '"no"'), "shared/x": ""})
    busy.run("up", "-d", cwd=project).ok()
    (sleeper,) = eventually(lambda: busy.processes("sleep 1000"))

    os.kill(sleeper, signal.SIGKILL)

    eventually(lambda: one(busy, project, "app")["State"] == "exited")
    assert one(busy, project, "app")["ExitCode"] == 128 + signal.SIGKILL
    busy.run("down", cwd=project).ok()


BACK = """
services:
  web:
    image: busybox
    command: [sh, -c, "cat /mounted/file; exec sleep 1000"]
    stop_signal: KILL
    volumes: [{type: bind, source: ./mounted, target: /mounted}]
    ports: ["8080:80"]
"""


def test_restart_keeps_the_network(busy: Host) -> None:
    """The container comes back into the network namespace that it had; one that doesn't come back loses it."""
    project = busy.project({"compose.yaml": BACK, "mounted/file": "there\n"})
    busy.run("up", "-d", cwd=project).ok()

    def namespaces() -> dict[str, int]:
        return busy.inside(lambda: {e.name: e.stat().st_ino for e in (busy.paths.run / "netns").iterdir()})

    before = namespaces()
    assert len(before) == 1
    link = busy.run("exec", "-T", "web", "cat", "/sys/class/net/eth0/ifindex", cwd=project).ok().stdout

    busy.run("restart", cwd=project).ok()

    assert namespaces() == before
    assert (
        busy.run("exec", "-T", "web", "cat", "/sys/class/net/eth0/ifindex", cwd=project).ok().stdout == link
    )
    eventually(lambda: busy.run("logs", cwd=project).ok().stdout.count("there") == 2)

    (project / "mounted/file").unlink()
    (project / "mounted").rmdir()
    failed = busy.run("restart", cwd=project).exited(1)

    assert "mounted" in failed.stderr
    assert namespaces() == {}
    (project / "mounted").mkdir()
    busy.run("restart", cwd=project).ok()
    assert list(namespaces()) == list(before)
    busy.run("down", cwd=project).ok()


HOOKED = """
services:
  web:
    image: busybox
    restart: always
    command: [sh, -c, "exec httpd -f -p 80 -h /"]
    stop_signal: KILL
    volumes: ["./shared:/shared"]
    post_start: [{command: [sh, -c, "echo hook >>/shared/hooks; test $$(wc -l </shared/hooks) = 1"]}]
"""


def test_a_hook_that_fails_at_a_restart_is_no_end(busy: Host) -> None:
    """The container has been restarted, and goes on with its name and its network; the log tells of the hook."""
    project = busy.project({"compose.yaml": HOOKED, "shared/hooks": ""})
    busy.run("up", "-d", cwd=project).ok()
    (server,) = busy.processes("httpd -f")

    os.kill(server, signal.SIGKILL)

    eventually(lambda: "web hook exited with status" in busy.logs())
    busy.run("exec", "-T", "web", "wget", "-qO-", "http://web/etc/hostname", cwd=project).ok()
    assert busy.run("events", "--since", "1h", "--until", "0s", cwd=project).ok().stdout.count(" die ") == 1
    busy.run("stop", cwd=project).ok()
    assert one(busy, project, "web")["State"] == "exited"
    busy.run("down", cwd=project).ok()
