"""Sessions on a screen: real pseudo-terminals, real pipes, real signals."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.cli.display import terminal
from pycompose.cli.display.terminal import DETACHED, Interaction, KeyFilter, parse_keys, raw_mode
from pycompose.engine.errors import PycomposeError


class Local:
    """A session whose process is a child of the test, on pipes or on a pty."""

    def __init__(self, script: str, *, tty: bool = False) -> None:
        self.container = ""
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        self.terminal: int | None = None
        self.tty = tty
        self.ends = False
        self.sizes: list[tuple[int, int]] = []
        argv = ["sh", "-c", script]
        if tty:
            self.terminal, slave = pty.openpty()
            self.process = subprocess.Popen(
                argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
            os.close(slave)
        else:
            ours_in, self.stdin = os.pipe()
            self.stdout, ours_out = os.pipe()
            self.stderr, ours_err = os.pipe()
            self.process = subprocess.Popen(argv, stdin=ours_in, stdout=ours_out, stderr=ours_err)
            for fd in (ours_in, ours_out, ours_err):
                os.close(fd)

    def resize(self, rows: int, columns: int) -> None:
        """Note the size."""
        self.sizes.append((rows, columns))

    def signal(self, number: int) -> None:
        """Signal the child."""
        self.process.send_signal(number)

    def leave(self) -> None:
        """Go on."""

    def wait(self) -> int:
        """Reap the child."""
        code = self.process.wait()
        return 128 - code if code < 0 else code

    def close(self) -> None:
        """Close what is still open."""
        for fd in (self.stdin, self.stdout, self.stderr, self.terminal):
            if fd is not None:
                os.close(fd)
        self.stdin = self.stdout = self.stderr = self.terminal = None


@contextmanager
def pipe_reader() -> Iterator[tuple[int, list[bytes]]]:
    """Yield a descriptor to write to, and what arrives there (complete after the block)."""
    read, write = os.pipe()
    got: list[bytes] = []

    def run() -> None:
        while data := os.read(read, 65536):
            got.append(data)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield write, got
    finally:
        os.close(write)
        thread.join()
        os.close(read)


def run(script: str, given: bytes | None = b"") -> tuple[int, bytes, bytes]:
    """Run `script` in an Interaction over pipes; return its code and both outputs."""
    source, feed = os.pipe()

    def type_it() -> None:
        with contextlib.suppress(BrokenPipeError):
            terminal.write_all(feed, given or b"")
        os.close(feed)

    typist = threading.Thread(target=type_it)
    if given is not None:
        typist.start()
    with pipe_reader() as (out, out_data), pipe_reader() as (err, err_data):
        code = Interaction(Local(script), stdin=source, stdout=out, stderr=err).run()
    os.close(source)
    if given is None:
        os.close(feed)
    else:
        typist.join()
    return code, b"".join(out_data), b"".join(err_data)


def test_streams_and_exit_code_pass_through() -> None:
    assert run("echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")


def test_the_end_of_input_reaches_the_process() -> None:
    assert run("cat; echo done", b"hello\n") == (0, b"hello\ndone\n", b"")


def test_a_process_that_ends_before_its_input_does() -> None:
    """Nobody waits for a key press after the process has gone."""
    assert run("echo bye; exit 3", given=None) == (3, b"bye\n", b"")


def test_a_megabyte_in_both_directions() -> None:
    """More than any pipe holds: reading and writing must not wait for each other."""
    data = os.urandom(1 << 20)

    assert run("cat", data) == (0, data, b"")


def test_input_that_nobody_reads() -> None:
    assert run("exit 4", b"x" * (1 << 20))[0] == 4


def test_children_left_behind_are_not_waited_for() -> None:
    """`exec web sh -c 'server &'` returns although the server still has the pipe."""
    session = Local("echo ready; (trap '' HUP; read x < /dev/tty; sleep 30) & exec echo $!")
    with pipe_reader() as (out, got), pipe_reader() as (err, _):
        code = Interaction(session, stdin=None, stdout=out, stderr=err).run()
    lines = b"".join(got).split()
    os.kill(int(lines[1]), signal.SIGKILL)

    assert code == 0
    assert lines[0] == b"ready"


def test_the_last_bytes_before_the_end_are_shown() -> None:
    """What is in the pipe when the process ends still belongs to it."""
    code, out, _ = run("head -c 60000 /dev/zero; exit 2")

    assert (code, len(out)) == (2, 60000)


def test_a_terminal_session_gets_the_size_and_ends_with_eio() -> None:
    session = Local("stty size < /dev/tty 2>/dev/null; echo hi", tty=True)
    screen_master, screen = pty.openpty()
    ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    code = Interaction(session, stdin=None, stdout=screen).run()

    assert code == 0
    assert b"hi" in os.read(screen_master, 4096)
    assert session.sizes == [(40, 100)]
    os.close(screen_master)
    os.close(screen)


def test_a_changed_window_is_passed_on() -> None:
    session = Local("read x", tty=True)
    screen_master, screen = pty.openpty()
    ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def resize(rows: int, columns: int) -> None:
        session.sizes.append((rows, columns))
        if len(session.sizes) == 1:
            ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
            os.kill(os.getpid(), signal.SIGWINCH)
        else:
            assert session.terminal is not None
            os.write(session.terminal, b"\n")

    session.resize = resize  # type: ignore[method-assign]
    Interaction(session, stdin=None, stdout=screen).run()

    assert session.sizes == [(24, 80), (30, 90)]
    os.close(screen_master)
    os.close(screen)


def test_signals_are_forwarded() -> None:
    """Ctrl+C without a terminal ends the command, not only us."""
    session = Local("trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done")
    read, write = os.pipe()
    started = threading.Thread(target=lambda: os.read(read, 10) and os.kill(os.getpid(), signal.SIGINT))
    started.start()
    with pipe_reader() as (err, _):
        code = Interaction(session, stdin=None, stdout=write, stderr=err).run()
    started.join()
    os.close(read)
    os.close(write)

    assert code == 9


def test_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    run("true")

    assert signal.getsignal(signal.SIGTERM) is before


def test_detach_keys_leave_the_process_alone() -> None:
    session = Local("trap '' HUP; exec sleep 1000", tty=True)  # it lives on when its terminal is closed
    user, ours = pty.openpty()
    mode = termios.tcgetattr(ours)
    mode[0] &= ~termios.IXON  # it would eat a ctrl-q that is typed before raw mode
    termios.tcsetattr(ours, termios.TCSANOW, mode)
    mode = termios.tcgetattr(ours)
    os.write(user, b"hi\x10\x11")
    with pipe_reader() as (out, _):
        code = Interaction(session, stdin=ours, stdout=out, detach_keys=terminal.DETACH_KEYS).run()

    assert code == DETACHED
    assert session.process.poll() is None
    assert termios.tcgetattr(ours) == mode
    session.process.kill()
    session.process.wait()
    os.close(user)
    os.close(ours)


def test_raw_mode_is_undone_after_an_error() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with contextlib.suppress(ZeroDivisionError), raw_mode(slave):
        assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        raise ZeroDivisionError

    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_key_mode_keeps_ctrl_c() -> None:
    master, slave = pty.openpty()
    with raw_mode(slave, keep_signals=True):
        flags = termios.tcgetattr(slave)
        assert flags[3] & termios.ISIG
        assert flags[1] & termios.OPOST
        assert not flags[3] & termios.ICANON
    os.close(master)
    os.close(slave)


def test_raw_mode_of_a_pipe_is_nothing() -> None:
    read, write = os.pipe()
    with raw_mode(read):
        pass
    os.close(read)
    os.close(write)


SCRIPT = """
import os, signal, sys
from pycompose.cli.display.terminal import raw_mode
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with raw_mode(0):
    os.write(1, b"raw")
    signal.pause()
