"""The pytest plugin: stacks as fixtures, their output with the failures, what they took in the summary.

pytest loads it in every run of every project that has pycompose installed: what it needs is imported when a test asks
for a stack.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.testing.stack import Compose, Files
    from pycompose.testing.undo import Fault

SCOPES = ("session", "package", "module", "class", "function")
RESETS = ("restart", "recreate", "snapshot")
SLOWEST = 5
_MARKS = ("services", "profiles", "reset")
_STARTED_NS = pytest.StashKey[int]()


class PluginState:
    """The stacks of this process, and what is to be said about them."""

    def __init__(self) -> None:
        self.live: list[Compose] = []
        self.kept: list[str] = []
        self.times: list[dict[str, Any]] = []
        self._failed: set[int] = set()
        self._resets: dict[int, str] = {}
        self._used: set[int] = set()
        self._left: dict[int, list[Fault]] = {}

    @contextlib.contextmanager
    def stack(
        self, config: pytest.Config, files: Files, *, reset: str = "", **options: Any
    ) -> Iterator[Compose]:
        """Yield a stack. What keeps it from starting is a failure of the tests that want it, or a reason to skip."""
        from pycompose.engine.errors import PycomposeError
        from pycompose.testing.errors import explained
        from pycompose.testing.stack import Compose

        _require_machine(config)
        failure = ""
        try:
            if not files:
                options.setdefault("profiles", tuple(config.getini("pycompose_profiles")))
            stack = Compose(files or _files(config), **{**_options(config, options), **options})
            stack.start()
        except PycomposeError as exc:
            failure = explained(exc)
        if failure:  # here, where it has no context
            pytest.fail(failure, pytrace=False)
        self.live.append(stack)
        self._resets[id(stack)] = reset
        try:
            yield stack
        finally:
            self._end(config, stack)

    def _end(self, config: pytest.Config, stack: Compose) -> None:
        self.live.remove(stack)
        self._left.pop(id(stack), None)
        self._note_times(stack)
        keep = config.getoption("pycompose_keep")
        leave = keep == "always" or (keep == "failed" and id(stack) in self._failed)
        if leave:
            self.kept.append(stack.name)
        stack.close(keep=leave or None)

    def _note_times(self, stack: Compose) -> None:
        from pycompose.engine.config import plain

        times = plain(stack.times)
        for name, entry in times["services"].items():
            entry["memory_peak_bytes"] = stack.memory_peak_bytes(name)
        self.times.append(times)

    def tell(self, test: str, status: str, text: str) -> None:
        """Tell pages that are open what a test does that may use the stacks."""
        for stack in self.live:
            stack.tell_test(test, status, text)

    def failed(self) -> None:
        """Note that a test has failed while these stacks were there."""
        self._failed.update(id(stack) for stack in self.live)

    def faults(self) -> dict[int, tuple[Fault, ...]]:
        """Return what is broken on purpose now."""
        return {id(stack): stack.broken.now() for stack in self.live}

    def after(self, before: dict[int, tuple[Fault, ...]]) -> None:
        """Note what a test has broken and not undone, given what was broken before it."""
        for stack, faults in self.faults().items():
            mine = [fault for fault in faults if fault not in before.get(stack, ())]
            self._left.setdefault(stack, []).extend(mine)

    def before(self, stack: Compose, reset: str = "") -> None:
        """Put a stack back before a test as its fixture, or the test, says: to how the first such test has found it.

        What an earlier test has broken is mended in any case.
        """
        for fault in reversed(self._left.pop(id(stack), [])):
            fault.undo()
        how = reset or self._resets.get(id(stack), "")
        fresh = id(stack) not in self._used
        self._used.add(id(stack))
        if how and stack.shared and "PYTEST_XDIST_WORKER" in os.environ:
            pytest.fail(
                f"reset {how!r}: the stack is shared, other workers' tests are using it\n"
                "hint: give each worker its own (without `shared`), or leave the reset out",
                pytrace=False,
            )
        if fresh and how and stack.joined:
            self._back_to_the_start(stack, how)
        elif how == "snapshot" and not stack.has_snapshot():
            stack.snapshot()
        elif how and not fresh:
            stack.reset(how)

    def _back_to_the_start(self, stack: Compose, how: str) -> None:
        """Put back what an earlier run of pytest has left in a stack to reuse."""
        if how != "snapshot":
            stack.reset(how)
        elif stack.has_snapshot(of_these=True):
            stack.restore()
        else:  # it is as that run's last test has left it
            stack.reset("recreate")
            stack.snapshot()


STATE = pytest.StashKey[PluginState]()


# ---------------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare flags and ini keys."""
    group = parser.getgroup("pycompose", "test environments of pycompose")
    group.addoption(
        "--pycompose-keep", choices=("never", "failed", "always"), default="never", dest="pycompose_keep",
        help="leave stacks behind for a look at them: `pycompose gc --kept` takes them away",
    )  # fmt: skip
    group.addoption(
        "--pycompose-reuse", action="store_true", dest="pycompose_reuse",
        help="leave stacks running for the next run, which recreates only what has changed",
    )  # fmt: skip
    group.addoption(
        "--pycompose-require", action="store_true", dest="pycompose_require",
        help="fail, don't skip, where no containers can be made",
    )  # fmt: skip
    group.addoption(
        "--pycompose-report", metavar="FILE", default="", dest="pycompose_report",
        help="write what each stack took, as JSON",
    )  # fmt: skip
    parser.addini("pycompose_files", "compose files of the `compose` fixture", type="args", default=[])
    parser.addini("pycompose_project_dir", "their project directory", default="")
    parser.addini("pycompose_profiles", "profiles of the `compose` fixture", type="args", default=[])
    parser.addini(
        "pycompose_scope", f"scope of the `compose` fixture: {', '.join(SCOPES)}", default="session"
    )
    parser.addini("pycompose_reset", "how it is put back before each test", default="")
    parser.addini("pycompose_shared", "one stack for all workers of pytest-xdist", type="bool", default=False)
    parser.addini("pycompose_timeout", "seconds until a stack has to be ready", default="60")


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    config.addinivalue_line(
        "markers", "compose(services=[…], profiles=[…], reset=…): what a test needs of the `compose` fixture"
    )
    config.stash[STATE] = PluginState()
    scope = str(config.getini("pycompose_scope"))
    if scope not in SCOPES:
        raise pytest.UsageError(f"pycompose_scope: {scope!r} is none of {', '.join(SCOPES)}")
    if (
        scope == "package"
    ):  # of a plugin's fixture pytest makes the session's: a package is where a fixture is defined
        raise pytest.UsageError(
            "pycompose_scope: 'package' is for fixtures of a package: "
            'write `compose = compose_fixture(…, scope="package")` in its conftest.py'
        )
    try:
        _seconds(config)
    except ValueError:
        text = config.getini("pycompose_timeout")
        raise pytest.UsageError(f"pycompose_timeout: {text!r} is no duration: 90, or 1m30s") from None
    report = os.path.abspath(str(config.getoption("pycompose_report")) or "x")
    if not os.path.isdir(os.path.dirname(report)):
        raise pytest.UsageError(f"--pycompose-report: there is no directory {os.path.dirname(report)}")
    reset = str(config.getini("pycompose_reset"))
    if reset and reset not in RESETS:
        raise pytest.UsageError(f"pycompose_reset: {reset!r} is none of {', '.join(RESETS)}")


