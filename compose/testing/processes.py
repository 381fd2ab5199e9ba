"""A command in a container, from its start to its end: input in, both outputs and the exit code out."""

from __future__ import annotations

import os
import select
import selectors
import signal
import time
from typing import TYPE_CHECKING

from pycompose.testing.results import ProcessResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.sessions import Session

    Tee = Callable[[str, bytes], None]

_PIECE_BYTES = 65536
# How long the keeper may say nothing before its last output is given up.
_REST_S = 10.0


def finish(
    session: Session,
    args: tuple[str, ...],
    *,
    stdin: bytes = b"",
    timeout_s: float | None = None,
    tee: Tee | None = None,
) -> ProcessResult:
    """Feed a session, read it to its end, close it; `tee` gets each piece ("stdout" or "stderr") as it comes.

    Raises TimeoutError after killing a command that takes longer.
    """
    try:
        return _Reading(session, args, stdin, timeout_s, tee).result()
    finally:
        session.close()


class _Reading:
    """One session while it lasts."""

    def __init__(
        self, session: Session, args: tuple[str, ...], stdin: bytes, timeout_s: float | None, tee: Tee | None
    ) -> None:
        self._tee = tee
        self._session = session
        self._args = args
        self._left = memoryview(stdin)
        self._timeout_s = timeout_s
        self._until_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._read: dict[int, bytearray] = {}
        self._selector = selectors.DefaultSelector()

    def result(self) -> ProcessResult:
        session = self._session
        outputs = [fd for fd in (session.stdout, session.stderr) if fd is not None]
        for fd in outputs:
            os.set_blocking(fd, False)
            self._read[fd] = bytearray()
            self._selector.register(fd, selectors.EVENT_READ)
        if session.stdin is not None:
            os.set_blocking(session.stdin, False)
            self._selector.register(session.stdin, selectors.EVENT_WRITE)
        self._selector.register(session.connection.socket, selectors.EVENT_READ)
        with self._selector:
            code = self._until_exit()
            self._take_the_rest()
        texts = [bytes(self._read[fd]) if fd is not None else b"" for fd in (session.stdout, session.stderr)]
        return ProcessResult(args=self._args, code=code, stdout=texts[0], stderr=texts[1])

    def _until_exit(self) -> int:
        while True:
            wait_s = None if self._until_s is None else max(self._until_s - time.monotonic(), 0)
            ready = self._selector.select(wait_s)
            if not ready:
                self._kill()
            ended = False
            for key, _ in ready:
                if key.fileobj is self._session.connection.socket:
                    ended = True
                elif key.fd == self._session.stdin:
                    self._feed(key.fd)
                elif self._take(key.fd) == b"":
                    self._selector.unregister(key.fd)
            if ended:
                return self._session.wait()

    def _take_the_rest(self) -> None:
        """Read what is there by now, as whoever has inherited the outputs may hold them; or all, where they end.

        The keeper may have a megabyte yet that we weren't ready for.
        """
        open_ = set(self._read)
        while open_:
            for fd in tuple(open_):
                while (piece := self._take(fd)) is not None:
                    if not piece:
                        open_.discard(fd)
                        break
            if not self._session.ends or not open_ or not select.select(open_, [], [], _REST_S)[0]:
                return

    def _kill(self) -> None:
        self._session.signal(signal.SIGKILL)
        raise TimeoutError(
            f"{' '.join(self._args)}: has not ended after {self._timeout_s:g} s, and was killed"
        )

    def _feed(self, fd: int) -> None:
        try:
            self._left = self._left[os.write(fd, self._left) :] if self._left else self._left
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._left = memoryview(b"")
        if not self._left:
            self._selector.unregister(fd)
            os.close(fd)
            self._session.stdin = None

    def _take(self, fd: int) -> bytes | None:
        """Read a piece and return it: b"" is the end, None that nothing is there now."""
        try:
            piece = os.read(fd, _PIECE_BYTES)
        except BlockingIOError:
            return None
        self._read[fd] += piece
        if self._tee is not None and piece:
            self._tee("stdout" if fd == self._session.stdout else "stderr", piece)
        return piece
