"""`run` and `attach`, on terminals and on pipes: nothing is lost, codes and signals pass through."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host

SHELL = """
services:
  app:
    image: busybox
    command: [sh, -c, "echo default"]
    environment: {COLOUR: blue, SIZE: big}
    ports: ["18080:80"]
    depends_on: [database]
    volumes: ["data:/data"]
  database:
    image: busybox
    command: [sh, -c, "trap exit TERM; sleep 1000 & wait"]
  alone:
    image: busybox
    command: [sh, -c, "echo nobody needs me"]
volumes: {data: }
"""
ATTACHABLE = """
services:
  shell:
    image: busybox
    command: [sh]
    tty: true
    stdin_open: true
  pipe:
    image: busybox
    command:
      - sh
      - -c
      - |
        trap 'echo usr1; exit 5' USR1
        while read line; do echo got $$line; echo err >&2; done
        sleep 1000 & wait
    stdin_open: true
"""


@pytest.fixture
def project(busy: Host) -> Path:
    """Return a project with a service that has dependencies, ports and volumes."""
    return busy.project({"compose.yaml": SHELL})


def containers(host: Host, project: Path) -> list[dict[str, Any]]:
    """Return all containers of the project, one-offs too."""
    found = host.run("ps", "-a", "--format", "json", cwd=project).ok()
    if not found.stdout.strip():
        return []
    value = found.json()
    return value if isinstance(value, list) else [value]


def test_run_passes_everything_through(busy: Host, project: Path) -> None:
    """Input to its end, both outputs byte for byte, and the exit code; the dependency stays."""
    script = "cat; printf 'no newline'; printf err >&2; exit 42"

    result = busy.run("run", "--rm", "-T", "app", "sh", "-c", script, cwd=project, stdin="in\n").exited(42)

    assert result.stdout == "in\nno newline"
    assert result.stderr.endswith("err")
    assert [entry["Service"] for entry in containers(busy, project)] == ["database"]
    busy.run("down", "--remove-orphans", "-v", cwd=project).ok()


@pytest.mark.parametrize("closed", ("<&-", "<&- 2>&-"))
def test_a_closed_input_is_at_its_end(busy: Host, project: Path, closed: str) -> None:
    """Cron jobs and hooks may close standard streams: `run` and `exec` read nothing then, and end."""
    for words in ("run --rm database", "exec database"):
        script = f"timeout 20 pycompose {words} sh -c 'cat; echo end' {closed}"
        result = busy.command(["sh", "-c", script], cwd=project).ok()
        assert result.stdout == "end\n"
        busy.run("up", "-d", "database", cwd=project).ok()
    busy.run("down", "--remove-orphans", "-v", cwd=project).ok()


def test_run_loses_no_byte_of_a_long_output(busy: Host, project: Path) -> None:
    """Ten megabytes through a pipe whose reader sleeps first."""
    run = busy.spawn(
        "run",
        "--rm",
        "-T",
        "--no-deps",
        "alone",
        "sh",
        "-c",
        "yes 123456789 | head -c 10000000; echo end",
        cwd=project,
    )
    eventually(lambda: busy.processes("yes 123456789"))

    assert run.wait(60) == 0

    assert len(run.output) == 10000004
    assert run.output.endswith("end\n")
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_run_on_a_terminal(busy: Host, project: Path) -> None:
    """The size is right from the first moment on, Ctrl+C is a key, and the terminal is restored."""
    run = busy.spawn(
        "run", "--rm", "--no-deps", "alone", "sh", "-c", "stty size; tty; exec sh", cwd=project, tty=True
    )
    before = termios.tcgetattr(run.terminal)
    run.expect(r"^24 80$")
    run.expect(r"^/dev/(pts/\d+|console)$")
    run.resize(40, 100)
    run.send("until stty size | grep '^40'; do sleep 0.1; done\n")
    run.expect(r"^40 100$")
    run.send("sleep 77\n")
    eventually(lambda: busy.processes("sleep 77"))
    run.interrupt()
    run.expect(r"\^C")
    run.send("exit 9\n")

    assert run.wait() == 9
    assert termios.tcgetattr(run.terminal) == before
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_run_kept_and_named(busy: Host, project: Path) -> None:
    """Without --rm it stays, out of the way of `up`; names and labels are as asked; `down` leaves it alone."""
    busy.run("run", "-T", "--no-deps", "--name", "mine", "-l", "a=b", "alone", cwd=project).ok()
    busy.run("run", "-T", "--no-deps", "alone", "true", cwd=project).ok()
    busy.run("run", "-T", "--no-deps", "--name", "mine", "alone", cwd=project).exited(1)

    names = sorted(entry["Name"] for entry in containers(busy, project))
    assert len(names) == 2
    assert names[0].startswith("demo-alone-run-")
    assert len(names[0]) == len("demo-alone-run-") + 12
    assert names[1] == "mine"
    busy.run("down", cwd=project).ok()
    assert len(containers(busy, project)) == 2
    busy.run("down", "--remove-orphans", cwd=project).ok()
    assert containers(busy, project) == []


def test_run_overrides(busy: Host, project: Path) -> None:
    """Variables, user, directory, entrypoint and mounts of the command line win over the file's."""
    (project / "more.env").write_text("SIZE=small\nEXTRA='from file'\n", encoding="utf-8")
    (project / "here").mkdir()
    (project / "here/note").write_text("note", encoding="utf-8")
    script = 'echo "$COLOUR $SIZE $EXTRA $PASSED"; id -u; pwd; cat /here/note; ls -d /data /other'
    flags = ["-e", "COLOUR=red", "-e", "PASSED", "--env-from-file", "more.env", "-u", "7", "-w", "/tmp"]
    flags += ["-v", "./here:/here:ro", "-v", "other:/other", "--entrypoint", "sh -c"]

    result = busy.run(
        "run", "--rm", "-T", "--no-deps", *flags, "app", script, cwd=project, env={"PASSED": "yes"}
    )

    assert result.ok().stdout == "red small from file yes\n7\n/tmp\nnote/data\n/other\n"
    busy.run("down", "--remove-orphans", "-v", cwd=project).ok()


