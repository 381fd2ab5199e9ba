"""The variables that have a value without anybody setting them: UID and GID, the ids of whoever runs the command.

A shell knows them and doesn't export them, so that `user: "${UID}:${GID}"` is `user: ":"` for Compose, with a warning.
They count only where Compose would put nothing and warn: what the environment, an env file or a default of the file's
own (`${UID:-1000}`) says stays as it is. With sudo they are those of who called it.
"""

from __future__ import annotations

import os

from pycompose.config.syntax.template import Lookup


def predefined(name: str, lookup: Lookup) -> str | None:
    """Return the value of a variable that isn't set, None for one without any; `lookup` is the environment."""
    if name == "UID":
        return _caller(os.getuid(), lookup("SUDO_UID"))
    if name == "GID":
        return _caller(os.getgid(), lookup("SUDO_GID"))
    return None


def _caller(own: int, before_sudo: str | None) -> str:
    return before_sudo if own == 0 and before_sudo and before_sudo.isdigit() else str(own)
