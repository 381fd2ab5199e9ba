"""The output of an attached `up`, as a thread: what logs.follow gives, printed once, until all has ended.

logs.follow ends when no container is active. While changes.up still works that is no end: the next started
container makes us follow again. Lines that were printed before are counted and skipped, so none is lost or
shown twice.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from pycompose.cli.display.prefix import LogPrinter
from pycompose.client.query_options import FollowOptions, PsOptions
from pycompose.client.views import ContainerLogLine, ContainerView, Exited, Recreated
from pycompose.errors import NotRunning

if TYPE_CHECKING:
    from pycompose.client.context import Context

RUNNING = frozenset({"running", "paused"})
ATTEMPTS = 3


class OutputFollower:
    """Prints lines and exits; tells `on_exit` each exit and `on_end` the end (with what failed, or None).

    Exits are those of the services in `monitored`; of others nobody is told. `stopping` waits for a stop that is under
    way, and tells whether there was one.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - three callbacks, and what to follow
        self,
        context: Context,
        project: str,
        options: FollowOptions,
        monitored: frozenset[str],
        printer: LogPrinter,
        on_exit: Callable[[Exited], None],
        on_end: Callable[[BaseException | None], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._context = context
        self._project = project
        self._options = options
        self._monitored = monitored
        self._printer = printer
        self._on_exit = on_exit
        self._on_end = on_end
        self._stopping = stopping
        self._news = threading.Condition()
        self._started = False
        self._complete = False
        self._running = False
        self._printed: Counter[str] = Counter()
        self._ended_ns: dict[str, int] = {}
        self._reported: set[tuple[str, int]] = set()

    @property
    def running(self) -> bool:
        """Whether `start` has been called."""
        return self._running

    def start(self) -> None:
        """Begin; may be called again."""
        if not self._running:
            self._running = True
            threading.Thread(target=self._run, name="follow", daemon=True).start()

    def look(self) -> None:
        """Look again: a container has started."""
        with self._news:
            self._started = True
            self._news.notify()

    def complete(self) -> None:
        """No more containers will be started: the next end is the end."""
        with self._news:
            self._complete = True
            self._news.notify()

    def all_have_run(self) -> bool:
        """Return whether each watched container has run since this `up` began, once all of them have ended."""
        return all(view.finished_ns >= self._options.since_ns for view in self._watched())

    def _run(self) -> None:
        try:
            last = False
            while not last:
                with self._news:
                    self._started, last = False, self._complete
                self._follow()
                with self._news:
                    self._news.wait_for(lambda: self._started or self._complete)
            self._settle()
        except BaseException as exc:  # noqa: BLE001 - the main thread raises it
            self._on_end(exc)
            return
        self._on_end(None)

    def _follow(self) -> None:
        skip = self._printed.copy()
        from pycompose.client import logs  # noqa: PLC0415 - when something runs

        for item in logs.follow(self._context, self._project, self._options):
            if isinstance(item, ContainerLogLine):
                if skip[item.container] > 0:
                    skip[item.container] -= 1
                    continue
                self._printed[item.container] += 1
                self._printer.line(item)
            elif isinstance(item, Exited):
                self._ended_ns[item.container] = item.time_ns
                if (item.container, item.time_ns) in self._reported:
                    continue
                self._reported.add((item.container, item.time_ns))
                self._report(item)
            elif isinstance(item, Recreated):
                self._printer.recreated(item)

    def _report(self, item: Exited) -> None:
        if item.service not in self._monitored:
            return
        self._printer.ended(item)
        self._on_exit(item)

    def _watched(self) -> list[ContainerView]:
        options = PsOptions(services=self._options.watched, all=True)
        from pycompose.client import listings  # noqa: PLC0415 - when something runs

        return [view for view in listings.ps(self._context, self._project, options) if not view.oneoff]

    def _settle(self) -> None:
        """Make sure that it is the end: follow what runs nevertheless, report exits that nobody was there to see.

        Raises NotRunning when containers run and output_follower them ends at once: who would tell us has gone.
        """
        for _ in range(ATTEMPTS):
            if not any(view.state in RUNNING for view in self._watched()):
                break
            stopped = self._stopping()  # what is being stopped may run longer than anybody follows it
            self._follow()
            if stopped:
                break
        else:
            raise NotRunning(
                "supervisor: ended while containers run: their output goes on without us",
                hint="`pycompose up`, or any other command that changes something, takes over",
            )
        for view in self._watched():
            ended = view.state == "exited" and view.finished_ns >= self._options.since_ns
            # By time: a start is told after the end of what ends at once.
            if ended and self._ended_ns.get(view.name, 0) < view.started_ns:
                self._report(
                    Exited(
                        container=view.name,
                        service=view.service,
                        number=view.number,
                        exit_code=view.exit_code,
                        exit_code_known=view.exit_code_known,
                    )
                )
