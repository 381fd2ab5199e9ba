"""The menu of an attached `up`: handing the terminal to one service."""

from __future__ import annotations

import re

from tests.support.scenario import Host

TALKATIVE = """
services:
  shell:
    image: busybox
    command: [sh, -c, 'PS1="shell> " exec sh']
    tty: true
    stdin_open: true
    stop_signal: SIGKILL
  pipe:
    image: busybox
    command: [sh, -c, "while read x; do echo got-$$x; done; echo end-of-input"]
    stdin_open: true
    stop_signal: SIGKILL
  clock:
    image: busybox
    command: [sh, -c, "i=0; while sleep 0.1; do i=$$((i+1)); echo tick-$$i; done"]
    stop_signal: SIGKILL
"""
STANDALONE = """
services:
  shell:
    image: busybox
    command: [sh, -c, 'PS1="shell> " exec sh']
    tty: true
    stdin_open: true
    stop_signal: SIGKILL
"""
DEAF = """
services:
  clock:
    image: busybox
    command: [sh, -c, "while sleep 0.1; do echo tick; done"]
    stop_signal: SIGKILL
"""


def test_one_service_gets_the_terminal_and_gives_it_back(busy: Host) -> None:
    """With several to choose from a digit chooses; the others' output waits; nothing is lost or shown twice."""
    project = busy.project({"compose.yaml": TALKATIVE})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"clock-1 +\| tick-3")
    up.send("a")
    up.expect(r"1.*pipe-1.*2.*shell-1.*Back")
    up.send("2")
    up.expect(r"Attached to shell-1\. ctrl-p ctrl-q returns")
    up.send("echo $((6*7))-answers\r")
    up.expect(r"\n42-answers")
    up.send("sleep 1; stty size\r")
    up.expect(r"\n\d+ \d+\r?\n")
    there = up.transcript()
    up.send("\x10\x11")
    up.expect(r"clock-1 +\| tick-30")

    during = there[there.index("Attached to shell-1") :]
    assert "tick" not in during
    ticks = [int(n) for n in re.findall(r"clock-1 +\| tick-(\d+)", up.transcript())]
    assert ticks == list(range(1, len(ticks) + 1))
    assert "| 42-answers" not in up.transcript()
    up.interrupt()
    assert up.wait() == 0
    busy.run("down", cwd=project).ok()


def test_a_pipe_is_talked_to_by_lines(busy: Host) -> None:
    """The end of input returns to the output of all, and the service doesn't learn of it."""
    project = busy.project({"compose.yaml": TALKATIVE})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"clock-1 +\| tick-3")
    up.send("a")
    up.expect(r"Back")
    up.send("1")
    up.expect(r"Attached to pipe-1\. ctrl-d returns")
    up.send("one\n")
    up.expect(r"\ngot-one")
    up.send("\x04")
    up.expect(r"clock-1 +\| tick-\d+")
    up.send("a")
    up.expect(r"Back")
    up.send("\x1b")
    up.expect(r"Attach to one")
    up.send("d")
    assert up.wait() == 0
    assert "end-of-input" not in busy.run("logs", cwd=project).ok().stdout
    busy.run("down", cwd=project).ok()


def test_the_only_one_needs_no_choice_and_its_end_is_told(busy: Host) -> None:
    """When the service ends, the screen comes back by itself."""
    project = busy.project({"compose.yaml": STANDALONE})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"Attach to one")
    up.send("a")
    up.expect(r"Attached to shell-1")
    up.send("exit 3\r")
    up.expect(r"shell-1 exited with code 3")
    assert up.wait() == 0
    busy.run("down", cwd=project).ok()


def test_who_cannot_be_talked_to_is_said_how(busy: Host) -> None:
    """The service's keys and their place in the file; from the list, too."""
    project = busy.project({"compose.yaml": TALKATIVE})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"clock-1 +\| tick-3")
    up.send("a")
    up.expect(r"3.*clock-1 \(no input\)")
    up.send("3")
    up.expect(r"add `tty: true` and `stdin_open: true` to services\.clock in compose\.yaml:14, then run")
    up.send("d")
    assert up.wait() == 0
    busy.run("down", cwd=project).ok()


def test_nobody_to_talk_to(busy: Host) -> None:
    """Without terminals and inputs no such key is offered; who presses it all the same is told what to add."""
    project = busy.project({"compose.yaml": DEAF})
    up = busy.spawn("up", cwd=project, tty=True)
    up.expect(r"clock-1 +\| tick")
    up.send("a")
    up.expect(r"add `tty: true` and `stdin_open: true` to services\.clock in compose\.yaml:3")
    up.send("d")
    assert up.wait() == 0
    assert "Attach to one" not in up.transcript()
    busy.run("down", cwd=project).ok()
