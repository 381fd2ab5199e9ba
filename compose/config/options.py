"""What a load is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pycompose.engine.dataclass import dataclass, field


def working_directory(environment: Mapping[str, str]) -> str:
    """Return the working directory as the shell names it: `$PWD` where that is the same directory, else getcwd(3).

    A project in a symlinked directory has the link's name, whatever the link leads to today (as Go's os.Getwd).
    """
    here = os.getcwd()
    named = os.path.normpath(environment.get("PWD") or here)
    try:
        return named if named.startswith("/") and os.path.samefile(named, here) else here
    except OSError:
        return here


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The global flags of the command line, and the switches of `config`.

    `files` as -f ("-" is standard input); `env_files` None means `.env`; `environment` is the process environment;
    `services` named on the command line activate their profiles and select what is loaded. `for_existing`
    is for commands that handle containers that exist: a missing `env_file` of a service is none (they have theirs), and
    what enabled services need is enabled whatever its profiles (`up NAME` may have started it).

    `elsewhere` is for what doesn't run on this machine: nothing is said of what has no effect here.

    `overrides` are mappings like files of their own, behind all others. `isolated` makes a copy of the project that
    may run beside others (isolate.py), `random_ports` only frees its ports; `name_suffix` is added to the name.
    """

    files: tuple[str, ...] = ()
    project_directory: str | None = None
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    working_dir: str = field(default_factory=lambda: working_directory(os.environ))
    services: tuple[str, ...] = ()
    interpolate: bool = True
    normalize: bool = True
    resolve_paths: bool = True
    consistency: bool = True
    resolve_env: bool = True
    for_existing: bool = False
    elsewhere: bool = False
    all_resources: bool = False
    overrides: tuple[Mapping[str, Any], ...] = ()
    name_suffix: str = ""
    isolated: bool = False
    random_ports: bool = False
