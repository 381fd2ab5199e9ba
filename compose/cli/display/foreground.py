"""One service's terminal, or its input, on the screen of an attached `up`, until the detach keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pycompose.cli.display.prefix import LogPrinter
from pycompose.cli.display.terminal import DETACH_KEYS, ConnectedProcess, Interaction, line_mode
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachTarget:
    """A container: its short name for people, its name, and what connects us to it.

    `advice` is for one that can't be talked to: what to do about that. `detach_keys` lead back from a terminal.
    """

    label: str
    container: str
    open: Callable[[], ConnectedProcess]
    advice: str = ""
    detach_keys: str = DETACH_KEYS


class Foreground:
    """Gives the screen to one container at a time; `leave` and `resized` may come from other threads and signals."""

    def __init__(self, printer: LogPrinter, source: int, screen: int = 1) -> None:
        self._printer = printer
        self._source = source
        self._screen = screen
        self._interaction: Interaction | None = None
        self._left = False

    def run(self, target: AttachTarget) -> str:
        """Talk to the container until it ends or the user returns; return what there is to say about it.

        Output of the others waits meanwhile. With a terminal the detach keys return, with a pipe
        the end of input.
        """
        try:
            session = target.open()
        except PycomposeError as exc:
            return str(exc)
        if session.terminal is None and session.stdin is None:
            session.close()
            return f"{target.label} has neither a terminal nor an input"
        keys = target.detach_keys if session.tty else ""
        how = keys.replace(",", " ") if keys else "ctrl-d"
        self._printer.hold(
            target.container, f"Attached to {target.label}. {how} returns to the output of all."
        )
        try:
            with contextlib.nullcontext() if session.tty else line_mode(self._source):
                self._interaction = Interaction(
                    session,
                    stdin=self._source,
                    stdout=self._screen,
                    stderr=self._screen,
                    detach_keys=keys,
                    forward=(),
                    leave_at_end=not session.tty,
                )
                if not self._left:
                    self._interaction.run()
        except PycomposeError as exc:
            return str(exc)
        finally:
            self._interaction = None
            self._printer.release()
        return ""

    def leave(self) -> None:
        """Return to the output of all, now and for good."""
        self._left = True
        interaction = self._interaction
        if interaction is not None:
            interaction.leave()

    def resized(self) -> None:
        """Tell the container that the screen has another size; for signal handlers."""
        interaction = self._interaction
        if interaction is not None:
            interaction.resized()
