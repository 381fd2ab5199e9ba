"""What a load is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pycompose.engine.dataclass import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The global flags of the command line, and the switches of `config`.

    `files` as -f ("-" is standard input); `env_files` None means `.env`; `environment` is the process environment;
    `services` named on the command line activate their profiles and select what is loaded.
    """

    files: tuple[str, ...] = ()
    project_directory: str | None = None
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    working_dir: str = field(default_factory=os.getcwd)
    services: tuple[str, ...] = ()
    interpolate: bool = True
    normalize: bool = True
    resolve_paths: bool = True
    consistency: bool = True
    resolve_env: bool = True
    all_resources: bool = False
