"""Log drivers by name: what each sends where, what it keeps, and what it does when nobody takes it."""

from __future__ import annotations

import os
import re
import select
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.config import ContainerConfig, LogConfig, Process
from pycompose.engine.errors import EngineError
from pycompose.engine.keeper.loop import Loop
from pycompose.engine.logs import journald, remote, sender, syslog
from pycompose.engine.logs.driver import DRIVERS, open_log
from pycompose.engine.logs.reader import read_logs
from pycompose.engine.logs.writer import is_kept, log_directory
from pycompose.engine.paths import StatePaths

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "0123456789abcdef" * 4
HOST, PID = os.uname().nodename, os.getpid()


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    return StatePaths(root=tmp_path / "lib", run=tmp_path / "run")


def container(**log: object) -> ContainerConfig:
    return ContainerConfig(
        id=ID,
        name="shop-web-1",
        project="shop",
        image="web:1",
        rootfs=(),
        process=Process(args=("true",)),
        log=LogConfig(**log),  # type: ignore[arg-type]
    )


class Receiver:
    """A log server in the keeper's own loop: whole messages of datagrams, bytes of streams."""

    def __init__(self, loop: Loop, family: int, kind: int, address: str | tuple[str, int]) -> None:
        self.loop = loop
        self.got: list[bytes] = []
        self.clients: list[socket.socket] = []
        self.socket = socket.socket(family, kind)
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(address)
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        self.listen()

    def listen(self) -> None:
        """Take what comes from now on."""
        stream = self.socket.type == socket.SOCK_STREAM
        self.loop.watch(self.socket.fileno(), self._accept if stream else self._take(self.socket))

    def pause(self) -> None:
        """Take nothing more."""
        for one in (self.socket, *self.clients):
            self.loop.forget(one.fileno())

    def close(self) -> None:
        """Be gone, with all connections."""
        self.pause()
        for one in (self.socket, *self.clients):
            one.close()
        self.clients.clear()

    @property
    def port(self) -> int:
        """Where an INET one listens."""
        return int(self.socket.getsockname()[1])

    def lines(self) -> list[str]:
        """Return what has come so far, line by line."""
        return b"".join(self.got).decode().splitlines()

    def _accept(self, _events: int) -> None:
        client, _ = self.socket.accept()
        self.clients.append(client)
        self.loop.watch(client.fileno(), self._take(client))

    def _take(self, sock: socket.socket) -> Callable[[int], None]:
        def take(_events: int) -> None:
            data = sock.recv(1 << 16)
            if data:
                self.got.append(data)
            else:
                self.loop.forget(sock.fileno())

        return take


