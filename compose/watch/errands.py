"""What takes its time, done off the watcher's loop: restarts, commands, signals, and builds.

Each service has its own order: one thing after the other, and what is asked for again while it waits is done once.
Builds are one lane for all: services that are waiting for one are built together. Everything waits for a silence: an
editor that writes into a file empties it first, and nobody is to be started with half of a save.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from pycompose.client import changes, sessions
from pycompose.client.options import ExecOptions, RestartOptions, UpOptions
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import ImageError, PycomposeError
from pycompose.engine.images.store import ImageStore
from pycompose.engine.state import alive
from pycompose.labels import PROJECT
from pycompose.watch.reports import WatchReport, failed, quoted
from pycompose.watch.silence import Silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.client.context import Context
    from pycompose.client.sessions import Session
    from pycompose.config.load import Loaded
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import ObservedContainer
    from pycompose.watch.rules import FileRule

# One variable is at most 128 KiB (execve(2), MAX_ARG_STRLEN).
CHANGED = "PYCOMPOSE_CHANGED"
MOST_CHANGED_BYTES = 100_000

RESTART = -1


@dataclass(slots=True)
class _Lane:
    """What is asked for in a service: a rule and the places that have changed, by the rule's number."""

    asked: dict[int, tuple[FileRule | None, dict[str, None]]] = field(default_factory=dict)
    silence: Silence = field(default_factory=Silence)


