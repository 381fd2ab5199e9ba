"""Which files make the project, in which directory, under which name, with which variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from pycompose.config.files import display, read_text, refuse_remote
from pycompose.config.options import LoadOptions
from pycompose.config.paths import expand_user
from pycompose.config.syntax import dotenv
from pycompose.config.syntax.predefined import predefined
from pycompose.config.syntax.template import TemplateError, substitute
from pycompose.config.warnings import Warnings
from pycompose.engine.dataclass import dataclass
from pycompose.errors import ConfigError, Location
from pycompose.units import parse_bool

FILE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
)  # fmt: skip

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_-]")
_VALID_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z", re.ASCII)
# The name of a file has 255 bytes (NAME_MAX), and what the project makes has a word or two more.
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class ProjectSource:
    """What is known before any compose file is read: absolute `files`, `directory`, and the variables."""

    files: tuple[str, ...]
    directory: str
    env_files: tuple[str, ...]
    environment: dict[str, str]


def find_project(options: LoadOptions, warnings: Warnings | None = None) -> ProjectSource:
    """Find files, directory and variables. Raises ConfigError for env files that cannot be read."""
    notes = warnings or Warnings()
    cwd = options.working_dir
    environment = dict(options.environment)
    environment.setdefault("PWD", cwd)
    explicit = options.env_files or None
    if explicit is None and (listed := environment.get("COMPOSE_ENV_FILES")):
        explicit = tuple(listed.split(","))
    given = options.project_directory
    directory = os.path.abspath(os.path.join(cwd, given)) if given else None
    files = tuple(_file_path(file, cwd) for file in options.files)
    env_files = _env_files(explicit, directory or _directory_of(files, cwd), cwd, environment)
    _read_env_files(env_files, environment, cwd, notes)
    if not files and (listed := environment.get("COMPOSE_FILE")):
        separator = environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        files = tuple(_file_path(file, cwd) for file in listed.split(separator) if file)
    if not files:
        files = _search(directory or cwd, cwd, notes)
    if directory is None:
        directory = _directory_of(files, cwd)
    more = _env_files(explicit, directory, cwd, environment)
    if more != env_files:
        _read_env_files(more, environment, cwd, notes)
        env_files = more
    return ProjectSource(files, directory, env_files, environment)


def name_of(
    options: LoadOptions,
    found: ProjectSource,
    names: list[tuple[str, Location]],
    warnings: Warnings | None = None,
) -> str:
    """Return -p, COMPOSE_PROJECT_NAME, `name:` of the last file that has one, or the directory's name.

    `names` are the `name:` values of the files. `warnings` hears of a name that is a link's.
    """
    imperative = options.project_name or found.environment.get("COMPOSE_PROJECT_NAME")
    if imperative:
        if not _VALID_NAME.match(imperative):
            raise ConfigError(
                f"invalid project name {imperative!r}",
                hint="lower-case letters, digits, - and _, beginning with a letter or digit",
            )
        return _short(imperative)
    for text, where in reversed(names):
        name = _interpolated(text, found.environment, where) if options.interpolate else text
        if options.normalize:
            name = normalize_name(name)
        if name:
            return _short(name, where)
    base = os.path.basename(found.directory)
    name = normalize_name(base)
    if warnings and os.path.basename(os.path.realpath(found.directory)) != base:
        warnings.add(f'the directory is a symbolic link: using its name "{name}" for the project', Location())
    if not name:
        raise ConfigError(
            f"project name must not be empty: nothing usable in {found.directory!r}",
            hint="set one with -p or name:",
        )
    return _short(name)


def _short(name: str, where: Location | None = None) -> str:
    """Return the name of a project, unless its containers and volumes couldn't have directories; raises ConfigError."""
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"project name is too long: {len(name)} letters, {name[:20]}…",
            location=where or Location(),
            hint=f"files are named by it: {_LONGEST_NAME} letters at most; set one with -p or name:",
        )
    return name


def normalize_name(text: str) -> str:
    """Return a directory's name as a project name: lower case, other characters dropped, no leading - or _."""
    return _NOT_IN_A_NAME.sub("", text.lower()).lstrip("_-")


def _interpolated(text: str, environment: Mapping[str, str], where: Location) -> str:
    try:
        return substitute(text, environment.get, lambda name: predefined(name, environment.get) or "")
    except TemplateError as error:
        raise ConfigError(str(error), location=where) from None


def _file_path(file: str, cwd: str) -> str:
    refuse_remote(file)
    return file if file == "-" else os.path.abspath(os.path.join(cwd, file))


def _directory_of(files: tuple[str, ...], cwd: str) -> str:
    for file in files:
        if file != "-":
            return os.path.dirname(file)
    return os.path.abspath(cwd)


def _env_files(
    explicit: tuple[str, ...] | None, directory: str, cwd: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    if explicit:
        home = environment.get("HOME", "")
        return tuple(os.path.abspath(os.path.join(cwd, expand_user(file, home))) for file in explicit)
    if _switch("COMPOSE_DISABLE_ENV_FILE", environment):
        return ()
    default = os.path.join(directory, ".env")
    return (default,) if os.path.exists(default) and not os.path.isdir(default) else ()


def _switch(name: str, environment: Mapping[str, str]) -> bool:
    text = environment.get(name, "")
    try:
        return bool(text) and parse_bool(text)
    except ValueError:
        raise ConfigError(f"{name}={text}: not a boolean", hint="true or false") from None


def _read_env_files(
    files: tuple[str, ...], environment: dict[str, str], cwd: str, warnings: Warnings
) -> None:
    """Add the variables of `files` (a later file wins) to `environment`, which wins over all of them."""
    merged: dict[str, str] = {}
    for file in files:
        shown = display(file, cwd)
        text = read_text(file, shown, what="env file")

        def lookup(name: str) -> str | None:
            outer = environment.get(name)
            return merged.get(name) if outer is None else outer

        merged.update(dotenv.parse(text, shown, lookup, warnings=warnings))
    for key, value in merged.items():
        environment.setdefault(key, value)


def _search(start: str, cwd: str, warnings: Warnings) -> tuple[str, ...]:
    """Look for the default files here and in every parent."""
    directory = os.path.abspath(start)
    while True:
        found = [name for name in FILE_NAMES if os.path.exists(os.path.join(directory, name))]
        if found:
            overrides = [name for name in OVERRIDE_NAMES if os.path.exists(os.path.join(directory, name))]
            for several in (found, overrides):
                if len(several) > 1:
                    shown = display(os.path.join(directory, several[0]), cwd)
                    warnings.add(f"several files: {', '.join(several)}; using {several[0]}", Location(shown))
            return tuple(os.path.join(directory, name) for name in (*found[:1], *overrides[:1]))
        parent = os.path.dirname(directory)
        if parent == directory:
            return ()
        directory = parent
