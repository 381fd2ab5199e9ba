"""Which handler answers what: Docker's paths (api/swagger.yaml of moby), with any version before them, or none.

A handler is loaded when it is first asked for: a server that only lists containers never loads what builds images.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall
from pycompose.machine.versions import MIN_API_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.api.http import Services

_VERSION = re.compile(r"/v(\d{1,3})\.(\d{1,3})(/.*)")
_MOST_FIELDS = 10_000
_NEWEST = (1, 52)
_MIN = cast("tuple[int, int]", tuple(map(int, MIN_API_VERSION.split("."))))
_OF_CLUSTERS = frozenset({"swarm", "nodes", "services", "tasks", "secrets", "configs"})
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
_NAME, _IMAGE = r"([^/]+)", r"(.+)"


class Route(NamedTuple):
    """One row: `slow` work has threads of its own, one that `uploads` reads its body as it comes."""

    method: str
    name: str
    pattern: re.Pattern[str]
    target: str
    slow: bool
    uploads: bool

    def handler(self) -> Callable[[ApiCall], ApiAnswer]:
        """Return the function that answers."""
        module, _, function = self.target.partition(":")
        return cast(
            "Callable[[ApiCall], ApiAnswer]",
            getattr(importlib.import_module(f"pycompose.api.{module}"), function),
        )


def _row(line: str) -> Route:
    method, name, target, *words = line.split()
    pattern = re.escape(name).replace(re.escape("{name}"), _NAME).replace(re.escape("{image}"), _IMAGE)
    return Route(
        method=method,
        name=name,
        pattern=re.compile(f"{pattern}/?"),
        target=target,
        slow="slow" in words or method not in ("GET", "HEAD"),
        uploads="uploads" in words,
    )


ROUTES = [
    _row(line)
    for line in """
    GET /_ping system:ping
    HEAD /_ping system:ping
    GET /version system:version
    GET /info system:info
    GET /events events:events
    GET /system/df system:disk_usage slow
    GET /plugins system:plugins
    POST /auth registry:auth
    GET /distribution/{image}/json registry:distribution
    POST /session system:session
    POST /build builds:build uploads
    POST /build/prune builds:prune
    POST /commit commits:commit
    GET /containers/json containers:listing
    POST /containers/create creation:create
    POST /containers/prune container_actions:prune
    GET /containers/{name}/json containers:inspect
    GET /containers/{name}/logs container_output:logs
    GET /containers/{name}/stats container_output:stats
    GET /containers/{name}/top containers:top slow
    GET /containers/{name}/changes containers:changes slow
    GET /containers/{name}/export archive:export slow
    GET /containers/{name}/archive archive:get slow
    HEAD /containers/{name}/archive archive:describe slow
    PUT /containers/{name}/archive archive:put uploads
    POST /containers/{name}/start container_actions:start
    POST /containers/{name}/stop container_actions:stop
    POST /containers/{name}/restart container_actions:restart
    POST /containers/{name}/kill container_actions:kill
    POST /containers/{name}/pause container_actions:pause
    POST /containers/{name}/unpause container_actions:unpause
    POST /containers/{name}/rename container_actions:rename
    POST /containers/{name}/update container_actions:update
    POST /containers/{name}/resize sessions:resize
    POST /containers/{name}/wait sessions:wait
    POST /containers/{name}/attach sessions:attach
    GET /containers/{name}/attach/ws sessions:attach_websocket
    POST /containers/{name}/exec sessions:exec_create
    DELETE /containers/{name} container_actions:remove
    POST /exec/{name}/start sessions:exec_start
    POST /exec/{name}/resize sessions:exec_resize
    GET /exec/{name}/json sessions:exec_inspect
    GET /images/json images:listing
    POST /images/create images:create uploads
    POST /images/load images:load uploads
    POST /images/prune images:prune
    GET /images/search images:search
    GET /images/get images:save slow
    GET /images/{image}/get images:save slow
    GET /images/{image}/json images:inspect
    GET /images/{image}/history images:history
    POST /images/{image}/tag images:tag
    POST /images/{image}/push images:push
    DELETE /images/{image} images:remove
    GET /networks networks:listing
    POST /networks/create networks:create
    POST /networks/prune networks:prune
    GET /networks/{name} networks:inspect
    DELETE /networks/{name} networks:remove
    POST /networks/{name}/connect networks:connect
    POST /networks/{name}/disconnect networks:disconnect
    GET /volumes volumes:listing
    POST /volumes/create volumes:create
    POST /volumes/prune volumes:prune
    GET /volumes/{name} volumes:inspect
    DELETE /volumes/{name} volumes:remove
    """.strip().splitlines()
]


# For every path: what dockerd's router does itself (gorilla/mux, cleanPath; moby api/server, optionsHandler).
_OPTIONS = _row("OPTIONS / system:options")
_MOVED = _row("GET / system:moved")


def find(
    method: str, target: str, headers: Iterable[tuple[bytes, bytes]], services: Services
) -> tuple[Route, ApiCall]:
    """Return what answers a request, and the request. Raises ApiError."""
    path, asked = _split(target)
    if "%00" in target:
        raise ApiError(400, "no name, path or value has a NUL in it")

    def call(names: tuple[str, ...], path: str, version: tuple[int, int] | None = None) -> ApiCall:
        return ApiCall(
            method=method,
            path=path,
            version=version or _NEWEST,
            names=tuple(map(unquote, names)),
            query=_parameters(asked),
            headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers},
            services=services,
        )

    if (clean := _clean(path)) != path:
        return _MOVED, call((), f"{clean}?{asked}" if asked else clean)
    version = _version(path)
    if version is not None:
        path = path[path.index("/", 1) :]
    if method == _OPTIONS.method:
        return _OPTIONS, call((), path, version)
    for route in ROUTES:
        found = route.pattern.fullmatch(path) if route.method == method else None
        if found is not None:
            return route, call(found.groups(), path, version)
    if path.partition("/")[2].partition("/")[0] in _OF_CLUSTERS:
        raise ApiError(503, NO_SWARM)
    raise ApiError(404, "page not found")


def _split(target: str) -> tuple[str, str]:
    """Return path and query; `http://host/path` is allowed, too (RFC 9112, absolute-form)."""
    if target.startswith("/"):
        path, _, asked = target.partition("?")  # not urlsplit: to it `//version` is a host
        return path, asked
    try:
        parts = urlsplit(target)
    except ValueError as exc:
        raise ApiError(400, f"{target[:100]}: no path: {exc}") from exc
    return parts.path or "/", parts.query


def _clean(path: str) -> str:
    """Return a path without `//`, `.` and `..`, as Go's path.Clean; a slash at its end stays."""
    found: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del found[-1:]
        elif part not in {"", "."}:
            found.append(part)
    return f"/{'/'.join(found)}{'/' if found and path.endswith('/') else ''}"


def _parameters(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as exc:
        raise ApiError(400, f"query: {exc}") from exc


def _version(path: str) -> tuple[int, int] | None:
    """Return the version of a path, None without one. Raises ApiError for one that is too old or too new."""
    found = _VERSION.fullmatch(path)
    if found is None:
        return None
    version = int(found[1]), int(found[2])
    shown = f"{version[0]}.{version[1]}"
    if version < _MIN:
        raise ApiError(
            400,
            f"client version {shown} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade "
            "your client to a newer version",
        )
    if version > _NEWEST:
        raise ApiError(
            400,
            f"client version {shown} is too new. Maximum supported API version is {_NEWEST[0]}.{_NEWEST[1]}",
        )
    return version
