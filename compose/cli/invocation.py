"""What stands before the command: the global flags, and what every command derives from them.

The loader, the use cases and the renderers are imported by the method that needs them: `--help` pays for
none of them.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from pycompose.cli.display import style
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.cli.display.progress import Renderer
    from pycompose.client.context import Context
    from pycompose.config.load import Loaded
    from pycompose.config.options import LoadOptions
    from pycompose.errors import ConfigWarning
    from pycompose.events import Event
    from pycompose.model import Project

TRUE_WORDS = frozenset({"1", "t", "true", "y", "yes", "on"})


@dataclass(slots=True, kw_only=True)
class Invocation:
    """The global flags as given; a flag beats its variable, None means "not given".

    `isolated` and `random_ports` are of `up`. Three fields are for the error boundary: `json_errors` when the output
    is to be read by a program, `command_codes` when 126 and 127 are to come through (exec, run), `failure_code` for
    other failures.
    """

    files: tuple[str, ...] = ()
    project_name: str | None = None
    project_directory: str | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    progress: str = "auto"
    ansi: str = "auto"
    parallel: int | None = None
    dry_run: bool = False
    all_resources: bool = False
    compatibility: bool = False
    isolated: bool = False
    random_ports: bool = False
    debug: bool = False
    json_errors: bool = False
    command_codes: bool = False
    failure_code: int = 1
    own_suffix: str = ""
    loaded_name: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    project_environment: Mapping[str, str] = field(default_factory=dict)

    def fill(self, params: Mapping[str, Any]) -> None:
        """Take the parsed global flags over."""
        env = self.environment
        self.files = params["files"]
        self.project_name = params["project_name"]
        self.project_directory = params["project_directory"]
        self.profiles = params["profiles"]
        self.env_files = params["env_files"]
        self.progress = params["progress"] or env.get("COMPOSE_PROGRESS") or "auto"
        self.ansi = params["ansi"] or env.get("COMPOSE_ANSI") or "auto"
        if (self.progress, self.ansi) in (("tty", "never"), ("plain", "always")):
            raise PycomposeError(f"--progress {self.progress} and --ansi {self.ansi}: cannot be combined")
        limit = params["parallel"]
        if limit is None:
            limit = number(env.get("COMPOSE_PARALLEL_LIMIT", ""), "COMPOSE_PARALLEL_LIMIT")
        self.parallel = limit if limit is not None and limit > 0 else None
        self.dry_run = params["dry_run"]
        self.all_resources = params["all_resources"]
        self.compatibility = params["compatibility"] or self.switch("COMPOSE_COMPATIBILITY")
        self.debug = params["debug"] or params["verbose"]

    def switch(self, variable: str, *, default: bool = False) -> bool:
        """Return a boolean variable of the environment or, once it is loaded, of `.env`; else `default`."""
        text = self.environment.get(variable) or self.project_environment.get(variable, "")
        return text.strip().lower() in TRUE_WORDS if text else default

    def load_options(self, services: tuple[str, ...] = ()) -> LoadOptions:
        """Return what the loader needs to find and read the compose files."""
        from pycompose.config.options import LoadOptions, working_directory

        environment = dict(self.environment)
        if self.compatibility:
            environment["COMPOSE_COMPATIBILITY"] = "true"
        return LoadOptions(
            files=self.files,
            project_name=self.project_name,
            project_directory=self.project_directory,
            profiles=self.profiles,
            env_files=self.env_files or None,
            all_resources=self.all_resources,
            environment=environment,
            working_dir=working_directory(environment),
            services=services,
            isolated=self.isolated or self._was_isolated(),
            name_suffix=self._suffix(),
            random_ports=self.random_ports,
        )

    def _was_isolated(self) -> bool:
        """Tell whether the project of that name was started by `up --isolated`: it is the same copy of its files."""
        name = self._given_name()
        if name is None:
            return False
        from pycompose.client.listings import is_isolated

        return is_isolated(self.environment, name)

    def _suffix(self) -> str:
        """Return what makes the name of a new isolated project its own."""
        if not self.isolated or self._given_name() is not None:
            return ""
        if not self.own_suffix:
            self.own_suffix = f"-{os.urandom(3).hex()}"
        return self.own_suffix

    def load(
        self, services: tuple[str, ...] = (), *, for_existing: bool = False, elsewhere: bool = False
    ) -> Loaded:
        """Read the compose files and show the loader's warnings. Raises ConfigError.

        `services` activate their profiles; what they don't need is disabled. `for_existing` is less strict, `elsewhere`
        for another machine, see LoadOptions.
        """
        from pycompose.config.load import load

        loaded = load(replace(self.load_options(services), for_existing=for_existing, elsewhere=elsewhere))
        self.project_environment = loaded.environment
        self.loaded_name = loaded.name
        self.show_warnings(loaded.warnings)
        return loaded

    def show_warnings(self, warnings: Iterable[ConfigWarning]) -> None:
        """Print what the loader has to say, a line each."""
        for warning in warnings:
            place = str(warning.location)
            self.warn(f"{place}: {warning.text}" if place else warning.text)

    def load_or_name(self) -> tuple[str, Loaded | None]:
        """Return the project's name, and its compose files where they can be read, for containers that exist.

        As in Compose `-p` without `-f` reads no file: it means all of the project, what was renamed and what profiles
        have started, too. With COMPOSE_PROJECT_NAME no file has to be readable. Raises ConfigError.
        """
        from pycompose.errors import ConfigError

        if self.project_name and not self.files:
            return self.name(), None
        name = self._given_name()
        try:
            loaded = self.load(for_existing=True)
        except ConfigError:
            if name is None:
                raise
            return checked_name(name), None
        return loaded.name, loaded

    def name(self) -> str:
        """Return only the project's name: no compose file is needed when it is given. Raises ConfigError."""
        name = self._given_name()
        if name is None:
            return self.load_or_name()[0]
        if self._reads_stdin():
            sys.stdin.buffer.read()  # or the container's process would get the compose file as its input
        return checked_name(name)

    def _given_name(self) -> str | None:
        return self.project_name or self.environment.get("COMPOSE_PROJECT_NAME") or None

    def _reads_stdin(self) -> bool:
        """Tell whether a compose file is standard input."""
        separator = self.environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        return "-" in (self.files or self.environment.get("COMPOSE_FILE", "").split(separator))

    def context(self, sink: Callable[[Event], None] | None = None) -> Context:
        """Return the context of one call of a use case; without `sink` only what has no effect is told.

        Raises PycomposeError for whoever may neither make containers nor see them.
        """
        from pycompose import privileges
        from pycompose.client.context import Context
        from pycompose.engine.paths import StatePaths
        from pycompose.engine.statedirs import close_to_others

        privileges.require_containers()
        for text in privileges.notices():
            self.warn(text)
        paths = StatePaths.from_environment(self.environment)
        close_to_others(paths)
        return Context(
            paths=paths,
            sink=sink or self._tell_warning,
            environment=dict(self.environment),
            confirm=confirmed,
        )

    @contextmanager
    def showing(
        self, title: str, *, kind: str | None = None, steps: IO[str] | None = None
    ) -> Iterator[Renderer]:
        """Show the events of a block: the renderer is a Sink, and is finished when the block ends.

        What the steps of builds say goes to `steps` (default: standard error, as everything).
        """
        from pycompose.cli.display.progress import renderer

        stream = sys.stderr
        shown = renderer(
            kind or self.progress,
            stream,
            steps=steps,
            title=title,
            colour=self.colour(stream),
            dry_run=self.dry_run,
        )
        with self._told(title, shown) as renderer_of_all:
            try:
                yield renderer_of_all
            finally:
                shown.finish()

    @contextmanager
    def _told(self, title: str, shown: Renderer) -> Iterator[Renderer]:
        """Tell pages that are open of a block, too."""
        from pycompose.client.telling import UNTOLD_VARIABLE, Telling
        from pycompose.engine.paths import StatePaths

        if self.dry_run or UNTOLD_VARIABLE in self.environment:
            yield shown
            return
        from pycompose.cli.display.progress import Tee

        project = self.loaded_name or self._given_name() or ""
        telling = Telling(StatePaths.from_environment(self.environment), project, title)
        with telling.block():
            yield Tee(shown, telling)

    def colour(self, stream: IO[str]) -> bool:
        """Tell whether ANSI codes may be written to `stream`."""
        return style.wants_colour(self.ansi, stream, self.environment)

    def remark(self, text: str) -> None:
        """Say that there was nothing to do; with COMPOSE_STATUS_STDOUT on standard output, as Compose 5."""
        print(text, file=sys.stdout if self.switch("COMPOSE_STATUS_STDOUT") else sys.stderr)

    def warn(self, text: str) -> None:
        """Print one warning line on standard error."""
        label = style.paint("WARN", style.YELLOW, on=self.colour(sys.stderr))
        print(f"{label} {style.clean(text)}", file=sys.stderr)

    def _tell_warning(self, event: Event) -> None:
        """Print what a container was given in vain, of all that happens."""
        if event.text == "Warning":
            self.warn(f"{event.subject}: {event.details}")


def project_of(loaded: Loaded) -> Project:
    """Return the typed project, which a load with all its phases always has."""
    if loaded.project is None:
        raise PycomposeError("compose file: was loaded without what the project needs")
    return loaded.project


def confirmed(question: str) -> bool:
    """Ask on standard error; whoever has no answer, such as the end of the input, doesn't want it."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    return answer.strip().lower() in TRUE_WORDS


def number(text: str, what: str) -> int | None:
    """Return the integer in `text`, None for "". Raises PycomposeError naming `what`."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise PycomposeError(f"{what}: cannot use {text!r}: not a number") from None


def checked_name(name: str) -> str:
    """Return `name`, or raise PycomposeError when it can't be a project's name (compose-spec, "Name")."""
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789_-"
    if name and name[0] not in "_-" and all(char in allowed for char in name):
        return name
    raise PycomposeError(
        f"project name {name!r}: cannot be used: only lower-case letters, digits, dashes and underscores, "
        "starting with a letter or digit",
        hint="set another one with -p or COMPOSE_PROJECT_NAME",
    )
