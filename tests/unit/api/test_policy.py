"""What `:ro` and `x-socket` let through: every route has a noun; what is of no project is none of one project's."""

from __future__ import annotations

import pytest
from pycompose.api.errors import ApiError
from pycompose.api.execs import Attached, Execs
from pycompose.api.followers import Followers
from pycompose.api.http import Services
from pycompose.api.policy import SocketPolicy, noun_of
from pycompose.api.routes import ROUTES, find
from pycompose.client.context import Context
from pycompose.engine.paths import StatePaths
from pycompose.model import SOCKET_NOUNS
from pycompose.policy.sockets import SocketAccess, access


def status(given: SocketAccess, method: str, target: str) -> int:
    """Return 200 for what is let through, else the status that is answered."""
    context = Context(paths=StatePaths(), sink=lambda _event: None)
    services = Services(
        context=context,
        events=None,  # type: ignore[arg-type]
        execs=Execs(),
        attached=Attached(),
        followers=Followers(),
    )
    route, call = find(method, target, [], services)
    try:
        SocketPolicy(access=given).check(call, route)
    except ApiError as exc:
        return exc.status
    return 200


def test_every_route_has_a_noun() -> None:
    assert {noun_of(route) for route in ROUTES} == {"", *SOCKET_NOUNS}


@pytest.mark.parametrize(
    ("method", "target", "code"),
    (
        ("GET", "/_ping", 200),
        ("GET", "/version", 200),
        ("GET", "/v1.45/containers/json", 200),
        ("POST", "/containers/x/kill", 200),
        ("GET", "/events", 200),
        ("POST", "/containers/x/exec", 403),
        ("POST", "/exec/x/start", 403),
        ("GET", "/images/json", 403),
        ("POST", "/commit", 403),
        ("POST", "/auth", 403),
        ("POST", "/build", 403),
        ("GET", "/info", 403),
        ("GET", "/system/df", 403),
        ("GET", "/networks", 403),
    ),
)
def test_what_is_not_allowed(method: str, target: str, code: int) -> None:
    assert status(SocketAccess(allow=("containers", "events")), method, target) == code


@pytest.mark.parametrize(
    ("method", "target", "code"),
    (
        ("GET", "/containers/json", 200),
        ("DELETE", "/containers/x", 200),
        ("PUT", "/containers/x/archive", 200),
        ("DELETE", "/networks/x", 200),
        ("GET", "/images/json", 200),
        ("POST", "/containers/create", 403),
        ("POST", "/containers/prune", 403),
        ("POST", "/volumes/create", 403),
        ("POST", "/networks/x/connect", 403),
        ("POST", "/networks/x/disconnect", 403),
        ("DELETE", "/images/x", 403),
        ("POST", "/images/x/push", 403),
        ("POST", "/commit", 403),
        ("POST", "/build", 403),
        ("GET", "/system/df", 403),
        ("GET", "/images/x/y/get", 403),
        ("GET", "/images/get", 403),
        ("GET", "/distribution/x/json", 403),
    ),
)
def test_one_project_s_own(method: str, target: str, code: int) -> None:
    assert status(SocketAccess(project="demo"), method, target) == code


def test_read_only_lets_nothing_be_changed() -> None:
    for route in ROUTES:
        target = route.name.replace("{name}", "x").replace("{image}", "x")
        looks = route.method in ("GET", "HEAD")
        assert status(SocketAccess(read_only=True), route.method, target) == (200 if looks else 403)


def test_what_a_file_says_comes_through_the_server_s_argument() -> None:
    given = access({"x-socket": {"allow": ["events"], "projects": "own"}}, "demo", read_only=True)
    assert given == SocketAccess(read_only=True, allow=("events",), project="demo")
    assert SocketAccess.from_text(given.to_text()) == given
    assert access({}, "demo", read_only=False) == SocketAccess()
