"""The user's terminal and a process in a container, joined: raw mode, sizes, keys, signals, copies.

Raw mode is undone on every way out, also by a signal that ends us. The session (app.ConnectedProcess) gives
descriptors: up to three pipes, and `terminal` (the master of a pty) for what is typed and, where there is no
pipe for its output, for that too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import termios
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pycompose.engine.errors import PycomposeError

CHUNK = 1 << 16
DETACH_KEYS = "ctrl-p,ctrl-q"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
DETACHED = -1
STUCK_S = 0.2
LEFT = "read escape sequence"


class ConnectedProcess(Protocol):
    """A process in a container, as app.exec_, app.run and app.attach give it."""

    container: str
    stdin: int | None
    stdout: int | None
    stderr: int | None
    terminal: int | None
    tty: bool
    ends: bool

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the process's terminal."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        ...

    def leave(self) -> None:
        """Let the process go on without us."""
        ...

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code, 128+n for signal n."""
        ...

    def close(self) -> None:
        """Hang up; the process goes on or not as its command defines."""
        ...


def size(fd: int) -> tuple[int, int]:
    """Return (rows, columns) of the terminal `fd`, (0, 0) when it is none (tty_ioctl(4) TIOCGWINSZ)."""
    try:
        packed = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return 0, 0
    rows, columns, _, _ = struct.unpack("HHHH", packed)
    return rows, columns


def parse_keys(text: str) -> bytes:
    """Return the bytes of `--detach-keys` "ctrl-p,ctrl-q": single characters, or ctrl- and one of A-Z@[]^_.

    Raises PycomposeError for anything else (docker/cli, "Override the detach sequence").
    """
    out = bytearray()
    for key in text.split(","):
        if key.startswith("ctrl-") and len(key) == len("ctrl-x"):
            char = key[-1].upper()
            if not "@" <= char <= "_":
                raise PycomposeError(f"--detach-keys {text}: no such key: {key}")
            out.append(ord(char) & 0x1F)
        elif len(key) == 1 and key.isascii():
            out += key.encode()
        else:
            raise PycomposeError(
                f"--detach-keys {text}: no such key: {key!r}", hint=f"for example {DETACH_KEYS}"
            )
    return bytes(out)


class KeyFilter:
    """Finds the detach sequence in what is typed; a started one is held back until it is clear what it is."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what goes to the process, and whether the sequence is complete (drops the rest)."""
        if not self._keys:
            return data, False
        out = bytearray()
        for byte in data:
            self._held += bytes([byte])
            while self._held and not self._keys.startswith(self._held):
                out.append(self._held[0])
                self._held = self._held[1:]
            if self._held == self._keys:
                return bytes(out), True
        return bytes(out), False


_DISABLED = b"\0"  # _POSIX_VDISABLE, termios(3)


@contextlib.contextmanager
def raw_mode(fd: int, *, keep_signals: bool = False) -> Iterator[None]:
    """Switch the terminal `fd` to raw mode for the block (termios(3) cfmakeraw); a non-terminal stays.

    `keep_signals` leaves output processing and all signals but Ctrl+C alone: keys come one by one, unseen, Ctrl+C as
    one of them (the menu of `up`).
    """
    try:
        saved = termios.tcgetattr(fd)
    except (termios.error, OSError):
        yield
        return
    mode = termios.tcgetattr(fd)
    if keep_signals:
        mode[3] &= ~(termios.ECHO | termios.ICANON)
        mode[6][termios.VINTR] = _DISABLED
    else:
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
            | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        mode[1] &= ~termios.OPOST
        mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    try:
        _set_mode(fd, mode)
        yield
    finally:
        _set_mode(fd, saved)


@contextlib.contextmanager
def line_mode(fd: int) -> Iterator[None]:
    """Let the terminal `fd` echo what is typed and hand it out by lines, for the block."""
    try:
        saved = termios.tcgetattr(fd)
    except (termios.error, OSError):
        yield
        return
    mode = termios.tcgetattr(fd)
    mode[3] |= termios.ECHO | termios.ICANON
    try:
        _set_mode(fd, mode)
        yield
    finally:
        _set_mode(fd, saved)


def _set_mode(fd: int, mode: list[object]) -> None:
    """tcsetattr(3) that neither stops us in the background (SIGTTOU) nor minds a terminal that has gone."""
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN) if ours else None
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, mode)  # type: ignore[arg-type]
    except (termios.error, OSError):
        pass
    finally:
        if before is not None:
            signal.signal(signal.SIGTTOU, before)


def write_all(fd: int, data: bytes) -> None:
    """Write everything; waits where the descriptor was made non-blocking by somebody else who shares it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


def _read(fd: int) -> bytes:
    """Read what is there; the end of a pty (EIO, pty(7)) counts as the end of the file."""
    try:
        return os.read(fd, CHUNK)
    except OSError as exc:
        if exc.errno in (errno.EIO, errno.ECONNRESET):
            return b""
        raise


class InputPump:
    """A thread that copies what is typed into the session, until the end, the detach keys or `stop`.

    With `leave_at_end` the end is one more detach key: the process doesn't learn of it.
    """

    def __init__(
        self,
        source: int,
        session: ConnectedProcess,
        keys: bytes,
        on_detach: Callable[[], None],
        *,
        leave_at_end: bool = False,
    ) -> None:
        self._leave_at_end = leave_at_end
        self._source = source
        self._session = session
        self._filter = KeyFilter(keys)
        self._on_detach = on_detach
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="input", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Make the thread let go of the terminal; one that is stuck in a write is left behind."""
        os.write(self._wake_write, b"x")
        self._thread.join(STUCK_S)
        if not self._thread.is_alive():
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _run(self) -> None:
        target = self._session.terminal if self._session.terminal is not None else self._session.stdin
        if target is None:
            return
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_read in ready:
                return
            data = _read(self._source)
            if not data:
                (self._on_detach if self._leave_at_end else self._end)()
                return
            data, detached = self._filter.feed(data)
            try:
                write_all(target, data)
            except OSError:
                return
            if detached:
                self._on_detach()
                return

    def _end(self) -> None:
        """Hand the end of input on: a pipe is closed; a terminal stays, as it is still being read from."""
        if self._session.terminal is None and self._session.stdin is not None:
            os.close(self._session.stdin)
            self._session.stdin = None


