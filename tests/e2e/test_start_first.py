"""`deploy.update_config.order: start-first`: the new container is there before the old one goes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host

SERVER = """
services:
  web:
    image: busybox
    init: true
    environment: {V: "%s"}
    command: [sh, -c, "sleep 0.3; echo $$V > /index.html; httpd -p 80 -h /; touch /up; sleep 1000"]
    stop_signal: SIGKILL
    ports: ["18080:80"]
    volumes: ["/data"]
    healthcheck: {test: "%s", interval: 300ms, retries: 1000}
    deploy: {update_config: {order: start-first}}
"""
HEALTHY = "test -e /up"


def _names(host: Host, project: Path) -> dict[str, str]:
    """Return the ids of all containers by name."""
    found = host.run("ps", "-a", "--no-trunc", "--format", "jsonl", cwd=project).ok().stdout

    return {item["Name"]: item["ID"] for item in map(json.loads, found.splitlines())}


def _open() -> socket.socket:
    return socket.create_connection(("127.0.0.1", 18080), timeout=20)


def _get() -> str:
    with urllib.request.urlopen("http://127.0.0.1:18080/index.html", timeout=20) as answer:
        return str(answer.read().decode().strip())


@contextlib.contextmanager
def _asking(host: Host) -> Iterator[list[str]]:
    """Ask the published port all the time; the list has each change of the answer, and each failure."""
    seen: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.005):
            try:
                answer = host.inside(_get)
            except OSError as exc:
                answer = str(exc)
            if seen[-1:] != [answer]:
                seen.append(answer)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
        eventually(lambda: len(seen) > 1)
    finally:
        done.set()
        thread.join()


def test_no_request_fails_while_a_container_is_replaced(busy: Host) -> None:
    """The port answers all the time, first from the old, then from the new container."""
    project = busy.project({"compose.yaml": SERVER % ("one", HEALTHY)})
    busy.run("up", "-d", "--wait", cwd=project).ok()
    before = _names(busy, project)
    (project / "compose.yaml").write_text(SERVER % ("two", HEALTHY), encoding="ascii")

    with _asking(busy) as seen:
        busy.run("up", "-d", cwd=project).ok()

    after = _names(busy, project)
    assert seen == ["one", "two"]
    assert list(after) == ["demo-web-1"]
    assert after != before
    assert busy.run("exec", "-T", "web", "nslookup", "demo-web-1", cwd=project).ok()
    assert busy.run("port", "web", "80", cwd=project).ok().stdout.strip() == "0.0.0.0:18080"
    busy.run("down", "-v", cwd=project).ok()


def test_what_was_asked_before_is_answered(busy: Host) -> None:
    """A server that its signal kills has a moment for it: the old one answers once the new one has been asked."""
    answer = (
        "if test $V = one; then touch /shared/asked; until test -e /shared/two; do sleep 0.01; done; "
        "else touch /shared/two; fi; echo $V"
    )
    text = (SERVER % ("one", HEALTHY)).replace('["/data"]', '["./shared:/shared"]')
    text = re.sub(r"sleep 0.3; .*(?=\"])", "touch /up; nc -ll -p 80 -e /shared/answer", text)
    project = busy.project({"compose.yaml": text, "shared/answer": f"#!/bin/sh\n{answer}\n"})
    (project / "shared/answer").chmod(0o755)
    busy.run("up", "-d", "--wait", cwd=project).ok()
    early = busy.inside(_open)
    eventually((project / "shared/asked").exists)
    (project / "compose.yaml").write_text(text.replace('"one"', '"two"'), encoding="ascii")

    up = busy.spawn("up", "-d", cwd=project)

    def asked() -> str:
        with busy.inside(_open) as late:
            late.settimeout(0.2)
            return late.recv(100).decode().strip()

    with early:
        eventually(lambda: asked() == "two")
        assert early.recv(100) == b"one\n"

    assert up.wait() == 0
    busy.run("down", "-v", cwd=project).ok()


def test_an_unhealthy_replacement_leaves_the_old_one(busy: Host) -> None:
    """`up` fails, the old container has never stopped, the new one is gone."""
    project = busy.project({"compose.yaml": SERVER % ("one", HEALTHY)})
    busy.run("up", "-d", "--wait", cwd=project).ok()
    before = _names(busy, project)
    sick = SERVER.replace("retries: 1000", "retries: 2") % ("two", "false")
    (project / "compose.yaml").write_text(sick, encoding="ascii")

    failed = busy.run("up", "-d", cwd=project).exited(1)

    assert "is unhealthy" in failed.stderr
    assert _names(busy, project) == before
    assert busy.inside(_get) == "one"
    busy.run("down", "-v", cwd=project).ok()


def test_a_replacement_that_cannot_start_leaves_the_old_one(busy: Host) -> None:
    """So it is with a command that isn't there, and with a port that somebody else has."""
    project = busy.project({"compose.yaml": SERVER % ("one", HEALTHY)})
    busy.run("up", "-d", "--wait", cwd=project).ok()
    before = _names(busy, project)
    broken = SERVER.replace("[sh, -c,", "[nothing, -c,") % ("two", HEALTHY)
    (project / "compose.yaml").write_text(broken, encoding="ascii")
    assert "nothing" in busy.run("up", "-d", cwd=project).exited(1).stderr
    busy.project({"compose.yaml": SERVER.replace("18080", "18081") % ("x", HEALTHY)}, name="other")
    busy.run("up", "-d", cwd=project.parent / "other").ok()
    taken = SERVER.replace('["18080:80"]', '["18080:80", "18081:81"]') % ("two", HEALTHY)
    (project / "compose.yaml").write_text(taken, encoding="ascii")

    assert "18081" in busy.run("up", "-d", cwd=project).exited(1).stderr

    assert _names(busy, project) == before
    assert busy.inside(_get) == "one"
    busy.run("down", "-v", cwd=project.parent / "other").ok()
    busy.run("down", "-v", cwd=project).ok()


