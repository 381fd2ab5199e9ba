"""The keys of an attached `up`: a line below the output, and a thread that reads one key at a time."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Sequence
from typing import Self

from pycompose.cli.display import style
from pycompose.cli.display.foreground import AttachTarget, Foreground
from pycompose.cli.display.prefix import LogPrinter
from pycompose.cli.display.terminal import raw_mode

NOTICE_S = 10.0
DETACH = ("d", "Detach")
WATCH = ("w", "Enable Watch")
WATCHING = ("w", "Disable Watch")
ATTACH = ("a", "Attach to one")
CTRL_C = b"\x03"
MOST_CHOICES = 9
NO_WATCH = "watch is not yet configured"
NOTHING_RUNS = "no service runs: there is nothing to type into"


def line(notice: str, keys: Sequence[tuple[str, str]]) -> str:
    """Return the menu as one line."""
    if notice:
        return style.paint(notice, style.YELLOW)
    return "   ".join(f"{style.paint(key, style.BOLD)} {style.paint(what, style.DIM)}" for key, what in keys)


class Menu:
    """Reads keys and calls `on_detach` for `d`, `on_interrupt` for Ctrl+C.

    A context manager that leaves the terminal as it was.

    The line is there between `show` and `hide`: not while progress is drawn, nor while everything stops. `targets`
    tells whom the key `a` can hand the terminal to, and why not. The line has that key with `offered`, and the one of
    watching with `watched`: where there is something to watch. `on_watch` is for `w`: it returns what to say for a
    while, "" for nothing; `watching` tells what the key would do next.
    """

    def __init__(  # noqa: PLR0913 - what its keys do
        self,
        printer: LogPrinter,
        on_detach: Callable[[], None],
        on_interrupt: Callable[[], None],
        *,
        targets: Callable[[], Sequence[AttachTarget]] = tuple,
        offered: bool = False,
        watched: bool = False,
        on_watch: Callable[[], str] = lambda: NO_WATCH,
        watching: Callable[[], bool] = lambda: False,
        source: int = 0,
        screen: int = 1,
    ) -> None:
        self._printer = printer
        self._on_detach = on_detach
        self._on_interrupt = on_interrupt
        self._find_targets = targets
        self._choosing: Sequence[AttachTarget] = ()
        self._watched = watched
        self._more = (ATTACH, DETACH) if offered else (DETACH,)
        self._on_watch, self._watching = on_watch, watching
        self._source = source
        self._shown = False
        self._foreground = Foreground(printer, source, screen)
        self._stack = contextlib.ExitStack()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)

    def __enter__(self) -> Self:
        """Take the keyboard."""
        self._stack.enter_context(raw_mode(self._source, keep_signals=True))
        self._thread.start()
        return self

    def show(self) -> None:
        """Show the line from now on."""
        self._shown = True
        self._printer.footer(line("", self._line_keys()))

    def hide(self) -> None:
        """Take the line away, and the screen back from whom it was handed to."""
        self._shown = False
        self._foreground.leave()
        self._printer.footer("")

    def resized(self) -> None:
        """Take note that the screen has another size; for a signal handler."""
        self._foreground.resized()

    def __exit__(self, *_: object) -> None:
        """Give the keyboard back."""
        self._foreground.leave()
        os.write(self._wake_write, b"x")
        self._thread.join()
        self.hide()
        self._stack.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        notice = ""
        while True:
            ready = {fd for fd, _ in poll.poll(NOTICE_S * 1000 if notice else None)}
            if self._wake_read in ready:
                return
            notice = ""
            if ready:
                key = os.read(self._source, 1)
                if not key:
                    return
                notice = self._press(key)
            if self._shown:
                self._printer.footer(line(notice, self._line_keys()))

    def _line_keys(self) -> Sequence[tuple[str, str]]:
        if not self._choosing:
            watch = (WATCHING if self._watching() else WATCH,) if self._watched else ()
            return (*watch, *self._more)
        numbered = [
            (str(number + 1), f"{target.label} (no input)" if target.advice else target.label)
            for number, target in enumerate(self._choosing)
        ]
        return (*numbered, ("esc", "Back"))

    def _press(self, key: bytes) -> str:
        """Do what `key` says; return the notice that is to be shown for a while."""
        if key == CTRL_C:
            self._on_interrupt()
            return ""
        if self._choosing:
            return self._choose(key)
        if key == b"d":
            self._on_detach()
        elif key in (b"\r", b"\n"):
            self._printer.text("")
        elif key == b"a" and self._shown:
            return self._attach(self._find_targets()[:MOST_CHOICES])
        return self._on_watch() if key == b"w" else ""

    def _attach(self, targets: Sequence[AttachTarget]) -> str:
        if not targets:
            return NOTHING_RUNS
        able = [target for target in targets if not target.advice]
        if len(able) == 1 or len(targets) == 1:
            return self._to_foreground((able or targets)[0])
        self._choosing = targets
        return ""

    def _to_foreground(self, target: AttachTarget) -> str:
        if not target.advice:
            return self._foreground.run(target)
        self._printer.text(target.advice)  # longer than the line below the output may be
        return ""

    def _choose(self, key: bytes) -> str:
        targets, self._choosing = self._choosing, ()
        if key.isdigit() and 1 <= int(key) <= len(targets):
            return self._to_foreground(targets[int(key) - 1])
        return ""
