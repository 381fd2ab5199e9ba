"""A registry that misbehaves: a proxy in front of a real one, with faults to order and a log of requests."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 64 * 1024


@dataclass(slots=True)
class Fault:
    """What happens to the first `times` requests whose "METHOD path" matches `pattern`.

    `status` answers at once with `headers`; the others change the answer of the real registry: `drop_after`
    bytes the connection ends, `flip` is a byte to change, `cut` bytes are missing though the length agrees,
    `extra` bytes come too many, `ignore_range` sends everything, `delay_s` waits before each piece.
    """

    pattern: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop_after: int | None = None
    flip: int | None = None
    cut: int = 0
    extra: bytes = b""
    ignore_range: bool = False
    delay_s: float = 0.0
    used: int = 0


@dataclass(slots=True)
class Tokens:
    """Bearer authentication: each token is good for `uses` requests.

    `user` is None where anybody gets one.
    """

    user: str | None = None
    password: str = ""
    uses: int = 10**6
    issued: dict[str, int] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class FaultyRegistry:
    """A running proxy at `host`."""

    host: str
    backend: str
    faults: list[Fault] = field(default_factory=list)
    tokens: Tokens | None = None
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, method: str, path: str) -> Fault | None:
        """Take the first fault that applies."""
        with self.lock:
            for fault in self.faults:
                if fault.used < fault.times and re.search(fault.pattern, f"{method} {path}"):
                    fault.used += 1
                    return fault
        return None

    def requests(self, pattern: str) -> list[Seen]:
        """Return the requests whose "METHOD path" matches."""
        return [seen for seen in self.seen if re.search(pattern, f"{seen.method} {seen.path}")]


_numbers = itertools.count(1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FaultyRegistry

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Stay silent."""

    def handle_any(self) -> None:
        """Answer one request."""
        registry = self.registry
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        with registry.lock:
            registry.seen.append(Seen(self.command, self.path, headers))
        if registry.tokens is not None and not self._authorized(registry.tokens, headers):
            return
        fault = registry.fault(self.command, self.path)
        if fault is not None and fault.status:
            self._answer(fault.status, fault.headers, fault.body)
            return
        with contextlib.suppress(ConnectionError):
            self._forward(headers, body, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any  # noqa: N815 - http.server's names

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _forward(self, headers: dict[str, str], body: bytes, fault: Fault | None) -> None:
        sent = {k: v for k, v in headers.items() if k not in ("host", "connection", "authorization")}
        if fault is not None and fault.ignore_range:
            sent.pop("range", None)
        connection = http.client.HTTPConnection(self.registry.backend)
        try:
            connection.request(self.command, self.path, body=body or None, headers=sent)
            answer = connection.getresponse()
            self._reply(answer, fault)
        finally:
            connection.close()

    def _reply(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
        data = answer.read()
        length = answer.headers.get("Content-Length", str(len(data)))
        if fault is not None and data:
            if fault.flip is not None:
                data = data[: fault.flip] + bytes([data[fault.flip] ^ 0xFF]) + data[fault.flip + 1 :]
            data = data[: len(data) - fault.cut] + fault.extra
            length = str(len(data))
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            if key.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(key, value.replace(self.registry.backend, self.registry.host))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        for start in range(0, len(data), PIECE):
            if fault is not None and fault.delay_s:
                time.sleep(fault.delay_s)
            if fault is not None and fault.drop_after is not None and start + PIECE > fault.drop_after:
                self.wfile.write(data[start : fault.drop_after])
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(data[start : start + PIECE])

    def _authorized(self, tokens: Tokens, headers: dict[str, str]) -> bool:
        """Answer everything about tokens; True when the request may go on."""
        url = urlsplit(self.path)
        if url.path == "/token":
            given = headers.get("authorization", "")
            right = "Basic " + base64.b64encode(f"{tokens.user}:{tokens.password}".encode()).decode()
            if tokens.user is not None and given != right:
                self._answer(401, {}, b'{"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]}')
                return False
            token = f"token{next(_numbers)}"
            with self.registry.lock:
                tokens.issued[token] = tokens.uses
                tokens.scopes += parse_qs(url.query).get("scope", [])
            self._answer(
                200,
                {"Content-Type": "application/json"},
                f'{{"token": "{token}", "expires_in": 300}}'.encode(),
            )
            return False
        token = headers.get("authorization", "").removeprefix("Bearer ")
        with self.registry.lock:
            left = tokens.issued.get(token, 0)
            tokens.issued[token] = left - 1
        if left > 0:
            return True
        realm = f'Bearer realm="http://{self.registry.host}/token",service="test",scope="repository:x:pull"'
        self._answer(401, {"WWW-Authenticate": realm}, b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        return False


@contextmanager
def faulty(backend: str, *faults: Fault, tokens: Tokens | None = None) -> Iterator[FaultyRegistry]:
    """Run a proxy in front of the registry at `backend` ("127.0.0.1:5000")."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry = FaultyRegistry(f"127.0.0.1:{server.server_address[1]}", backend, list(faults), tokens)
    handler.registry = registry  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
