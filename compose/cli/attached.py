"""An attached `up`: output of the containers on the screen, keys, Ctrl+C once and twice, and the exit code.

    main thread                 app.up, then decisions out of one queue; signals arrive here
    "follow" thread             app.follow: prints lines itself (the terminal's speed is the brake)
    "stop" / "kill" threads     app.stop, app.kill, so that output goes on meanwhile
    "keys" thread               the menu's keys

While app.up runs, the first Ctrl+C interrupts it where it is (KeyboardInterrupt); what it had started is
stopped.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

from pycompose import app
from pycompose.cli.humanize import exit_sentence
from pycompose.cli.menu import Menu
from pycompose.cli.prefix import LogPrinter
from pycompose.cli.progress import Plain, Renderer
from pycompose.engine.errors import PycomposeError
from pycompose.errors import UnknownService
from pycompose.events import Event, Phase
from pycompose.options import FollowOptions, KillOptions, StopOptions, UpOptions
from pycompose.views import Exited, LogLine, Recreated

if TYPE_CHECKING:
    from pycompose.cli.invocation import Invocation
    from pycompose.cli.up import AttachedOptions
    from pycompose.config.load import Loaded
    from pycompose.model import Project

INTERRUPTED_EXIT = 130
# The events that say: from here on there may be output.
_STARTING = frozenset({"Starting", "Started", "Running", "Restarting"})


class Signal(Enum):
    """What the other threads tell the main thread."""

    INTERRUPT = "interrupt"
    DETACH = "detach"
    ENDED = "ended"
    STOPPED = "stopped"


class Interrupted(BaseException):
    """Raised in the main thread to leave app.up: by an abort, as Ctrl+C does by KeyboardInterrupt."""


def attached_services(
    project: Project, selected: tuple[str, ...], options: AttachedOptions
) -> tuple[str, ...]:
    """Return the services whose output is shown; raises UnknownService for a name that isn't there.

    Named by --attach; else with --attach-dependencies all of the project; else the selected ones (or all),
    less --no-attach and those that say `attach: false`.
    """
    for name in (*options.attach, *options.no_attach, *filter(None, (options.exit_code_from,))):
        if name not in project.services:
            raise UnknownService(f"no such service: {name}")
    if options.attach:
        return tuple(name for name in options.attach if name not in options.no_attach)
    names = selected if selected and not options.attach_dependencies else tuple(project.services)
    return tuple(name for name in names if name not in options.no_attach and project.services[name].attach)


def expected_names(project: Project, services: tuple[str, ...], scale: dict[str, int]) -> list[str]:
    """Return the short names of the containers that `services` will have."""
    names = []
    for name in services:
        service = project.services[name]
        if service.container_name:
            names.append(service.container_name)
        else:
            names += [f"{name}-{number + 1}" for number in range(scale.get(name, service.replicas))]
    return sorted(names)


class Attached:
    """One attached `up`."""

    def __init__(
        self,
        invocation: Invocation,
        loaded: Loaded,
        options: UpOptions,
        attached: AttachedOptions,
        started_ns: int,
    ) -> None:
        self._invocation = invocation
        self._loaded = loaded
        self._options = options
        self._attached = attached
        self._started_ns = started_ns
        self._project = loaded.project
        self._shown = attached_services(self._project, options.services, attached)
        self._queue: queue.SimpleQueue[Signal | Exited | BaseException] = queue.SimpleQueue()
        self._printer = LogPrinter(
            sys.stdout.buffer,
            sys.stderr.buffer,
            project=self._project.name,
            colour=attached.colour,
            prefix=attached.prefix,
            timestamps=attached.timestamps,
        )
        self._starting = True
        self._following = False
        self._aborting = False
        self._interrupts = 0
        self._exit_code: int | None = None
        self._lock = threading.Lock()

    def run(self) -> int:
        """Create, start, show, and return the exit code (cli.md 3)."""
        menu = Menu(self._printer, lambda: self._queue.put(Signal.DETACH)) if self._attached.menu else None
        with self._signals(), contextlib.ExitStack() as stack:
            if menu is not None:
                stack.enter_context(menu)
            self._start()
            self._starting = False
            return self._decide()

    def _start(self) -> None:
        """Run app.up; an interruption turns into what the queue says next."""
        try:
            with self._invocation.showing("up") as progress:
                app.up(self._invocation.context(self._sink(progress)), self._loaded, self._options)
        except KeyboardInterrupt:
            self._queue.put(Signal.INTERRUPT)
            if not self._following:
                raise
        except Interrupted:
            pass
        if not self._following:
            self._follow()

    def _sink(self, progress: Renderer) -> Callable[[Event], None]:
        """Show events until the first container starts; from then on the screen belongs to the output."""

        def take(event: Event) -> None:
            if not self._following:
                if event.subject.startswith("Container ") and event.text in _STARTING:
                    progress.finish()
                    self._follow()
                else:
                    progress(event)
            if self._following and event.phase in (Phase.WARNING, Phase.ERROR):
                self._printer.text(f"{event.subject} {event.text} {event.details}".strip(), stream="stderr")

        return take

    def _follow(self) -> None:
        with self._lock:
            if self._following:
                return
            self._following = True
        names = expected_names(self._project, self._shown, dict(self._options.scale))
        if names:
            self._printer.text(f"Attaching to {', '.join(names)}")
            self._printer.expect(names)
        threading.Thread(target=self._run_follow, name="follow", daemon=True).start()

    def _run_follow(self) -> None:
        options = FollowOptions(
            services=self._shown, watched=self._options.services, since_ns=self._started_ns
        )
        try:
            for item in app.follow(self._invocation.context(), self._project.name, options):
                if isinstance(item, LogLine):
                    self._printer.line(item)
                elif isinstance(item, Exited):
                    self._report_exit(item)
                    self._queue.put(item)
                    self._leave_up(item)
                elif isinstance(item, Recreated):
                    self._printer.status(item.container, item.service, item.number, "{} has been recreated")
        except BaseException as exc:  # noqa: BLE001 - handed to the main thread, which raises it
            self._queue.put(exc)
        self._queue.put(Signal.ENDED)

    def _report_exit(self, item: Exited) -> None:
        sentence = exit_sentence("{}", item.exit_code, known=item.exit_code_known, restarting=item.restarting)
        self._printer.status(item.container, item.service, item.number, sentence)

    def _leave_up(self, item: Exited) -> None:
        """Interrupt app.up in the main thread when this exit is the end of everything."""
        main = threading.main_thread().ident
        if self._starting and self._ends_all(item) and main is not None:
            signal.pthread_kill(main, signal.SIGUSR1)

    def _ends_all(self, item: Exited) -> bool:
        if item.restarting or not self._attached.abort_on:
            return False
        return self._attached.abort_on == "exit" or item.exit_code != 0

    def _decide(self) -> int:
        """Take one message after the other until there is nothing left to show."""
        while True:
            message = self._queue.get()
            if isinstance(message, Exited):
                self._on_exit(message)
            elif isinstance(message, BaseException):
                raise message
            elif message is Signal.INTERRUPT:
                self._on_interrupt()
            elif message is Signal.DETACH:
                return 0
            elif message is Signal.ENDED or (message is Signal.STOPPED and not self._following):
                self._printer.flush()
                return self._result()

    def _result(self) -> int:
        if self._interrupts:
            return INTERRUPTED_EXIT
        return 0 if self._exit_code is None else self._exit_code

    def _on_exit(self, item: Exited) -> None:
        wanted = self._attached.exit_code_from
        if wanted:
            if item.service == wanted and self._exit_code is None and not item.restarting:
                self._exit_code = item.exit_code
        elif self._ends_all(item) and not self._aborting:
            self._exit_code = item.exit_code
        if self._ends_all(item) and not self._aborting and not self._interrupts:
            self._aborting = True
            self._printer.text("Aborting on container exit...")
            self._in_background(self._stop)

    def _on_interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._printer.text("Gracefully Stopping... press Ctrl+C again to force", stream="stderr")
            self._in_background(self._stop)
        elif self._interrupts == 2:
            self._in_background(self._kill)
        else:
            raise KeyboardInterrupt

    def _in_background(self, work: Callable[[app.Context], None]) -> None:
        def run() -> None:
            progress = Plain(sys.stderr, colour=self._invocation.colour(sys.stderr))
            try:
                work(self._invocation.context(progress))
            except PycomposeError as exc:
                self._queue.put(exc)
            self._queue.put(Signal.STOPPED)

        threading.Thread(target=run, name=work.__name__.strip("_"), daemon=True).start()

    def _stop(self, context: app.Context) -> None:
        options = StopOptions(services=self._options.services, timeout_s=self._options.timeout_s)
        app.stop(context, self._project.name, self._loaded, options)

    def _kill(self, context: app.Context) -> None:
        app.kill(context, self._project.name, self._loaded, KillOptions(services=self._options.services))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl+C, SIGTERM and SIGHUP interrupt app.up, later they are messages; SIGUSR1 is `_leave_up`."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGUSR1:
            if self._starting:
                raise Interrupted
        elif self._starting:
            raise KeyboardInterrupt
        else:
            self._queue.put(Signal.INTERRUPT)
