"""What walls `pycompose system serve` has: whose the socket is, and that no client makes the server grow or stop."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import api_get
from tests.support.scenario import eventually

if TYPE_CHECKING:
    from tests.support.scenario import Host
    from tests.support.served import Served


def test_the_socket_is_its_owner_s(served: Served) -> None:
    assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o600
    second = served.host.run("system", "serve", "--socket", served.path)
    assert "somebody serves there already" in second.exited(1).stderr


def test_another_user_is_told_to_go(busy: Host) -> None:
    """SO_PEERCRED holds where somebody has loosened the file's mode."""
    path = Path("/run/open.sock")
    server = busy.spawn("system", "serve", "--socket", path)
    eventually(lambda: busy.inside(path.exists))
    busy.inside(lambda: path.chmod(0o666))
    code = (
        "import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
        f"s.connect({str(path)!r}); s.sendall(b'GET /version HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n'); "
        "print(s.recv(9999).decode())"
    )
    answer = busy.command(["/usr/bin/python3", "-c", code]).ok().stdout
    server.process.terminate()
    assert server.process.wait(20) == 0
    assert answer.startswith("HTTP/1.1 403")
    assert "user 65534 may not use this socket" in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    (
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /version\r\n\r\n", b"400"),
        (b"GET /version HTTP/1.1\r\nHost: d\r\nA: " + b"x" * 200_000 + b"\r\n\r\n", b"431"),
        (b"POST /auth HTTP/1.1\r\nHost: d\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 5_000_000, b"413"),
        (b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nConnection: close\r\n\r\n[[[[", b"400"),
        (b"POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /containers/json?filters=%ff%00 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET /v9.9/version HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", b"400"),
    ),
    ids=("words", "version", "header", "body", "json", "chunk", "filters", "api"),
)  # fmt: skip
def test_nonsense_is_answered(served: Served, request_: bytes, status: bytes) -> None:
    """With an error of Docker's form, and the next client is served."""
    try:
        answer = served.raw(request_)
    except ConnectionResetError:  # it has hung up on what was left of a body
        answer = b""
    if answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        assert json.loads(body)["message"]
    assert served.get("/version")["ApiVersion"]


@pytest.mark.timeout(150)
def test_a_thousand_connections(served: Served) -> None:
    """Slow ones that have sent half a request: others are served meanwhile, and nothing of them stays."""
    served.get("/version")
    before = served.descriptors()
    socks = []
    try:
        for _ in range(1000):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(served.path))
            sock.sendall(b"GET /version HTTP/1.1\r\nHost")
            socks.append(sock)
        connection = HTTPConnection("docker", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(served.path))
        connection.request("GET", "/_ping")
        assert connection.getresponse().read() == b"OK"
        connection.close()
    finally:
        for sock in socks:
            sock.close()
    eventually(lambda: served.descriptors() <= before + 2)


def test_idle_servers_go(busy: Host) -> None:
    """Some time after the last client."""
    path = busy.folder / "docker.sock"
    server = busy.spawn("system", "serve", "--socket", path, "--idle", "0.5")
    eventually(path.exists)
    assert api_get(str(path), "/version")["ApiVersion"]
    assert server.process.wait(20) == 0
    assert not path.exists()


HEAD = b" HTTP/1.1\r\nHost: d\r\n"
FILTERS = b"%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D"
REQUESTS = (
    b"GET /v1.45/containers/json?all=1&filters=" + FILTERS + HEAD + b"\r\n",
    b"POST /containers/create?name=x" + HEAD + b'Content-Length: 23\r\n\r\n{"Image":"no","Cmd":[]}',
    b"PUT /containers/x/archive?path=/" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"POST /exec/0/start" + HEAD + b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
    b"HEAD /_ping" + HEAD + b"\r\nGET /info" + HEAD + b"\r\n",
    b"POST /build?t=a&dockerfile=D" + HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nFROM ",
)
MUTATIONS = int(os.environ.get("PYCOMPOSE_MUTATIONS", "400"))


def mutated(chance: random.Random, request: bytes) -> bytes:
    """Return a request with bytes changed, left out, doubled, or cut off."""
    data = bytearray(request)
    for _ in range(chance.randrange(1, 6)):
        place, size = chance.randrange(len(data)), chance.randrange(1, 12)
        match chance.randrange(4):
            case 0:
                data[place : place + size] = chance.randbytes(size)
            case 1:
                del data[place : place + size]
            case 2:
                data[place:place] = data[place : place + size] * chance.choice((1, 2, 500))
            case _:
                del data[place + 1 :]
        if not data:
            break
    return bytes(data)


@pytest.mark.timeout(150)
def test_malformed_requests(served: Served) -> None:
    """Whatever is sent: the next client is served, and neither descriptors nor memory stay behind."""
    chance = random.Random(20)  # noqa: S311 - the same ones every time
    served.get("/containers/json")
    descriptors, memory_kib = served.descriptors(), 0
    for number in range(MUTATIONS):
        with served.connect() as sock:
            sock.sendall(mutated(chance, chance.choice(REQUESTS)))
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while sock.recv(65536):
                    pass
        if number == MUTATIONS // 2:
            memory_kib = served.resident_kib()
    assert served.get("/version")["ApiVersion"]
    assert served.server.process.poll() is None
    eventually(lambda: served.descriptors() <= descriptors + 2)
    assert served.resident_kib() - memory_kib < 4096


@pytest.mark.timeout(150)
def test_slow_readers_and_endless_bodies(served: Served) -> None:
    """Fifty that don't read what they have asked for, and one that sends without end, cost others nothing."""
    served.host.run("container", "create", "--name", "rests", "busybox", "true").ok()
    served.host.run("container", "run", "-d", "--name", "runs", "busybox", "sleep", "1000").ok()
    served.get("/containers/json")
    descriptors, memory_kib = served.descriptors(), served.resident_kib()
    socks = [served.connect() for _ in range(51)]
    try:
        for number, sock in enumerate(
            socks[1:]
        ):  # one that rests is read by one client, the others wait for it
            name = b"rests" if number % 2 else b"runs"
            sock.sendall(b"GET /containers/%b/export HTTP/1.1\r\nHost: d\r\n\r\n" % name)
        for sock in socks[1:]:
            assert sock.recv(15) == b"HTTP/1.1 200 OK"
        sender = socks[0]
        sender.sendall(b"POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(64):
            sender.sendall(chunk)
        assert served.get("/version")["ApiVersion"]
        assert served.resident_kib() - memory_kib < 50 * 256
    finally:
        for sock in socks:
            sock.close()
    eventually(lambda: served.descriptors() <= descriptors + 2)
    served.host.run("container", "rm", "-f", "rests", "runs").ok()
