"""What needs a compose file, or goes on for minutes, is done by our command line, in a process of its own.

The file is read where `up` has read it, with the same rules, and what that takes of memory is gone afterwards. What
the command tells comes as `--progress json` has it, and so do errors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from pycompose.client.telling import UNTOLD_VARIABLE
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.labels import CONFIG_FILES, ENVIRONMENT_FILE, WORKING_DIR
from pycompose.state.snapshot import applied, claims, read_container

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.client.context import Context

_STANDARD_INPUT = "-"
_COMMAND = (sys.executable, "-I", "-X", "utf8", "-m", "pycompose")
_MOST_MESSAGE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectOrigin:
    """Where a project comes from: its name, its folder, and the files that were named when it was brought up."""

    name: str
    directory: str
    files: tuple[str, ...]
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    isolated: bool = False

    def flags(self) -> list[str]:
        """Return the global flags of the command line by which it reads the same again."""
        found = ["-p", self.name, "--project-directory", self.directory]
        lists = (("-f", self.files), ("--env-file", self.env_files), ("--profile", self.profiles))
        for flag, names in lists:
            found += [word for name in names for word in (flag, name)]
        return found

    def watched(self) -> tuple[str, ...]:
        """Return the files whose change may change the services, as far as they are known without reading them."""
        return (*self.files, *(self.env_files or (os.path.join(self.directory, ".env"),)))

    def shown(self, name: str) -> str:
        """Return a file's name as people write it: from the project's folder, if it is in it."""
        return name.removeprefix(self.directory.rstrip("/") + "/")


def project_files(context: Context, project: str) -> ProjectOrigin:
    """Return where the project comes from, as its latest container says. Raises PycomposeError when nothing does."""
    found = [read_container(context.paths, key, states=False) for key in claims(context.paths, project)]
    made = sorted((one for one in found if one and not one.oneoff), key=lambda one: one.config.created_ns)
    labels = made[-1].config.labels if made else {}
    noted = applied(context.paths, project)
    files = labels.get(CONFIG_FILES, "").split(",") if labels.get(CONFIG_FILES) else noted.get("files", [])
    if not files or _STANDARD_INPUT in files:
        raise PycomposeError(
            f"project {project}: no compose file is known of it",
            hint="bring it up with `pycompose -f FILE up`",
        )
    env_files = labels.get(ENVIRONMENT_FILE, "")
    return ProjectOrigin(
        name=project,
        directory=labels.get(WORKING_DIR) or noted.get("directory", "/"),
        files=tuple(files),
        env_files=tuple(env_files.split(",")) if env_files else (),
        profiles=tuple(noted.get("profiles", ())),
        isolated=bool(noted.get("isolated")),
    )


def described(context: Context, flags: Sequence[str], directory: str) -> dict[str, Any]:
    """Return what the compose files say that global flags lead to (cli/commands/page.py: described).

    `error` is there alone with `reads` when they can't be used. Raises PycomposeError when nothing can be said.
    """
    done = subprocess.run(
        [*_COMMAND, *flags, "page", "--describe"],
        cwd=directory if os.path.isdir(directory) else "/",
        env=_environment(context),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    found = _object(done.stdout)
    if found is None or not isinstance(found.get("reads"), list):
        raise PycomposeError(done.stderr.strip()[-_MOST_MESSAGE:] or "the compose files cannot be read")
    return found


def run(
    context: Context, files: ProjectOrigin, words: list[str], told: Callable[[dict[str, Any]], None]
) -> None:
    """Perform a command upon a project; `told` gets each object that it prints. Raises what has gone wrong."""
    failures: list[str] = []
    with subprocess.Popen(
        [*_COMMAND, *files.flags(), "--progress", "json", *words],
        cwd=files.directory if os.path.isdir(files.directory) else "/",
        env=_environment(context),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        for line in process.stderr:
            found = _object(line)
            if found is None or found.get("error") is True:
                failures.append(_failure(found, line))
            else:
                told(found)
    if process.returncode:
        raise PycomposeError("; ".join(failures[-5:]) or f"{words[0]}: ended with code {process.returncode}")


def _environment(context: Context) -> dict[str, str]:
    return {**context.environment, **context.paths.to_environment(), UNTOLD_VARIABLE: "1"}


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _failure(found: dict[str, Any] | None, line: str) -> str:
    if found is None:
        return line.strip()
    hint = found.get("hint")
    return f"{found.get('message', '')}{f' ({hint})' if hint else ''}"