def _seconds(config: pytest.Config) -> float:
    """Return the time that a stack has to be ready. Raises ValueError."""
    text = str(config.getini("pycompose_timeout"))
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    from pycompose.units import parse_duration

    return parse_duration(text)


def _files(config: pytest.Config) -> Files:
    listed = [str(config.rootpath / file) for file in config.getini("pycompose_files")]
    return tuple(listed)


def _options(config: pytest.Config, given: dict[str, Any]) -> dict[str, Any]:
    """Return what flags and ini keys say of a stack."""
    directory = str(config.getini("pycompose_project_dir"))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    options: dict[str, Any] = {
        "worker": worker,
        "timeout_s": _seconds(config),
        "shared": bool(config.getini("pycompose_shared")),
        "project_directory": config.rootpath / directory if directory else config.rootpath,
    }
    if given.get("shared", options["shared"]):
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "") or f"{os.getpid():x}"
        options["suffix"] = f"shared-{run[:8]}"
    if config.getoption("pycompose_reuse"):
        options |= {"reuse": True, "suffix": f"reuse-{worker}" if worker else "reuse"}
    return options


def _require_machine(config: pytest.Config) -> None:
    """Skip, or with --pycompose-require fail, where no containers can be made."""
    from pycompose import privileges
    from pycompose.engine.errors import PycomposeError

    reason = ""
    try:
        privileges.require_containers()
    except PycomposeError as exc:
        reason = f"{exc.message} ({exc.hint}; `pycompose doctor` shows more)"
    if reason and config.getoption("pycompose_require"):
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


