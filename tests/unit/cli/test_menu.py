"""The keys of an attached `up`, typed on a real terminal."""

from __future__ import annotations

import io
import os
import pty
import termios
import threading

import pytest
from pycompose.cli.display.menu import NO_WATCH, Menu
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


@pytest.mark.parametrize("watched", (False, True))
@pytest.mark.parametrize("offered", (False, True))
def test_the_line_names_the_keys_that_do_something(*, watched: bool, offered: bool) -> None:
    """Watch only where there is something to watch, an input only where somebody has one."""
    screen = Screen()
    printer = LogPrinter(screen, screen, project="demo")
    master, slave = pty.openpty()
    with Menu(printer, print, print, watched=watched, offered=offered, source=slave) as menu:
        menu.show()
        shown = screen.getvalue()
    assert (b"Watch" in shown, b"Attach" in shown, b"Detach" in shown) == (watched, offered, True)
    os.close(master)
    os.close(slave)
