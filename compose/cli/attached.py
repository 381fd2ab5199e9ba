"""An attached `up`: output of the containers on the screen, keys, Ctrl+C once and twice, and the exit code.

    main thread                 changes.up, then decisions out of one queue; signals arrive here
    "follow" thread             OutputFollower: prints lines itself (the terminal's speed is the brake)
    "stop" / "kill" threads     changes.stop, changes.kill, so that output goes on meanwhile
    "keys" thread               the menu's keys

While changes.up runs, the first Ctrl+C interrupts it where it is (KeyboardInterrupt); what it had started is
stopped.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from pycompose.cli.attached_watch import AttachedWatch
from pycompose.cli.display import style
from pycompose.cli.display.foreground import AttachTarget
from pycompose.cli.display.menu import Menu
from pycompose.cli.display.output_follower import OutputFollower
from pycompose.cli.display.prefix import LogPrinter, short_name
from pycompose.cli.display.progress import JsonRenderer, Renderer, plain_line
from pycompose.cli.invocation import project_of
from pycompose.cli.options import detach_keys
from pycompose.client import changes
from pycompose.client.options import AttachOptions, KillOptions, StopOptions, UpOptions
from pycompose.client.query_options import FollowOptions, PsOptions
from pycompose.client.views import Exited
from pycompose.config.tree import locate
from pycompose.engine.dataclass import dataclass, replace
from pycompose.errors import unknown_service
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from pycompose.cli.invocation import Invocation
    from pycompose.client.context import Context
    from pycompose.config.load import Loaded
    from pycompose.model import Service

INTERRUPTED_EXIT = 130
# timeout(1) signals us, and at once our group as well: that is one Ctrl+C, not two.
TOGETHER_S = 0.1
_WAKE_BYTES = 64
# The events that say: there may be output of this container now.
_STARTED = frozenset({"Started", "Running", "Healthy", "Exited", "Restarted"})


class Signal(Enum):
    """What the other threads tell the main thread."""

    INTERRUPT = "interrupt"
    DETACH = "detach"
    ENDED = "ended"
    WAKE = "wake"


class Interrupted(BaseException):
    """Raised in the main thread to leave changes.up: by an abort, as Ctrl+C does by KeyboardInterrupt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedOptions:
    """How an attached `up` behaves; `abort_on` is "", "exit" or "failure", `menu` whether there are keys."""

    attach: tuple[str, ...] = ()
    no_attach: tuple[str, ...] = ()
    attach_dependencies: bool = False
    abort_on: str = ""
    exit_code_from: str = ""
    timestamps: bool = False
    colour: bool = True
    prefix: bool = True
    menu: bool = False
    watch: bool = False


def attached_options(invocation: Invocation, args: dict[str, Any]) -> AttachedOptions:
    """Return how to stay attached; `--exit-code-from` implies aborting on the first exit."""
    abort_on = "failure" if args["abort_on_container_failure"] else ""
    if not abort_on and (args["abort_on_container_exit"] or args["exit_code_from"]):
        abort_on = "exit"
    menu = args["menu"]
    if menu is None:
        menu = invocation.switch("COMPOSE_MENU", default=True)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return AttachedOptions(
        attach=args["attach"],
        no_attach=args["no_attach"],
        attach_dependencies=args["attach_dependencies"],
        abort_on=abort_on,
        exit_code_from=args["exit_code_from"],
        timestamps=args["timestamps"],
        colour=not args["no_color"] and invocation.colour(sys.stdout),
        prefix=not args["no_log_prefix"],
        watch=args["watch"],
        menu=menu and terminal and invocation.progress in ("auto", "tty") and invocation.ansi != "never",
    )


