"""The variables that a container on the default bridge gets of those that it is linked to.

Name for name what Docker sets (moby daemon/links/links.go, seen at Docker 26.1), its oddities included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import EngineError, NoSuchContainer
from pycompose.engine.state import Status
from pycompose.state.links import linked_address, links_of, sets_variables
from pycompose.state.records import read_service
from pycompose.state.snapshot import read_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.paths import StatePaths
    from pycompose.state.records import ServiceRecord

# The image's, most of the time, and no news about whoever is linked to.
_UNTOLD = frozenset({"HOME", "PATH"})


def linked_variables(
    paths: StatePaths, config: ContainerConfig, record: ServiceRecord, find: Callable[[str], str]
) -> tuple[str, ...]:
    """Return what a start sets for the links of a container; `find` knows ids by names.

    Nothing unless its network mode is the default bridge. Raises EngineError for a container that doesn't run, or is
    on other networks only, in Docker's words.
    """
    if not sets_variables(record):
        return ()
    found: list[str] = []
    for name, alias in links_of(paths, config.project, record):
        other_id = find(name)
        other = read_container(paths, other_id) if other_id else None
        try:
            exposed = read_service(paths, other_id).exposed if other else ()
        except FileNotFoundError as exc:
            raise NoSuchContainer(f"container {name}: is being removed") from exc
        if other is None or other.state.status not in (Status.RUNNING, Status.PAUSED):
            text = f"Cannot link to a non running container: /{name} AS /{config.name}/{alias}"
            raise EngineError(text, hint="start that one first")
        address = linked_address(other.runtime)
        if not address:
            text = f"Cannot link to /{name}, as it does not belong to the default network"
            raise EngineError(
                text, hint="put both on a network of their own: they know each other by name there"
            )
        found += variables(f"/{config.name}/{alias}", address, exposed, other.config.process.env)
    return tuple(found)


def variables(link: str, address: str, exposed: Iterable[str], env: Iterable[str]) -> Iterator[str]:
    """Yield the variables of one link, /CONTAINER/ALIAS, to who has `address`, ports (`80/tcp`) and an environment."""
    prefix = link.rpartition("/")[2].upper().replace("-", "_")
    # By number; of two the one of TCP is first.
    ports = sorted(_split(exposed), key=lambda port: (port[0], port[1] != "tcp"))
    if ports:
        number, protocol = ports[0]
        yield f"{prefix}_PORT={protocol}://{address}:{number}"
    for (first, protocol), (last, last_protocol) in _ranges(ports):
        name = f"{prefix}_PORT_{first}_{protocol.upper()}"
        yield f"{name}_START={protocol}://{address}:{first}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PROTO={protocol}"
        yield f"{name}_PORT_START={first}"
        yield f"{name}_END={last_protocol}://{address}:{last}"
        yield f"{name}_PORT_END={last}"
    for number, protocol in ports:
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield f"{name}={protocol}://{address}:{number}"
        yield f"{name}_ADDR={address}"
        yield f"{name}_PORT={number}"
        yield f"{name}_PROTO={protocol}"
    yield f"{prefix}_NAME={link}"
    for entry in env:
        key, equals, _ = entry.partition("=")
        if equals and key not in _UNTOLD:
            yield f"{prefix}_ENV_{entry}"


def _split(exposed: Iterable[str]) -> Iterator[tuple[int, str]]:
    for text in exposed:
        number, _, protocol = text.partition("/")
        yield int(number), protocol


_Port = tuple[int, str]


def _ranges(ports: list[_Port]) -> Iterator[tuple[_Port, _Port]]:
    """Yield first and last of what Docker takes for ranges: three ports or more (moby nextContiguous).

    A port of both protocols counts twice, so that 53/tcp, 53/udp and 54/tcp are a range to it.
    """
    start = 0
    while start < len(ports):
        end, value = start, ports[start][0]
        while end + 1 < len(ports) and ports[end + 1][0] <= value + 1:
            end, value = end + 1, value + 1
        if end > start + 1:
            yield ports[start], ports[end]
            start = end
        start += 1
