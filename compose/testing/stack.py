"""A stack: one copy of a compose file's services, up for as long as the block that asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from typing import TYPE_CHECKING, Any, Self

from pycompose import privileges
from pycompose.client import changes as use_cases
from pycompose.client import options as opt
from pycompose.client.context import Context
from pycompose.client.logs import logs as project_logs
from pycompose.client.telling import Telling
from pycompose.config.load import load
from pycompose.config.options import LoadOptions, working_directory
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.engine.paths import StatePaths
from pycompose.engine.statedirs import close_to_others, make_directory
from pycompose.engine.statefiles import locked
from pycompose.errors import unknown_service
from pycompose.events import Event, Phase
from pycompose.ipc.requests import (
    DisownRequest,
    OwnRequest,
)
from pycompose.policy.graph import select as with_dependencies
from pycompose.state.snapshot import claims
from pycompose.testing import waiting, warm
from pycompose.testing.changes import Changes
from pycompose.testing.control import StackControl
from pycompose.testing.errors import StackFailed
from pycompose.testing.names import check_names
from pycompose.testing.readiness import default_wait
from pycompose.testing.results import OutputLine, StackTimes
from pycompose.testing.service import StackService
from pycompose.testing.times import TimeKeeper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pycompose.config.load import Loaded
    from pycompose.ipc.client import StartingSupervisor

    Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

DEFAULT_TIMEOUT_S = 60.0
RESETS = ("restart", "recreate", "snapshot")


class Compose(StackControl):
    """A stack, started when the block is entered, gone with its data when it is left, however that happens.

    Services are items: `stack["db"].address(5432)`. With `isolated` (the default) it is a copy that may run beside
    any number of others of the same files (config/isolate.py); without, it has the names and ports of the file, and
    what ran before is neither taken over nor taken away.

    `files` as with -f, relative to `project_directory` if that is given, else to the working directory; `env` is added
    to the environment; `override` is merged as a further file; `volume_sizes` ("64m") makes volumes of limited size, in
    memory. `services` are started with what they need (all for None), others on first use. It waits until each is
    ready: healthy where there is a health check, ended with 0 where others wait for that, else running; `ready` has
    other waits by service. `timeout_s` is the time for all of it, `timeouts` for waiting for single services.
    `stop_timeout_s` is the grace at the end (None: that of each service).

    `name` is the project's whole name, else it is the file's with `suffix` (else one of its own, with `worker`). A
    `shared` stack of one name is the same for all processes that enter it, and ends with the last of them; one to
    `reuse` stays, and the next that enters it only recreates what has changed.
    """

    def __init__(  # noqa: PLR0913 - each is an option of a stack
        self,
        files: Files = (),
        *,
        project_directory: str | os.PathLike[str] | None = None,
        profiles: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        env_files: Sequence[str] = (),
        override: Mapping[str, Any] | None = None,
        volume_sizes: Mapping[str, str | int] | None = None,
        services: Sequence[str] | None = None,
        isolated: bool = True,
        name: str | None = None,
        worker: str = "",
        suffix: str | None = None,
        shared: bool = False,
        reuse: bool = False,
        ready: Mapping[str, waiting.Wait] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        timeouts: Mapping[str, float] | None = None,
        stop_timeout_s: float | None = 0.0,
        build: bool = False,
        pull: str = "",
        keep: bool = False,
    ) -> None:
        listed = (files,) if isinstance(files, (str, os.PathLike)) else tuple(files)
        directory = os.path.abspath(os.fspath(project_directory)) if project_directory is not None else None
        self.profiles = tuple(profiles)
        self.environment = {**os.environ, **(env or {})}
        self.selected = None if services is None else tuple(services)
        self.isolated = isolated
        self.shared = shared
        self.ready = dict(ready or {})
        self.timeout_s = timeout_s
        self.timeouts = dict(timeouts or {})
        self._volume_sizes = dict(volume_sizes or {})
        self.keep = keep or reuse
        self.reuse = reuse
        self.entered = False
        self.joined = False  # what it has begun with is what another process has left, or has
        self._stop_timeout_s = stop_timeout_s
        self._images: dict[str, Any] = {"build": build, "pull": pull}
        self._options = LoadOptions(
            files=tuple(os.path.join(directory or "", os.fspath(file)) for file in listed),
            project_directory=directory,
            project_name=name,
            profiles=self.profiles,
            env_files=tuple(env_files) or None,
            environment=self.environment,
            working_dir=directory or working_directory(self.environment),
            overrides=tuple(tree for tree in (override, _sized(volume_sizes)) if tree),
            name_suffix=_suffix(worker, suffix) if isolated and name is None else "",
            isolated=isolated,
        )
        self._loaded: Loaded | None = None
        self._started: dict[str, float] = {}
        self._owner, self._foreign = 0, False
        self._times = TimeKeeper()
        self._telling: Telling | None = None
        self.context = self._context()

    def __repr__(self) -> str:
        return f"<stack {self.name}>"

    # ------------------------------------------------------------------ beginning and end

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._go_there()  # which a process does as long as it has one thread
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Start the services and wait until they are ready. Raises StackFailed, ConfigError; nothing is left then."""
        self._go_there()
        close_to_others(self.context.paths)
        # One that finds no supervisor loads it while the files are read.
        fresh = self.isolated and not (self.shared or self.reuse)
        starting = warm.begin(self.context.paths) if fresh else None
        try:
            self._start(starting)
        finally:
            if starting is not None:
                starting.cancel()

    def _go_there(self) -> None:
        """Be where containers can be made: an ordinary user's process goes to his private host, and stays there."""
        if privileges.can_run_containers():
            return
        privileges.require_containers()
        for name in StatePaths().to_environment():
            if name in os.environ:
                self.environment.setdefault(name, os.environ[name])
        self.context = self._context()

    def _start(self, starting: StartingSupervisor | None) -> None:
        loaded = self.load(self.selected) if self.selected else self.loaded
        joins = self.shared or self.reuse
        there = bool(claims(self.context.paths, self.name))
        self._foreign, self.joined = there and not joins, there and joins
        if self._foreign and self.isolated:
            raise StackFailed(f"stack {self.name}: there is one of that name", hint="leave `name` out")
        self._owner = os.getpid()
        self._telling = Telling(self.context.paths, self.name, "tests")
        self.tell_test("stack", "Working", "starting")
        try:
            self._own(starting)  # before anything is made
            names = tuple(loaded.project.services) if self.selected is None else self.selected
            with self._one_at_a_time():
                self._build(loaded, names)
                if there:
                    from pycompose.testing.snapshots import finish  # noqa: PLC0415 - where somebody was before

                    finish(self)
                if names:
                    self.up(*names)
        except BaseException as exc:
            self.tell_test("stack", "Error", str(exc) or "interrupted")
            self.close()
            raise
        self.entered = True
        self._times.ready()
        self.tell_test("stack", "Done", "ready")

    def tell_test(self, test: str, status: str, text: str) -> None:
        """Tell pages that are open (`pycompose page`) what goes on; `status` as in `--progress json`."""
        if self._telling is not None:
            self._telling.steps([(test, status, text)])

    def _own(self, starting: StartingSupervisor | None = None) -> None:
        if not self._foreign:
            self.ask(OwnRequest(volumes=self.isolated), starting, keeper=True)

    def close(self, *, keep: bool | None = None) -> None:
        """Take the stack down with its data, or leave it behind (`keep`). Raises PycomposeError; can be repeated."""
        if self._owner != os.getpid():
            return  # not started, closed, or in a fork: the stack is its parent's
        self._owner = 0
        self.entered = False
        if self._telling is not None:
            self._telling.end(self._telling.errors)
        if not self.context.paths.project(self.name).exists():
            return  # it has been taken down
        leave = self.keep if keep is None else keep
        try:
            if self._foreign or self.shared or leave:
                self.heal()  # who goes on with it doesn't know what is broken
        finally:
            self._let_go(leave=leave)

    def _let_go(self, *, leave: bool) -> None:
        if self._foreign or self.ask(DisownRequest(keep=leave)) or leave:
            return
        options = opt.DownOptions(volumes=self.isolated, remove_orphans=True, timeout_s=self._stop_timeout_s)
        use_cases.down(self.context, self.name, None, options)

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Let one process at a time begin a stack that several share: the first builds up, the others find it."""
        with locked(self.context.paths.projects_run) if self.shared else contextlib.nullcontext():
            yield

    def _build(self, loaded: Loaded, names: Sequence[str]) -> None:
        """Have the images ready that are built here: once for all processes that need the same."""
        project = loaded.project
        chosen = with_dependencies(project.services, names)
        if not any(project.services[name].build for name in chosen):
            return
        from pycompose.client.ready_images import ready_images  # noqa: PLC0415 - for those who build

        make_directory(self.context.paths.builder)
        with locked(self.context.paths.builder):
            try:
                ready_images(self.context, project, chosen, opt.UpOptions(**self._images))
            except PycomposeError as exc:
                raise StackFailed(f"stack {self.name}: {exc.message}", hint=exc.hint) from exc
        self._images["build"] = False

    def _context(self) -> Context:
        return Context(
            paths=StatePaths.from_environment(self.environment),
            sink=self._event,
            environment=self.environment,
            confirm=lambda _question: True,
        )

    def _event(self, event: Event) -> None:
        self._times.event(event)
        if event.phase is Phase.WARNING:
            self.warnings.append(f"{event.subject} {event.text} {event.details}".strip())

    # ------------------------------------------------------------------ what it is made of

    @property
    def warnings(self) -> list[str]:
        """What there was to say about the files and their services."""
        return self._times.warnings

    @property
    def name(self) -> str:
        """The project's name. Raises ConfigError."""
        return self.loaded.name

    @property
    def loaded(self) -> Loaded:
        """The compose files as they were read. Raises ConfigError."""
        return self._loaded or self.load()

    @property
    def times(self) -> StackTimes:
        """How long the start has taken."""
        return self._times.result(self.name)

    def load(self, services: Sequence[str] = ()) -> Loaded:
        """Read the files, with the profiles of `services`.

        Raises ConfigError, UnknownService, and PycomposeError for another name that isn't in the files.
        """
        loaded = load(replace(self._options, services=tuple(services)))
        if not services and self._loaded is None:
            named = {*self.ready, *self.timeouts}
            check_names(loaded, profiles=self.profiles, services=named, volumes=self._volume_sizes)
            self._loaded = loaded
            self.warnings.extend(warning.text for warning in loaded.warnings)
        return loaded

    def activate(self, profiles: Sequence[str]) -> None:
        """Have the services of more profiles, too. Raises ConfigError."""
        if not set(profiles) - set(self.profiles):
            return
        self.profiles = tuple(dict.fromkeys((*self.profiles, *profiles)))
        self._options = replace(self._options, profiles=self.profiles)
        self._loaded = None

    def memory_peak_bytes(self, service: str) -> int | None:
        """Return the most memory that one of a service's containers has used, None where the kernel doesn't tell."""
        found = []
        for view in StackService(self, service).containers():
            with contextlib.suppress(PycomposeError):
                found.append(open_existing(self.context.paths, view.id).memory_peak_bytes())
        return max((peak for peak in found if peak is not None), default=None)

    def __getitem__(self, service: str) -> StackService:
        """Return a service, started (and what it needs) if it wasn't yet. Raises UnknownService, StackFailed."""
        found = self.peek(service)
        if self.entered and service not in self._started:
            self.up(service)
        return found

    def needs(self, service: str) -> tuple[str, ...]:
        """Return what a service depends on, directly or not. Raises UnknownService, ConfigError."""
        project = self.load((service,)).project
        return tuple(name for name in with_dependencies(project.services, [service]) if name != service)

    def peek(self, service: str) -> StackService:
        """Return a service as it is, started or not. Raises UnknownService."""
        if service not in self.services:
            raise unknown_service(service, self.services)
        return StackService(self, service)

    @property
    def services(self) -> tuple[str, ...]:
        """The names of all services of the files, those of inactive profiles included."""
        loaded = self.loaded
        return tuple(sorted({**loaded.project.services, **loaded.project.disabled_services}))

    @property
    def running(self) -> tuple[str, ...]:
        """The names of the services that this stack has started."""
        return tuple(self._started)

    def export(self) -> dict[str, str]:
        """Return where everything is, as variables: DB_HOST, DB_5432_TCP_ADDR and _PORT, WEB_80_TCP_HOST_PORT."""
        found: dict[str, str] = {}
        for name in self.running:
            service = StackService(self, name)
            prefix = "".join(char if char.isalnum() else "_" for char in name.upper())
            with contextlib.suppress(PycomposeError):
                found[f"{prefix}_HOST"] = service.address(0)[0]
                for binding in service.container().ports:
                    key = f"{prefix}_{binding.target}_{binding.protocol.upper()}"
                    found[f"{key}_ADDR"], found[f"{key}_PORT"] = (
                        service.address(binding.target)[0],
                        str(binding.target),
                    )
                    if binding.host_port:
                        found[f"{key}_HOST_PORT"] = str(binding.host_port)
        return found

    # ------------------------------------------------------------------ what it says

    def logs(self, *services: str, since_ns: int = 0, tail: int | None = None) -> list[OutputLine]:
        """Return lines of these services (all for none) by time, written since a moment, `tail` of each container."""
        options = opt.LogsOptions(services=services, since_ns=since_ns, tail=tail)
        batches = project_logs(Context(paths=self.context.paths, sink=_ignore), self.name, None, options)
        return [
            OutputLine(
                time_ns=line.stamp_ns,
                stream=line.stream,
                text=line.data.decode(errors="replace"),
                service=line.service,
                container=line.container,
            )
            for batch in batches
            for line in batch
        ]

    @contextlib.contextmanager
    def changes(self) -> Iterator[Changes]:
        """Yield what can be waited on for the next event of a container."""
        with Changes(self.context.paths, self.name) as changes:
            yield changes

    # ------------------------------------------------------------------ changing it

    def up(self, *services: str) -> None:
        """Start these services and what they need, and wait until they are ready. Raises StackFailed, NotReady."""
        loaded = self.load(services)
        project = loaded.project
        names = with_dependencies(project.services, services)
        until_s = time.monotonic() + self.timeout_s
        options = opt.UpOptions(services=services, ignore_orphans=True, yes=True, **self._images)
        if self.entered:
            self._own()  # who has taken the stack down has ended that, too
        try:
            use_cases.up(self.context, loaded, options)
        except PycomposeError as exc:
            reports = [r for name in names for r in StackService(self, name).report() if r.state != "missing"]
            raise StackFailed(f"stack {self.name}: {exc.message}", reports, hint=exc.hint) from exc
        for name in names:
            if project.services[name].replicas:
                self._await(name, loaded, until_s)
                self._started.setdefault(name, time.monotonic())
                self._times.service_ready(name)

    def _await(self, name: str, loaded: Loaded, until_s: float) -> None:
        left_s = max(until_s - time.monotonic(), 0.001)
        wait = self.ready.get(name) or default_wait(name, loaded.project)
        StackService(self, name).wait_for(wait, timeout_s=min(left_s, self.timeouts.get(name, left_s)))

    def timeout_of(self, service: str) -> float:
        """Return for how long a service is waited for, in seconds."""
        return self.timeouts.get(service, self.timeout_s)

    def reset(self, how: str) -> None:
        """Put the started services back: "restart", "recreate", or "snapshot" (see `restore`).

        Recreated, a copy of a project has empty volumes. Raises PycomposeError, NotReady.
        """
        if how not in RESETS:
            raise PycomposeError(f"reset {how!r}: unknown", hint=f"known: {', '.join(RESETS)}")
        if how == "snapshot":
            self.restore()
            return
        names = self.running
        if how == "restart":
            self.act("restart", *names, timeout_s=self._stop_timeout_s)
        else:
            options = opt.DownOptions(
                volumes=self.isolated, remove_orphans=True, timeout_s=self._stop_timeout_s
            )
            use_cases.down(self.context, self.name, None, options)
            self.up(*names)
        self.await_ready(names)

    def await_ready(self, services: Iterable[str]) -> None:
        """Wait until services are ready again. Raises NotReady."""
        until_s = time.monotonic() + self.timeout_s
        for name in services:
            self._await(name, self.loaded_with(name), until_s)

    def await_service(self, service: str) -> None:
        """Wait until one service is ready again. Raises NotReady."""
        until_s = time.monotonic() + self.timeout_of(service)
        self._await(service, self.loaded_with(service), until_s)

    def snapshot(self, tag: str = "default") -> None:
        """Remember what the file systems and volumes of all containers hold now; they are stopped for it.

        Raises PycomposeError.
        """
        from pycompose.testing.snapshots import take  # noqa: PLC0415 - for those who reset

        self.await_ready(take(self, tag))

    def has_snapshot(self, tag: str = "default", *, of_these: bool = False) -> bool:
        """Tell whether there is something to restore; `of_these`: of just the containers that there are."""
        from pycompose.testing.snapshots import matches, place  # noqa: PLC0415 - as above

        return matches(self, tag) if of_these else place(self, tag).is_dir()

    def restore(self, tag: str = "default") -> None:
        """Put back what `snapshot` has remembered; the services are killed and started again on it.

        Raises PycomposeError for a tag that there is none of, NotReady.
        """
        from pycompose.testing.snapshots import restore  # noqa: PLC0415 - as above

        self.await_ready(restore(self, tag))


def _sized(sizes: Mapping[str, str | int] | None) -> Mapping[str, Any]:
    """Return the override that makes volumes tmpfs of these sizes."""
    options = {"type": "tmpfs", "device": "tmpfs"}
    volumes = {
        name: {"driver_opts": {**options, "o": f"size={size},mode=0777"}}
        for name, size in (sizes or {}).items()
    }
    return {"volumes": volumes} if volumes else {}


def _suffix(worker: str, given: str | None) -> str:
    """Return what makes a project's name one of its own: `-gw1-3f9a0c`."""
    if given is not None:
        return f"-{given}" if given else ""
    return f"{f'-{worker}' if worker else ''}-{secrets.token_hex(3)}"


def _ignore(_event: Event) -> None:
    return None
