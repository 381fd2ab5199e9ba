"""HTTP for registries on urllib3: TLS per host, proxies, redirects that keep credentials at home, retries.

urllib3, because it streams, keeps connections, has no dependencies and two decades of upkeep; requests would
add nothing here, http.client neither proxies nor pools. It is imported only when something is pulled or
pushed.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import urllib3
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PullError
from pycompose.engine.images.registry.connections import settle
from pycompose.engine.images.registry.proxies import address_of, proxy_for
from pycompose.engine.images.registry.settings import host_name
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProtocolError, SSLError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycompose.engine.images.registry.settings import RegistrySettings

CONNECT_S = 15.0
READ_S = 60.0
ATTEMPTS = 5
BACKOFF_S = 0.25
MAX_WAIT_S = 60.0
MAX_REDIRECTS = 10
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PORTS = {"https": 443, "http": 80}
_SECRET_HEADERS = frozenset({"authorization", "cookie"})

Response = urllib3.BaseHTTPResponse


class Cancelled(Exception):  # noqa: N818 - not an error: the user asked for it
    """The pull or push is being abandoned."""


@dataclass(slots=True)
class Request:
    """One HTTP request; `body` may be sent again."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of a URL. Raises PullError for anything but http and https."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError as exc:
            raise PullError(f"{redact(url)}: not a URL") from exc
        if parts.scheme not in PORTS or not parts.hostname:
            raise PullError(f"{redact(url)}: not an http or https URL")
        return cls(parts.scheme, parts.hostname, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def redact(url: str) -> str:
    """Return a URL for messages: without user, password and query, which hold signatures."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(malformed URL)"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class Transport:
    """Connections to any number of hosts, used by several threads; `cancel` ends waiting and streaming."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self.cancel = threading.Event()
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._watched: set[Response] = set()

    def send(self, request: Request) -> Response:
        """Send, retry what may pass, follow redirects; return the answer, whatever its status, unread.

        Raises PullError when no answer comes.
        """
        attempt = 1
        while True:
            try:
                response = self._follow(request)
            except HTTPError as exc:
                if attempt >= ATTEMPTS or isinstance(exc, (SSLError, NewConnectionError)):
                    raise PullError(f"{Origin.of(request.url)}: {explain(exc)}") from exc
                wait_s = self._backoff(attempt)
            else:
                if response.status not in RETRIED or attempt >= ATTEMPTS:
                    return response
                wait_s = max(retry_after_s(response.headers), self._backoff(attempt))
                response.drain_conn()
            self.pause(wait_s)
            attempt += 1

    def once(self, request: Request) -> Response:
        """Send without retries or redirects. Raises urllib3's HTTPError."""
        return self._send(request, request.url, request.headers)

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the user wants. Raises Cancelled."""
        if self.cancel.wait(min(seconds, MAX_WAIT_S)):
            raise Cancelled

    def check(self) -> None:
        """Raise Cancelled when the user has had enough."""
        if self.cancel.is_set():
            raise Cancelled

    def watch(self, response: Response) -> None:
        """Let `abort` interrupt reading this answer. Raises Cancelled."""
        with self._lock:
            self._watched.add(response)
        self.check()

    def unwatch(self, response: Response) -> None:
        """Undo `watch`."""
        with self._lock:
            self._watched.discard(response)

    def body(self, response: Response, piece: int) -> Iterator[bytes]:
        """Yield what an answer holds, as it comes. Raises PullError when the connection breaks, Cancelled."""
        self.watch(response)
        try:
            while data := response.read1(piece):
                self.check()
                yield data
        except HTTPError as exc:
            self.check()
            raise PullError(explain(exc)) from exc
        finally:
            self.unwatch(response)

    def abort(self) -> None:
        """End waiting and reading in all threads; they see Cancelled or a broken connection."""
        self.cancel.set()
        with self._lock:
            for response in self._watched:
                with contextlib.suppress(OSError, ValueError, HTTPError):
                    response.shutdown()

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()

    @staticmethod
    def _backoff(attempt: int) -> float:
        """Return seconds: exponential, with jitter so that many clients don't come back together."""
        factor: float = 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
        return BACKOFF_S * factor

    def _follow(self, request: Request) -> Response:
        url = request.url
        first = Origin.of(url)
        headers = dict(request.headers)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(request, url, headers)
            target = response.headers.get("Location")
            if response.status not in REDIRECTS or not target or request.method not in ("GET", "HEAD"):
                return response
            response.drain_conn()
            target = urljoin(url, target)
            origin = Origin.of(target)
            check_redirect(first, Origin.of(url), origin)
            if origin != Origin.of(url):
                headers = {k: v for k, v in headers.items() if k.lower() not in _SECRET_HEADERS}
            url = target
        raise PullError(f"{first}: more than {MAX_REDIRECTS} redirects")

    def _send(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        self.check()
        return self._manager(Origin.of(url)).urlopen(
            request.method,
            url,
            headers={"User-Agent": "pycompose", "Accept-Encoding": "identity", **headers},
            body=request.body,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
        )

    def _manager(self, origin: Origin) -> urllib3.PoolManager:
        proxy = proxy_for(origin.scheme, origin.host, origin.port, self.settings.environment)
        key = (f"{origin.scheme}://{origin}", proxy)
        with self._lock:
            manager = self._managers.get(key)
            if manager is None:
                manager = self._managers[key] = self._new_manager(origin, proxy)
            return manager

    def _new_manager(self, origin: Origin, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {
            "maxsize": 8,
            "timeout": urllib3.Timeout(connect=CONNECT_S, read=READ_S),
            "retries": False,
        }
        if origin.scheme == "https":
            options["ssl_context"] = self._tls(origin)
        if not proxy:
            return settle(urllib3.PoolManager(**options))
        parts = urlsplit(proxy)
        if parts.username:
            options["proxy_headers"] = urllib3.make_headers(
                proxy_basic_auth=f"{parts.username}:{parts.password or ''}"
            )
            proxy = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return settle(urllib3.ProxyManager(proxy, **options))

    def _tls(self, origin: Origin) -> ssl.SSLContext:
        """Return the TLS context of a host: the system's authorities and those of certs.d/HOST[:PORT]."""
        directory = self.settings.certificates / str(origin)
        authorities = sorted(directory.glob("*.crt")) if directory.is_dir() else []
        if self.settings.is_insecure(str(origin)) and not authorities:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context()
        try:
            for path in authorities:
                context.load_verify_locations(path)
            for path in sorted(directory.glob("*.cert")) if directory.is_dir() else []:
                context.load_cert_chain(path, path.with_suffix(".key"))
        except (OSError, ssl.SSLError) as exc:
            raise PullError(f"{directory}: cannot read certificates: {exc}") from exc
        return context


def check_redirect(first: Origin, here: Origin, target: Origin) -> None:
    """Refuse redirects that lead where the user's request should not: out of TLS, or to metadata services.

    Raises PullError.
    """
    if here.scheme == "https" and target.scheme != "https":
        raise PullError(f"{first}: redirects from https to http ({target}): refused")
    address = address_of(target.host)
    own = address_of(host_name(first.host))
    if address is not None and address.is_link_local and not (own is not None and own.is_link_local):
        raise PullError(f"{first}: redirects to the link-local address {target.host}: refused")


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Return the seconds that Retry-After asks for (RFC 9110 10.2.3: a number or a date), 0 without one."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(min(int(text), 10**6))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp() - time.time())


def explain(error: HTTPError) -> str:
    """Return the reason of a failed connection in a few words."""
    if isinstance(error, NameResolutionError):
        return "its name cannot be resolved"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLError):
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    if isinstance(error, SSLError):
        return f"TLS: {text}"
    if isinstance(error, ProtocolError):
        return f"the connection broke: {text.partition(',')[0]}"
    return text.partition(": ")[2] or text
