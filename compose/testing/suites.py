"""Tests that a compose file declares: `x-test` of a service says what is run, when, and what is broken meanwhile.

    x-test:
      command: pytest -q tests/          the service's own command without it
      wait: {api: {http: "8000/health"}} what has to be true of others before, besides being ready
      reset: snapshot                    how the stack is put back between two runs
      timeout: 5m                        of one run
      scenarios:                         further runs, each under faults
        slow-database:
          faults: [{service: db, latency: 50ms}]

Each run is a new container of the service, beside a stack of what it depends on.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from pycompose.config.tree import locate, render_path
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import PycomposeError
from pycompose.errors import ConfigError
from pycompose.testing import waiting
from pycompose.testing.errors import explained
from pycompose.testing.stack import RESETS
from pycompose.testing.undo import Fault, bytes_per_second, nanoseconds, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pycompose.config.load import Loaded
    from pycompose.testing.stack import Compose

KEY = "x-test"
KEYS = ("command", "wait", "reset", "timeout", "scenarios")
SCENARIO_KEYS = ("command", "faults", "timeout")
WAITS = ("tcp", "http", "log", "file", "command", "state")
STATES = {"healthy": waiting.healthy, "running": waiting.running, "completed": waiting.completed}
FAULTS = ("latency", "jitter", "loss", "bandwidth", "disconnect", "stop", "kill", "freeze")
_SWITCHES = ("stop", "kill", "freeze")  # true or false


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run: `command` () is the service's own; `faults` are mappings as in the file."""

    name: str
    command: tuple[str, ...] = ()
    faults: tuple[Mapping[str, Any], ...] = ()
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What the `x-test` of one service asks for; the first scenario is the run without faults."""

    service: str
    scenarios: tuple[Scenario, ...]
    waits: tuple[tuple[str, waiting.Wait], ...] = ()
    reset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """How one run has ended; `failure` is "" for a success. `seconds` is without its stack's start.

    `broken` if it isn't the command that has failed, but what it was to run on.
    """

    suite: str
    name: str
    code: int
    seconds: float
    output: str = ""
    failure: str = ""
    broken: bool = False


# ---------------------------------------------------------------------- reading


def read_suite(loaded: Loaded, service: str) -> Suite:
    """Return what a service's `x-test` says. Raises ConfigError with its place."""
    tree = loaded.tree["services"].get(service) or loaded.disabled.get(service) or {}
    given = tree.get(KEY)
    reader = _Reader(loaded, service)
    if given is None:
        return Suite(service=service, scenarios=(Scenario(name=service),))
    found = reader.mapping(given, (KEY,), KEYS)
    timeout_s = reader.duration(found.get("timeout"), (KEY, "timeout"))
    command = reader.command(found.get("command"), (KEY, "command"))
    scenarios = [Scenario(name=service, command=command, timeout_s=timeout_s)]
    for name, value in reader.mapping(_given(found, "scenarios"), (KEY, "scenarios")).items():
        place = (KEY, "scenarios", name)
        scenario = reader.mapping({} if value is None else value, place, SCENARIO_KEYS)
        scenarios.append(
            Scenario(
                name=name,
                command=reader.command(scenario.get("command"), (*place, "command")) or command,
                faults=reader.faults(scenario.get("faults"), (*place, "faults")),
                timeout_s=reader.duration(scenario.get("timeout"), (*place, "timeout")) or timeout_s,
            )
        )
    reset = found.get("reset")
    if reset is not None and reset not in RESETS:
        raise reader.error(f"must be one of {', '.join(RESETS)}", (KEY, "reset"))
    return Suite(
        service=service,
        scenarios=tuple(scenarios),
        waits=reader.waits(_given(found, "wait")),
        reset=reset or "",
    )


def declared(loaded: Loaded) -> list[str]:
    """Return the services that have an `x-test`, those of inactive profiles included."""
    services = {**loaded.tree["services"], **loaded.disabled}
    return [name for name, service in services.items() if isinstance(service, dict) and KEY in service]


def _given(tree: Mapping[str, Any], key: str) -> Any:
    """Return a mapping of the file that may be left out, or empty."""
    value = tree.get(key)
    return {} if value is None else value


