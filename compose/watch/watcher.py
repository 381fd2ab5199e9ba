"""The watcher: events and questions come in from threads, one loop looks and writes, errands do what takes time.

    wakeup thread   directories' events             ─┐
    link thread     starts, ends, what is to start  ─┼─> queue ─> loop: manifest → views → containers ─> errands
    errands         a build is over, …              ─┘

The loop is the only one that knows anything: manifest, views and mirrors have no locks. It never waits for the
supervisor, who may be waiting for it (before a container starts).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import EngineError, PycomposeError
from pycompose.engine.linux.memory import be_thrifty, give_back
from pycompose.watch.back import BACK_S
from pycompose.watch.deliveries import Deliveries
from pycompose.watch.errands import Errands
from pycompose.watch.inbox import Inbox
from pycompose.watch.link import SupervisorLink
from pycompose.watch.manifest import SourceManifest
from pycompose.watch.project_files import ProjectFiles
from pycompose.watch.replicas import running_containers
from pycompose.watch.reports import WatchReport, told_to_pages
from pycompose.watch.wakeup import SETTLE_S, Wakeup
from pycompose.watch.ways import links

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from pycompose.client.context import Context
    from pycompose.config.load import Loaded
    from pycompose.watch.options import WatchOptions
    from pycompose.watch.rules import Rules
    from pycompose.watch.view import View

# After so many paths at once the kernel's queue may have run over.
MANY = 256
# How often the main thread looks up, to heed Ctrl+C.
HEED_S = 0.5
# A watcher of many files is there all day: what it has needed for its start goes back to the machine.
KEPT_BYTES = 65536
# A comparison of everything after a change: its time is that much of the time until it.
SCAN_SHARE = 20


class Watcher:
    """Follows the rules of one project until it is closed."""

    def __init__(
        self,
        context: Context,
        loaded: Loaded,
        rules: Rules,
        options: WatchOptions,
        tell: Callable[[WatchReport], None],
    ) -> None:
        """`tell` is called from several threads; events of `context` are those of builds."""
        tell = told_to_pages(context.paths, loaded.name, tell)
        self._rules = rules
        self._tell = tell
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self.failure: PycomposeError | None = None
        self._closing = False
        self._unreadable: set[str] = set()
        self._inbox = Inbox(lambda: self._post(self._on_heard))
        # What has to be built.
        self._due: dict[str, None] = {}
        self._files = (
            ProjectFiles(context, loaded, options.reload, tell, self._reloaded if options.apply else None)
            if options.reload
            else None
        )
        self.reloaded: Loaded | None = None
        self._manifest = self._source()
        self._find_links()
        self._wakeup = Wakeup(self)
        self._link = SupervisorLink(
            context,
            loaded.name,
            rules.services,
            background=options.background,
            starting=lambda container_id: self._post(self._on_starting, container_id),
            happened=lambda event: self._post(self._deliveries.happened, event),
            reconnected=lambda: self._post(self._deliveries.compare_all),
            lost=self._lost,
        )
        self._errands = Errands(
            context,
            loaded,
            tell,
            lambda service: running_containers(context.paths, loaded.name, service),
            lambda services: self._post(self._on_rebuilt, services),
            quiet=options.quiet,
            prune=options.prune,
        )
        self._deliveries = Deliveries(
            context.paths,
            loaded.name,
            rules,
            self._errands,
            tell=tell,
            post=self._post,
            again=self._inbox.put,
        )
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    # ------------------------------------------------------------------ from outside

    def open(self) -> None:
        """Look at everything, and be the project's watcher from now on: containers that start get their files.

        Raises SupervisorError when there is another one.
        """
        be_thrifty(KEPT_BYTES)
        self._manifest.scan()
        for view in self._deliveries.views.values():
            view.fill(self._manifest)
        self._deliveries.refresh()
        self._link.open()
        self._wakeup.start(self._manifest.directories)
        self._thread.start()
        if any(rule.sync_back is not None for rule in self._rules.rules):
            threading.Thread(target=self._tick, name="tick", daemon=True).start()

    def enable(self) -> None:
        """Bring running containers up to date and follow what changes; the others get theirs when they start."""
        self._post(self._enable)

    def pause(self) -> None:
        """Leave the containers alone until `resume`."""
        self._post(self._pause)

    def resume(self) -> None:
        """Apply what has changed since, and go on."""
        self._post(self._resume)

    def close(self) -> None:
        """End; what an errand is doing is left to itself."""
        self._closing = True
        self._deliveries.close()
        self._link.close()
        self._wakeup.close()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._ended.set()

    def wait(self) -> None:
        """Wait until there is nothing to watch any more. Raises what took the watcher's place away."""
        # The kernel may give a signal to another thread, which doesn't wake this one: it is its handler that runs here.
        while not self._ended.wait(HEED_S):
            pass
        if self.failure is not None:
            raise self.failure

    # ------------------------------------------------------------------ what other threads tell (wakeup.Listener)

    def touched(self, paths: Collection[str], replaced: Collection[str]) -> None:
        """Look at these paths."""
        self._inbox.put(paths, replaced)

    def recheck(self, directories: Collection[str] | None) -> None:
        """Look at what is in these directories, at everything for None."""
        if directories is None:
            self._inbox.put(scan=True)
        else:
            self._post(self._on_recheck, directories)

    def degraded(self, text: str, hint: str) -> None:
        """Tell of a limit."""
        self._tell(WatchReport(kind="warning", text=text, hint=hint, error=True))

    def _lost(self, failure: PycomposeError | None) -> None:
        self.failure = failure
        self._ended.set()

    def _reloaded(self, loaded: Loaded) -> None:
        """Let whoever waits go on with what the project is now."""
        self.reloaded = loaded
        self._ended.set()

    def _tick(self) -> None:
        """Have the containers looked at now and then, as long as there are rules for that."""
        while not self._ended.wait(BACK_S) and not self._closing:
            self._post(self._deliveries.look_back)

    def _post(self, call: Callable[..., None], *arguments: Any) -> None:
        self._queue.put(lambda: call(*arguments))

    # ------------------------------------------------------------------ the loop

    def _run(self) -> None:
        while (call := self._queue.get()) is not None and not self._closing:
            try:
                call()
            except (PycomposeError, OSError) as exc:
                text = exc.message if isinstance(exc, PycomposeError) else f"{exc.filename}: {exc.strerror}"
                self._tell(WatchReport(kind="error", text=text, error=True))
            except Exception as exc:  # noqa: BLE001 - what we know may be wrong by now: end, rather than be silent
                self.failed(exc)

    def failed(self, failure: Exception) -> None:
        """End: some thread of ours has met what nobody has thought of."""
        self._lost(EngineError(f"watch: internal error: {type(failure).__name__}: {failure}"))

    def _descends(self, directory: str) -> bool:
        """Tell whether some rule is about what is in a directory."""
        for rule in self._rules.rules:
            relative = rule.relative(directory)
            if relative is not None and not rule.matcher.prunes(relative):
                return True
        return False

    def _enable(self) -> None:
        self._deliveries.enabled = True
        self._tell(WatchReport(kind="enabled", text="Watch enabled"))
        self._deliveries.refresh()
        for service in self._deliveries.views:
            self._deliveries.catch_up(service)
        self._build_due()
        self._deliveries.sync_idle_soon()
        give_back()

    def _pause(self) -> None:
        self._deliveries.paused = True
        self._tell(WatchReport(kind="disabled", text="Watch disabled"))

    def _resume(self) -> None:
        if not self._deliveries.enabled:
            self._enable()
        elif self._deliveries.paused:
            self._deliveries.paused = False
            self._tell(WatchReport(kind="enabled", text="Watch enabled"))
            self._turn()
            self._changed(self._manifest.scan())
            for service in self._deliveries.views:
                self._deliveries.catch_up(service)

    # ------------------------------------------------------------------ files have changed

    def _on_heard(self) -> None:
        """Look at everything that was heard of since the last time."""
        paths, replaced, scan = self._inbox.take()
        if self._deliveries.paused:
            return
        many = len(paths) > MANY
        if scan or many or not self._links.isdisjoint(paths):
            self._turn()
        if paths:
            self._changed(self._manifest.look(paths, replaced))
        missed = False
        if scan or many:
            began_s = time.monotonic()
            found = self._manifest.scan()
            self._wakeup.settle_s = max(SETTLE_S, SCAN_SHARE * (time.monotonic() - began_s))
            self._changed(found)
            # Nobody has told us of these: some directory isn't watched any more.
            missed = bool(found) and self._deliveries.enabled
            self._deliveries.retry()
        if many or missed or self._manifest.renewed:
            self._manifest.renewed = False
            self._wakeup.watch(self._manifest.directories, anew=True)

    def _on_recheck(self, directories: Collection[str]) -> None:
        if not self._deliveries.paused:
            self._changed(self._manifest.recheck(directories))
            self._deliveries.retry()

    def _changed(self, changed: set[str]) -> None:
        """Follow the rules for what has changed."""
        began_s = time.monotonic()
        self._tell_unreadable()
        if not changed:
            return
        self._wakeup.watch(self._manifest.directories)
        # A build or a restart comes later than a second write that looks like the first.
        certain = changed - self._manifest.doubtful
        if self._files is not None and (files := certain & self._files.paths):
            self._files.look(files)
        self._deliver(certain, lambda _, view: view.update(changed, self._manifest), began_s)

    def _deliver(self, changed: set[str], update: Callable[[str, View], set[str]], began_s: float) -> None:
        """Have every service's files brought, at the places that `update` names; builds are asked for after that."""
        for service, view in self._deliveries.views.items():
            places = update(service, view)
            if self._wants_build(service, changed, view):
                self._due[service] = None
                self._deliveries.building.add(service)
            elif self._deliveries.enabled and service not in self._deliveries.building:
                self._deliveries.sync(service, places, began_s)
                self._without_sync(service, changed)
        self._build_due()
        self._deliveries.sync_idle_soon()

    # ------------------------------------------------------------------ links on the way to the rules' paths

    def _source(self) -> SourceManifest:
        """Return a manifest of what the rules are about; it has seen nothing yet."""
        roots = [*(rule.path for rule in self._rules.rules), *(self._files.paths if self._files else ())]
        return SourceManifest(roots, self._descends)

    def _find_links(self) -> None:
        self._links = links(rule.written or rule.path for rule in self._rules.rules)
        self._manifest.beside = frozenset(map(os.path.dirname, self._links))

    def _turn(self) -> None:
        """Go where the rules' paths lead by now: what was there before goes, and what is there comes."""
        began_s = time.monotonic()
        rules = self._rules.followed()
        turned = [rule for rule in rules.rules if rule not in self._rules.rules]
        if turned:
            self._rules = rules
            self._manifest = self._source()
            self._manifest.scan()
        self._find_links()
        self._wakeup.watch(self._manifest.directories)
        if turned:
            changed = {path for path in self._manifest.files() if any(rule.takes(path) for rule in turned)}
            self._deliver(
                changed, lambda service, view: view.turn(rules.of(service), self._manifest), began_s
            )

    # ------------------------------------------------------------------ what follows

    def _tell_unreadable(self) -> None:
        """Tell of what nobody lets us look at, once."""
        for path, reason in self._manifest.unreadable.items():
            if path not in self._unreadable:
                self._unreadable.add(path)
                facts = {"files": [path], "error": reason}
                text = f"{path}: cannot be looked at: {reason}"
                self._tell(WatchReport(kind="warning", text=text, facts=facts, error=True))

    def _build_due(self) -> None:
        if self._due and self._deliveries.enabled:
            self._errands.rebuild(self._due)
            self._due = {}

    def _wants_build(self, service: str, changed: Iterable[str], view: View) -> bool:
        rules = [rule for rule in self._rules.of(service) if rule.action == "rebuild"]
        return any(
            rule.takes(path) and not (rule.unmatched and any(other.takes(path) for other in view.rules))
            for rule in rules
            for path in changed
        )

    def _without_sync(self, service: str, changed: Collection[str]) -> None:
        for rule in self._rules.of(service):
            if rule.action == "restart" and any(rule.takes(path) for path in changed):
                self._errands.after_sync(rule, ())

    # ------------------------------------------------------------------ containers come and go

    def _on_starting(self, container_id: str) -> None:
        """Have a container's files brought up to date: it waits for our word, whatever comes of it."""
        try:
            self._deliveries.before_start(container_id)
        finally:
            self._link.prepared(container_id)

    def _on_rebuilt(self, services: tuple[str, ...]) -> None:
        self._deliveries.built(services)
