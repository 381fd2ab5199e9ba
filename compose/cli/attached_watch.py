"""Live reload within an attached `up`: `--watch`, and the key `w`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycompose.cli.display import style
from pycompose.cli.display.menu import NO_WATCH
from pycompose.cli.display.steplines import StepLines
from pycompose.cli.invocation import project_of
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.cli.display.prefix import LogPrinter
    from pycompose.cli.invocation import Invocation
    from pycompose.client.context import Context
    from pycompose.client.options import UpOptions
    from pycompose.config.load import Loaded
    from pycompose.events import Event
    from pycompose.watch.reports import WatchReport
    from pycompose.watch.rules import Rules
    from pycompose.watch.watcher import Watcher

MARK = "⦿"


class AttachedWatch:
    """The watcher of an attached `up`, made when it is asked for; nothing of it is imported before."""

    def __init__(
        self, invocation: Invocation, loaded: Loaded, options: UpOptions, printer: LogPrinter
    ) -> None:
        self._invocation, self._loaded, self._options, self._printer = invocation, loaded, options, printer
        self._watcher: Watcher | None = None
        self._rules: Rules | None = None
        self._steps = StepLines(self._step)
        self.watching = False

    def open(self) -> None:
        """Be the project's watcher from now on. Raises PycomposeError for rules that can't be followed."""
        from pycompose.watch.options import WatchOptions  # noqa: PLC0415 - see above
        from pycompose.watch.rules import rules_of  # noqa: PLC0415
        from pycompose.watch.watcher import Watcher  # noqa: PLC0415

        services = self._options.services
        self._rules = rules_of(project_of(self._loaded), services, no_build=self._options.no_build)
        for warning in self._rules.warnings:
            self._printer.text(f"{MARK} {style.clean(warning)}", stream="stderr")
        context = self._invocation.context(self._event)
        options = WatchOptions(services=services, quiet=self._options.quiet_build)
        watcher = Watcher(context, self._loaded, self._rules, options, self._report)
        watcher.open()
        self._watcher = watcher

    def build(self, context: Context) -> None:
        """Build what has a rebuild rule, before it starts: its image is to be what lies here."""
        from pycompose.watch.start import build_rebuilt  # noqa: PLC0415 - see above

        if self._rules is not None:
            build_rebuilt(context, self._loaded, self._rules, quiet=self._options.quiet_build)

    def enable(self) -> None:
        """Follow the rules from now on."""
        if self._watcher is not None:
            self.watching = True
            self._watcher.resume()

    def toggle(self) -> str:
        """Begin, or pause and go on; return why that can't be, to be shown for a while."""
        try:
            if self._watcher is None:
                self.open()
        except PycomposeError as exc:
            return exc.message if self._rules is not None else NO_WATCH
        if self.watching and self._watcher is not None:
            self.watching = False
            self._watcher.pause()
        else:
            self.enable()
        return ""

    def close(self) -> None:
        """End the watcher, if there is one."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def _report(self, report: WatchReport) -> None:
        if report.text:
            self._text(report.text, error=report.error)
        if report.hint:
            self._text(f"hint: {report.hint}", error=True)

    def _event(self, event: Event) -> None:
        if event.number and not self._options.quiet_build:
            self._steps.take(event)

    def _step(self, text: str) -> None:
        for line in text.split("\n"):
            self._text(line, error=False)

    def _text(self, text: str, *, error: bool) -> None:
        mark = style.paint(MARK, style.RED if error else style.BLUE, on=self._invocation.colour(sys.stdout))
        self._printer.text(f"{mark} {style.clean(text)}", stream="stderr" if error else "stdout")
