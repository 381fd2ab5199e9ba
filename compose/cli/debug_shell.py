"""`--debug-shell`: the shell of a step that has failed, on the user's terminal."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from pycompose.cli.display.style import clean
from pycompose.cli.display.terminal import CHUNK, InputPump, raw_mode, size, write_all
from pycompose.engine.builder.request import DebugTerminal
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.cli.display.progress import Renderer
    from pycompose.engine.builder.request import OnFailure
    from pycompose.engine.errors import StepFailed

_STDIN, _STDOUT = 0, 1


def debug_shell(view: Renderer) -> OnFailure:
    """Return what joins the shells of failed steps to our terminal, one after the other; `view` is ended before.

    Raises PycomposeError when there is no terminal.
    """
    if not (os.isatty(_STDIN) and os.isatty(_STDOUT)):
        raise PycomposeError(
            "--debug-shell: standard input and output are no terminal",
            hint="--progress plain shows what the step has printed",
        )
    lock = threading.Lock()

    def on_failure(failure: StepFailed, start: Callable[[DebugTerminal], None]) -> None:
        with lock:
            view.finish()
            lines = [*failure.output, f"{failure}", "a shell where it has failed; the build ends with it"]
            print("".join(f"{clean(line)}\n" for line in lines), end="", file=sys.stderr, flush=True)
            rows, columns = size(_STDOUT)
            start(DebugTerminal(rows=rows, columns=columns, join=_join))

    return on_failure


class _Shell:
    """A shell as InputPump takes it: only what is typed goes there."""

    def __init__(self, terminal: int) -> None:
        self.container = ""
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None
        self.terminal: int | None = terminal
        self.tty = self.ends = True

    def resize(self, rows: int, columns: int) -> None:
        """Do nothing: the size is that of the beginning."""

    def signal(self, number: int) -> None:
        """Do nothing: what is typed goes through."""

    def leave(self) -> None:
        """Do nothing: there is no leaving."""

    def wait(self) -> int:
        """Return at once: who has started the shell waits."""
        return 0

    def close(self) -> None:
        """Do nothing: the descriptors are others'."""


def _join(reader: int, terminal: int) -> None:
    """Copy in both directions until the shell has ended."""
    with raw_mode(_STDIN):
        pump = InputPump(_STDIN, _Shell(terminal), b"", lambda: None)
        try:
            while data := os.read(reader, CHUNK):
                write_all(_STDOUT, data)
        finally:
            pump.stop()
