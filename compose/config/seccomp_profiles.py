"""The profiles that `security_opt: seccomp=FILE` names: read by the caller, for nobody else has the caller's files.

What the containers get is the text, as Docker's API has it. The hash of a service is made before, of the file's name:
another text in the same file changes nothing until the container is made anew (Docker Compose 2.40, seen).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pycompose.config.files import display, read_text
from pycompose.config.tree import locate
from pycompose.engine.config import BUILTIN, UNCONFINED
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import SeccompError
from pycompose.errors import ConfigError
from pycompose.model import split_security_option

if TYPE_CHECKING:
    from pycompose.config.tree import Map
    from pycompose.errors import Location
    from pycompose.model import Project


EVERY = (1 << 64) - 1


def embed_profiles(project: Project, tree: Map, directory: str) -> Project:
    """Return the project with the text of profiles in place of their files' names, in the services that are on.

    A profile is JSON, or a file relative to the project's directory. Raises ConfigError for one that can't be read or
    used.
    """
    services = dict(project.services)
    for name, service in services.items():
        if service.security_opt:
            path = ("services", name, "security_opt")
            options = tuple(
                _embedded(option, directory, locate(tree, (*path, index)))
                for index, option in enumerate(service.security_opt)
            )
            services[name] = replace(service, security_opt=options)
    return replace(project, services=services)


def _embedded(option: str, directory: str, where: Location) -> str:
    key, value = split_security_option(option)
    if key != "seccomp" or value in (BUILTIN, UNCONFINED):
        return option
    if not value:
        raise ConfigError(
            "seccomp without a profile", location=where, hint="give a file, or builtin or unconfined"
        )
    if value.lstrip().startswith("{"):
        return f"seccomp={_checked(value, 'seccomp profile', where)}"
    shown = display(value, directory)
    text = read_text(
        os.path.join(directory, os.path.expanduser(value)), shown, where=where, what="seccomp profile"
    )
    return f"seccomp={_checked(text, f'seccomp profile {shown}', where)}"


def _checked(text: str, what: str, where: Location) -> str:
    """Return the profile without white space; raises ConfigError for one that no container could have."""
    if not text.strip():
        raise ConfigError(f"{what}: cannot read: it is empty", location=where, hint="it must be JSON")
    from pycompose.engine.seccomp.build import build  # noqa: PLC0415 - for those who have a profile

    try:
        # Rules depend on capabilities: with none and with all of them each has its turn.
        for capabilities in (0, EVERY):
            build(capabilities, text)
    except SeccompError as error:
        reason = error.message.removeprefix("seccomp profile: ")
        raise ConfigError(f"{what}: {reason}", location=where, hint=error.hint) from None
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