def turn(loop: Loop, until: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Let the loop run until something is true."""
    deadline = time.monotonic() + timeout_s

    def look() -> None:
        assert time.monotonic() < deadline, "not in time"
        if until():
            loop.stop()
        else:
            loop.after(0.002, look)

    loop.after(0, look)
    loop.run()
    assert until(), "not in time"


def udp(loop: Loop) -> Receiver:
    return Receiver(loop, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))


def tcp(loop: Loop, port: int = 0) -> Receiver:
    return Receiver(loop, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))


STAMP = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 123]\d \d\d:\d\d:\d\d"
ZONE = r"(?:Z|[+-]\d\d:\d\d)"
FORMATS = {
    "": rf"<30>{STAMP} web\[{PID}\]: one two\n",
    "rfc3164": rf"<30>{STAMP} {HOST} web\[{PID}\]: one two\n",
    "rfc5424": rf"<30>1 \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d{ZONE} {HOST} web {PID} web - one two\n",
    "rfc5424micro": rf"<30>1 \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}{ZONE} {HOST} web {PID} web - one two\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(paths: StatePaths, name: str) -> None:
    """Byte for byte what Docker Engine 26 sends, recorded from it."""
    loop = Loop()
    receiver = udp(loop)
    log = open_log(
        paths,
        container(driver="syslog", address=f"udp://127.0.0.1:{receiver.port}", tag="web", format=name),
        loop,
    )
    log.write("stdout", b"one two\n")
    turn(loop, lambda: receiver.got)
    log.finish()
    log.close()
    receiver.close()

    assert re.fullmatch(FORMATS[name], receiver.got[0].decode())


def test_stamps_are_local_and_without_a_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """One digit days have a blank before them; zones east and west of Greenwich."""
    at = 1_790_000_000.25  # 2026-09-21 14:13:20 UTC
    try:
        for zone, classic, new in (
            ("UTC0", b"Sep 21 14:13:20", b"2026-09-21T14:13:20.250000Z"),
            ("XXX-05:30", b"Sep 21 19:43:20", b"2026-09-21T19:43:20.250000+05:30"),
            ("XXX+03:30", b"Sep 21 10:43:20", b"2026-09-21T10:43:20.250000-03:30"),
        ):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert (syslog._stamp(at), syslog._rfc3339_micro(at)) == (classic, new)
            assert syslog._stamp(at - 15 * 86400)[:6] == b"Sep  6"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_streams_lines_and_their_severities(paths: StatePaths) -> None:
    """A line may come in pieces; empty ones are left out; the last needs no newline; any bytes pass."""
    loop = Loop()
    receiver = tcp(loop)
    config = container(driver="syslog", address=f"tcp://127.0.0.1:{receiver.port}", facility=16)
    log = open_log(paths, config, loop)
    for stream, data in (
        ("stdout", b"a\n\nbe"),
        ("stderr", b"err\xff\x00or\n"),
        ("stdout", b"tween\n"),
        ("stdout", b"last"),
    ):
        log.write(stream, data)
    log.finish()
    log.close()
    turn(loop, lambda: b"last" in b"".join(receiver.got))
    receiver.close()

    text = re.sub(STAMP.encode(), b"NOW", b"".join(receiver.got)).replace(f"[{PID}]".encode(), b"")
    assert text == (
        b"<134>NOW 0123456789ab: a\n<131>NOW 0123456789ab: err\xff\x00or\n"
        b"<134>NOW 0123456789ab: between\n<134>NOW 0123456789ab: last\n"
    )
    kept = [(line.stream, line.data) for line in read_logs(log_directory(paths, config))]
    assert kept == [
        ("stdout", b"a"),
        ("stdout", b""),
        ("stderr", b"err\xff\x00or"),
        ("stdout", b"between"),
        ("stdout", b"last"),
    ]


@pytest.mark.parametrize("kind", (socket.SOCK_DGRAM, socket.SOCK_STREAM))
def test_the_machines_own_syslog(
    paths: StatePaths, tmp_path: Path, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the known sockets that takes a connection, of either kind."""
    (tmp_path / "log").write_text("not a socket")
    monkeypatch.setattr(syslog, "LOCAL_SOCKETS", [str(tmp_path / name) for name in ("no", "log", "there")])
    loop = Loop()
    receiver = Receiver(loop, socket.AF_UNIX, kind, str(tmp_path / "there"))
    log = open_log(paths, container(driver="syslog"), loop)
    log.write("stderr", b"x\n" * 300)
    turn(loop, lambda: len(receiver.lines()) == 300)
    log.close()
    receiver.close()

    assert all(line.startswith("<27>") for line in receiver.lines())


def test_a_server_that_comes_back(paths: StatePaths) -> None:
    """Lines of the time between are sent then, in order."""
    loop = Loop()
    first = tcp(loop)
    log = open_log(paths, container(driver="syslog", address=f"tcp://127.0.0.1:{first.port}"), loop)
    log.write("stdout", b"1\n")
    turn(loop, lambda: first.got)
    port = first.port
    first.close()
    turn(loop, lambda: log._sender._socket is None)  # type: ignore[attr-defined]
    log.write("stdout", b"2\n3\n")
    second = tcp(loop, port)
    turn(loop, lambda: len(second.lines()) == 2)
    log.close()
    second.close()

    assert [line[-1] for line in second.lines()] == ["2", "3"]


def test_a_server_that_is_stuck_stops_nobody(
    paths: StatePaths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it doesn't take in time is left out, and it is told how much that was once it goes on."""
    monkeypatch.setattr(sender, "QUEUE_BYTES", 100_000)
    loop = Loop()
    receiver = tcp(loop)
    receiver.pause()
    log = open_log(paths, container(driver="syslog", address=f"tcp://127.0.0.1:{receiver.port}"), loop)
    count = 0
    while not log._sender.lost:  # type: ignore[attr-defined]
        log.write("stdout", b"x" * 9_999 + b"\n")
        count += 1
        assert count < 10_000
    log.write("stdout", b"y\n" * 1000)
    receiver.listen()
    turn(loop, lambda: log._sender.idle)  # type: ignore[attr-defined]
    log.write("stdout", b"again\n")
    turn(loop, lambda: "again" in receiver.lines()[-1])
    log.finish()
    receiver.close()

    assert re.search(r"<27>.*: pycompose: \d+ lines left out: the log server", receiver.lines()[-2])
    assert len(list(read_logs(log_directory(paths, container())))) == count + 1001
    assert capfd.readouterr().err == ""


def test_what_is_queued_at_the_end_is_still_sent(paths: StatePaths) -> None:
    """A short container's last lines go on their way after it; then the socket is closed."""
    loop = Loop()
    receiver = tcp(loop)
    receiver.pause()
    log = open_log(paths, container(driver="syslog", address=f"tcp://127.0.0.1:{receiver.port}"), loop)
    log.write("stdout", b"x" * 1000 + b"\n" + b"y\n" * 9000)
    log.finish()
    log.close()
    receiver.listen()
    turn(loop, lambda: len(receiver.lines()) == 9001)
    turn(loop, lambda: log._sender._socket is None)  # type: ignore[attr-defined]
    receiver.close()


def test_a_server_that_never_was(
    paths: StatePaths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error for a start, not for a keeper that adopts: that one tries again, and says what was lost."""
    monkeypatch.setattr(sender, "LINGER_S", 0.01)
    loop = Loop()
    closed = tcp(loop)
    config = container(driver="syslog", address=f"tcp://127.0.0.1:{closed.port}")
    closed.close()
    with pytest.raises(EngineError, match=r"cannot use syslog: 127.0.0.1:\d+: Connection refused"):
        open_log(paths, config, loop)
    log = open_log(paths, config, loop, required=False)
    log.write("stdout", b"kept here\n")
    log.finish()
    turn(loop, lambda: log._sender._closed)  # type: ignore[attr-defined]
    log.close()

    assert [line.data for line in read_logs(log_directory(paths, config))] == [b"kept here"]
    assert re.search(r"log server 127.0.0.1:\d+: 1 messages left out", capfd.readouterr().err)


def test_datagrams_to_nobody_and_too_long_ones(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """UDP's errors are about what was sent before; nothing is sent for ever."""
    monkeypatch.setattr(remote, "MAX_LINE_BYTES", 1 << 20)
    loop = Loop()
    receiver = udp(loop)
    log = open_log(paths, container(driver="syslog", address=f"udp://127.0.0.1:{receiver.port}"), loop)
    port = receiver.port
    receiver.close()
    log.write("stdout", b"1\n2\n3\n" + b"x" * 70_000 + b"\n")
    again = Receiver(loop, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))
    log.write("stdout", b"4\n")
    turn(loop, lambda: len(again.got) == 2)
    log.close()
    again.close()

    assert "lines left out" in again.lines()[0]
    assert again.lines()[1].endswith("4")


def fields(message: bytes) -> dict[bytes, bytes]:
    return dict(line.split(b"=", 1) for line in message.rstrip(b"\n").split(b"\n"))


def test_journald(paths: StatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's fields; errors have priority 3; pieces of a long line are marked; a restart of the journal is found."""
    monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "journal"))
    loop = Loop()
    receiver = Receiver(loop, socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "journal"))
    log = open_log(paths, container(driver="journald", tag="mine"), loop)
    log.write("stdout", b"one=1\n\xff\x00\n")
    log.write("stderr", b"Password: ")
    log.write("stderr", b"no\n" + b"x" * (remote.MAX_LINE_BYTES + 1) + b"\n")
    turn(loop, lambda: len(receiver.got) == 5)
    got = [fields(message) for message in receiver.got]
    receiver.close()
    (tmp_path / "journal").unlink()
    log.write("stdout", b"meanwhile\n")
    again = Receiver(loop, socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "journal"))
    turn(loop, lambda: again.got)
    log.close()
    again.close()

    assert got[0] == {
        b"CONTAINER_ID": b"0123456789ab",
        b"CONTAINER_ID_FULL": ID.encode(),
        b"CONTAINER_NAME": b"shop-web-1",
        b"CONTAINER_TAG": b"mine",
        b"IMAGE_NAME": b"web:1",
        b"SYSLOG_IDENTIFIER": b"mine",
        b"PRIORITY": b"6",
        b"MESSAGE": b"one=1",
    }
    assert got[1][b"MESSAGE"] == b"\xff\x00"
    assert (got[2][b"PRIORITY"], got[2][b"MESSAGE"]) == (b"3", b"Password: no")
    assert (len(got[3][b"MESSAGE"]), got[3][b"CONTAINER_PARTIAL_MESSAGE"]) == (16384, b"true")
    assert (got[4][b"MESSAGE"], b"CONTAINER_PARTIAL_MESSAGE" in got[4]) == (b"x", False)
    assert fields(again.got[0])[b"MESSAGE"] == b"meanwhile"


