"""A real browser on a private machine: Debian's chromium, driven by playwright, with the machine's network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.support.scenario import Host
    from tests.support.terminal import Running

# An action of the browser may take as long as a busy machine makes it.
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@contextlib.contextmanager
def browser_of(host: Host) -> Iterator[Browser]:
    """Start a browser for which 127.0.0.1 is the machine's."""
    program = host.folder / "chromium"
    program.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{host.watch.pid}/ns/net chromium "$@"\n')
    program.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser, address: str, *, width: int = 1280, scheme: Literal["light", "dark"] = "light"
) -> Page:
    """Return a tab at an address; what the page's scripts complain of, and what they throw, is an error of the test."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    return page


class ServedPage:
    """`pycompose page` on a machine, and its address."""

    def __init__(self, host: Host, *arguments: str, cwd: Path | None = None) -> None:
        self.running: Running = host.spawn("page", *arguments, cwd=cwd)
        assert self.running.process.stdout is not None
        self.address = self.running.process.stdout.readline().decode().strip()

    def end(self) -> None:
        """Have it end as Ctrl+C does; it has to end well."""
        self.running.process.terminate()
        assert self.running.process.wait(20) == 0
