"""`up` in the foreground, `logs -f` and `exec`, on terminals and on pipes."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.scenario import Host, eventually

TALKING = """
services:
  web:
    image: busybox
    command: [sh, -c, "trap 'echo bye; exit 3' TERM; echo hello; echo oops >&2; sleep 1000 & wait"]
  database:
    image: busybox
    command: [sh, -c, "trap exit TERM; echo ready; sleep 1000 & wait"]
"""
STUBBORN = """
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'echo not yet' TERM; echo up; while true; do sleep 1; done"]
    stop_grace_period: 30s
"""
CHATTING = """
services:
  app: {image: busybox, command: [sh, -c, "while sleep 0.1; do echo tick; done"]}
  job: {image: busybox, command: [sh, -c, "sleep 0.2"], restart: always}
"""
SHORT = """
services:
  one: {image: busybox, command: [sh, -c, "echo one; exit 4"]}
  two: {image: busybox, command: [sh, -c, "echo two"]}
"""


def states(host: Host, project: Path) -> set[str]:
    """Return the states of all containers of the project."""
    found = host.run("ps", "-a", "--format", "json", cwd=project).ok().json()
    return {entry["State"] for entry in (found if isinstance(found, list) else [found])}


@pytest.mark.parametrize(
    ("tty", "menu", "key", "code"),
    (
        (True, "true", True, 0),
        (True, "false", True, 130),
        (True, "true", False, 130),
        (False, "true", False, 130),
    ),
    ids=("menu", "terminal", "kill", "pipe"),
)
def test_ctrl_c_stops_everything(busy: Host, tty: bool, menu: str, key: bool, code: int) -> None:  # noqa: FBT001
    """Logs carry the service's name; Ctrl+C lets services end by themselves; the containers stay.

    As a key of the menu it is a way to leave; as a signal it is an interruption.
    """
    project = busy.project({"compose.yaml": TALKING})
    up = busy.spawn("up", cwd=project, tty=tty, env={"COMPOSE_MENU": menu})
    up.expect(r"^\S*web-1 +\| hello$")
    up.expect(r"^\S*database-1 +\| ready$")
    up.expect(r"oops")

    if key:
        up.interrupt()
    else:
        up.process.send_signal(signal.SIGINT)

    up.expect(r"bye")
    assert up.wait() == code
    assert states(busy, project) == {"exited"}
    busy.run("down", cwd=project).ok()


@pytest.mark.parametrize(
    ("hook", "healthy", "last", "code"),
    (
        ("touch /shared/hook; sleep 1000", "true", "{}", 0),
        ("touch /shared/hook", "false", "{first: {condition: service_healthy}}", 130),
    ),
    ids=("all run", "one is missing"),
)
def test_ctrl_c_in_the_menu_while_things_start(
    busy: Host, hook: str, healthy: str, last: str, code: int
) -> None:
    """It is a way to leave once everything runs, even if `up` isn't through; before it is an interruption."""
    text = f"""
x-all: &all {{image: busybox, init: true, command: [sleep, '1000']}}
services:
  first:
    <<: *all
    volumes: ['./shared:/shared']
    post_start: [{{command: [sh, -c, "{hook}"]}}]
    healthcheck: {{test: "{healthy}", start_period: 1000s}}
  last: {{<<: *all, depends_on: {last}}}
"""
    project = busy.project({"compose.yaml": text})
    up = busy.spawn("up", cwd=project, tty=True, env={"COMPOSE_MENU": "true"})
    up.expect("Attaching to")
    eventually((project / "shared/hook").exists)
    eventually(lambda: states(busy, project) == ({"running"} if code == 0 else {"running", "created"}))

    up.interrupt()

    assert up.wait() == code
    busy.run("down", "-t", "0", cwd=project).ok()


def test_ctrl_c_twice_kills(busy: Host) -> None:
    """Nobody has to wait for a long grace period."""
    project = busy.project({"compose.yaml": STUBBORN})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"\| up$")

    up.interrupt()
    up.expect("not yet")
    up.interrupt()

    assert up.wait(10) == 130
    assert states(busy, project) == {"exited"}
    busy.run("down", cwd=project).ok()


@pytest.mark.parametrize(
    "numbers",
    ((signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)),
    ids=lambda numbers: numbers[0].name,
)
def test_signals_at_the_same_time_are_one(busy: Host, numbers: tuple[signal.Signals, ...]) -> None:
    """timeout(1) signals us and then our group, people's fingers bounce: services still end by themselves."""
    script = (
        "trap 'touch /shared/told; until test -e /shared/go; do sleep 0.05; done; exit 5' TERM; "
        "echo up; sleep 1000 & wait"
    )
    text = f"""
services:
  app:
    image: busybox
    command: [sh, -c, "{script}"]
    stop_grace_period: 60s
    volumes: ['./shared:/shared']
"""
    project = busy.project({"compose.yaml": text})
    up = busy.spawn("up", cwd=project)
    up.expect(r"\| up")

    up.process.send_signal(signal.SIGSTOP)  # both are there when it goes on
    for number in numbers:
        up.process.send_signal(number)
    up.process.send_signal(signal.SIGCONT)
    eventually((project / "shared/told").exists)
    (project / "shared/go").touch()

    assert up.wait() == 130
    assert "exited with code 5" in up.output
    assert busy.run("ps", "-a", "--format", "{{.ExitCode}}", cwd=project).ok().stdout == "5\n"
    busy.run("down", cwd=project).ok()