# ---------------------------------------------------------------------- fixtures


def _scope(fixture_name: str, config: pytest.Config) -> Any:  # noqa: ARG001 - pytest passes it by name
    return str(config.getini("pycompose_scope"))


@pytest.fixture(scope=_scope)
def compose(request: pytest.FixtureRequest) -> Iterator[Compose]:
    """Return the project's stack, of the files in `pycompose_files` (else as `pycompose up` finds them).

    What tests say by `@pytest.mark.compose(services=[…])` is started for them; the others start all.
    """
    first = request.node if isinstance(request.node, pytest.Item) else _first_user(request)
    services = (_marked(first, "services") if first is not None else ()) or None
    with request.config.stash[STATE].stack(
        request.config,
        (),
        reset=str(request.config.getini("pycompose_reset")),
        services=services,
        profiles=(
            *request.config.getini("pycompose_profiles"),
            *(_marked(first, "profiles") if first else ()),
        ),
    ) as stack:
        yield stack


@pytest.fixture
def compose_project(request: pytest.FixtureRequest) -> Iterator[Callable[..., Compose]]:
    """Return a function that starts a stack: `compose_project("other.yaml", services=["db"], scope="module")`.

    With a `scope` above the test's, the next test of that scope that asks for the same gets the same stack.
    """
    state = request.config.stash[STATE]
    with contextlib.ExitStack() as own:

        def start(files: Files = (), *, scope: str = "function", reset: str = "", **options: Any) -> Compose:
            if scope not in SCOPES:
                raise ValueError(f"scope {scope!r} is none of {', '.join(SCOPES)}")
            if scope == "function":
                return own.enter_context(state.stack(request.config, files, **options))
            node = _node(request.node, scope)
            known = node.stash.setdefault(_STACKS, {})
            key = repr((files, sorted(options.items())))
            if key not in known:
                context = state.stack(request.config, files, reset=reset, **options)
                known[key] = context.__enter__()
                node.addfinalizer(lambda: (known.pop(key), context.__exit__(None, None, None)))
            else:
                state.before(known[key], reset)
            return known[key]

        yield start


_STACKS = pytest.StashKey[dict[str, "Compose"]]()


@pytest.fixture(autouse=True)
def _compose_marker(request: pytest.FixtureRequest) -> None:
    """Have what the test has asked for by its marker, and stacks that are reset as they are to be."""
    marker = request.node.get_closest_marker("compose")
    if marker is not None:
        _check_marker(marker)
    uses = "compose" in request.fixturenames
    if marker is not None and not uses:
        request.getfixturevalue("compose")
    state = request.config.stash[STATE]
    if uses or marker is not None:
        stack: Compose = request.getfixturevalue("compose")
        services = _marked(request.node, "services") or () if marker is not None else ()
        _ensure(stack, services, _marked(request.node, "profiles"))
        state.before(stack, str(marker.kwargs.get("reset", "")) if marker is not None else "")
    for name in request.fixturenames:
        value = request.node.funcargs.get(name) if hasattr(request.node, "funcargs") else None
        if value in state.live and name != "compose":
            state.before(value)


def _check_marker(marker: pytest.Mark) -> None:
    """Fail a test whose marker says what has no effect."""
    wrong = ", ".join([*map(repr, marker.args), *sorted(set(marker.kwargs) - set(_MARKS))])
    if wrong:
        pytest.fail(f"compose marker: {wrong}: unknown\nhint: known: {', '.join(_MARKS)}", pytrace=False)
    reset = marker.kwargs.get("reset", "")
    if reset and reset not in RESETS:
        pytest.fail(f"compose marker: reset {reset!r} is none of {', '.join(RESETS)}", pytrace=False)


