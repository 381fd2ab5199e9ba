"""`pycompose watch`: files in containers as they are here, builds and restarts where the rules ask for them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any

import click
from pycompose.cli.display import style
from pycompose.cli.display.format import dumps
from pycompose.cli.display.humanize import moment
from pycompose.cli.display.steplines import StepLines
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.config.load import Loaded
    from pycompose.events import Event
    from pycompose.model import Project
    from pycompose.watch.reports import WatchReport
    from pycompose.watch.rules import Rules


class ReportPrinter:
    """Prints what the watcher tells, from several threads: a line each, or a JSON object per line."""

    def __init__(self, *, as_json: bool, quiet: bool, colour: bool) -> None:
        self._json, self._quiet, self._colour = as_json, quiet, colour
        self._lock = threading.Lock()
        self._steps = StepLines(self._write)
        self._broken: list[IO[str]] = []

    def report(self, report: WatchReport) -> None:
        """Print one."""
        if self._json:
            self._write(dumps({"time": moment(time.time_ns()), "event": report.kind, **report.facts}))
            return
        if not report.text:
            return
        text = style.clean(report.text)
        self._write(style.paint(text, style.RED, on=self._colour and report.error), error=report.error)
        if report.hint:
            self._write(f"hint: {style.clean(report.hint)}", error=True)

    def event(self, event: Event) -> None:
        """Print what a build prints."""
        if event.number and not self._quiet and not self._json:
            self._steps.take(event)

    def _write(self, text: str, *, error: bool = False) -> None:
        stream = sys.stderr if error else sys.stdout
        with self._lock:
            if stream in self._broken:
                return
            try:
                stream.write(f"{text}\n")
                stream.flush()
            except OSError as exc:
                self._give_up(stream, exc)

    def _give_up(self, stream: IO[str], failure: OSError) -> None:
        """Print nothing there any more: files matter more than what is said of them."""
        self._broken.append(stream)
        # What its buffer holds would fail once more when the process ends.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is sys.stdout and not isinstance(failure, BrokenPipeError):
            with contextlib.suppress(OSError):
                print(f"watch goes on, but cannot print: {failure.strerror}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl+C does; the exit code is 130 for both, as in Compose."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.command(help="Keep files in containers like those here; rebuild and restart as `develop.watch` says.")
@services_argument()
@click.option("--no-up", is_flag=True, help="Don't build and start the services before.")
@click.option("--prune/--no-prune", default=True, help="Remove images that builds leave without a name.")
@click.option("--quiet", is_flag=True, help="Without the output of builds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--apply", is_flag=True, help="Do what a change of the compose file asks for.")
@click.option(
    "--infer", is_flag=True, help="Derive rules from Dockerfiles for services without any, and print them."
)
@click.option("--explain", metavar="PATH", help="Tell which rule takes a path, and why; watch nothing.")
@click.option("-d", "--detach", is_flag=True, help="In the background, as long as there is the project.")
@click.option("--stop", is_flag=True, help="End the watcher in the background.")
@click.option("--background", is_flag=True, hidden=True)
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], **args: Any) -> int:
    """Check the rules, bring the project up, follow the rules until a signal comes."""
    if args["stop"]:
        return _stop(invocation)
    from pycompose.client import supervisor  # noqa: PLC0415 - --help doesn't need it
    from pycompose.watch.explain import explain  # noqa: PLC0415
    from pycompose.watch.rules import rules_of  # noqa: PLC0415

    supervisor.prepare(invocation.context(), invocation.project_name)
    loaded = invocation.load(services)
    project = project_of(loaded)
    if args["infer"]:
        project = _inferred(invocation, project, services)
    rules = rules_of(project, services)
    for warning in rules.warnings:
        invocation.warn(warning)
    if args["explain"] is not None:
        if args["as_json"]:
            raise PycomposeError("--explain and --json: cannot be combined")
        for line in explain(project, rules, os.path.abspath(args["explain"])):
            print(style.clean(line))
        return 0
    if invocation.dry_run:
        return _dry_run(invocation, loaded, rules, services, up=not args["no_up"])
    if args["detach"]:
        return _detach(invocation, loaded, rules, services, args)
    with ended_by_signals():
        return _watch(invocation, loaded, rules, services, args)


def _inferred(invocation: Invocation, project: Project, services: tuple[str, ...]) -> Project:
    """Return the project with rules for services that have a build and none, and print those."""
    from pycompose.watch.infer import as_yaml, infer  # noqa: PLC0415 - as above

    context = invocation.context()
    found = {
        name: infer(context.paths, project, service, context.environment)
        for name, service in project.services.items()
        if service.build is not None and not service.watch and (not services or name in services)
    }
    if not found:
        raise PycomposeError("--infer: no service has a build and no rules")
    print("\n".join(map(style.clean, as_yaml(project, found).split("\n"))))
    changed = {name: replace(project.services[name], watch=rules) for name, rules in found.items()}
    return replace(project, services={**project.services, **changed})


def _watch(
    invocation: Invocation, loaded: Loaded, rules: Rules, services: tuple[str, ...], args: dict[str, Any]
) -> int:
    from pycompose.config.load import load  # noqa: PLC0415 - as above
    from pycompose.watch.options import WatchOptions  # noqa: PLC0415
    from pycompose.watch.rules import rules_of  # noqa: PLC0415
    from pycompose.watch.start import bring_up  # noqa: PLC0415
    from pycompose.watch.watcher import Watcher  # noqa: PLC0415

    printer = ReportPrinter(
        as_json=args["as_json"], quiet=args["quiet"], colour=invocation.colour(sys.stdout)
    )
    options = WatchOptions(
        services=services,
        quiet=args["quiet"],
        prune=args["prune"],
        background=args["background"],
        reload=None if "-" in invocation.files else lambda: load(invocation.load_options(services)),
        apply=args["apply"],
    )
    up = not args["no_up"]
    while True:
        watcher = Watcher(invocation.context(printer.event), loaded, rules, options, printer.report)
        watcher.open()
        try:
            if up:
                with invocation.showing("watch") as sink:
                    bring_up(invocation.context(sink), loaded, rules, services, quiet=args["quiet"])
            watcher.enable()
            watcher.wait()
        finally:
            watcher.close()
        if watcher.reloaded is None:
            return 0
        # The compose file has changed, and that is to be done: with its rules, too.
        loaded, up = watcher.reloaded, True
        rules = rules_of(project_of(loaded), services)


def _detach(
    invocation: Invocation, loaded: Loaded, rules: Rules, services: tuple[str, ...], args: dict[str, Any]
) -> int:
    """Have the project watched in the background, then bring it up: its containers start with the current files."""
    from pycompose.watch.background import start  # noqa: PLC0415 - as above
    from pycompose.watch.start import bring_up  # noqa: PLC0415

    flags = [f"--{name}" for name in ("quiet", "infer", "apply") if args[name]]
    flags += [] if args["prune"] else ["--no-prune"]
    words = (*_global_words(invocation), "watch", "--background", "--no-up", *flags, *services)
    with start(invocation.context(), loaded.name, words) as (pid, log):
        if not args["no_up"]:
            with invocation.showing("watch") as sink:
                bring_up(invocation.context(sink), loaded, rules, services, quiet=args["quiet"])
    print(f"Watching in the background, process {pid}, which writes to {log}")
    return 0


def _global_words(invocation: Invocation) -> list[str]:
    """Return the global flags as they were given, for another process. Raises PycomposeError."""
    words: list[str] = []
    for flag, values in (
        ("-f", invocation.files),
        ("-p", (invocation.project_name,)),
        ("--project-directory", (invocation.project_directory,)),
        ("--profile", invocation.profiles),
        ("--env-file", invocation.env_files),
    ):
        words += [word for value in values if value is not None for word in (flag, value)]
    if "-" in invocation.files:
        raise PycomposeError("watch -d: a compose file on standard input can't be read again")
    return [*words, *(["--compatibility"] if invocation.compatibility else [])]


def _stop(invocation: Invocation) -> int:
    from pycompose.watch.background import stop  # noqa: PLC0415 - as above

    name = invocation.name()
    if not stop(invocation.context(), name):
        raise PycomposeError(f"project {name}: is not watched in the background")
    return 0


def _dry_run(
    invocation: Invocation, loaded: Loaded, rules: Rules, services: tuple[str, ...], *, up: bool
) -> int:
    """Show what would be done before, and the rules that would be followed."""
    from pycompose.client import changes  # noqa: PLC0415 - as above
    from pycompose.client.options import UpOptions  # noqa: PLC0415

    if up:
        with invocation.showing("watch") as sink:
            changes.up(invocation.context(sink), loaded, UpOptions(services=services, dry_run=True))
    for rule in rules.rules:
        to = f" to {rule.target}" if rule.target else ""
        print(style.clean(f"{rule.service}: {rule.action} {rule.path}{to}"))
    return 0
