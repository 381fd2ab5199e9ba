"""`service.project.localhost` on the machine itself: lines in its /etc/hosts, for projects that were to have some.

`pycompose hosts --write` writes down where (ROOT/projects/P/hosts.json); from then on the project's supervisor keeps
its part of the file, between two marks, up to date. It goes with the project, `hosts --rm` takes it out before.
Whatever else is in the file stays as it is.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.errors import StateError
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json
from pycompose.networking.records import NetworkRecords

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import EndpointRecord

DEFAULT_FILE = "/etc/hosts"
DEFAULT_DOMAIN = "localhost"
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z", re.IGNORECASE)
_ID_DIGITS = 12

log = logging.getLogger("pycompose.supervisor")


def lines(
    paths: StatePaths,
    project: str,
    containers: Iterable[tuple[EndpointRecord, ...]],
    domain: str = DEFAULT_DOMAIN,
) -> list[str]:
    """Return lines of hosts(5): each address of each container, with the names that others know it by there.

    Its id isn't among them, nor are addresses on networks that the machine can't reach (macvlan, ipvlan).
    """
    records = NetworkRecords(paths)
    found = []
    for endpoints in containers:
        for endpoint in endpoints:
            network = records.load(endpoint.network)
            if network is None or network.state.parent:
                continue
            names = [name for name in endpoint.names if is_name(name) and not _is_id(name)]
            text = " ".join(f"{name}.{project}.{domain}" for name in names)
            found += [f"{address} {text}" for address in (endpoint.ip, endpoint.ip6) if address and text]
    return sorted(found, key=lambda line: line.split(" ", 1)[1])


def is_name(text: str) -> bool:
    """Tell whether names may end in `text`, or be it."""
    return bool(_NAME.match(text))


def _is_id(name: str) -> bool:
    return len(name) == _ID_DIGITS and not name.strip("0123456789abcdef")


def enable(
    paths: StatePaths,
    project: str,
    containers: Iterable[tuple[EndpointRecord, ...]],
    *,
    file: str = DEFAULT_FILE,
    domain: str = DEFAULT_DOMAIN,
) -> None:
    """Keep the names of a project in `file` from now on. Raises StateError."""
    disable(paths, project)
    make_directory(paths.project(project))
    write_json(_record(paths, project), {"file": os.path.realpath(file), "domain": domain})
    update(paths, project, containers)


def disable(paths: StatePaths, project: str) -> None:
    """Take the names of a project out of the file that they are in, if they are in one. Raises StateError."""
    record = _record(paths, project)
    try:
        file = Path(read_json(record)["file"])
    except FileNotFoundError:
        return
    _replace(paths, file, project, [])
    record.unlink(missing_ok=True)


def update(paths: StatePaths, project: str, containers: Iterable[tuple[EndpointRecord, ...]]) -> None:
    """Write the names of a project that there are now, if it was asked to have them. Raises StateError."""
    try:
        wanted = read_json(_record(paths, project))
    except FileNotFoundError:
        return
    _replace(paths, Path(wanted["file"]), project, lines(paths, project, containers, wanted["domain"]))


def refresh(paths: StatePaths, project: str, containers: Iterable[tuple[EndpointRecord, ...]]) -> None:
    """Do what `update` does; that it can't be done is no reason to start or end nothing."""
    try:
        update(paths, project, containers)
    except StateError as exc:
        log.warning("%s", exc)


def is_enabled(paths: StatePaths, project: str) -> bool:
    """Tell whether the project keeps its names in a file of the machine."""
    return _record(paths, project).exists()


def _record(paths: StatePaths, project: str) -> Path:
    return paths.project(project) / "hosts.json"


def _replace(paths: StatePaths, file: Path, project: str, wanted: list[str]) -> None:
    """Have `wanted` between the project's marks in a file, or no marks; others of ours wait for it."""
    begin, end = f"# BEGIN pycompose {project}\n", f"# END pycompose {project}\n"
    block = "".join((begin, *(f"{line}\n" for line in wanted), end)) if wanted else ""
    try:
        with locked(make_directory(paths.projects)):
            try:
                text = file.read_text(encoding="utf-8", errors="surrogateescape")
            except FileNotFoundError:
                text = ""
            old = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
            if old.search(text):
                new = old.sub(lambda _match: block, text, count=1)
            else:
                new = text + ("\n" if block and text and not text.endswith("\n") else "") + block
            if new != text:
                _write(file, new)
    except OSError as exc:
        raise StateError(f"{file}: cannot write the names of project {project}: {exc.strerror}") from exc


def _write(file: Path, text: str) -> None:
    """Write a file in place, which works where it is mounted, and cut it then: no reader ever finds it empty."""
    data = text.encode("utf-8", "surrogateescape")
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
