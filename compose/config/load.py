"""Compose files → the canonical tree and the typed project: the phases, in one order.

files      discover     which files, directory, name, variables
per document:
  text     source       YAML with places                       interpolate   ${…}, casts
  include               other models merged in                  extends       bases merged in
  unique.reset          !reset, !override                       merge         onto the documents before
  unique                redefined list items                    schema        types, unknown keys
  canonical             short forms → long forms
per model:
  defaults.set_defaults, checks, paths
the whole:
  defaults.normalize → marshal → select (profiles) → consistency → select (services) → envfiles → select (unused) → bind
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from pycompose.config.canonical import canonical
from pycompose.config.checks import check
from pycompose.config.consistency import check_consistency
from pycompose.config.defaults import normalize, resolve_bare, set_defaults
from pycompose.config.discover import ProjectSource, find_project, name_of
from pycompose.config.envfiles import fold_environment, fold_labels
from pycompose.config.extends import ExtendedFile, apply_extends
from pycompose.config.files import display, read_bytes, refuse_remote
from pycompose.config.include import LoadScope, apply_include
from pycompose.config.interpolate import interpolate
from pycompose.config.isolate import isolate, randomize_ports
from pycompose.config.marshal import marshal
from pycompose.config.merge import merge
from pycompose.config.options import LoadOptions
from pycompose.config.paths import PathBase, expand_user, resolve_paths
from pycompose.config.select import drop_unused, enable_needed, select, split_by_profiles
from pycompose.config.source import Document, parse_yaml
from pycompose.config.tree import Map, Seq, clone, from_plain, locate, location, path_at, render_path
from pycompose.config.unique import enforce_unique, reset
from pycompose.config.unsupported import warn_unprinted, warn_unsupported
from pycompose.config.validate import describe, validate
from pycompose.config.warnings import Warnings
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.errors import ConfigError, ConfigErrors, ConfigWarning, Location
from pycompose.units import parse_bool

if TYPE_CHECKING:
    from pycompose.model import Project

__all__ = ["LoadOptions", "Loaded", "load", "load_tree"]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a load gives.

    `tree` is what `config` prints: keys in order, values typed, places kept. `disabled` are the services that are
    off. `environment` is what interpolation saw, `profiles` are the active ones. `complete` tells whether the tree
    can become a project: it was interpolated, normalized, its paths and env files resolved.
    """

    tree: Map
    disabled: Map
    warnings: tuple[ConfigWarning, ...]
    environment: dict[str, str]
    name: str
    directory: str
    files: tuple[str, ...]
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    complete: bool = True
    isolated: bool = False

    @property
    def separator(self) -> str:
        """What stands between the parts of names: "_" with COMPOSE_COMPATIBILITY, which `--compatibility` sets."""
        try:
            old = parse_bool(self.environment.get("COMPOSE_COMPATIBILITY") or "false")
        except ValueError:
            old = False
        return "_" if old else "-"

    def attached(self, service: str) -> bool:
        """Tell whether the output of a service is shown unless something else is asked for (`attach`)."""
        node = self.tree["services"].get(service) or {}
        return bool(node.get("attach", True))

    @cached_property
    def project(self) -> Project:
        """The typed project, made on first use: `config` does without. Raises ConfigError for an incomplete tree."""
        if not self.complete:
            raise ConfigError("the model was left incomplete by its options, so nothing can be made from it")
        from pycompose.config.bind import bind  # noqa: PLC0415 - 40 ms that printing a model doesn't need
        from pycompose.model import Project  # noqa: PLC0415

        facts = Project(
            name=self.name,
            directory=self.directory,
            files=self.files,
            env_files=self.env_files,
            profiles=self.profiles,
            environment=self.environment,
            separator=self.separator,
            isolated=self.isolated,
        )
        return bind(self.tree, self.disabled, facts)

    @property
    def runnable(self) -> Project:
        """The typed project for whoever makes containers of it. Raises ConfigError, ConfigErrors for what can't run."""
        from pycompose.config.runnable import check_runnable  # noqa: PLC0415 - looking and printing do without
        from pycompose.config.seccomp_profiles import embed_profiles  # noqa: PLC0415 - as above

        check_runnable(self.tree)
        return embed_profiles(self.project, self.tree, self.directory)


def load(options: LoadOptions) -> Loaded:
    """Load a project. Raises ConfigError, ConfigErrors for several findings at once; both have the warnings."""
    warnings = Warnings()
    try:
        found = find_project(options, warnings)
        if not found.files:
            raise ConfigError(
                "no configuration file provided: not found",
                hint="create compose.yaml, or name a file with -f",
            )
        loader = _Loader(options=options, found=found, warnings=warnings)
        loader.add_overrides()
        return loader.load()
    except ConfigError as error:
        error.warnings = warnings.all()
        raise