"""


def test_raw_mode_is_undone_when_a_signal_ends_us() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=slave, stdout=slave, start_new_session=True
    )
    assert os.read(master, 10) == b"raw"
    assert termios.tcgetattr(slave) != before
    process.terminate()
    process.wait()

    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("text", "keys"),
    (("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-@,x", b"\0x"), ("ctrl-[,ctrl-_", b"\x1b\x1f")),
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ("", "ctrl-", "ctrl-1", "ab", "a,", "é"))
def test_bad_detach_keys(text: str) -> None:
    with pytest.raises(PycomposeError, match="no such key"):
        parse_keys(text)


def test_a_started_sequence_is_held_back_until_it_is_none() -> None:
    keys = KeyFilter(b"\x10\x11")

    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"b") == (b"\x10b", False)
    assert keys.feed(b"\x10\x10") == (b"\x10", False)
    assert keys.feed(b"\x11rest") == (b"", True)


@given(st.lists(st.binary(max_size=8)))
def test_typed_bytes_are_never_lost(chunks: list[bytes]) -> None:
    """Whatever the chunks: what comes out and what is held back is what was typed, up to the sequence."""
    keys = b"\x01\x02\x01"
    typed = b"".join(chunks)
    filter_ = KeyFilter(keys)
    out = b""
    for chunk in chunks:
        data, complete = filter_.feed(chunk)
        out += data
        if complete:
            assert typed.startswith(out + keys)
            assert keys not in out
            return
    assert keys not in typed
    assert typed.startswith(out)
    assert keys.startswith(typed[len(out) :])
