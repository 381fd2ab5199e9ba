"""`--dry-run` announces what the command then does: the same steps, no more and no less."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Result

FIRST = """
name: demo
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ["data:/data"]
    environment: {V: "1"}
    healthcheck: {test: [CMD, test, -e, /data/ready], interval: 100ms, start_period: 20s}
    pre_start:
      - command: [touch, /data/ready]
      - command: [sh, -c, "echo each >>/data/each"]
        per_replica: true
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    scale: 2
    networks: [front]
    depends_on: {db: {condition: service_healthy, restart: true}}
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    deploy: {update_config: {order: start-first}}
    environment: {V: "1"}
  old: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
networks: {front: {labels: {V: "1"}}}
volumes: {data: {labels: {V: "1"}}}
"""
# Every definition, the network and the volume are others; one replica less, and a service less.
SECOND = FIRST.replace('V: "1"', 'V: "2"').replace("scale: 2", "scale: 1").replace("  old:", "  young:")


def write(project: Path, text: str) -> None:
    (project / "compose.yaml").write_text(text, encoding="ascii")


def steps(result: Result) -> Counter[tuple[str, str]]:
    """Return what was told to be done or to be left alone, of whom, and how many times."""
    events: list[dict[str, Any]] = [
        json.loads(line) for line in result.ok().stderr.splitlines() if line.startswith("{")
    ]
    return Counter((event["id"], event["text"]) for event in events if event.get("status") == "Done")


def machine(host: Host, project: Path) -> list[str]:
    """Return all there is of the project, with the ids."""
    containers = host.run("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.State}}", cwd=project)
    networks = host.run("network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}")
    volumes = host.run("volume", "ls", "--format", "{{.Name}} {{.Labels}}")
    return [
        part for result in (containers, networks, volumes) for part in sorted(result.ok().stdout.splitlines())
    ]


def rehearsed(host: Host, project: Path, *arguments: str) -> Counter[tuple[str, str]]:
    """Announce a command, have it done, and return the steps, which are the same."""
    before = machine(host, project)
    announced = steps(host.run("--dry-run", "--progress", "json", *arguments, cwd=project))
    assert machine(host, project) == before
    done = steps(host.run("--progress", "json", *arguments, cwd=project))
    assert announced == done
    return done


def test_up_does_what_was_announced(busy: Host) -> None:
    """From nothing; then with everything changed at once; then with nothing to do."""
    project = busy.project({"compose.yaml": FIRST})

    first = rehearsed(busy, project, "up", "-d", "--wait")
    write(project, SECOND)
    second = rehearsed(busy, project, "up", "-d", "-y", "--remove-orphans")
    third = rehearsed(busy, project, "up", "-d")
    busy.run("down", "-v", cwd=project).ok()

    assert first == Counter(
        {
            ("Network demo_default", "Created"): 1,
            ("Network demo_front", "Created"): 1,
            ("Volume demo_data", "Created"): 1,
            **{
                (f"Container demo-{name}", text): 1
                for name in ("db-1", "web-1", "web-2", "app-1", "old-1")
                for text in ("Created", "Started")
            },
            ("Container demo-db-pre_start-0", "Exited"): 1,
            ("Container demo-db-pre_start-1", "Exited"): 1,
            ("Container demo-db-1", "Healthy"): 2,
            **{(f"Container demo-{name}", "Healthy"): 1 for name in ("web-1", "web-2", "app-1", "old-1")},
        }
    )
    assert {
        ("Network demo_front", "Removed"),
        ("Network demo_front", "Created"),
        ("Volume demo_data", "Removed"),
        ("Volume demo_data", "Created"),
        ("Container demo-db-pre_start-0", "Exited"),
        ("Container demo-old-1", "Removed"),
        ("Container demo-web-2", "Removed"),
        ("Container demo-app-1", "Recreated"),
    } <= second.keys()
    assert set(third.values()) == {1}
    # What runs already is looked at all the same: a dependency that isn't healthy any more is a failure.
    assert {text for _, text in third} == {"Running", "Healthy"}


def test_announced_steps_happen(busy: Host) -> None:
    """What containers have gone through, by the project's own events, is what was announced."""
    project = busy.project({"compose.yaml": FIRST})
    announced = steps(busy.run("--dry-run", "--progress", "json", "up", "-d", cwd=project))
    busy.run("up", "-d", cwd=project).ok()
    lines = (
        busy.run("events", "--json", "--since", "1h", "--until", "0s", cwd=project).ok().stdout.splitlines()
    )
    events = Counter(event["action"] for event in map(json.loads, lines) if event.get("type") == "container")
    busy.run("down", "-v", cwd=project).ok()

    told = Counter(text for subject, text in announced.elements() if subject.startswith("Container"))
    assert Counter(
        created=events["create"], started=events["start"], healthy=events["health_status: healthy"]
    ) == Counter(created=told["Created"], started=told["Started"], healthy=told["Healthy"])