class Errands:
    """The lanes of all services. `running` returns the running containers of one."""

    def __init__(  # noqa: PLR0913 - each from somewhere else
        self,
        context: Context,
        loaded: Loaded,
        tell: Callable[[WatchReport], None],
        running: Callable[[str], list[ObservedContainer]],
        rebuilt: Callable[[tuple[str, ...]], None],
        *,
        quiet: bool,
        prune: bool,
    ) -> None:
        self._context, self._loaded, self._tell = context, loaded, tell
        self._running, self._rebuilt = running, rebuilt
        self._quiet, self._prune = quiet, prune
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._builds: dict[str, None] | None = None
        self._silence = Silence()

    # ------------------------------------------------------------------ asking for something

    def restart(self, service: str) -> None:
        """Restart a service's containers, as `restart` does."""
        self._add(service, RESTART, None, ())

    def after_sync(self, rule: FileRule, places: Iterable[str]) -> None:
        """Do what a rule asks for beyond the sync: `places` (in the container) have changed."""
        if rule.signal:
            self._add(rule.service, rule.index, rule, ())
        elif rule.action in ("restart", "sync+restart"):
            self.restart(rule.service)
        elif rule.action == "sync+exec":
            self._add(rule.service, rule.index, rule, places)

    def rebuild(self, services: Iterable[str]) -> None:
        """Build services and replace their containers; `rebuilt` is told when that is over, whatever came of it."""
        with self._lock:
            self._silence.broken(time.monotonic(), first=not self._builds)
            if self._builds is not None:
                self._builds.update(dict.fromkeys(services))
                return
            self._builds = dict.fromkeys(services)
        threading.Thread(target=self._build_all, name="rebuild", daemon=True).start()

    def _add(self, service: str, key: int, rule: FileRule | None, places: Iterable[str]) -> None:
        with self._lock:
            idle = service not in self._lanes
            lane = self._lanes.setdefault(service, _Lane())
            lane.silence.broken(time.monotonic(), first=not lane.asked)
            _, changed = lane.asked.setdefault(key, (rule, {}))
            changed.update(dict.fromkeys(places))
        if idle:
            threading.Thread(
                target=self._work, args=(service,), name=f"errands-{service}", daemon=True
            ).start()

    # ------------------------------------------------------------------ doing it

    def _work(self, service: str) -> None:
        while True:
            with self._lock:
                lane = self._lanes[service]
                if not lane.asked:
                    del self._lanes[service]
                    return
                if (left_s := lane.silence.left_s(time.monotonic())) <= 0:
                    # A command is meant for the process that it finds after a restart.
                    rule, changed = lane.asked.pop(min(lane.asked))
            if left_s > 0:
                time.sleep(left_s)
                continue
            try:
                self._do(service, rule, list(changed))
            except PycomposeError as exc:
                self._tell(failed("error", service, exc))

    def _do(self, service: str, rule: FileRule | None, changed: list[str]) -> None:
        if rule is None:
            self._restart(service)
        elif rule.signal:
            self._signal(rule)
        else:
            self._exec_all(rule, changed)

    def _restart(self, service: str) -> None:
        changes.restart(self._context, self._loaded.name, self._loaded, RestartOptions(services=(service,)))
        text = f"service(s) {quoted((service,))} restarted"
        self._tell(WatchReport(kind="restart", text=text, facts={"services": [service]}))

    def _signal(self, rule: FileRule) -> None:
        name = signal.Signals(rule.signal).name
        for container in self._running(rule.service):
            try:
                fd = os.pidfd_open(container.state.pid)
            except OSError:
                continue  # it has just ended
            try:
                if alive(container.state):
                    signal.pidfd_send_signal(fd, rule.signal)
            except ProcessLookupError:
                continue
            finally:
                os.close(fd)
        facts = {"service": rule.service, "signal": name}
        self._tell(WatchReport(kind="signal", text=f'service "{rule.service}" told by {name}', facts=facts))

    def _exec_all(self, rule: FileRule, changed: list[str]) -> None:
        """Run a rule's command in every replica at the same time."""
        threads = [
            threading.Thread(target=self._exec, args=(rule, container, changed), daemon=True)
            for container in self._running(rule.service)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _exec(self, rule: FileRule, container: ObservedContainer, changed: list[str]) -> None:
        hook = rule.exec
        assert hook is not None  # noqa: S101 - rules.py
        options = ExecOptions(
            service=rule.service,
            container=container.id,
            command=hook.command,
            env=(*hook.environment, f"{CHANGED}={changed_text(changed)}"),
            privileged=hook.privileged,
            user=hook.user,
            workdir=hook.working_dir,
            interactive=False,
        )
        try:
            session = sessions.exec_(self._context, self._loaded.name, options)
            try:
                self._show(session, rule.service, container)
                code = session.wait()
            finally:
                session.close()
        except PycomposeError as exc:
            self._tell(failed("exec", rule.service, exc))
            return
        facts = {"service": rule.service, "container": container.name, "code": code}
        text = f"{container.name}: {' '.join(hook.command)!r} exited with {code}"
        self._tell(WatchReport(kind="exec", text=text if code else "", facts=facts, error=code != 0))

    def _show(self, session: Session, service: str, container: ObservedContainer) -> None:
        """Tell what a command prints, line by line, until its output ends."""

        def copy(fd: int) -> None:
            with os.fdopen(os.dup(fd), "rb") as file:
                for line in file:
                    text = line.rstrip(b"\n").decode(errors="replace")
                    facts = {"service": service, "container": container.name, "line": text}
                    self._tell(WatchReport(kind="output", text=text, facts=facts))

        assert session.stdout is not None  # noqa: S101 - it has no terminal
        assert session.stderr is not None  # noqa: S101
        other = threading.Thread(target=copy, args=(session.stderr,), daemon=True)
        other.start()
        copy(session.stdout)
        other.join()

    # ------------------------------------------------------------------ builds

    def _build_all(self) -> None:
        while True:
            with self._lock:
                if not self._builds:
                    self._builds = None
                    return
                if (left_s := self._silence.left_s(time.monotonic())) <= 0:
                    services, self._builds = tuple(self._builds), {}
            if left_s > 0:
                time.sleep(left_s)
                continue
            try:
                self._build(services)
            except PycomposeError as exc:
                self._tell(failed("error", services[0], exc))
            finally:
                self._rebuilt(services)

    def _build(self, services: tuple[str, ...]) -> None:
        from pycompose.client.build import build_images  # noqa: PLC0415 - it brings the networking, 20 MB

        facts = {"services": list(services)}
        text = f"Rebuilding service(s) {quoted(services)} after changes were detected..."
        self._tell(WatchReport(kind="rebuild", text=text, facts=facts))
        project = self._loaded.runnable
        try:
            build_images(self._context, project, services, quiet=self._quiet)
        except PycomposeError as exc:
            text = f"Build failed. Error: {exc.message}"
            told = {**facts, "error": exc.message}
            self._tell(
                WatchReport(kind="build-failed", text=text, facts=told, error=True, hint=exc.hint or "")
            )
            return
        self._tell(
            WatchReport(kind="built", text=f"service(s) {quoted(services)} successfully built", facts=facts)
        )
        options = UpOptions(services=services, no_deps=True, force_recreate=True, no_build=True)
        changes.up(self._context, self._loaded, options)
        if self._prune:
            _remove_nameless(self._context.paths, self._loaded.name)


def changed_text(places: list[str]) -> str:
    """Return the value of $PYCOMPOSE_CHANGED: a path per line, as many as a variable holds."""
    lines: list[str] = []
    left = MOST_CHANGED_BYTES
    for place in places:
        left -= len(os.fsencode(place)) + 1
        if left < 0:
            break
        lines.append(place)
    return "\n".join(lines)


def _remove_nameless(paths: StatePaths, project: str) -> None:
    """Remove the project's images that a build has taken the name from, and that no container uses any more."""
    store = ImageStore(paths)
    for item in store.list():
        if item.reference is None and item.image.config.labels.get(PROJECT) == project:
            with contextlib.suppress(ImageError):
                store.remove(item.image.id)