class Interaction:
    """One session on the user's screen, from the first byte to the exit code."""

    def __init__(  # noqa: PLR0913 - the ends of a session, and the ways to leave it
        self,
        session: ConnectedProcess,
        *,
        stdin: int | None = 0,
        stdout: int = 1,
        stderr: int = 2,
        detach_keys: str = "",
        forward: Sequence[signal.Signals] = FORWARDED,
        leave_at_end: bool = False,
    ) -> None:
        self._session = session
        self._leave_at_end = leave_at_end
        self._stdin = stdin
        self._outputs: dict[int, int] = {}
        if session.stdout is not None:
            self._outputs[session.stdout] = stdout
        elif session.terminal is not None and not session.ends:  # else the keeper reads it
            self._outputs[session.terminal] = stdout
        if session.stderr is not None:
            self._outputs[session.stderr] = stderr
        self._open = set(self._outputs)
        self._keys = parse_keys(detach_keys) if detach_keys else b""
        self._forward = forward
        self._screen = stdout
        self._exit_code: int | None = None
        self._failure: BaseException | None = None
        self._signalled: deque[int] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def run(self) -> int:
        """Copy until the process has ended; return its exit code, or DETACHED after the detach keys.

        What the process itself has written is shown to the last byte. Output of children that it left behind
        is not waited for: `exec web sh -c 'sleep 60 &'` returns at once.
        """
        raw = self._session.tty and self._stdin is not None
        with contextlib.ExitStack() as stack:
            stack.callback(self._session.close)
            if raw and self._stdin is not None:
                stack.enter_context(raw_mode(self._stdin))
            stack.enter_context(self._signals())
            waiter = threading.Thread(target=self._wait, name="session", daemon=True)
            waiter.start()
            if self._stdin is not None:
                pump = InputPump(
                    self._stdin, self._session, self._keys, self.leave, leave_at_end=self._leave_at_end
                )
                stack.callback(pump.stop)
            self._copy()
            if self._exit_code == DETACHED:  # here, where nobody is about to read what now others read
                self._session.leave()
        if self._exit_code != DETACHED:  # after a detach the thread goes on waiting, and would write to it
            waiter.join()
            os.close(self._wake_read)
            os.close(self._wake_write)
        if self._failure is not None:
            raise self._failure
        return 0 if self._exit_code is None else self._exit_code

    def _wait(self) -> None:
        try:
            code = self._session.wait()
        except BaseException as exc:  # noqa: BLE001 - handed to the thread that can report it
            self._failure, code = exc, 1
        if self._exit_code is None:
            self._exit_code = code
        self._wake()

    def leave(self) -> None:
        """End as if the detach keys had been pressed; may be called from other threads."""
        if self._exit_code is None:
            self._exit_code = DETACHED
        self._wake()

    def resized(self) -> None:
        """Take note that the screen has another size; for signal handlers."""
        self._on_signal(signal.SIGWINCH, None)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def _copy(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        for fd in self._outputs:
            poll.register(fd, select.POLLIN)
        while self._exit_code is None:
            for fd, _ in poll.poll():
                if fd == self._wake_read:
                    os.read(fd, CHUNK)
                    self._pass_on()
                elif not self._forward_output(fd):
                    poll.unregister(fd)
        if self._exit_code != DETACHED:
            self._drain()

    def _drain(self) -> None:
        """Show what is already in the pipes, or all that comes where they are certain to end."""
        poll = select.poll()
        for fd in self._open:
            poll.register(fd, select.POLLIN)
        while self._open and (ready := poll.poll(None if self._session.ends else 0)):
            for fd, _ in ready:
                if not self._forward_output(fd):
                    poll.unregister(fd)

    def _forward_output(self, fd: int) -> bool:
        data = _read(fd)
        if data:
            write_all(self._outputs[fd], data)
        else:
            self._open.discard(fd)
        return bool(data)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass signals and the terminal's size on for the block.

        Only the main thread may catch signals (signal(7)); elsewhere somebody calls `resized`.
        """
        if threading.current_thread() is not threading.main_thread():
            if self._session.tty:
                self.resized()
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in self._forward}
        if self._session.tty:
            before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._on_signal)
            self._signalled.append(signal.SIGWINCH)
            self._pass_on()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        """Only note the signal: a handler may run in the middle of anything, also of itself."""
        self._signalled.append(number)
        self._wake()

    def _pass_on(self) -> None:
        while self._signalled:
            number = self._signalled.popleft()
            with contextlib.suppress(PycomposeError, OSError):  # it has just ended: `wait` tells
                if number != signal.SIGWINCH:
                    self._session.signal(number)
                    continue
                rows, columns = size(self._screen)
                if rows and columns:
                    self._session.resize(rows, columns)