@pytest.mark.parametrize(
    ("flags", "reachable"),
    (([], None), (["--service-ports"], 18080), (["-p", "18081:80"], 18081)),
    ids=("none", "service_ports", "publish"),
)
def test_run_publishes_only_what_is_asked_for(
    busy: Host, project: Path, flags: list[str], reachable: int | None
) -> None:
    """Ports of the service stay free unless --service-ports; -p publishes others."""
    serve = "mkdir /www; echo hello >/www/index.html; httpd -p 80 -h /www; sleep 1000"
    busy.run("run", "-d", "--rm", "--no-deps", *flags, "app", "sh", "-c", serve, cwd=project).ok()

    def fetch(port: int) -> str:
        def get() -> str:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as page,
            ):
                return str(page.read().decode())
            return ""

        return busy.inside(get)

    if reachable is not None:
        eventually(lambda: fetch(reachable) == "hello\n")
    for port in {18080, 18081} - {reachable}:
        assert fetch(port) == ""
    busy.run("down", "--remove-orphans", "-v", cwd=project).ok()


def test_run_answers_to_the_service_only_when_asked(busy: Host, project: Path) -> None:
    """Only with --use-aliases does the service's name lead to a one-off container."""
    busy.run("run", "-d", "--no-deps", "--name", "first", "alone", "sleep", "1000", cwd=project).ok()
    look = ["run", "--rm", "-T", "--no-deps", "app", "nslookup"]

    busy.run(*look, "first", cwd=project).ok()
    assert busy.run(*look, "alone", cwd=project).code != 0
    busy.run("run", "-d", "--no-deps", "--use-aliases", "alone", "sleep", "1000", cwd=project).ok()
    busy.run(*look, "alone", cwd=project).ok()
    busy.run("down", "--remove-orphans", "-v", cwd=project).ok()


def test_run_detached(busy: Host, project: Path) -> None:
    """It prints the id; with --rm the container vanishes when it ends, with nobody connected."""
    result = busy.run("run", "-d", "--rm", "--no-deps", "alone", "sleep", "0.3", cwd=project).ok()

    assert len(result.stdout.strip()) == 64
    eventually(lambda: containers(busy, project) == [])
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_run_of_what_cannot_run(busy: Host, project: Path) -> None:
    """126 and 127 as a shell has them; with --rm nothing stays; an unknown service is an error."""
    assert busy.run("run", "--rm", "-T", "--no-deps", "alone", "nothere", cwd=project).code == 127
    assert busy.run("run", "--rm", "-T", "--no-deps", "alone", "/etc/passwd", cwd=project).code == 126
    assert containers(busy, project) == []
    assert "no such service: nobody" in busy.run("run", "nobody", cwd=project).exited(1).stderr
    assert "cannot be combined" in busy.run("run", "-P", "-p", "80", "app", cwd=project).exited(1).stderr
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_signals_reach_the_container(busy: Host, project: Path) -> None:
    """SIGTERM of the command is SIGTERM of the process; its exit code comes back."""
    script = "trap 'echo caught; exit 6' TERM; echo set; sleep 1000 & wait"
    run = busy.spawn("run", "--rm", "-T", "--no-deps", "alone", "sh", "-c", script, cwd=project)
    run.expect("set")

    run.process.send_signal(signal.SIGTERM)

    assert run.wait() == 6
    assert run.output == "set\ncaught\n"
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_a_killed_run_leaves_the_container_to_its_end(busy: Host, project: Path) -> None:
    """The input ends with the command; the container goes on, and --rm holds."""
    script = "echo set; cat; echo after > /data/after; sleep 0.5"
    run = busy.spawn("run", "--rm", "-T", "--no-deps", "app", "sh", "-c", script, cwd=project)
    run.expect("set")

    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()

    eventually(lambda: containers(busy, project) == [])
    assert (
        busy.run("run", "--rm", "-T", "--no-deps", "app", "cat", "/data/after", cwd=project).stdout
        == "after\n"
    )
    busy.run("down", "--remove-orphans", "-v", cwd=project).ok()