def test_a_stop_that_was_cut_off_is_announced(busy: Host) -> None:
    """`up` finishes the stop and starts the container again, and `--dry-run` says so."""
    text = """
services:
  db:
    image: busybox
    command: [sh, -c, "trap 'echo asked; sleep 1; exit' TERM; echo ready; while :; do sleep 0.1; done"]
    stop_grace_period: 30s
"""
    project = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=project).ok()
    eventually(lambda: "ready" in busy.run("logs", cwd=project).stdout)
    stop = busy.spawn("stop", cwd=project)
    eventually(lambda: "asked" in busy.run("logs", cwd=project).stdout)
    stop.kill()
    stop.wait()
    announced = steps(busy.run("--dry-run", "--progress", "json", "up", "-d", cwd=project))
    done = steps(busy.run("--progress", "json", "up", "-d", cwd=project))
    running = busy.run("ps", "--format", "{{.Name}}", cwd=project).ok().stdout.split()
    busy.run("down", "-t0", cwd=project).ok()

    assert (
        announced
        == done
        == Counter({("Container demo-db-1", "Stopped"): 1, ("Container demo-db-1", "Started"): 1})
    )
    assert running == ["demo-db-1"]


@pytest.mark.parametrize(
    ("command", "told"),
    (
        (("restart",), {"demo-db-1": "Started", "demo-web-1": "Started", "demo-idle-1": "Started"}),
        (("kill",), {"demo-db-1": "Killed", "demo-web-1": "Killed"}),
        (("pause",), {"demo-db-1": "Paused", "demo-web-1": "Paused"}),
        (("stop",), {"demo-db-1": "Stopped", "demo-web-1": "Stopped"}),
        (("start",), {"demo-idle-1": "Started"}),
        (("rm", "-f"), {"demo-idle-1": "Removed"}),
    ),
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_nothing_is_changed_and_all_is_told(
    busy: Host, command: tuple[str, ...], told: dict[str, str]
) -> None:
    """What a command does to containers that are there already, by the state and the start of each."""
    text = "\n".join(
        [
            "services:",
            *(f"  {name}: {{image: busybox, command: sleep 1000}}" for name in ("db", "web", "idle")),
        ]
    )
    project = busy.project({"compose.yaml": f"{text}\n"})
    busy.run("up", "-d", cwd=project).ok()
    busy.run("kill", "idle", cwd=project).ok()

    def there() -> list[str]:
        names = ("demo-db-1", "demo-web-1", "demo-idle-1")
        return busy.run("inspect", *names, "--format", "{{.Id}} {{json .State}}").ok().stdout.splitlines()

    before = there()
    announced = steps(busy.run("--dry-run", "--progress", "json", *command, cwd=project))
    after = there()
    busy.run("down", "-t0", cwd=project).ok()

    assert after == before
    assert announced == Counter((f"Container {name}", text) for name, text in told.items())


def test_a_network_without_containers_stays(busy: Host) -> None:
    """`--dry-run down` leaves what is left, and says that it would go."""
    project = busy.project({"compose.yaml": "services: {db: {image: busybox, command: sleep 1000}}"})
    busy.run("up", "-d", cwd=project).ok()
    busy.run("rm", "-fs", cwd=project).ok()
    before = machine(busy, project)
    announced = steps(busy.run("--dry-run", "--progress", "json", "down", cwd=project))
    after = machine(busy, project)
    busy.run("down", cwd=project).ok()

    assert any("demo_default" in line for line in before)
    assert after == before
    assert announced == Counter({("Network demo_default", "Removed"): 1})
