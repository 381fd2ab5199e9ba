"""Which commands may be given to another process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pycompose import handover


@pytest.mark.parametrize(
    "line",
    (
        "ps",
        "ps -a --format json",
        "-f a.yaml -f b.yaml ps",
        "--project-directory ps logs -f",
        "--file=compose.yaml --profile dev up -d",
        "--ansi never --progress plain restart web",
        "up --detach --build",
        "up --wait",
        "exec -T web true",
        "down -v",
        "version",
        "up --help -d",
    ),
)
def test_suits(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short commands do, with whatever flags before them."""
    _plain(monkeypatch)
    assert handover.suits(line.split())


@pytest.mark.parametrize(
    "line",
    (
        "",
        "--help",
        "-v",
        "nosuch",
        "up",
        "up web",
        "run web sh",
        "attach web",
        "watch",
        "pull",
        "cp a web:/b",
        "container run -it busybox",
        "-f ps",
        "-p ps run web",
        "login",
        "completion bash",
    ),
)
def test_does_not_suit(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither do those that take a terminal over, nor those with a load of their own, nor what isn't a command."""
    _plain(monkeypatch)
    assert not handover.suits(line.split())


@pytest.mark.parametrize(
    ("name", "value"),
    ((handover.SWITCH, "0"), ("PYTHONPATH", "/x"), ("LD_PRELOAD", "x.so"), ("PYTHONHASHSEED", "1")),
)
def test_environments_that_do_not_suit(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who switches it off or changes the interpreter gets an interpreter of his own."""
    _plain(monkeypatch)
    monkeypatch.setenv(name, value)
    assert not handover.suits(["ps"])


def test_an_environment_that_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    """These two are set in most container images of Python, and change nothing that isn't passed on."""
    _plain(monkeypatch)
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert handover.suits(["ps"])


def test_a_terminal_keeps_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """An `exec` that reads from a terminal stays in the caller's session."""
    _plain(monkeypatch)
    ours, theirs = os.openpty()
    saved = os.dup(0)
    try:
        os.dup2(theirs, 0)
        assert not handover.suits(["exec", "web", "sh"])
        assert handover.suits(["ps"])
    finally:
        os.dup2(saved, 0)
        for fd in (saved, ours, theirs):
            os.close(fd)


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    """Without a forkserver, and without the directory, nothing has happened."""
    monkeypatch.setenv("PYCOMPOSE_RUN", os.fspath(tmp_path))
    assert handover.hand_over(["ps"]) is None
    handover.ask_for_one()
    os.makedirs(f"{os.fspath(tmp_path)}/projects/demo")
    open(f"{os.fspath(tmp_path)}/projects/demo/{handover.SOCKET}", "w", encoding="ascii").close()
    assert handover.hand_over(["ps"]) is None


@pytest.mark.parametrize("listens", ("not at all", "and leaves"))
def test_one_that_performs_nothing_leaves_signals_as_they_were(
    listens: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever then does the work himself can be interrupted; nothing is passed on to nobody."""
    monkeypatch.setenv("PYCOMPOSE_RUN", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))  # pytest's is none
    directory = tmp_path / "projects/demo"
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)]
    done = threading.Event()

    def answer() -> None:
        caller, _ = listener.accept()
        with caller:
            if listens == "not at all":
                caller.shutdown(socket.SHUT_RD)
            caller.send(handover.identity())
            if listens == "and leaves":
                caller.recv(1)
            else:
                done.wait(10)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(handover.SOCKET)  # a path of any length, from here
        listener.listen()
        server = threading.Thread(target=answer)
        server.start()
        assert handover.hand_over(["ps"]) is None
        done.set()
        server.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP)] == before


CALLER = "import sys; from pycompose import handover; sys.exit(handover.hand_over(['ps']))"


def test_a_stop_before_the_command_stops_both(tmp_path: Path) -> None:
    """Ctrl+Z while the forkserver begins: whoever was stopped alone would leave the command to run."""
    folder = tmp_path / "projects/demo"
    folder.mkdir(parents=True)
    environment = {**os.environ, "PYCOMPOSE_RUN": str(tmp_path)}
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(str(folder / handover.SOCKET))
        listener.listen()
        listener.settimeout(60)
        command = opened.enter_context(subprocess.Popen(["sleep", "1000"]))
        opened.callback(command.kill)
        caller = opened.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", CALLER], cwd=folder, env=environment, stdin=subprocess.PIPE
            )
        )
        opened.callback(caller.kill)
        connection = opened.enter_context(listener.accept()[0])
        connection.send(handover.identity())
        connection.recv(1)

        caller.send_signal(signal.SIGTSTP)
        pidfd = os.pidfd_open(command.pid)
        opened.callback(os.close, pidfd)
        socket.send_fds(connection, [handover.STARTED], [pidfd])

        _until_they_are("T", caller.pid, command.pid)
        caller.send_signal(signal.SIGCONT)
        _until_they_are("S", caller.pid, command.pid)
        connection.send((7 << 8).to_bytes(4, sys.byteorder))
        assert caller.wait(60) == 7


def _until_they_are(state: str, *pids: int) -> None:
    """Wait until all processes have a state of proc_pid_stat(5)."""
    until_s = time.monotonic() + 30
    while {Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] for pid in pids} != {state}:
        assert time.monotonic() < until_s
        time.sleep(0.02)


def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("PYTHON", "LD_")) or name == handover.SWITCH:
            monkeypatch.delenv(name)
