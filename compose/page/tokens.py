"""The tokens of servers, `run/pages/PORT.token`, each for its owner alone and locked while its server lives.

One that was killed and is started again at the same port takes its token over, and pages that were open find it again:
if it allows what the other one did, and no more or less.
What nobody has come back for within a day is swept away by the next server.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import re
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

KEPT_S = 86_400.0
_MOST_BYTES = 4096
_TOKEN = re.compile(r"[\w-]{32}")


def pages(paths: StatePaths) -> Path:
    """Return the directory of what servers leave word of."""
    return paths.run / "pages"


def new_token() -> str:
    """Return a token that nobody can guess."""
    return base64.urlsafe_b64encode(os.urandom(24)).decode()


def _place(paths: StatePaths, port: int) -> Path:
    return pages(paths) / f"{port}.token"


@contextlib.contextmanager
def held_token(paths: StatePaths, port: int, allows: str) -> Iterator[str]:
    """Yield the token of the server that was killed at this port, or a new one; it is forgotten after the block.

    It is taken over if that server said the same of what it `allows` (one line): who was given the address of a page
    that is read-only, or one project's, gets nothing else by it.

    Raises PycomposeError while another server has it.
    """
    make_directory(pages(paths))
    _sweep(paths)
    path = _place(paths, port)
    with _locked(path, os.O_RDWR | os.O_CREAT) as fd:
        if fd is None:
            raise PycomposeError(f"port {port}: another page has it", hint="choose another --port, or none")
        token, _, allowed = os.pread(fd, _MOST_BYTES, 0).decode("utf-8", "replace").partition("\n")
        if not _TOKEN.fullmatch(token) or allowed != allows:
            token = new_token()
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{token}\n{allows}".encode(), 0)
        try:
            yield token
        finally:
            path.unlink(missing_ok=True)


def living_token(paths: StatePaths, port: int) -> str:
    """Return the token of the server that lives at a port, "" without one."""
    path = _place(paths, port)
    try:
        with _locked(path, os.O_RDONLY) as fd:
            return path.read_text(encoding="utf-8").partition("\n")[0] if fd is None else ""
    except OSError:
        return ""


def _sweep(paths: StatePaths) -> None:
    """Remove the tokens of servers that were killed and not started again."""
    for path in pages(paths).glob("*.token"):
        with contextlib.suppress(OSError), _locked(path, os.O_RDONLY) as fd:
            if fd is not None and time.time() - os.fstat(fd).st_mtime > KEPT_S:
                path.unlink()


@contextlib.contextmanager
def _locked(path: Path, flags: int) -> Iterator[int | None]:
    """Yield the file, locked, or None while somebody else has it. Raises OSError."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield fd
    finally:
        os.close(fd)
