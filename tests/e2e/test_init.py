"""`init: true` on a machine that has no init to offer: signals, terminals and the time that a stop takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host

COMPOSE = """
services:
  deaf: {image: busybox, init: true, command: [sleep, "1000"], stop_grace_period: 1m}
  shell: {image: busybox, init: true, tty: true, stdin_open: true, profiles: [x], command: [sh]}
"""


def test_a_service_with_init_stops_at_once(busy: Host) -> None:
    """`sleep` handles no signal; with a process 1 before it, it needn't."""
    project = busy.project({"compose.yaml": COMPOSE})
    busy.run("up", "-d", cwd=project).ok()
    shown = busy.run("exec", "deaf", "readlink", "/proc/1/exe", cwd=project).ok().stdout
    start = time.monotonic()
    busy.run("stop", cwd=project).ok()

    assert shown == "/sbin/docker-init\n"
    assert time.monotonic() - start < 50  # it has not been waited for
    assert busy.run("ps", "-a", "--format", "{{.ExitCode}}", cwd=project).stdout == "143\n"
    busy.run("down", cwd=project).ok()


def test_ctrl_c_is_for_the_command_on_the_terminal(busy: Host) -> None:
    """The shell is in the foreground and has job control, behind the init."""
    project = busy.project({"compose.yaml": COMPOSE})
    shell = busy.spawn("run", "--rm", "shell", cwd=project, tty=True)
    shell.expect(r"# $")
    shell.send("echo $((6*7)) $PPID; sleep 88\n")
    shell.expect(r"42 1\r?\n")
    eventually(lambda: busy.processes("sleep 88"))
    shell.interrupt()
    shell.expect(r"\^C")
    shell.send("sleep 99\n")
    eventually(lambda: busy.processes("sleep 99"))
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.send("exit 5\n")
    shell.expect("You have stopped jobs")
    shell.send("exit 5\n")

    assert shell.wait() == 5
    busy.run("down", cwd=project).ok()


def test_container_run_with_init(busy: Host) -> None:
    """The code is the command's, and Ctrl+C ends what has no handler."""
    done = busy.run("container", "run", "--rm", "--init", "busybox", "sh", "-c", "echo $PPID; exit 9")
    assert (done.stdout, done.code) == ("1\n", 9)

    run = busy.spawn(
        "container", "run", "--rm", "-it", "--init", "busybox", "sh", "-c", "echo up; exec cat", tty=True
    )
    run.expect("up")
    run.interrupt()
    assert run.wait() == 130