class _Reader:
    """Checks values and says where they are."""

    def __init__(self, loaded: Loaded, service: str) -> None:
        self._loaded = loaded
        self._service = service
        self._known = {**loaded.tree["services"], **loaded.disabled}

    def error(
        self, text: str, path: tuple[Any, ...], hint: str | None = None, *, of_key: bool = False
    ) -> ConfigError:
        """Return the error for a value, or a key."""
        tree = self._loaded.tree["services"].get(self._service)
        root = tree if tree is not None else self._loaded.disabled[self._service]
        place = locate(root, path, of_key=of_key)
        whole = replace(place, path=render_path(("services", self._service, *path)))
        return ConfigError(text, location=whole, hint=hint)

    def mapping(self, value: Any, path: tuple[Any, ...], keys: Sequence[str] = ()) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.error("must be a mapping", path)
        for key in value:
            if keys and key not in keys:
                raise self.error("unknown", (*path, key), hint=f"known: {', '.join(keys)}", of_key=True)
        return value

    def command(self, value: Any, path: tuple[Any, ...]) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            return tuple(shlex.split(value))
        if isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
            return tuple(str(item) for item in value)
        raise self.error("must be a text or a list of texts", path)

    def duration(self, value: Any, path: tuple[Any, ...]) -> float | None:
        if value is None:
            return None
        try:
            return nanoseconds(value if isinstance(value, (int, float)) else str(value)) / 1e9
        except PycomposeError:
            raise self.error(f"not a duration: {value!r}", path, hint="for example 90s") from None

    def waits(self, value: Any) -> tuple[tuple[str, waiting.Wait], ...]:
        found = []
        for service, wanted in self.mapping(value, (KEY, "wait")).items():
            path = (KEY, "wait", service)
            self.known(service, path)
            pairs = {"state": wanted} if isinstance(wanted, str) else self.mapping(wanted, path, WAITS)
            found += [(service, self._wait(kind, text, (*path, kind))) for kind, text in pairs.items()]
        return tuple(found)

    def _wait(self, kind: str, value: Any, path: tuple[Any, ...]) -> waiting.Wait:
        match kind:
            case "state" if value in STATES:
                return STATES[value]()
            case "state":
                raise self.error(f"must be one of {', '.join(STATES)}", path[:-1])
            case "tcp" if isinstance(value, int) and value is not True and 0 < value < 2**16:
                return waiting.tcp(value)
            case "http" if str(value).partition("/")[0].isdecimal():
                port, _, rest = str(value).partition("/")
                return waiting.http(int(port), f"/{rest}", status=None if not rest else 200)
            case "log":
                return waiting.log(str(value))
            case "file":
                return waiting.file(str(value))
            case "command":
                return waiting.command(*self.command(value, path))
        raise self.error(
            f"cannot use {value!r}", path, hint='for example {tcp: 5432} or {http: "8000/health"}'
        )

    def faults(self, value: Any, path: tuple[Any, ...]) -> tuple[Mapping[str, Any], ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.error("must be a list", path)
        for index, fault in enumerate(value):
            here = (*path, index)
            found = self.mapping(fault, here, ("service", "partition", "cut_off", *FAULTS))
            if not set(found) - {"service", "jitter"}:
                raise self.error(
                    "says no fault", here, hint=f"known: {', '.join((*FAULTS, 'partition', 'cut_off'))}"
                )
            self._between(found, here)
            if set(found) & set(FAULTS):
                self._of_service(found, here)
        return tuple(value)

    def _between(self, fault: Mapping[str, Any], here: tuple[Any, ...]) -> None:
        """Check what is between services."""
        sides = fault.get("partition", ())
        if "partition" in fault and not (isinstance(sides, list) and len(set(map(str, sides))) > 1):
            raise self.error("needs two services", (*here, "partition"), hint="for example [api, db]")
        for key, names in (("partition", sides), ("cut_off", fault.get("cut_off", []))):
            for name in names if isinstance(names, (list, tuple)) else [names]:
                self.known(name, (*here, key))
                if key == "cut_off":
                    self._not_itself(name, (*here, key))

    def _of_service(self, fault: Mapping[str, Any], here: tuple[Any, ...]) -> None:
        """Check what one service has."""
        if "service" not in fault:
            raise self.error("says no service", here, hint="add `service: NAME`")
        self.known(fault["service"], here)
        self._not_itself(fault["service"], (*here, "service"))
        for key, parse in (("latency", nanoseconds), ("jitter", nanoseconds), ("bandwidth", bytes_per_second),
                           ("loss", share)):  # fmt: skip
            try:
                parse(fault.get(key, 1))
            except PycomposeError as exc:
                raise self.error(exc.message, (*here, key), hint=exc.hint) from None
        for key in _SWITCHES:
            if not isinstance(fault.get(key, True), bool):
                raise self.error("must be true or false", (*here, key))
        if sum(bool(fault.get(key)) for key in _SWITCHES) > 1:
            raise self.error(f"only one of {', '.join(_SWITCHES)} can be", here)

    def _not_itself(self, service: Any, path: tuple[Any, ...]) -> None:
        if service == self._service:
            raise self.error(
                "is the service under test, whose container is made for each run",
                path,
                hint="break what it talks to, or write `partition`",
            )

    def known(self, service: Any, path: tuple[Any, ...]) -> None:
        if service not in self._known:
            raise self.error(f"no such service: {service}", path, hint=f"services: {', '.join(self._known)}")


# ---------------------------------------------------------------------- running


def run_suite(stack: Compose, suite: Suite, tee: Callable[[str, bytes], None]) -> Iterator[CaseResult]:
    """Run one scenario after another on a stack that is up; yield how each has ended. Raises PycomposeError."""
    for number, scenario in enumerate(suite.scenarios):
        if suite.reset == "snapshot" and not stack.has_snapshot():
            stack.snapshot()
        elif number and suite.reset:
            stack.reset(suite.reset)
        for service, wait in suite.waits:
            stack[service].wait_for(wait)
        yield _run(stack, suite, scenario, tee)


def _run(stack: Compose, suite: Suite, scenario: Scenario, tee: Callable[[str, bytes], None]) -> CaseResult:
    began_s = time.monotonic()
    output = bytearray()

    def take(stream: str, data: bytes) -> None:
        output.extend(data)
        tee(stream, data)

    failure, code, broken = "", 1, False
    try:
        with contextlib.ExitStack() as faults:
            for fault in scenario.faults:
                for made in _break(stack, suite.service, fault):
                    faults.enter_context(made)
            # All that it needs is up, but for what is broken, which must stay so.
            runner = stack.peek(suite.service)
            code = runner.run(*scenario.command, timeout_s=scenario.timeout_s, tee=take, no_deps=True).code
            failure = f"exit code {code}" if code else ""
    except TimeoutError as exc:
        failure = str(exc)
    except PycomposeError as exc:
        failure, code, broken = explained(exc), exc.exit_code, True
    return CaseResult(
        suite=suite.service,
        name=scenario.name,
        code=code,
        seconds=time.monotonic() - began_s,
        output=output.decode(errors="replace"),
        failure=failure,
        broken=broken,
    )


def _break(stack: Compose, tested: str, fault: Mapping[str, Any]) -> Iterator[Fault]:
    names = [str(name) for name in fault.get("partition") or ()]
    if tested in names:
        for name in names if names[0] == tested else names[:1]:
            if name != tested:
                yield stack.only_the_others(name)
        names = [name for name in names if name != tested]
    if len(names) > 1:
        yield stack.partition(*names)
    if away := fault.get("cut_off"):
        yield stack.cut_off(*([away] if isinstance(away, str) else away))
    if "service" not in fault:
        return
    name = str(fault["service"])
    service = stack[name]
    if "latency" in fault or "jitter" in fault:
        yield service.latency(fault.get("latency", 0), jitter=fault.get("jitter", 0))
    if "loss" in fault:
        yield service.loss(float(fault["loss"]))
    if "bandwidth" in fault:
        yield service.bandwidth(fault["bandwidth"])
    if "disconnect" in fault:
        yield service.disconnect(str(fault["disconnect"]))

    if fault.get("kill"):
        yield service.kill()
    if fault.get("freeze"):
        yield service.freeze()
    if fault.get("stop"):
        service.stop()

        def again() -> None:
            service.start()
            stack.await_service(name)

        yield Fault(again)


# ---------------------------------------------------------------------- telling


def junit(results: Sequence[CaseResult]) -> str:
    """Return results as JUnit XML, a test suite for each service."""
    suites: dict[str, list[CaseResult]] = {}
    for result in results:
        suites.setdefault(result.suite, []).append(result)
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>"]
    for name, cases in suites.items():
        broken = sum(1 for case in cases if case.broken)
        failed = sum(1 for case in cases if case.failure) - broken
        seconds = sum(case.seconds for case in cases)
        lines.append(
            f'  <testsuite name={quoteattr(name)} tests="{len(cases)}" failures="{failed}" errors="{broken}" '
            f'time="{seconds:.3f}">'
        )
        for case in cases:
            lines.append(
                f"    <testcase classname={quoteattr(name)} name={quoteattr(case.name)} "
                f'time="{case.seconds:.3f}">'
            )
            if case.failure:
                kind = "error" if case.broken else "failure"
                lines.append(f"      <{kind} message={quoteattr(_printable(case.failure))}/>")
            lines.append(f"      <system-out>{escape(_printable(case.output))}</system-out>")
            lines.append("    </testcase>")
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _printable(text: str) -> str:
    """Return text as XML 1.0 can hold it (section 2.2): without control characters."""
    return "".join(
        char if char in "\t\n\r" or (char >= " " and char not in "\ufffe\uffff") else "\ufffd"
        for char in text
    )
