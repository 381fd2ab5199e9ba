"""What who comes in by a socket may do: everything, or only look, at some things, at one project's.

`check` says of a request what can be said without looking, `look` whose the thing is that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.api.errors import ApiError
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import NetworkError, NoSuchContainer, VolumeError
from pycompose.model import SOCKET
from pycompose.policy.sockets import SocketAccess

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.api.http import ApiCall
    from pycompose.api.routes import Route

# The noun of a path by how it begins, where that isn't the noun itself; "" is for everybody.
_NOUNS = {
    "_ping": "", "version": "", "info": "system", "plugins": "system", "auth": "images", "commit": "images",
    "distribution": "images", "session": "build",
}  # fmt: skip
# What belongs to no project, or to all of them, is none of one project's: what is in an image, who asks a registry.
_OF_ALL = frozenset(
    {"/system/df", "/images/get", "/images/{image}/get", "/images/search", "/distribution/{image}/json"}
)
_EXEC = "/containers/{name}/exec"


def noun_of(route: Route) -> str:
    """Return what a route is about, as `x-socket: {allow: …}` calls it; "" for what everybody may ask."""
    if route.name == _EXEC:
        return "exec"
    first = route.name.split("/")[1]
    return _NOUNS.get(first, first)


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketPolicy:
    """The wall of one socket."""

    access: SocketAccess = field(default_factory=SocketAccess)

    def check(self, call: ApiCall, route: Route) -> None:
        """Raise ApiError for what may not be done whatever it is done to."""
        access = self.access
        looks = call.method in ("GET", "HEAD", "OPTIONS")
        if access.read_only and not looks:
            raise _refused(
                route, "this socket is mounted read-only (`:ro`): only GET and HEAD are allowed", call.method
            )
        noun = noun_of(route)
        if access.allow is not None and noun and noun not in access.allow:
            raise _refused(
                route,
                f"{SOCKET} of this service doesn't allow {noun}: only {', '.join(access.allow) or 'nothing'}",
                call.method,
            )
        if access.project and (route.name in _OF_ALL or not (looks or _names_something(route))):
            raise _refused(route, f"{SOCKET} of this service: projects: own", call.method)
        call.scope = access.project

    def look(self, call: ApiCall, route: Route) -> None:
        """Raise for a thing of another project what there is to say of one that isn't there. May block."""
        first = route.name.split("/")[1]
        if call.scope and call.names and first in _OWNERS and _OWNERS[first](call) != call.scope:
            raise _MISSING[first](call.names[0])


def _refused(route: Route, reason: str, method: str) -> ApiError:
    return ApiError(403, f"{method} {route.name}: {reason}")


def _names_something(route: Route) -> bool:
    """Tell whether a change is of one thing that a project can have: not of a network's containers, nor of images."""
    kind = route.name.split("/")[1]
    return kind in _OWNERS and "{name}" in route.name and not route.name.endswith("connect")


def _container(call: ApiCall) -> str:
    from pycompose.machine.containers import find  # noqa: PLC0415 - loaded by who is asked

    return find(call.context, call.names[0]).config.project


def _network(call: ApiCall) -> str:
    from pycompose.machine.networks import find  # noqa: PLC0415 - as above

    return find(call.context, call.names[0]).project


def _volume(call: ApiCall) -> str:
    from pycompose.volumes.store import PROJECT, VolumeStore  # noqa: PLC0415 - as above

    found = VolumeStore(call.context.paths).get(call.names[0])
    return found.labels.get(PROJECT, "") if found else ""


_OWNERS: dict[str, Callable[[ApiCall], str]] = {
    "containers": _container,
    "exec": lambda call: call.services.execs.find(call.names[0]).project,
    "networks": _network,
    "volumes": _volume,
}
_MISSING: dict[str, Callable[[str], Exception]] = {
    "containers": lambda name: NoSuchContainer(f"container {name}: no such container"),
    "exec": lambda name: ApiError(404, f"No such exec instance: {name}"),
    "networks": lambda name: NetworkError(f"network {name}: not found"),
    "volumes": lambda name: VolumeError(f"volume {name}: no such volume"),
}
