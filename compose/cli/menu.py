"""The keys of an attached `up`: a line below the output, and a thread that reads one key at a time."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable
from typing import Self

from pycompose.cli import style
from pycompose.cli.prefix import LogPrinter
from pycompose.cli.terminal import raw_mode

NOTICE_S = 10.0
KEYS = (("w", "Enable Watch"), ("d", "Detach"))
NO_WATCH = "watch is not yet configured"


def line(notice: str = "") -> str:
    """Return the menu as one line."""
    if notice:
        return style.paint(notice, style.YELLOW)
    return "   ".join(f"{style.paint(key, style.BOLD)} {style.paint(what, style.DIM)}" for key, what in KEYS)


class Menu:
    """Reads keys and calls `on_detach` for `d`; a context manager that leaves the terminal as it was.

    The line is there between `show` and `hide`: not while progress is drawn, nor while everything stops.
    """

    def __init__(self, printer: LogPrinter, on_detach: Callable[[], None], *, source: int = 0) -> None:
        self._printer = printer
        self._on_detach = on_detach
        self._source = source
        self._shown = False
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
        self._printer.footer(line())

    def hide(self) -> None:
        """Take the line away."""
        self._shown = False
        self._printer.footer("")

    def __exit__(self, *_: object) -> None:
        """Give the keyboard back."""
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
        notice = False
        while True:
            ready = {fd for fd, _ in poll.poll(NOTICE_S * 1000 if notice else None)}
            if self._wake_read in ready:
                return
            notice = False
            if ready:
                key = os.read(self._source, 1)
                if not key:
                    return
                notice = self._press(key)
            if self._shown:
                self._printer.footer(line(NO_WATCH if notice else ""))

    def _press(self, key: bytes) -> bool:
        """Do what `key` says; return whether the notice about watch is to be shown."""
        if key == b"d":
            self._on_detach()
        elif key in (b"\r", b"\n"):
            self._printer.text("")
        return key == b"w"
