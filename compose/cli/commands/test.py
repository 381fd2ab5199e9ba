"""`pycompose test`: bring up what a service needs, run it, pass its exit code on, leave nothing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

import click
from pycompose.cli.display import style
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import complete_services
from pycompose.engine.errors import PycomposeError
from pycompose.errors import unknown_service

if TYPE_CHECKING:
    from pycompose.testing.stack import Compose
    from pycompose.testing.suites import CaseResult, Suite


@click.command(
    help="Run a service's tests on a stack of what it depends on, and leave nothing behind. "
    "Without a service those that the compose file declares by `x-test`.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--build", is_flag=True, help="Build images first.")
@click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="Set a variable of the tests.")
@click.option("--junit", metavar="FILE", type=click.Path(), help="Write the results as JUnit XML.")
@click.option("--keep", is_flag=True, help="Leave the stack behind (`gc --kept` takes it away).")
@click.option("--no-isolated", is_flag=True, help="With the project's own name, ports and volumes.")
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Run only these.")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, metavar="SECONDS",
              help="Until the stack has to be ready (default: 60).")  # fmt: skip
@click.argument("service", required=False, shell_complete=complete_services)
@click.argument("args", nargs=-1, metavar="[-- COMMAND [ARG]...]")
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> int:
    """Run one suite after another; return the exit code of the only run, else 1 if any has failed."""
    from pycompose.testing.suites import declared, junit, read_suite  # noqa: PLC0415 - --help doesn't need it

    invocation.context()  # may he at all
    invocation.command_codes = True
    args["args"] = args["args"][1:] if args["args"][:1] == ("--",) else args["args"]
    loaded = invocation.load((args["service"],) if args["service"] else ())
    names = [args["service"]] if args["service"] else declared(loaded)
    if not names:
        raise PycomposeError(
            "no tests: no service has an `x-test`", hint="name a service: pycompose test SERVICE -- COMMAND"
        )
    known = {**loaded.tree["services"], **loaded.disabled}
    for name in names:
        if name not in known:
            raise unknown_service(name, known)
    suites = [_chosen(read_suite(loaded, name), args) for name in names]
    report = _report_file(args["junit"])
    results: list[CaseResult] = []
    for suite in suites:
        results += _suite(invocation, suite, args)
    if report:
        with report:
            report.write(junit(results))
    failed = [result for result in results if result.failure]
    if len(results) == 1:
        return results[0].code
    _say(f"{len(results) - len(failed)} of {len(results)} passed")
    return 1 if failed else 0


def _report_file(path: str | None) -> TextIO | None:
    """Open the report before anything runs for it. Raises PycomposeError."""
    if not path:
        return None
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as exc:
        raise PycomposeError(f"--junit {path}: cannot write: {exc.strerror}") from None


def _chosen(suite: Suite, args: dict[str, Any]) -> Suite:
    """Return the suite with the command and the scenarios of the command line."""
    from pycompose.engine.dataclass import replace  # noqa: PLC0415 - --help doesn't need it

    found = suite.scenarios
    if args["args"]:
        found = tuple(replace(scenario, command=args["args"]) for scenario in found)
        found = found if args["scenarios"] else found[:1]
    if args["scenarios"]:
        known = {scenario.name: scenario for scenario in found}
        for name in args["scenarios"]:
            if name not in known:
                raise PycomposeError(f"no such scenario: {name}", hint=f"known: {', '.join(known)}")
        found = tuple(known[name] for name in args["scenarios"])
    return replace(suite, scenarios=found)


def _suite(invocation: Invocation, suite: Suite, args: dict[str, Any]) -> list[CaseResult]:
    """Run a suite on a stack of its own; what keeps it from running is a result, too."""
    from pycompose.testing.errors import explained  # noqa: PLC0415 - --help doesn't need it
    from pycompose.testing.suites import CaseResult, run_suite  # noqa: PLC0415 - as above

    results: list[CaseResult] = []
    began_s = time.monotonic()
    try:
        with _stack(invocation, suite, args) as stack:
            _say(f"stack {stack.name} ready after {time.monotonic() - began_s:.2f} s")
            for result in run_suite(stack, suite, _write):
                _tell(result, stack)
                stack.tell_test(
                    result.name, "Error" if result.failure else "Done", result.failure or "passed"
                )
                results.append(result)
    except PycomposeError as exc:
        name = suite.scenarios[min(len(results), len(suite.scenarios) - 1)].name
        seconds = time.monotonic() - began_s
        results.append(
            CaseResult(
                suite=suite.service,
                name=name,
                code=exc.exit_code,
                seconds=seconds,
                failure=explained(exc),
                broken=True,
            )
        )
        _tell(results[-1])
    return results


def _tell(result: CaseResult, stack: Compose | None = None) -> None:
    if result.broken:
        _say(f"error: {result.suite}: {result.name}: {result.failure}")
    else:
        _say(f"{result.suite}: {result.name}: {result.failure or 'passed'} ({result.seconds:.2f} s)")
    if result.failure and stack is not None:
        _tell_why(stack)


def _stack(invocation: Invocation, suite: Suite, args: dict[str, Any]) -> Compose:
    from pycompose.testing.stack import Compose  # noqa: PLC0415 - --help doesn't need it

    options = invocation.load_options()
    environment = dict(item.partition("=")[::2] for item in args["env"] if "=" in item)
    override = {"services": {suite.service: {"environment": environment}}} if environment else None
    stack = Compose(
        options.files,
        project_directory=options.project_directory,
        profiles=options.profiles,
        env_files=options.env_files or (),
        env=options.environment,
        override=override,
        isolated=not args["no_isolated"],
        timeout_s=args["timeout"],
        build=args["build"],
        keep=args["keep"],
    )
    stack.selected = stack.needs(suite.service)
    return stack


def _write(stream: str, data: bytes) -> None:
    out = sys.stdout if stream == "stdout" else sys.stderr
    out.buffer.write(data)
    out.flush()


def _tell_why(stack: Compose) -> None:
    """Print how the services are, with their last lines."""
    for name in stack.running:
        for report in stack.peek(name).report():
            _say(str(report))


def _say(text: str) -> None:
    print("\n".join(style.clean(line) for line in text.splitlines()), file=sys.stderr, flush=True)
