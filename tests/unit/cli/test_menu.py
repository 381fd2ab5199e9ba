"""The keys of an attached `up`, typed on a real terminal."""

from __future__ import annotations

import io
import os
import pty
import termios
import threading

from pycompose.cli.display.menu import NO_WATCH, Menu, line
from pycompose.cli.display.prefix import LogPrinter


class Screen(io.BytesIO):
    """A stream that tells when a text has been written to it."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def write(self, data: object, /) -> int:
        """Write and tell."""
        with self._changed:
            count = super().write(data)  # type: ignore[arg-type]
            self._changed.notify_all()
        return count

    def expect(self, text: bytes) -> None:
        """Wait until `text` has been written."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.getvalue(), 10), self.getvalue()


def test_keys() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    screen = Screen()
    detached = threading.Event()
    printer = LogPrinter(screen, screen, project="demo")
    with Menu(printer, detached.set, detached.clear, source=slave) as menu:
        menu.show()
        screen.expect(b"Detach")
        os.write(master, b"w")
        screen.expect(NO_WATCH.encode())
        os.write(master, b"d")
        assert detached.wait(10)

    assert screen.getvalue().endswith(b"\r\x1b[K"), "the menu is taken away"
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_the_line_names_its_keys() -> None:
    assert "Detach" in line()
    assert NO_WATCH in line(NO_WATCH)