def attached_services(
    services: dict[str, Service], selected: tuple[str, ...], options: AttachedOptions
) -> tuple[str, ...]:
    """Return the services whose output is shown; raises UnknownService for a name that isn't there.

    Named by --attach; else with --attach-dependencies all of the project; else the selected ones (or all),
    less --no-attach and those that say `attach: false`.
    """
    for name in (*selected, *options.attach, *options.no_attach, *filter(None, (options.exit_code_from,))):
        if name not in services:
            raise unknown_service(name, services)
    if options.attach:
        return tuple(name for name in options.attach if name not in options.no_attach)
    names = selected if selected and not options.attach_dependencies else tuple(services)
    return tuple(name for name in names if name not in options.no_attach and services[name].attach)


def expected_names(services: dict[str, Service], shown: tuple[str, ...], scale: dict[str, int]) -> list[str]:
    """Return the short names of the containers that `shown` will have."""
    names = []
    for name in shown:
        service = services[name]
        if service.container_name:
            names.append(service.container_name)
        else:
            names += [f"{name}-{number + 1}" for number in range(scale.get(name, service.replicas))]
    return sorted(names)


class AttachedUp:
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
        self._queue: queue.SimpleQueue[Signal | Exited | BaseException] = queue.SimpleQueue()
        self._starting, self._stop_expected = True, False
        self._begun = False  # a container's start, which goes on whether or not we hear of it
        self._held: list[BaseException] | None = None
        self._background: list[threading.Thread] = []
        self._stop_done = threading.Event()
        self._aborting, self._left_by_key = False, False
        self._interrupts = 0
        self._signalled_s = -TOGETHER_S
        self._exit_code: int | None = None
        services = project_of(loaded).services
        shown = attached_services(services, options.services, attached)
        self._names = expected_names(services, shown, dict(options.scale))
        self._printer = LogPrinter(
            sys.stdout.buffer,
            sys.stderr.buffer,
            project=loaded.name,
            colour=attached.colour,
            prefix=attached.prefix,
            timestamps=attached.timestamps,
        )
        self._talkative = tuple(name for name in shown if services[name].tty or services[name].stdin_open)
        self._shown = shown
        self._watch = AttachedWatch(invocation, loaded, options, self._printer)
        self._menu = None
        if attached.menu:
            self._menu = Menu(
                self._printer,
                functools.partial(self._queue.put, Signal.DETACH),
                self._on_ctrl_c,
                targets=self._targets,
                offered=bool(self._talkative),
                watched=any(service.watch for service in services.values()),
                on_watch=self._watch.toggle,
                watching=lambda: self._watch.watching,
            )
        self._follower = OutputFollower(
            invocation.context(),
            loaded.name,
            # Others of the project may run on: orphans, and what a profile has switched off.
            FollowOptions(services=shown, watched=options.services or tuple(services), since_ns=started_ns),
            # As in Compose: a dependency that has done its work is no reason to stop those that were asked for.
            frozenset((*(options.services or shown), attached.exit_code_from)),
            self._printer,
            self._on_followed_exit,
            self._on_followed_end,
            self._await_stop,
        )

    def run(self) -> int:
        """Create, start, show, and return the exit code."""
        with self._signals(), contextlib.ExitStack() as stack:
            if self._menu is not None:
                stack.enter_context(self._menu)
            stack.callback(self._watch.close)
            if self._attached.watch:
                self._watch.open()
            self._start()
            self._attach()  # where nothing had to be started
            if self._attached.watch:
                self._watch.enable()
            self._follower.complete()
            return self._decide()

    # ------------------------------------------------------------------ building up

    def _start(self) -> None:
        """Run changes.up; an interruption becomes what the queue says next, or the end if nothing has started."""
        try:
            with self._invocation.showing("up", steps=sys.stdout) as progress:
                context = self._invocation.context(self._sink(progress))
                if self._attached.watch:
                    self._watch.build(context)
                changes.up(context, self._loaded, replace(self._options, hook_output=True))
            self._starting = False  # in here: what a signal raises until then is caught
        except KeyboardInterrupt:
            self._starting = False
            if not self._follower.running and not self._begun:
                raise
            self._queue.put(Signal.INTERRUPT)
        except Interrupted:
            self._starting = False

    def _sink(self, progress: Renderer) -> Callable[[Event], None]:
        """Show events until the first container starts; from then on the screen belongs to the output."""

        def take(event: Event) -> None:
            if event.source:
                progress.finish()
                self._attach()
                self._printer.hook(event.source, event.log)
                return
            self._begun = (
                self._begun or event.text == "Starting"
            )  # before it is seen: whoever reads it may interrupt
            if not self._follower.running:
                progress(event)
            if event.subject.startswith("Container ") and event.text in _STARTED:
                progress.finish()
                self._attach()
                self._follower.look()
                return
            if self._follower.running and event.phase in (Phase.WARNING, Phase.ERROR):
                self._tell(event)

        return take

    def _attach(self) -> None:
        if self._follower.running:
            return
        self._held = []  # whoever reads "Attaching" may interrupt, and what is begun here has to be whole by then
        if self._names:
            self._printer.text(f"Attaching to {', '.join(self._names)}")
            self._printer.expect(self._names)
        if self._menu is not None:
            self._menu.show()
        self._follower.start()
        held, self._held = self._held, None
        if held:
            raise held[0]

    def _targets(self) -> list[AttachTarget]:
        """Return the running containers, first those whose terminal or input is open; for the menu's thread."""
        from pycompose.client import listings, sessions  # noqa: PLC0415 - when something runs

        context, name = self._invocation.context(), self._loaded.name
        found = listings.ps(context, name, PsOptions(services=self._shown))
        found.sort(key=lambda view: view.service not in self._talkative)
        return [
            AttachTarget(
                label=short_name(view.name, name, view.service, view.number),
                container=view.name,
                open=functools.partial(
                    sessions.attach, context, name, AttachOptions(service=view.service, index=view.number)
                ),
                advice="" if view.service in self._talkative else self._advice(view.service),
                detach_keys=detach_keys(self._invocation.environment),
            )
            for view in found
            if view.state == "running" and not view.oneoff
        ]

    def _advice(self, service: str) -> str:
        """Say what a service lacks that the terminal could be handed to, and where to add it."""
        place = locate(self._loaded.tree, ("services", service), of_key=True)
        where = f"{place.file}:{place.line}" if place.line else ", ".join(self._loaded.files)
        return (
            f"{service} has no terminal and no input. To type into it, add `tty: true` and `stdin_open: true` to "
            f"services.{service} in {where}, then run `pycompose up` again"
        )

    # ------------------------------------------------------------------ what the follow thread calls

    def _on_followed_exit(self, item: Exited) -> None:
        """Report an exit; interrupt changes.up in the main thread when it is the end of everything."""
        self._stop_expected = self._stop_expected or self._ends_all(item)
        self._queue.put(item)
        main = threading.main_thread().ident
        if self._starting and self._ends_all(item) and main is not None:
            signal.pthread_kill(main, signal.SIGUSR1)

    def _on_followed_end(self, failure: BaseException | None) -> None:
        self._queue.put(Signal.ENDED if failure is None else failure)

    # ------------------------------------------------------------------ deciding

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
            elif message is Signal.ENDED:
                return self._result()

    def _result(self) -> int:
        self._join_background()
        self._printer.flush()
        if self._interrupts:
            # One press of the menu's key is a way to leave, as `d` is: `make up` ends well (as in Compose). It isn't
            # when something was still to be started.
            left = self._left_by_key and self._interrupts == 1 and self._follower.all_have_run()
            return 0 if left else INTERRUPTED_EXIT
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
            self._announce("Aborting on container exit...")
            self._in_background(self._stop)

    def _on_interrupt(self) -> None:
        self._interrupts += 1
        if self._menu is not None:
            self._menu.hide()
        if self._interrupts == 1:
            self._announce("Gracefully Stopping... press Ctrl+C again to force")
            self._in_background(self._stop)
        elif self._interrupts == 2:
            self._in_background(self._kill)
        else:
            raise KeyboardInterrupt

    def _in_background(self, work: Callable[[Context], None]) -> None:
        def run() -> None:
            try:
                work(self._invocation.context(self._tell))
            except BaseException as exc:  # noqa: BLE001 - the main thread raises it
                self._queue.put(exc)
            self._stop_done.set()

        thread = threading.Thread(target=run, name=work.__name__.strip("_"), daemon=True)
        self._background.append(thread)
        thread.start()

    def _tell(self, event: Event) -> None:
        """Show a step while the screen belongs to the output: as a line, whatever the progress looks like."""
        if event.source:
            self._printer.hook(event.source, event.log)
        elif self._invocation.progress == "json":
            JsonRenderer(sys.stderr)(event)
        elif self._invocation.progress != "quiet" or event.phase in (Phase.WARNING, Phase.ERROR):
            self._printer.text(f" {plain_line(event)}", stream="stderr")

    def _announce(self, sentence: str) -> None:
        """Tell that all are being stopped: an event of Compose 5's, on a terminal only its sentence."""
        if self._invocation.progress in ("auto", "tty") and style.is_terminal(sys.stderr):
            red = style.paint(sentence, style.RED, on=self._invocation.colour(sys.stderr))
            self._printer.text(red, stream="stderr")
        else:
            self._tell(Event(subject="Compose", text="Stopping", phase=Phase.WORKING, details=sentence))

    def _await_stop(self) -> bool:
        """Wait in the follow thread for the stop that an exit or Ctrl+C has asked the main thread for, if any."""
        if self._stop_expected:
            self._stop_done.wait()
        return self._stop_expected

    def _join_background(self) -> None:
        for thread in list(self._background):
            thread.join()

    def _stop(self, context: Context) -> None:
        options = StopOptions(
            services=self._options.services, timeout_s=self._options.timeout_s, hook_output=True
        )
        changes.stop(context, self._loaded.name, self._loaded, options)

    def _kill(self, context: Context) -> None:
        options = KillOptions(services=self._options.services)
        changes.kill(context, self._loaded.name, self._loaded, options)

    # ------------------------------------------------------------------ signals

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl+C, SIGTERM and SIGHUP interrupt changes.up, later they are messages; SIGUSR1 is an abort."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
        }
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._on_resize)
        with self._waking():
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextlib.contextmanager
    def _waking(self) -> Iterator[None]:
        """Wake the main thread for signals that the kernel gives to another one, as the second of two (signal(7)).

        The interpreter handles them in the main thread, but only once it wakes up: the second of two that belong
        together would be late, and count as another Ctrl+C.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)

        def wake() -> None:
            while os.read(reading, _WAKE_BYTES):
                self._queue.put(Signal.WAKE)
            os.close(reading)

        threading.Thread(target=wake, name="wake", daemon=True).start()
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.close(writing)

    def _on_resize(self, _number: int, _frame: object) -> None:
        if self._menu is not None:
            self._menu.resized()

    def _on_ctrl_c(self) -> None:
        """Do for the menu's key what the signal does; for the menu's thread."""
        self._left_by_key = True
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGINT)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stop_expected = self._stop_expected or number != signal.SIGUSR1
        if number != signal.SIGUSR1:
            now_s = time.monotonic()  # before the rest: the other signal's handler may run within a call
            before_s, self._signalled_s = self._signalled_s, now_s
            if now_s - before_s < TOGETHER_S:
                return
        if self._starting:
            reason = Interrupted() if number == signal.SIGUSR1 else KeyboardInterrupt()
            if self._held is None:
                raise reason
            self._held.append(reason)
        elif number != signal.SIGUSR1:
            self._queue.put(Signal.INTERRUPT)
