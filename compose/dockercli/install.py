"""The scripts by which other programs find pycompose under docker's names."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MARK = "# Made by pycompose, which runs when this is called."
PLUGIN = "docker-compose"
# What a shim is called, and the word of ours that takes its arguments.
SHIMS = {"docker": "docker", "docker-compose": "compose"}


def plugins(environment: Mapping[str, str]) -> str:
    """Return the folder where docker's command line looks for its user's plugins. Raises PycomposeError."""
    config = environment.get("DOCKER_CONFIG") or os.path.join(environment.get("HOME", ""), ".docker")
    if not os.path.isabs(config):
        raise PycomposeError(
            "docker's plugins: no folder for them: HOME is not set", hint="set DOCKER_CONFIG"
        )
    return os.path.join(config, "cli-plugins")


def write(path: Path, program: Sequence[str], word: str, *, force: bool) -> None:
    """Write a script that runs `program` with `word` and its own arguments. Raises PycomposeError."""
    if os.path.lexists(path) and not force and not is_ours(path):
        raise PycomposeError(f"{path}: is there already, and not ours", hint="--force replaces it")
    text = f'#!/bin/sh\n{MARK}\nexec {shlex.join([*program, word])} "$@"\n'
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o755)
        beside.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise PycomposeError(f"{path}: cannot write: {exc.strerror}", hint="choose another folder") from exc


def remove(path: Path) -> None:
    """Remove a script of ours. Raises PycomposeError when there is none."""
    if not is_ours(path):
        raise PycomposeError(f"{path}: cannot remove: there is nothing of ours")
    try:
        path.unlink()
    except OSError as exc:
        raise PycomposeError(f"{path}: cannot remove: {exc.strerror}") from exc


def is_ours(path: Path) -> bool:
    """Tell whether a file is a script that `write` has made."""
    try:
        return MARK in path.read_text(encoding="utf-8", errors="replace")[:4096].splitlines()
    except OSError:
        return False