def test_no_journal_is_an_error(paths: StatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "nowhere"))
    with pytest.raises(EngineError, match=r"cannot use journald: .*/nowhere: No such file"):
        open_log(paths, container(driver="journald"), Loop())


@pytest.mark.parametrize(
    ("log", "kept"),
    (
        ({"driver": "none"}, False),
        ({"driver": "local"}, True),
        ({"driver": "syslog", "cache": False}, False),
    ),
)
def test_what_is_kept_and_what_is_only_shown(paths: StatePaths, log: dict[str, object], kept: bool) -> None:  # noqa: FBT001
    """Where nothing is kept, a little is in memory for who is attached, below the run directory."""
    loop = Loop()
    receiver = udp(loop)
    config = container(address=f"udp://127.0.0.1:{receiver.port}", **log)
    driver = open_log(paths, config, loop)
    for _ in range(100):
        driver.write("stdout", b"x" * 9999 + b"\n")
    driver.close()
    receiver.close()

    directory = log_directory(paths, config)
    size = sum(file.stat().st_size for file in directory.iterdir())
    assert is_kept(config.log) is kept
    assert directory.is_relative_to(paths.root if kept else paths.run)
    assert (paths.container(ID) / "log").exists() is kept
    assert (size > 900_000) is kept
    assert size <= 1_100_000 if kept else size <= 512 * 1024