def test_run_survives_the_supervisor(busy: Host, project: Path) -> None:
    """Kill -9 of the supervisor: the output goes on, and the next one tells the exit code."""
    script = "echo set; read line; echo $line; exit 8"
    run = busy.spawn("run", "-T", "--no-deps", "alone", "sh", "-c", script, cwd=project)
    run.expect("set")
    supervisor = busy.process("pycompose.supervisor")

    os.kill(supervisor, signal.SIGKILL)
    busy.process("pycompose.supervisor", supervisor)
    run.send("on\n")

    assert run.wait() == 8
    assert run.output == "set\non\n"
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_run_rehearsed(busy: Host, project: Path) -> None:
    """--dry-run names the containers and makes none."""
    result = busy.run("run", "--dry-run", "app", cwd=project).ok()

    assert "demo-database-1" in result.stderr
    assert "demo-app-run-" in result.stderr
    assert containers(busy, project) == []


def test_attach_to_a_terminal_and_leave(busy: Host) -> None:
    """What is typed arrives; the detach keys leave the service running, and a second time works too."""
    project = busy.project({"compose.yaml": ATTACHABLE})
    busy.run("up", "-d", cwd=project).ok()
    for word in ("first", "second"):
        attach = busy.spawn("attach", "shell", cwd=project, tty=True)
        before = termios.tcgetattr(attach.terminal)
        attach.send(f"echo {word}-$((40 + 2)); stty size\n")
        attach.expect(rf"^{word}-42$")
        attach.expect(r"^24 80$")
        attach.send("\x10\x11")
        assert attach.wait() == 0
        assert termios.tcgetattr(attach.terminal) == before
    assert {entry["State"] for entry in containers(busy, project)} == {"running"}
    last = busy.spawn("attach", "shell", cwd=project, tty=True)
    last.send("exit 3\n")
    assert last.wait() == 3
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_attach_to_pipes(busy: Host) -> None:
    """Both outputs are told apart, signals are passed on, and the end of our input isn't the service's."""
    project = busy.project({"compose.yaml": ATTACHABLE})
    busy.run("up", "-d", "pipe", cwd=project).ok()
    first = busy.spawn("attach", "pipe", cwd=project)
    first.send("one\n")
    first.expect("got one")
    assert "err" in first.errors or first.expect("err")
    second = busy.spawn("attach", "--no-stdin", "pipe", cwd=project)

    def both_are_there() -> bool:
        first.send("two\n")
        first.expect("got two")
        second.sleep(0.05)
        return "got two" in second.output

    eventually(both_are_there)
    assert first.process.stdin is not None
    first.process.stdin.close()
    eventually(lambda: busy.run("ps", "-q", cwd=project).stdout.strip() != "")

    second.process.send_signal(signal.SIGUSR1)

    assert second.wait() == 5
    assert first.wait() == 5
    assert "usr1" in first.output
    busy.run("attach", "pipe", cwd=project).exited(1)
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_terminals_and_inputs_outlive_the_keeper(busy: Host) -> None:
    """Kill -9 of the keeper, then of the supervisor: the shell and the reader go on, and can be attached to."""
    project = busy.project({"compose.yaml": ATTACHABLE})
    busy.run("up", "-d", cwd=project).ok()
    for name in ("pycompose.engine.keeper", "pycompose.supervisor", "pycompose.engine.keeper"):
        victim = busy.process(name)
        busy.run("exec", "-T", "shell", "true", cwd=project).ok()  # whoever answers has taken everything over
        os.kill(victim, signal.SIGKILL)
        busy.process(name, victim)
    shell = busy.spawn("attach", "shell", cwd=project, tty=True)
    shell.send("echo alive-$((40 + 2))\n")
    shell.expect("alive-42")
    shell.send("exit 4\n")
    assert shell.wait() == 4
    pipe = busy.spawn("attach", "pipe", cwd=project)
    pipe.send("still\n")
    pipe.expect("got still")
    pipe.process.send_signal(signal.SIGUSR1)
    assert pipe.wait() == 5
    busy.run("down", "--remove-orphans", cwd=project).ok()


def test_other_keys_leave_exec_and_run(busy: Host, project: Path) -> None:
    """`--detach-keys` is for them too, which Docker Compose has for `attach` only; ctrl-p goes through then."""
    busy.run("up", "-d", cwd=project).ok()
    exec_ = busy.spawn(
        "exec",
        "--detach-keys",
        "ctrl-x,q",
        "database",
        "sh",
        "-c",
        "echo up; sleep 100",
        cwd=project,
        tty=True,
    )
    exec_.expect("up")
    exec_.send("\x10\x11")
    exec_.send("\x18q")
    exec_.expect("read escape sequence")
    assert exec_.wait() == 1
    run = busy.spawn(
        "run",
        "--rm",
        "--detach-keys",
        "ctrl-x,q",
        "database",
        "sh",
        "-c",
        "echo up; sleep 100",
        cwd=project,
        tty=True,
    )
    run.expect("up")
    run.send("\x18q")
    assert run.wait() == 0
    busy.run("run", "--detach-keys", "ctrl-?", "database", cwd=project).exited(1)
    busy.run("down", "--remove-orphans", "-t", "0", cwd=project).ok()
