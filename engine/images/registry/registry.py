"""A repository in a registry: OCI distribution-spec 1.1, and the tokens of Docker's registry specification.

Credentials go to the registry that asked and to the token service it names, if that is https or the registry
itself.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import AuthError, PullError
from pycompose.engine.images.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    Descriptor,
    sha256,
    verify,
)
from pycompose.engine.images.reference import HUB
from pycompose.engine.images.registry.auth import Challenge, Credentials, parse_challenges
from pycompose.engine.images.registry.transport import Origin, Request, Response, Transport, explain
from urllib3.exceptions import HTTPError, SSLError

if TYPE_CHECKING:
    from collections.abc import Callable

HUB_HOST = "registry-1.docker.io"
ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
DEFAULT_TOKEN_S = 60.0
# A token may run out between two threads' requests, hence more than one.
AUTHORIZATIONS = 2
_MAX_BODY = 1024 * 1024


class NotInRegistry(PullError):  # noqa: N818 - names of the error tree read as sentences
    """The registry has no such manifest or blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedDocument:
    """A manifest or index as it came."""

    data: bytes
    media_type: str
    digest: str


def registry_host(domain: str) -> str:
    """Return the host that serves a domain."""
    return HUB_HOST if domain == HUB else domain


class Repository:
    """One repository at one host. `actions` is the scope: "pull" or "pull,push".

    `credentials` is asked at most once, and only when the registry asks.
    """

    def __init__(
        self,
        transport: Transport,
        host: str,
        path: str,
        *,
        credentials: Callable[[], Credentials | None],
        actions: str = "pull",
    ) -> None:
        self.transport = transport
        self.path = path
        self._scope = f"repository:{path}:{actions}" if path else ""
        self._ask_credentials = credentials
        self._credentials: Credentials | None = None
        self._asked = False
        self._lock = threading.Lock()
        self._authorization = ""
        self._expires_s = 0.0
        scheme, _, rest = host.rpartition("://")
        self.host = rest.rstrip("/")
        self._base = f"{scheme or 'https'}://{self.host}"
        self._may_fall_back = not scheme and transport.settings.is_insecure(self.host)
        self.extra_scopes: tuple[str, ...] = ()

    # Reading

    def manifest(self, reference: str, *, expected: str = "") -> FetchedDocument:
        """Return the manifest of a tag or digest; `expected` must be its digest.

        Raises NotInRegistry, AuthError, PullError, DigestMismatch.
        """
        what = f"{self.host}/{self.path}:{reference}"
        response = self.send("GET", f"manifests/{reference}", headers={"Accept": ACCEPT})
        try:
            self.expect(response, 200, f"manifest {reference}")
            data = self._read(response, MAX_MANIFEST_BYTES, what)
        finally:
            response.release_conn()
        digest = sha256(data)
        announced = response.headers.get("Docker-Content-Digest", "")
        for wanted in (expected, announced if announced.startswith("sha256:") else ""):
            if wanted:
                verify(data, wanted, what)
        return FetchedDocument(data=data, media_type=response.headers.get("Content-Type", ""), digest=digest)

    def blob(self, digest: str, *, start: int = 0) -> Response:
        """Open a blob from byte `start`; the caller reads it and checks status (200, 206.

        416) and content.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = self.send("GET", f"blobs/{digest}", headers=headers)
        if response.status not in (200, 206, 416):
            self.expect(response, 200, f"blob {digest[:19]}")
        return response

    def small_blob(self, descriptor: Descriptor) -> bytes:
        """Return the content of a blob that fits into memory, unverified. Raises PullError."""
        response = self.blob(descriptor.digest)
        try:
            return self._read(response, descriptor.size, f"{self.host}: blob {descriptor.digest[:19]}")
        finally:
            response.release_conn()

    def ping(self) -> None:
        """Ask for the API itself, as `login` does. Raises AuthError, PullError."""
        response = self.send("GET", "")
        self.expect(response, 200, "API version 2")
        response.drain_conn()

    # Requests

    def url(self, rest: str) -> str:
        """Return the URL of something in the repository."""
        middle = f"{self.path}/" if self.path else ""
        return f"{self._base}/v2/{middle}{rest}"

    def send(
        self,
        method: str,
        rest: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        """Send a request with credentials where they are asked for; `rest` is a path.

        Or a URL of this registry.
        """
        own = "://" not in rest or Origin.of(rest) == Origin.of(self._base)
        for attempt in range(AUTHORIZATIONS + 1):
            sent = dict(headers or {})
            if own and (authorization := self._current()):
                sent["Authorization"] = authorization
            response = self._send(Request(method, rest if "://" in rest else self.url(rest), sent, body))
            if response.status != 401 or attempt == AUTHORIZATIONS or not own:
                return response
            header = ", ".join(response.headers.getlist("WWW-Authenticate"))
            response.drain_conn()
            self._authorize(parse_challenges(header), stale=sent.get("Authorization", ""))
        raise AssertionError("the loop returns")

    def _send(self, request: Request) -> Response:
        if not self._may_fall_back:
            return self.transport.send(request)
        try:
            response = self.transport.once(request)
        except SSLError as exc:
            if not request.url.startswith("https://"):
                raise PullError(f"{self.host}: {explain(exc)}") from exc
            self._base = f"http://{self.host}"
            self._may_fall_back = False
            request.url = "http" + request.url.removeprefix("https")
            return self.transport.send(request)
        except HTTPError:
            return self.transport.send(request)
        self._may_fall_back = False
        if response.status < 300 or response.status == 401:
            return response
        response.drain_conn()
        return self.transport.send(request)

    def expect(self, response: Response, status: int, what: str) -> None:
        """Raise NotInRegistry, AuthError or PullError unless the answer has `status`; reads the body then."""
        if response.status == status:
            return
        reason = _reason(response)
        response.drain_conn()
        place = f"{self.host}: {what}"
        if response.status == 404:
            raise NotInRegistry(f"{place}: not found{reason}", hint="check the name and the tag")
        if response.status in (401, 403):
            hint = f"log in with: pycompose login {self.host}" if self._credentials is None else None
            raise AuthError(f"{place}: access denied{reason}", hint=hint or "check the user's rights")
        if response.status == 429:
            raise PullError(f"{place}: too many requests{reason}", hint="wait, log in, or configure a mirror")
        raise PullError(f"{place}: unexpected answer: status {response.status}{reason}")

    def _read(self, response: Response, limit: int, what: str) -> bytes:
        try:
            data = response.read(limit + 1)
        except HTTPError as exc:
            raise PullError(f"{what}: {explain(exc)}") from exc
        if len(data) > limit:
            raise PullError(f"{what}: larger than {limit} bytes: refused")
        return bytes(data)

    # Authorization

    def _current(self) -> str:
        with self._lock:
            return self._authorization if time.monotonic() < self._expires_s else ""

    def _authorize(self, challenges: list[Challenge], stale: str) -> None:
        with self._lock:
            if self._authorization != stale and time.monotonic() < self._expires_s:
                return  # another thread was faster
            if not self._asked:
                self._credentials, self._asked = self._ask_credentials(), True
            for challenge in challenges:
                if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                    self._authorization, lifetime_s = self._token(challenge)
                    self._expires_s = time.monotonic() + lifetime_s
                    return
            credentials = self._credentials
            if any(challenge.scheme == "basic" for challenge in challenges):
                if credentials is None or not credentials.username:
                    raise AuthError(
                        f"{self.host}: it asks for a user and password",
                        hint=f"log in with: pycompose login {self.host}",
                    )
                self._authorization, self._expires_s = credentials.basic(), float("inf")
                return
        raise AuthError(f"{self.host}: it asks for an authentication that is not supported")

    def _token(self, challenge: Challenge) -> tuple[str, float]:
        """Get an access token; return the header's value and its lifetime in seconds."""
        realm = challenge.parameters["realm"]
        origin, own = Origin.of(realm), Origin.of(self._base)
        if origin.scheme != "https" and (origin.host, own.scheme) != (own.host, "http"):
            raise AuthError(f"{self.host}: its token service {origin} is not https: refused")
        own_scope = self._scope or challenge.parameters.get("scope", "")
        scopes = [scope for scope in (own_scope, *self.extra_scopes) if scope]
        fields = [("service", challenge.parameters.get("service", ""))] + [
            ("scope", scope) for scope in scopes
        ]
        credentials = self._credentials
        if credentials is not None and credentials.identity_token:
            fields += [
                ("grant_type", "refresh_token"),
                ("client_id", "pycompose"),
                ("refresh_token", credentials.identity_token),
            ]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request = Request("POST", realm, headers, urlencode(fields).encode())
        else:
            headers = {"Authorization": credentials.basic()} if credentials is not None else {}
            separator = "&" if "?" in realm else "?"
            request = Request("GET", f"{realm}{separator}{urlencode(fields)}", headers)
        response = self.transport.send(request)
        if response.status in (401, 403):
            reason = _reason(response)
            response.drain_conn()
            raise AuthError(
                f"{self.host}: the token service {origin} refused{reason}",
                hint=f"log in with: pycompose login {self.host}",
            )
        self.expect(response, 200, f"token from {origin}")
        return self._parse_token(self._read(response, _MAX_BODY, str(origin)), origin)

    def _parse_token(self, data: bytes, origin: Origin) -> tuple[str, float]:
        try:
            value = json.loads(data)
            token = value.get("token") or value.get("access_token")
            lifetime_s = float(value.get("expires_in") or DEFAULT_TOKEN_S)
        except (ValueError, AttributeError, TypeError) as exc:
            raise AuthError(f"{self.host}: the token service {origin} answered nonsense") from exc
        if not isinstance(token, str) or not token or "\n" in token:
            raise AuthError(f"{self.host}: the token service {origin} gave no token")
        # A token that runs out on the way is renewed by the 401 it earns; a little early saves that.
        return f"Bearer {token}", max(lifetime_s * 0.9, 5.0)


def _reason(response: Response) -> str:
    """Return ": CODE: message" out of a registry's error document, "" without one."""
    try:
        value: Any = json.loads(response.read(_MAX_BODY))
        first = value["errors"][0]
        text = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return f": {' '.join(text.split())[:300]}" if text else ""