def test_an_unknown_driver_is_named(paths: StatePaths) -> None:
    """With those that there are."""
    with pytest.raises(EngineError, match=r"cannot use splunk: not one of json-file, local, none") as caught:
        open_log(paths, container(driver="splunk"), Loop())

    assert all(name in str(caught.value) for name in DRIVERS)


@pytest.mark.parametrize(
    ("text", "resolved"),
    (
        ("udp://127.0.0.1", "udp://127.0.0.1:514"),
        ("tcp://127.0.0.1:6514/", "tcp://127.0.0.1:6514"),
        ("udp://[::1]", "udp://[::1]:514"),
        ("tcp://[::1]:5000", "tcp://[::1]:5000"),
        ("unix:///dev", "unix:///dev"),
        ("unixgram:///dev", "unixgram:///dev"),
    ),
)
def test_addresses(text: str, resolved: str) -> None:
    """With Docker's port when none is given."""
    assert syslog.resolve_address(text) == resolved
    server = syslog.server(LogConfig(address=resolved))
    stream = text.startswith(("tcp:", "unix:"))
    assert server.kind == (socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    assert (server.family == socket.AF_INET6) == ("::1" in text)


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("http://127.0.0.1", "unsupported scheme in 'http://127.0.0.1'"),
        ("127.0.0.1", "unsupported scheme in '127.0.0.1'"),
        ("unix:///no/where", "/no/where: No such file"),
        ("tcp://", "not HOST or HOST:PORT"),
        ("tcp://h:0", "not HOST or HOST:PORT"),
        ("tcp://h:x", "not HOST or HOST:PORT"),
        ("tcp+tls://h", "TLS is not supported"),
        ("tcp://no-such-host.invalid", "tcp://no-such-host.invalid: "),
    ),
)
def test_addresses_that_are_none(text: str, message: str) -> None:
    with pytest.raises(EngineError, match=re.escape(message)):
        syslog.resolve_address(text)


def test_facilities_and_formats() -> None:
    """By name or number; the default is Docker's."""
    names = ("", "kern", "ftp", "local0", "local7", "0", "23")
    assert [syslog.parse_facility(name) for name in names] == [3, 0, 11, 16, 23, 0, 23]
    for text in ("24", "-1", "Daemon", "local8", "٣"):
        with pytest.raises(EngineError, match="is not a facility"):
            syslog.parse_facility(text)
    with pytest.raises(EngineError, match="is not a format"):
        syslog.parse_format("rfc822")


def test_the_loop_of_the_keeper_is_what_senders_use() -> None:
    """Its epoll reports the end of a connection only when it is asked to: the flag must be among the events."""
    loop = Loop()
    ours, theirs = socket.socketpair()
    seen: list[int] = []
    loop.watch(ours.fileno(), lambda events: (seen.append(events), loop.stop()), select.EPOLLRDHUP)
    theirs.shutdown(socket.SHUT_WR)
    loop.run()
    ours.close()
    theirs.close()

    assert seen[0] & select.EPOLLRDHUP
