"""Volumes and networks as one open page shows them: measured when it looks, and again when they may be other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.page.resources import resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context
    from pycompose.page.rows import Row

# Volumes may be large: what comes together is measured once.
GATHER_S = 0.2


class StorageView:
    """Measures nothing while the page shows something else; lives in the event loop."""

    def __init__(self, context: Context, project: str, told: Callable[[], None]) -> None:
        """Call `told` when there is news."""
        self._context = context
        self._project = project
        self._told = told
        self._shown = False
        self._due = asyncio.Event()
        self._found: Row | None = None
        self._sent: Row | None = None

    def show(self, *, shown: bool) -> None:
        """Take note of whether the page shows them from now on."""
        self._shown = shown
        self._found = self._sent = None
        self.stir()

    def stir(self) -> None:
        """Take note that they may be other than they were."""
        if self._shown:
            self._due.set()

    def news(self) -> Row | None:
        """Return what the page hasn't been told yet."""
        if self._found is None or self._found == self._sent:
            return None
        self._sent = self._found
        return self._found

    async def run(self) -> None:
        """Measure when it is due, without end."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                found = await asyncio.to_thread(resources, self._context, self._project)
                self._found = {**found, "error": ""}
            except (PycomposeError, OSError) as exc:
                self._found = {"volumes": [], "networks": [], "error": str(exc)}
            self._told()
            await asyncio.sleep(GATHER_S)
