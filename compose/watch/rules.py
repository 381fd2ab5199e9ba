"""The rules of the project's services, checked and with everything that following them needs."""

from __future__ import annotations

import os
import posixpath
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.build.requests import ignore_text
from pycompose.config.validate import describe
from pycompose.engine.builder.globs import PatternError
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import PycomposeError
from pycompose.errors import ConfigError, unknown_service
from pycompose.watch.matching import Matcher, PatternList, patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pycompose.model import Hook, Project, Service, WatchRule

SYNCING = ("sync", "sync+restart", "sync+exec")
# Extensions of a rule, and the actions that they have a meaning for.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "x-signal": ("restart", *SYNCING),
    "x-chown": SYNCING,
    "x-trigger": SYNCING,
    "x-sync-back": SYNCING,
    "x-on-unmatched": ("rebuild",),
}
OLD_INITIAL = "x-initialSync"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRule:
    """One rule. `path` is absolute on the host, `target` in the container, "" for actions without one.

    `written` is the path that leads to `path` by links, which may be turned; `rematch` makes the patterns of another.

    `initial`: what is there when the watcher starts is synced, too. `signal` (a number, 0: none) goes to process 1 in
    place of a restart. `owner` is `user[:group]`, "" for that of the directory. `trigger` are the paths for which
    there is a restart, a signal or a command after the sync, None: all. `unmatched`: the path is a build context, of
    which every file that no sync rule of the service takes leads to a build.
    """

    service: str
    index: int
    action: str
    path: str
    target: str
    matcher: Matcher
    initial: bool = True
    exec: Hook | None = None
    signal: int = 0
    owner: str = ""
    trigger: PatternList | None = None
    sync_back: PatternList | None = None
    unmatched: bool = False
    written: str = ""
    rematch: Callable[[str], Matcher] | None = None

    def followed(self) -> FileRule:
        """Return the rule with the path that its links lead to now; itself, if that is the same."""
        path = os.path.realpath(self.written) if self.written else self.path
        if path == self.path:
            return self
        return replace(self, path=path, matcher=self.rematch(path) if self.rematch else self.matcher)

    @property
    def syncs(self) -> bool:
        """Whether files are put into containers."""
        return self.action in SYNCING

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"services.{self.service}.develop.watch[{self.index}]"

    def relative(self, path: str) -> str | None:
        """Return `path` (absolute) relative to the rule's, "" for itself, None for one that isn't below."""
        if path == self.path:
            return ""
        base = self.path if self.path == "/" else f"{self.path}/"
        return path[len(base) :] if path.startswith(base) else None

    def takes(self, path: str) -> bool:
        """Tell whether the rule is about `path`."""
        relative = self.relative(path)
        return relative is not None and self.matcher.takes(relative)

    def place(self, path: str) -> str:
        """Return where in the container `path`, which is below the rule's, belongs."""
        relative = self.relative(path) or ""
        return f"{self.target.rstrip('/')}/{relative}" if relative else self.target

    def source(self, place: str) -> str | None:
        """Return where outside lies what belongs at `place` in the container; None for one that isn't the rule's."""
        if place == self.target:
            return self.path
        base = self.target if self.target == "/" else f"{self.target}/"
        return f"{self.path.rstrip('/')}/{place[len(base) :]}" if place.startswith(base) else None

    def triggered(self, paths: Iterable[str]) -> bool:
        """Tell whether one of `paths` asks for what follows a sync."""
        if self.trigger is None:
            return True
        relative = (self.relative(path) for path in paths)
        return any(path is not None and self.trigger.fits(path) for path in relative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of all watched services, and what has to be said about them before they are followed."""

    rules: tuple[FileRule, ...]
    warnings: tuple[str, ...] = ()

    @property
    def services(self) -> tuple[str, ...]:
        """Those that have rules, in the order of the file."""
        return tuple(dict.fromkeys(rule.service for rule in self.rules))

    def of(self, service: str) -> list[FileRule]:
        """Return the rules of a service."""
        return [rule for rule in self.rules if rule.service == service]

    def followed(self) -> Rules:
        """Return the rules with the paths that their links lead to now; itself, if those are the same."""
        rules = tuple(rule.followed() for rule in self.rules)
        return self if rules == self.rules else replace(self, rules=rules)


def rules_of(project: Project, services: Sequence[str], *, no_build: bool = False) -> Rules:
    """Return the rules of `services` (of all for none named).

    Raises UnknownService, and PycomposeError for services without any rule, and for a rule that can't be followed.
    """
    for name in services:
        if name not in project.services:
            raise unknown_service(name, {**project.services, **project.disabled_services})
    found: list[FileRule] = []
    warnings: list[str] = []
    for name in services or project.services:
        service = project.services[name]
        for index, rule in enumerate(service.watch):
            made = _rule(project, service, index, rule, no_build=no_build)
            warnings += _remarks(made, rule)
            if made.syncs and (mount := _mounted(service, made)):
                warnings.append(f"{made.name}: {made.path} is mounted on {mount}: nothing has to be copied")
                continue
            found.append(made)
    if not found and not warnings:
        raise PycomposeError(
            "none of the selected services is configured for watch, consider setting a 'develop' section",
            hint="`pycompose watch --infer` derives rules from a Dockerfile",
        )
    return Rules(rules=tuple(found), warnings=tuple(warnings))


def _rule(project: Project, service: Service, index: int, rule: WatchRule, *, no_build: bool) -> FileRule:
    name = f"services.{service.name}.develop.watch[{index}]"
    extensions = rule.extensions
    _check_old_spelling(name, rule)
    if rule.action == "rebuild" and service.build is None:
        raise _wrong(
            rule, name, f'can\'t watch service "{service.name}" with action rebuild without a build context'
        )
    if rule.action == "rebuild" and no_build:
        raise _wrong(rule, name, "action rebuild and --no-build: cannot be combined")
    if rule.action == "sync+exec" and (rule.exec is None or not rule.exec.command):
        raise _wrong(rule, name, "action sync+exec needs a command", hint="write exec: {command: […]}")
    if rule.target and not rule.target.startswith("/"):
        raise _wrong(rule, name, f"target {rule.target!r} is not an absolute path in the container")
    for key, actions in EXTENSIONS.items():
        if key in extensions and rule.action not in actions:
            raise _wrong(rule, name, f"{key} has no meaning for action {rule.action}")
    written = os.path.normpath(os.path.join(project.directory, rule.written or rule.path))
    path = os.path.realpath(written)
    rematch = partial(matcher, service, include=rule.include, ignore=rule.ignore)
    initial = extensions.get(OLD_INITIAL) if rule.initial_sync is None else rule.initial_sync
    try:
        return FileRule(
            service=service.name,
            index=index,
            action=rule.action,
            path=path,
            target=posixpath.normpath(rule.target) if rule.target else "",
            written=written,
            matcher=rematch(path),
            rematch=rematch,
            initial=initial is not False,
            exec=rule.exec,
            signal=_signal(name, rule),
            owner=_text(name, rule, "x-chown"),
            trigger=_list(name, rule, "x-trigger"),
            sync_back=_list(name, rule, "x-sync-back"),
            unmatched=_unmatched(name, rule),
        )
    except PatternError as exc:
        raise _wrong(rule, name, str(exc)) from exc


def _check_old_spelling(name: str, rule: WatchRule) -> None:
    """Refuse what the loader refuses in `develop`, and doesn't see in `x-develop`."""
    if rule.action not in (*SYNCING, "rebuild", "restart"):
        raise _wrong(rule, name, f"unknown action {rule.action!r}")
    if not rule.path:
        raise _wrong(rule, name, "a path is missing")
    if rule.action in SYNCING and not rule.target:
        raise _wrong(rule, name, f"action {rule.action} needs a target")


def matcher(service: Service, path: str, include: Sequence[str], ignore: Sequence[str]) -> Matcher:
    """Return the patterns of a rule with those of the build context that its path lies in. Raises PatternError."""
    context = str((service.build.tree.get("context") if service.build else "") or "")
    if not os.path.isabs(context):
        return Matcher(include, ignore, "", None)
    context = os.path.realpath(context)
    if path != context and not path.startswith(f"{context.rstrip('/')}/"):
        return Matcher(include, ignore, "", None)
    assert service.build is not None  # noqa: S101 - it has a context
    dockerfile = os.path.join(context, service.build.dockerfile)
    text = ignore_text(Path(context), dockerfile)
    relative = os.path.relpath(path, context)
    return Matcher(include, ignore, text, "" if relative == "." else relative)


def _wrong(rule: WatchRule, name: str, reason: str, *, hint: str | None = None) -> ConfigError:
    return ConfigError(reason, location=replace(rule.at, path=name), hint=hint)


def _signal(name: str, rule: WatchRule) -> int:
    text = _text(name, rule, "x-signal")
    if not text:
        return 0
    try:
        return int(signal.Signals(int(text)) if text.isdigit() else signal.Signals[_signal_name(text)])
    except (KeyError, ValueError):
        raise _wrong(rule, name, f"x-signal: {text!r} is no signal", hint="write SIGHUP") from None


def _signal_name(text: str) -> str:
    return f"SIG{text.upper().removeprefix('SIG')}"


def _text(name: str, rule: WatchRule, key: str) -> str:
    value = rule.extensions.get(key, "")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _wrong(rule, name, f"{key}: found {describe(value)}, expected a string")
    return str(value)


def _list(name: str, rule: WatchRule, key: str) -> PatternList | None:
    value = rule.extensions.get(key)
    if value is None:
        return None
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _wrong(
            rule, name, f"{key}: expected a pattern or a list of them", hint=f'write {key}: ["*.lock"]'
        )
    return patterns(found)


def _unmatched(name: str, rule: WatchRule) -> bool:
    value = rule.extensions.get("x-on-unmatched")
    if value not in (None, "rebuild", "ignore"):
        raise _wrong(rule, name, f"x-on-unmatched: {value!r}: write rebuild or ignore")
    return value == "rebuild"


def _remarks(rule: FileRule, written: WatchRule) -> list[str]:
    found = [f"{key} has no effect" for key in written.extensions if key not in (*EXTENSIONS, OLD_INITIAL)]
    if OLD_INITIAL in written.extensions:
        found.append(f"{OLD_INITIAL} is deprecated: write initial_sync")
    if rule.exec is not None and rule.action != "sync+exec":
        found.append(f"exec has no effect: action {rule.action} runs no command")
    if rule.trigger is not None and rule.action == "sync" and not rule.signal:
        found.append("x-trigger has no effect: nothing follows action sync")
    return [f"{rule.name}: {text}" for text in found]


def _mounted(service: Service, rule: FileRule) -> str:
    """Return where in the container a mount shows the rule's path itself, "" where none does."""
    for mount in service.volumes:
        if mount.kind == "bind" and mount.source:
            source = os.path.realpath(mount.source)
            if rule.path == source or rule.path.startswith(f"{source.rstrip('/')}/"):
                return mount.target
    return ""