def test_a_replacement_that_was_cut_off_is_made_again(busy: Host) -> None:
    """A kill -9 of the supervisor while the new container becomes healthy: the next `up` converges."""
    project = busy.project({"compose.yaml": SERVER % ("one", HEALTHY)})
    busy.run("up", "-d", "--wait", cwd=project).ok()
    sick = SERVER.replace("retries: 1000", "retries: 4") % ("two", "test -e /never")
    (project / "compose.yaml").write_text(sick, encoding="ascii")
    old = set(busy.processes("touch /up"))
    up = busy.spawn("up", "-d", cwd=project)
    eventually(lambda: set(busy.processes("touch /up")) - old)  # at once: it is unhealthy after four probes
    busy.kill("pycompose.supervisor")
    up.wait()
    assert busy.inside(_get) == "one"
    (project / "compose.yaml").write_text(SERVER % ("three", HEALTHY), encoding="ascii")

    busy.run("up", "-d", cwd=project).ok()

    assert list(_names(busy, project)) == ["demo-web-1"]
    assert busy.inside(_get) == "three"
    busy.run("down", "-v", cwd=project).ok()


def test_a_fixed_address_is_not_given_twice(busy: Host) -> None:
    """With `ipv4_address` the old container has to go first."""
    fixed = SERVER + "    networks: {default: {ipv4_address: 10.99.0.5}}\n"
    fixed += "networks: {default: {ipam: {config: [{subnet: 10.99.0.0/24}]}}}\n"
    project = busy.project({"compose.yaml": fixed % ("one", HEALTHY)})
    busy.run("up", "-d", "--wait", cwd=project).ok()
    (project / "compose.yaml").write_text(fixed % ("two", HEALTHY), encoding="ascii")

    busy.run("up", "-d", "--wait", cwd=project).ok()

    assert list(_names(busy, project)) == ["demo-web-1"]
    assert busy.inside(_get) == "two"
    busy.run("down", "-v", cwd=project).ok()
