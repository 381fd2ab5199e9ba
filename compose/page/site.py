"""What the page's address answers, and to whom.

The address that `pycompose page` prints holds a token; who brings it gets a cookie and is sent on to an address without
it. Everything else needs the cookie (SameSite=Strict: no other site's page makes the browser send it). Besides, the
Host has to be ours, or a name that an attacker has pointed to 127.0.0.1 would be one (DNS rebinding), and an Origin,
where the browser says one, too. Scripts and styles come from here, and nothing from anywhere else (CSP).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, Headers, Services, answer, done
from pycompose.api.websocket import handshake
from pycompose.engine.digests import sha256
from pycompose.page import actions, history
from pycompose.page.shells import Shells
from pycompose.page.stream import PageStream

if TYPE_CHECKING:
    from pycompose.api.http import Outlet, Wire
    from pycompose.page.rows import Row
    from pycompose.page.shared import PageShared

_STATIC = Path(__file__).with_name("static")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# xterm.js makes style sheets of its own; the document that it stands in holds nothing else.
TERMINAL = "terminal.html"
TERMINAL_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
NO_COOKIE = "This page needs the whole address that `pycompose page` has printed, with its token.\n"
PROJECT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]*")
_MOST_FIELDS = 100
_SOCKETS = frozenset({"/stream", "/shell"})


class PageRoute(NamedTuple):
    """How one request is answered."""

    answer: Callable[[ApiCall], ApiAnswer]
    slow: bool = False
    uploads: bool = False

    def handler(self) -> Callable[[ApiCall], ApiAnswer]:
        """Return the function that answers."""
        return self.answer


class PageSite:
    """The page at one port of 127.0.0.1 (0: at a unix socket), of the one `project` or ("") of all."""

    headers: Headers = (
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    )

    def __init__(
        self,
        services: Services,
        shared: PageShared,
        port: int,
        token: str,
        project: str,
        *,
        read_only: bool,
    ) -> None:
        self._services = services
        # A unix socket is reached by whatever port somebody leads to it (ssh -L).
        self._host = re.compile(
            rf"(127\.0\.0\.1|localhost){f':{port}' if port else r'(:[0-9]{1,5})?'}", re.ASCII
        )
        self._cookie = f"pycompose-{port}"
        self._token = token
        self._project = project
        self._read_only = read_only
        self._shared = shared
        self._shells = Shells()

    def find(
        self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[PageRoute, ApiCall]:
        """Return what answers a request, and the request; raises ApiError for who isn't allowed to ask."""
        parts = urlsplit(target)
        call = ApiCall(
            method=method,
            path=parts.path or "/",
            version=(0, 0),
            names=(),
            query=parse_qs(parts.query, max_num_fields=_MOST_FIELDS),
            headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers},
            services=self._services,
        )
        self._check_place(call)
        given = call.query.get("token", [])
        if call.path == "/" and given:
            return PageRoute(self._enter if self._is_token(given[0]) else _refused), call
        if not self._has_cookie(call):
            return PageRoute(_refused), call
        return self._route(call), call

    def _check_place(self, call: ApiCall) -> None:
        """Raise ApiError unless the request is from a page of ours, or from no page, to an address of ours."""
        host = call.headers.get("host", "")
        if not self._host.fullmatch(host):
            raise ApiError(403, f"host {host[:100]!r}: not this page's")
        origin = call.headers.get("origin")
        ours = f"http://{host}"
        if origin is not None and origin != ours:
            raise ApiError(403, "another origin may not ask")
        if call.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise ApiError(403, "another site may not ask")
        # A browser lets any site's page open a WebSocket, and says whose it is (RFC 6455, 10.2).
        if (call.method not in ("GET", "HEAD") or call.path in _SOCKETS) and origin != ours:
            raise ApiError(403, "who changes something, or opens a WebSocket, has to say an origin")

    def _is_token(self, text: str) -> bool:
        # Digests, which nobody can choose: how long that takes says nothing.
        return sha256(text.encode()).digest() == sha256(self._token.encode()).digest()

    def _has_cookie(self, call: ApiCall) -> bool:
        try:
            found = SimpleCookie(call.headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and self._is_token(found.value)

    def _enter(self, _call: ApiCall) -> ApiAnswer:
        """Give the cookie, and lead to the page: the token is in no address bar or history after that."""
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        return ApiAnswer(status=303, headers=(("Location", "/"), ("Set-Cookie", cookie)))

    def _route(self, call: ApiCall) -> PageRoute:
        if self._read_only and (call.method not in ("GET", "HEAD") or call.path == "/shell"):
            raise ApiError(403, "the page is read-only (--read-only)")
        changes = {"/act": self._act, "/plan": self._plan}
        if call.path in changes:
            if call.method != "POST":
                raise ApiError(405, f"{call.method} {call.path}: POST it")
            return PageRoute(changes[call.path], slow=True)
        if call.method not in ("GET", "HEAD"):
            raise ApiError(405, f"{call.method} {call.path}: not done here")
        looks = {"/stream": self._stream, "/shell": self._shell, "/output": self._output}
        return PageRoute(looks.get(call.path, static))

    def _asked(self, call: ApiCall) -> dict[str, Any]:
        """Return what a request says, if it is about a project of this page. Raises ApiError."""
        asked = call.document()
        self._check_project(asked.get("project"))
        return asked

    def _check_project(self, asked: object) -> None:
        if self._project not in ("", asked):
            raise ApiError(403, f"this page is of project {self._project}")

    def _act(self, call: ApiCall) -> ApiAnswer:
        actions.act(self._shared, self._asked(call))
        return done()

    def _plan(self, call: ApiCall) -> ApiAnswer:
        return answer(actions.plan(self._shared, self._asked(call)))

    def _shell(self, call: ApiCall) -> ApiAnswer:
        self._check_project(call.query.get("project", [""])[0])
        return self._shells.open(call)

    def _output(self, call: ApiCall) -> ApiAnswer:
        """GET /output?project=…&service=…&stream=out|err&search=…: all that is in the logs, as a file."""
        project, service, stream, search = (
            call.query.get(key, [""])[0] for key in ("project", "service", "stream", "search")
        )
        self._check_project(project)
        if not PROJECT_NAME.fullmatch(project):
            raise ApiError(400, "project: a name")
        places = [one for one in history.sources(call.context, project) if service in ("", one.service)]

        def write(outlet: Outlet) -> None:
            for piece in history.whole(places, search=search, stream=stream):
                outlet.write(piece)

        given = (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Disposition", f'attachment; filename="{project}.log"'),
        )
        return ApiAnswer(headers=given, stream=write)

    def _stream(self, call: ApiCall) -> ApiAnswer:
        accepted = handshake(call)
        about: Row = {"readOnly": self._read_only, "only": self._project}

        async def talk(wire: Wire) -> None:
            await PageStream(self._shared, self._project, about).talk(wire)

        return ApiAnswer(headers=accepted, talk=talk)


def static(call: ApiCall) -> ApiAnswer:
    """Return a file of the front end. Raises ApiError."""
    name = call.path.removeprefix("/") or "index.html"
    files = {
        path.relative_to(_STATIC).as_posix(): path
        for folder in (_STATIC, _STATIC / "vendor")
        for path in folder.iterdir()
        if path.suffix in _TYPES
    }
    if name not in files:
        raise ApiError(404, "page not found")
    headers: Headers = (("Content-Type", f"{_TYPES[files[name].suffix]}; charset=utf-8"),)
    if name == TERMINAL:
        headers = (*headers, ("Content-Security-Policy", TERMINAL_POLICY))
    return ApiAnswer(headers=headers, body=files[name].read_bytes())


def _refused(_call: ApiCall) -> ApiAnswer:
    return ApiAnswer(
        status=403, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=NO_COOKIE.encode()
    )
