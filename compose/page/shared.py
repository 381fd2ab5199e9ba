"""What all pages that are open have in common: the machine is looked at once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.page.files import ComposeFiles
from pycompose.page.news import News
from pycompose.page.output import PrintedOutput
from pycompose.page.works import Works

if TYPE_CHECKING:
    from pycompose.api.hub import EventHub
    from pycompose.client.context import Context


class PageShared:
    """Lives as long as the server; costs nothing while no page is open."""

    def __init__(self, context: Context, events: EventHub, start: tuple[str, ...] | None) -> None:
        """`start` are the global flags of the project where the page was opened, None for no such."""
        self.context = context
        self.events = events
        self.output = PrintedOutput(context)
        self.works = Works()
        self.news = News(context, self.works)
        self.files = ComposeFiles(context, self.works, start)
