"""The filters of containers, each made once: kept in memory, and below the state root for the next process.

Making one takes 8 ms with its imports, reading one 0.3 ms. What it is made of names its file: capabilities, profile,
kernel, and our own code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import BUILTIN, DEFAULT_CAPABILITIES, UNCONFINED
from pycompose.engine.linux.caps import mask_of
from pycompose.engine.machine import machine_name
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths

# When so many have come together, of other versions and kernels too, all are made anew as they are needed.
_MOST_FILES = 100
_DIGEST_BYTES = 32


class Filters:
    """The filters that one process has made or read."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._known: dict[tuple[int, str], bytes] = {}
        self._lock = threading.Lock()

    def of_container(self, container_id: str) -> bytes:
        """Return the filter of a container as its config.json asks for it, b"" when it has none.

        A privileged one has none unless it brings its own profile (moby pull request 47500, after Engine 26).
        Raises SeccompError for a profile that can't be used, FileNotFoundError, StateError.
        """
        config = read_json(self._paths.container(container_id) / "config.json")
        security: dict[str, Any] = config.get("security") or {}
        profile = security.get("seccomp") or BUILTIN
        if profile == UNCONFINED or (profile == BUILTIN and security.get("privileged")):
            return b""
        capabilities = mask_of(config["process"].get("capabilities", DEFAULT_CAPABILITIES))
        return self.get(capabilities, "" if profile == BUILTIN else profile)

    def get(self, capabilities: int, profile: str) -> bytes:
        """Return the filter for a mask of capabilities and a profile in Docker's JSON ("": the default policy)."""
        key = (capabilities, profile)
        if key not in self._known:
            with self._lock:  # a project's containers start all at once
                if key not in self._known:
                    path = self._paths.filters / _name(capabilities, profile)
                    self._known[key] = _read(path) or _make(path, capabilities, profile)
        return self._known[key]


def _name(capabilities: int, profile: str) -> str:
    """Return the digest of all that the filter depends on."""
    parts = (_code(), machine_name(), os.uname().release, capabilities, profile)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def _code() -> str:
    """Return the digest of the modules that make filters."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> bytes:
    """Return what is in a file of ours, b"" when it isn't there or isn't whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return b""
    packed = data[_DIGEST_BYTES:]
    return packed if hashlib.sha256(packed).digest() == data[:_DIGEST_BYTES] else b""


def _make(path: Path, capabilities: int, profile: str) -> bytes:
    from pycompose.engine.seccomp.build import build  # noqa: PLC0415 - what reading a file saves

    packed = build(capabilities, profile)
    with contextlib.suppress(OSError):  # a full disk costs the next process the same work
        _write(path, hashlib.sha256(packed).digest() + packed)
    return packed


def _write(path: Path, data: bytes) -> None:
    """Write a file as a whole, and make room for it."""
    directory = make_directory(path.parent)
    names = os.listdir(directory)
    for name in names if len(names) >= _MOST_FILES else ():
        (directory / name).unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