def load_tree(tree: Map, options: LoadOptions) -> Loaded:
    """Load a project that is in no file but in `tree`, as one document. Raises as `load`; places have only paths."""
    found = ProjectSource(("-",), options.working_dir, (), dict(options.environment))
    session = _Loader(options=options, found=found, warnings=Warnings())
    session.documents["-"] = [Document(tree)]
    with _no_collection():
        return session.run()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from walking a growing tree again and again: a load makes no garbage cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(slots=True)
class _Loader:
    """One load: its options, what it has read, what it has to say."""

    options: LoadOptions
    found: ProjectSource
    warnings: Warnings
    documents: dict[str, list[Document]] = field(default_factory=dict)
    bases: dict[tuple[str, str, int], tuple[LoadScope, ExtendedFile]] = field(default_factory=dict)
    overriding: list[str] = field(default_factory=list)

    def load(self) -> Loaded:
        """Go through the phases. Raises ConfigError as users understand it."""
        try:
            with _no_collection():
                return self.run()
        except ConfigErrors as errors:
            raise ConfigErrors([self._explained(error) for error in errors.errors]) from None
        except ConfigError as error:
            raise self._explained(error) from None

    def add_overrides(self) -> None:
        """Put the mappings of `options.overrides` behind the files."""
        for number, tree in enumerate(self.options.overrides, 1):
            name = f"override {number}" if len(self.options.overrides) > 1 else "override"
            self.documents[name] = [Document(from_plain(tree))]
            self.overriding.append(name)
        self.found = replace(self.found, files=(*self.found.files, *self.overriding))

    def run(self) -> Loaded:
        """Go through the phases of the whole."""
        options, found = self.options, self.found
        name = name_of(options, found, self._names(), self.warnings) + options.name_suffix
        environment = {**found.environment, "COMPOSE_PROJECT_NAME": name}
        home = options.environment.get("HOME", "")
        scope = LoadScope(found.directory, found.directory, environment, home, warnings=self.warnings)
        root = self.model(scope, found.files)
        if not root:
            raise ConfigError("empty compose file", location=Location(self._shown(found.files[0])))
        if options.isolated:
            isolate(root, self.warnings)
        elif options.random_ports:
            randomize_ports(root)
        if options.normalize:
            root = normalize(root, name, environment if options.interpolate else None)
        if options.normalize or options.interpolate:
            root["name"] = name
        profiles = options.profiles or tuple(_split(environment.get("COMPOSE_PROFILES", "")))
        disabled = Map()
        tree = root
        if options.interpolate:
            warn_unprinted(root, self.warnings)
            tree = marshal(root)
            disabled = self._services(tree, environment, profiles)
        return Loaded(
            tree=tree,
            disabled=disabled,
            warnings=self.warnings.all(),
            environment=environment,
            name=name,
            directory=found.directory,
            files=tuple(file for file in found.files if file not in self.overriding),
            env_files=found.env_files,
            profiles=profiles,
            isolated=options.isolated,
            complete=options.interpolate
            and options.normalize
            and options.resolve_paths
            and options.resolve_env,
        )

    def _services(self, tree: Map, environment: dict[str, str], profiles: tuple[str, ...]) -> Map:
        """Select, check and complete the services of a marshalled tree, in place; return the disabled ones."""
        options, directory = self.options, self.found.directory
        tree.setdefault("services", Map())
        tree["services"], disabled = split_by_profiles(tree, profiles, options.services)
        if options.for_existing:
            enable_needed(tree["services"], disabled)
        if options.consistency:
            check_consistency(tree, disabled)
        if not options.elsewhere:
            warn_unsupported(tree, self.warnings)
        tree["services"], disabled = select(tree["services"], disabled, options.services)
        if options.resolve_env:
            fold_environment(tree, environment, directory, self.warnings, required=not options.for_existing)
        fold_labels(tree, directory)
        if not options.all_resources:
            drop_unused(tree)
        return disabled

    def _explained(self, error: ConfigError) -> ConfigError:
        """Return the error with the variables that have no value where it is, which are usually its cause."""
        found = self._placed(error)
        names = self.warnings.unset_at(error.location)
        if not names:
            return found
        listed = ", ".join(f'"{name}"' for name in names)
        hint = (
            f"the variable {listed} is not set" if len(names) == 1 else f"the variables {listed} are not set"
        )
        hint = f"{hint}; {found.hint}" if found.hint else hint
        return type(found)(found.reason, location=found.location, hint=hint)

    def _placed(self, error: ConfigError) -> ConfigError:
        """Return the error with its path as in the file it is in: what a service extends has another name there."""
        place = error.location
        for document in self._documents_of(place.file):
            path = path_at(document.root, place)
            if path and not place.path.startswith(render_path(path[:2])):
                moved = replace(place, path=render_path(path))
                return type(error)(error.reason, location=moved, hint=error.hint)
        return error

    def _documents_of(self, shown: str) -> list[Document]:
        for file, documents in self.documents.items():
            if self._shown(file) == shown:
                return [document for document in documents if isinstance(document.root, (Map, Seq))]
        return []

    def model(self, scope: LoadScope, files: tuple[str, ...]) -> Map:
        """Return the model of `files`, each merged onto those before it."""
        root = Map()
        for file in files:
            for document in self._read(file, scope.where):
                root = self._document(root, document, file, scope)
        set_defaults(root)
        check(root)
        if self.options.resolve_paths or scope.including:
            resolve_paths(root, PathBase(scope.base, scope.home))
        if self.options.interpolate:
            resolve_bare(root, scope.environment)
        return root

    def _document(self, root: Map, document: Document, file: str, scope: LoadScope) -> Map:
        """Return `root` changed by one document."""
        shown = self._shown(file)
        tree = self._interpolated(document, shown, scope)

        def load_base(path: str, where: Location) -> ExtendedFile:
            return self._base(path, where, scope)

        reset(root, document.resets)
        apply_include(tree, scope, file, document.resets, self.model)
        apply_extends(tree, shown, document.resets, load_base)
        merged = enforce_unique(merge(root, tree))
        validate(merged)
        if merged.pop("version", None) is not None:
            where = locate(tree, ("version",), of_key=True)
            self.warnings.add("the attribute version is obsolete and ignored: remove it", where)
        return enforce_unique(
            _omit_empty(canonical(merged, self.warnings, lenient=not self.options.interpolate))
        )

    def _interpolated(self, document: Document, shown: str, scope: LoadScope) -> Map:
        tree = clone(document.root)
        if not isinstance(tree, Map):
            raise ConfigError(
                f"the top level must be a mapping, found {describe(tree)}",
                location=location(document.mark) if document.mark else Location(shown),
            )
        if self.options.interpolate:
            interpolate(tree, scope.environment.get, self.warnings)
        return tree

    def _base(self, path: str, where: Location, scope: LoadScope) -> ExtendedFile:
        """Return the services of a file that `extends` names, their paths relative to the extending file."""
        refuse_remote(path, where)
        full = os.path.join(scope.directory, expand_user(path, scope.home))
        file = os.path.normpath(full)
        key = (file, scope.directory, id(scope.environment))
        if key not in self.bases:
            directory = os.path.dirname(full)
            base = os.path.relpath(directory, scope.directory) if not os.path.isabs(path) else directory
            # The scope is kept with it, so that the id of its variables stays taken.
            self.bases[key] = (scope, self._extended(file, base, where, scope))
        return self.bases[key][1]

    def _extended(self, file: str, base: str, where: Location, scope: LoadScope) -> ExtendedFile:
        shown = self._shown(file)
        root, resets = Map(), []
        for document in self._read(file, where):
            tree = self._interpolated(document, shown, scope)
            reset(root, document.resets)
            root = enforce_unique(merge(root, tree))
            root = canonical(root, self.warnings, lenient=True)
            resets += document.resets
        resolve_paths(root, PathBase(base, scope.home))
        return ExtendedFile(root.get("services"), resets, shown)

    def _read(self, file: str, where: Location | None = None) -> list[Document]:
        if file not in self.documents:
            shown = self._shown(file)
            data = read_bytes(file, shown, where=where, what="compose file")
            self.documents[file] = parse_yaml(data, shown)
        documents = self.documents[file]
        return [document for document in documents if document.root is not None]

    def _names(self) -> list[tuple[str, Location]]:
        """Return the `name:` of each document that has one, and its place."""
        roots = [document.root for file in self.found.files for document in self._read(file)]
        return [
            (root["name"], locate(root, ("name",)))
            for root in roots
            if isinstance(root, Map) and isinstance(root.get("name"), str) and root["name"]
        ]

    def _shown(self, file: str) -> str:
        return display(file, self.options.working_dir)


def _omit_empty(root: Map) -> Map:
    """Drop empty items of `dns`: `dns: ${UNSET}` is no server."""
    for service in (root.get("services") or {}).values():
        servers = service.get("dns") if isinstance(service, dict) else None
        if isinstance(servers, list) and any(item in (None, "") for item in servers):
            service["dns"] = Seq([item for item in servers if item not in (None, "")])
    return root


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