@pytest.mark.parametrize("command", ("up", "logs -f", "events", "ps"))
def test_the_end_of_a_pipe_is_the_end(busy: Host, command: str) -> None:
    """Whoever reads no more ends it, as SIGPIPE would."""
    project = busy.project({"compose.yaml": CHATTING})
    busy.run("up", "-d", cwd=project).ok()
    # The reader has closed its end before anything is written.
    script = f"mkfifo go; {{ read -r _ <go; pycompose {command}; }} | {{ exec <&-; echo >go; }}"
    script += "; echo ${PIPESTATUS[0]}"
    assert busy.command(["/bin/bash", "-c", script], cwd=project).ok().stdout == "141\n"
    busy.run("down", "-t", "0", cwd=project).ok()


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGHUP), ids=lambda number: number.name)
def test_whoever_ends_up_ends_the_services(busy: Host, number: signal.Signals) -> None:
    """A process manager that runs `up` stops it so, and so does a terminal that is closed."""
    project = busy.project({"compose.yaml": TALKING})
    up = busy.spawn("up", cwd=project)
    up.expect("hello")
    up.expect("ready")

    up.process.send_signal(number)

    assert up.wait() == 130
    assert states(busy, project) == {"exited"}
    busy.run("down", cwd=project).ok()


def test_up_ends_when_all_have_ended(busy: Host) -> None:
    """With 0, whatever their exit codes; it says each of them."""
    project = busy.project({"compose.yaml": SHORT})
    result = busy.run("up", cwd=project).ok()

    assert "one-1  | one\n" in result.stdout
    assert "two-1  | two\n" in result.stdout
    assert "one-1 exited with code 4" in result.stdout + result.stderr
    busy.run("down", cwd=project).ok()


def test_the_streams_of_services_stay_apart(busy: Host) -> None:
    """Standard output to standard output, errors to errors, and progress never to standard output."""
    project = busy.project({"compose.yaml": TALKING})
    up = busy.spawn("up", cwd=project)
    up.expect("hello")
    up.expect("oops")

    assert "oops" in up.errors
    assert "oops" not in up.output
    assert all(" | " in line or line.startswith("Attaching") for line in up.output.splitlines())
    up.interrupt()
    up.wait()
    busy.run("down", cwd=project).ok()


def test_logs_can_be_followed(busy: Host) -> None:
    """What was written before and what comes; the end of the container is the end."""
    project = busy.project({"compose.yaml": TALKING})
    busy.run("up", "-d", cwd=project).ok()
    logs = busy.spawn("logs", "-f", "web", cwd=project)
    logs.expect(r"web-1 +\| hello")

    busy.run("stop", "web", cwd=project)
    busy.run("down", cwd=project).ok()

    logs.expect("bye")
    assert logs.wait() == 0


def test_exec_passes_input_output_and_the_exit_code(busy: Host) -> None:
    """On pipes: no terminal, both streams, the command's own code."""
    project = busy.project({"compose.yaml": TALKING})
    busy.run("up", "-d", cwd=project).ok()

    result = busy.run("exec", "-T", "web", "sh", "-c", "cat; echo err >&2; exit 5", cwd=project, stdin="in\n")
    assert (result.code, result.stdout, result.stderr) == (5, "in\n", "err\n")
    assert busy.run("exec", "-T", "web", "nothing-like-it", cwd=project).code == 127
    assert busy.run("exec", "-T", "web", "/etc/passwd", cwd=project).code == 126
    assert busy.run("exec", "-T", "web", "sh", "-c", "kill -KILL $$", cwd=project).code == 137
    assert "nobody" in busy.run("exec", "-T", "nobody", "true", cwd=project).exited(1).stderr

    busy.run("down", cwd=project).ok()


def test_exec_gives_a_terminal(busy: Host) -> None:
    """Its size follows ours, Ctrl+C reaches the command, and our terminal is left as it was."""
    project = busy.project({"compose.yaml": TALKING})
    busy.run("up", "-d", cwd=project).ok()
    shell = busy.spawn("exec", "web", "sh", cwd=project, tty=True)
    shell.expect(r"# $")

    shell.send("tty; stty size\n")
    shell.expect(r"^/dev/pts/\d+\n24 80$")
    shell.resize(40, 100)
    shell.send("until stty size | grep '^40'; do sleep 0.1; done\n")
    shell.expect(r"^40 100$")
    shell.send("sleep 77\n")
    eventually(lambda: busy.processes("sleep 77"))
    shell.interrupt()
    shell.expect(r"\^C")
    shell.send("echo back $?\n")
    shell.expect(r"^back 130")
    shell.send("exit 9\n")

    assert shell.wait() == 9
    busy.run("down", cwd=project).ok()


def test_a_killed_up_leaves_the_services_running(busy: Host) -> None:
    """The terminal may be closed; the containers belong to the project."""
    project = busy.project({"compose.yaml": TALKING})
    up = busy.spawn("up", cwd=project)
    up.expect("hello")
    up.expect("ready")

    os.kill(up.process.pid, signal.SIGKILL)
    up.wait()

    assert states(busy, project) == {"running"}
    busy.run("down", cwd=project).ok()


def test_an_end_is_told_once(busy: Host) -> None:
    """Also that of a container which has ended before its start was told."""
    services = "".join(f"  s{number}: {{image: busybox, command: 'true'}}\n" for number in range(10))
    folder = busy.project({"compose.yaml": f"services:\n{services}"})
    for _ in range(4):
        said = busy.run("up", cwd=folder).ok().stdout
        assert sorted(re.findall(r"^s(\d)-1 exited with code 0$", said, re.MULTILINE)) == [*"0123456789"]
    busy.run("down", cwd=folder).ok()
