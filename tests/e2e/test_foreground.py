"""More of `up` in the foreground: how it ends, what it shows, and its keys."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.support.scenario import Host

ENDING = """
services:
  job:
    image: busybox
    command: [sh, -c, "until test -e /shared/serving; do sleep 0.05; done; echo working; exit 3"]
    volumes: ["./shared:/shared"]
  server:
    image: busybox
    command: [sh, -c, "trap 'exit 7' TERM; echo serving; touch /shared/serving; sleep 1000 & wait"]
    volumes: ["./shared:/shared"]
  helper:
    image: busybox
    attach: false
    command: [sh, -c, "echo unseen; trap exit TERM; sleep 1000 & wait"]
"""
RESTARTING = """
services:
  flaky:
    image: busybox
    restart: on-failure
    command: [sh, -c, "[ -e /state/again ] && { echo well; exit 0; }; touch /state/again; echo ill; exit 1"]
    volumes: ["state:/state"]
volumes: {state: }
"""
SLOW = """
services:
  slow:
    image: busybox
    command: [sh, -c, "echo warming up; sleep 1000 & wait"]
    healthcheck: {test: [CMD, test, -e, /ready], interval: 0.2s, retries: 1000}
  web:
    image: busybox
    command: [sh, -c, "echo at last; exit 0"]
    depends_on: {slow: {condition: service_healthy}}
"""


@pytest.mark.parametrize(
    ("flags", "code"),
    (
        (["--abort-on-container-exit"], 3),
        (["--abort-on-container-failure"], 3),
        (["--exit-code-from", "job"], 3),
        (["--exit-code-from", "server"], 7),
    ),
    ids=lambda value: "_".join(value) if isinstance(value, list) else str(value),
)
def test_one_end_is_the_end_of_all(busy: Host, flags: list[str], code: int) -> None:
    """The exit code is that of the first one to end, or of the service that was named."""
    project = busy.project({"compose.yaml": ENDING})

    result = busy.run("up", *flags, cwd=project).exited(code)

    assert "job-1 exited with code 3" in result.stdout
    assert " Compose Stopping Aborting on container exit...\n" in result.stderr
    assert busy.run("ps", "-q", cwd=project).ok().stdout == ""
    busy.run("down", cwd=project).ok()


def test_who_is_shown(busy: Host) -> None:
    """`attach: false` keeps a service's output away; names can be left out."""
    project = busy.project({"compose.yaml": ENDING})

    result = busy.run("up", "--abort-on-container-exit", "--no-log-prefix", cwd=project)

    lines = result.stdout.splitlines()
    assert lines[0] == "Attaching to job-1, server-1"
    assert "working" in lines
    assert "unseen" not in result.stdout
    busy.run("down", cwd=project).ok()


def test_only_the_named_ones_are_shown_with_stamps(busy: Host) -> None:
    project = busy.project({"compose.yaml": ENDING})

    result = busy.run("up", "--abort-on-container-exit", "--attach", "job", "--timestamps", cwd=project)

    assert re.search(
        r"^job-1  \| \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z working$", result.stdout, re.MULTILINE
    )
    assert "serving" not in result.stdout
    busy.run("down", cwd=project).ok()


def test_a_restart_is_no_end(busy: Host) -> None:
    """The output of the second life is shown too, each line once."""
    project = busy.project({"compose.yaml": RESTARTING})

    result = busy.run("up", cwd=project).ok()

    assert result.stdout.count("| ill") == 1
    assert result.stdout.count("| well") == 1
    assert "flaky-1 exited with code 1 (restarting)" in result.stdout
    assert "flaky-1 exited with code 0" in result.stdout
    busy.run("down", "-v", cwd=project).ok()


def test_output_is_shown_while_up_still_waits(busy: Host) -> None:
    """What a dependency says while it is not healthy yet is what people need to see."""
    project = busy.project({"compose.yaml": SLOW})
    up = busy.spawn("up", cwd=project)
    up.expect(r"warming up")
    assert "at last" not in up.output

    busy.run("exec", "-T", "slow", "touch", "/ready", cwd=project).ok()

    up.expect(r"at last")
    up.interrupt()
    assert up.wait() == 130
    assert up.output.count("warming up") == 1
    busy.run("down", cwd=project).ok()


def test_an_interrupted_wait_stops_what_it_had_started(busy: Host) -> None:
    project = busy.project({"compose.yaml": SLOW})
    up = busy.spawn("up", cwd=project)
    up.expect(r"warming up")

    up.interrupt()

    assert up.wait() == 130
    assert busy.run("ps", "-q", cwd=project).ok().stdout == ""
    busy.run("down", cwd=project).ok()


def test_d_detaches(busy: Host) -> None:
    """The containers go on; the terminal is as it was."""
    project = busy.project({"compose.yaml": SLOW.replace("service_healthy", "service_started")})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"warming up")
    up.expect(r"Detach")

    up.send("w")
    up.expect(r"watch is not yet configured")
    up.send("d")

    assert up.wait() == 0
    assert "slow" in busy.run("ps", "--services", cwd=project).ok().stdout
    busy.run("down", cwd=project).ok()


def test_a_lost_supervisor_is_no_good_end(busy: Host) -> None:
    """Told to end it has no successor; containers outlive it, and `up` must not look as if all had ended."""
    project = busy.project({"compose.yaml": SLOW.replace("service_healthy", "service_started")})
    up = busy.spawn("up", cwd=project)
    up.expect(r"at last")
    up.expect(r"web-1 exited with code 0")

    os.kill(busy.process("pycompose.supervisor"), signal.SIGTERM)

    assert up.wait() == 1
    assert "error: supervisor: ended while containers run" in up.errors
    assert "slow" in busy.run("ps", "--services", cwd=project).ok().stdout
    busy.run("down", cwd=project).ok()