def _ensure(stack: Compose, services: tuple[str, ...], profiles: tuple[str, ...]) -> None:
    from pycompose.engine.errors import PycomposeError
    from pycompose.testing.errors import explained

    failure = ""
    try:
        if profiles:
            stack.activate(profiles)
        wanted = services or tuple(stack.loaded.project.services)
        if set(wanted) - set(stack.running):
            stack.up(*wanted)
    except PycomposeError as exc:
        failure = explained(exc)
    if failure:
        pytest.fail(failure, pytrace=False)


def _marked(item: pytest.Item, key: str) -> tuple[str, ...]:
    marker = item.get_closest_marker("compose")
    value = marker.kwargs.get(key, ()) if marker is not None else ()
    return (value,) if isinstance(value, str) else tuple(value)


def _first_user(request: pytest.FixtureRequest) -> pytest.Item | None:
    """Return the test for which a fixture of a wider scope is made."""
    return getattr(request, "_pyfuncitem", None)


def _node(item: pytest.Item, scope: str) -> pytest.Item | pytest.Collector:
    kinds: dict[str, Any] = {
        "session": pytest.Session,
        "package": pytest.Package,
        "module": pytest.Module,
        "class": pytest.Class,
    }
    return item.getparent(kinds[scope]) or item.session


# ---------------------------------------------------------------------- reports


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when a test begins."""
    item.stash[_STARTED_NS] = time.time_ns()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note what a test breaks itself: what its fixtures have broken is theirs to mend."""
    state = item.config.stash[STATE]
    before = state.faults()
    state.tell(item.nodeid, "Working", "")
    yield
    state.after(before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add what the stacks' services have written during a failed test."""
    outcome: Any = yield
    report: pytest.TestReport = outcome.get_result()
    state = item.config.stash[STATE]
    if call.when == "setup":
        for stack in state.live:
            item.user_properties.append(("pycompose.stack", stack.name))
    if call.when == "call" or report.failed:
        state.tell(item.nodeid, "Error" if report.failed else "Done", report.outcome)
    if not report.failed:
        return
    state.failed()
    for stack in state.live:
        with contextlib.suppress(Exception):  # it may be what has failed
            lines = stack.logs(since_ns=item.stash.get(_STARTED_NS, 0))
            text = "\n".join(f"{line.container} | {line.text}" for line in lines)
            if text:
                report.sections.append((f"compose logs of {stack.name}", text))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what the stacks took to the process that writes the report."""
    config = session.config
    state = config.stash[STATE]
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["pycompose"] = json.dumps({"times": state.times, "kept": state.kept})
        return
    path = str(config.getoption("pycompose_report"))
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"stacks": state.times}, file, indent=2)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:  # noqa: ARG001 - xdist's signature
    """Take what a worker of pytest-xdist has noted."""
    text = getattr(node, "workeroutput", {}).get("pycompose")
    if text:
        state = node.config.stash[STATE]
        found = json.loads(text)
        state.times += found["times"]
        state.kept += found["kept"]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which services were slow to be ready, and how to look at what is left."""
    state = config.stash[STATE]
    slow = sorted(
        (
            (entry["ready_s"] or 0.0, entry["service"], stack["name"])
            for stack in state.times
            for entry in stack["services"].values()
        ),
        reverse=True,
    )
    if slow and config.get_verbosity() >= 0:
        terminalreporter.section("compose: slowest to be ready")
        for ready_s, service, stack in slow[:SLOWEST]:
            terminalreporter.write_line(f"{ready_s:7.2f} s  {service}  ({stack})")
    if state.kept:
        terminalreporter.section("compose: left behind")
        for name in state.kept:
            for action in ("ps -a", "logs", "exec SERVICE sh", "down -v"):
                terminalreporter.write_line(f"pycompose -p {name} {action}")
        terminalreporter.write_line("all of them: pycompose gc --kept")
