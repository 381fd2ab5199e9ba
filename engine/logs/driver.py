"""Log drivers: where the output of a container goes, by the name that `logging.driver` gives.

To add one: a function that opens it, and a row in DRIVERS. The keeper writes to it, so it imports the standard library
alone and never waits; what goes over a socket is for sender.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import EngineError
from pycompose.engine.logs import journald, syslog
from pycompose.engine.logs.remote import RemoteLog
from pycompose.engine.logs.sender import Sender
from pycompose.engine.logs.writer import LogWriter, log_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.logs.sender import EventLoop, LogServer
    from pycompose.engine.paths import StatePaths

# What a file is limited to beside a driver that sends lines away (Docker's cache-max-size and cache-max-file).
CACHE_BYTES, CACHE_FILES = 20 * 1024 * 1024, 5
# What is in memory for who is attached, where nothing is kept.
TRANSIENT_BYTES, TRANSIENT_FILES = 256 * 1024, 2


class LogDriver(Protocol):
    """Takes one container's output. A log that can't be written stops no container."""

    def write(self, stream: str, data: bytes) -> None:
        """Take what was read from `stream` ("stdout", "stderr"): any bytes, not necessarily whole lines."""

    def finish(self) -> None:
        """End the lines that have no newline yet, because their process is gone."""

    def close(self) -> None:
        """Let go of everything; without `finish`, a line that isn't finished goes on in the next driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a driver is opened with. With `required`, a server that isn't there is an error."""

    directory: Path
    config: ContainerConfig
    loop: EventLoop
    required: bool


def open_log(
    paths: StatePaths, config: ContainerConfig, loop: EventLoop, *, required: bool = True
) -> LogDriver:
    """Return the log of a container, opened to go on with what is there.

    Without `required` a server that is away is tried again later. Raises EngineError for a driver that we don't have,
    a server that isn't there, and a directory that cannot be written.
    """
    driver = DRIVERS.get(config.log.driver)
    if driver is None:
        raise EngineError(
            f"logging.driver: cannot use {config.log.driver}: not one of {', '.join(DRIVERS)}",
            hint="remove the driver: logs are files that `pycompose logs` reads",
        )
    directory = log_directory(paths, config)
    return driver(Opening(directory=directory, config=config, loop=loop, required=required))


def _file(opening: Opening) -> LogDriver:
    return LogWriter(opening.directory, opening.config.log)


def _transient(opening: Opening) -> LogWriter:
    limits = replace(opening.config.log, max_bytes=TRANSIENT_BYTES, max_files=TRANSIENT_FILES)
    return LogWriter(opening.directory, limits)


def _journald(opening: Opening) -> LogDriver:
    return _remote(opening, journald.server(), journald.encoder(opening.config), "json-file needs no journal")


def _syslog(opening: Opening) -> LogDriver:
    server = syslog.server(opening.config.log)
    return _remote(
        opening,
        server,
        syslog.encoder(opening.config),
        "start syslog on this machine, or give another syslog-address",
    )


def _remote(
    opening: Opening, server: LogServer, encode: Callable[[str, bytes, bool], bytes], hint: str
) -> LogDriver:
    try:
        sender = Sender(opening.loop, server, required=opening.required)
    except OSError as exc:
        name = opening.config.log.driver
        raise EngineError(f"logging.driver: cannot use {name}: {server}: {exc.strerror}", hint=hint) from exc
    try:
        return RemoteLog(encode, sender, _cache(opening))
    except BaseException:
        sender.close()
        raise


def _cache(opening: Opening) -> LogWriter:
    config = opening.config.log
    if not config.cache:
        return _transient(opening)
    limits = replace(
        config,
        max_bytes=config.max_bytes or CACHE_BYTES,
        max_files=max(config.max_files, CACHE_FILES),
    )
    return LogWriter(opening.directory, limits)


DRIVERS: dict[str, Callable[[Opening], LogDriver]] = {
    "json-file": _file,
    "local": _file,
    "none": _transient,
    "journald": _journald,
    "syslog": _syslog,
}
