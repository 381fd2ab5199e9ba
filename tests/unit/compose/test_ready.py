"""`x-ready`: what it may say, and asking a real socket and a real log."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.config import LogConfig
from pycompose.engine.errors import EngineError
from pycompose.engine.logs.writer import LogWriter
from pycompose.policy.ready import ReadySpec, ready_spec
from pycompose.supervisor.lifecycle.ready import check


class Answer(http.server.BaseHTTPRequestHandler):
    """200 on /health, 503 elsewhere."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(spec: ReadySpec, logs: Path) -> str:
    return check(spec, address="127.0.0.1", logs=logs, since_ns=0, timeout_s=2)


def test_the_forms() -> None:
    """Every key, and none."""
    assert ready_spec("db", None) is None
    assert ready_spec("db", {"tcp": 5432}) == ReadySpec(tcp=5432)
    assert ready_spec("db", {"http": "80/health"}) == ReadySpec(http_port=80, http_path="/health")
    assert ready_spec("db", {"http": 80}) == ReadySpec(http_port=80)


@pytest.mark.parametrize("value", ("tcp", {}, {"udp": 1}, {"tcp": "x"}, {"http": "/health"}, {"log": "("}))
def test_nonsense_names_the_service(value: object) -> None:
    """An error, not a service that is never ready."""
    with pytest.raises(EngineError, match="service db: x-ready"):
        ready_spec("db", value)


def test_a_listening_port_is_ready_and_a_closed_one_is_not(port: int, tmp_path: Path) -> None:
    """Tcp."""
    assert ask(ReadySpec(tcp=port), tmp_path) == ""
    assert ask(ReadySpec(tcp=1), tmp_path) == "Connection refused"


def test_http_wants_success(port: int, tmp_path: Path) -> None:
    """Http."""
    assert ask(ReadySpec(http_port=port, http_path="/health"), tmp_path) == ""
    assert ask(ReadySpec(http_port=port), tmp_path) == f"http {port}/: status 503"


def test_a_log_line_is_enough(tmp_path: Path) -> None:
    """Log."""
    writer = LogWriter(tmp_path, LogConfig())
    writer.write("stdout", b"starting\nready to accept connections\n")
    writer.close()

    assert ask(ReadySpec(log="ready to accept"), tmp_path) == ""
    assert ask(ReadySpec(log="never"), tmp_path) == "no line matches 'never'"
