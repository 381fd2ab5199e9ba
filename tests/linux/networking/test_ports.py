"""Reserved host ports, and the relay behind them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import resource
import signal
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NetworkError, PortInUse
from pycompose.engine.linux.inbound import count_inbound
from pycompose.networking.ports import relayprogram
from pycompose.networking.ports.relay import SO_RCVBUFFORCE, Relays
from pycompose.networking.ports.reserve import Reservation, adopt_reservations, reserve_port

from tests.support.netlab import ANSWERS_S, SILENCE_S, UPLINK, UPLINK6, ask, ip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.netlab import Lab

UDP = socket.SOCK_DGRAM


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop that runs on a thread."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


@pytest.fixture(params=("program", "loop"))
def relays(
    request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> Iterator[Relays]:
    """Give what relays: the program, and the loop where a program can't be put and executed."""
    made = Relays(loop, tmp_path / "relay" if request.param == "program" else tmp_path / "none/relay")
    yield made
    made.close()


@contextlib.contextmanager
def reserved(host_ip: str, published: tuple[int, int] | None, protocol: str = "tcp") -> Iterator[Reservation]:
    reservation = reserve_port(host_ip, published, protocol)
    try:
        yield reservation
    finally:
        reservation.close()


def test_a_port_without_address_is_reserved_for_both_families() -> None:
    with reserved("", (8080, 8080)) as reservation:
        assert reservation.addresses == ("0.0.0.0", "::")
        assert len(reservation.filenos()) == 2
        assert ask("127.0.0.1", 8080, wait_s=SILENCE_S) == "silence"  # not a hanging connection: no answer
    assert ask("127.0.0.1", 8080) == "refused"


@pytest.mark.parametrize("protocol", ("tcp", "udp"))
def test_a_taken_port_is_named_with_its_owner(protocol: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else UDP
    with socket.socket(socket.AF_INET6, kind) as other:
        other.bind(("::1", 8080))
        if protocol == "tcp":
            other.listen()
        with pytest.raises(PortInUse) as caught, reserved("", (8080, 8080), protocol):
            pass

    assert str(caught.value).startswith(f"port 8080/{protocol}: publish on 0.0.0.0: already in use by ")
    assert f"(pid {os.getpid()})" in str(caught.value)
    with reserved("", (8080, 8080), protocol):  # the half that worked was given back
        pass


def test_a_range_gives_its_first_free_port_until_it_is_full() -> None:
    with (
        reserved("", (9000, 9002)) as first,
        reserved("127.0.0.1", (9001, 9001)),
        reserved("", (9000, 9002)) as second,
    ):
        assert (first.host_port, second.host_port) == (9000, 9002)
        with pytest.raises(PortInUse, match="port 9000-9002/tcp"), reserved("", (9000, 9002)):
            pass


def test_any_port_has_one_number_for_both_families() -> None:
    with reserved("", None) as one, reserved("", None) as two, reserved("", None, "udp") as three:
        for reservation in (one, two, three):
            numbers = {sock.getsockname()[1] for sock in reservation.sockets}
            assert numbers == {reservation.host_port}
        assert one.host_port != two.host_port


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"port 80/tcp: publish on 203\.0\.113\.1") as caught:
        reserve_port("203.0.113.1", (80, 80), "tcp")

    assert caught.value.hint == "203.0.113.1 is not an address of this machine"
    with pytest.raises(NetworkError, match="protocol is not supported"):
        reserve_port("", (80, 80), "dccp")


def test_connections_in_time_wait_do_not_hold_a_port() -> None:
    with reserved("127.0.0.1", (8090, 8090)):
        pass
    with socket.create_server(("127.0.0.1", 8090)) as server:
        client = socket.create_connection(("127.0.0.1", 8090))
        accepted, _sender = server.accept()
        accepted.close()
        client.close()
    with reserved("", (8090, 8090)):
        pass


def test_descriptors_become_reservations_again() -> None:
    """As the next supervisor gets them from the keeper: all ports of a container in one row."""
    with reserved("", (8080, 8080)) as web, reserved("127.0.0.1", (53, 53), "udp") as dns:
        copies = [socket.socket(fileno=os.dup(fd)) for fd in (*web.filenos(), *dns.filenos())]
        again = adopt_reservations(copies)
        found = [(one.host_ip, one.host_port, one.protocol, len(one.sockets)) for one in again]
        for one in again:
            one.close()

    assert found == [("", 8080, "tcp", 2), ("127.0.0.1", 53, "udp", 1)]


def test_what_the_firewall_is_to_do_depends_on_families() -> None:
    with reserved("", (8080, 8080)) as both:
        assert [port.container_ip for port in both.published("10.0.0.2", "", 80)] == ["10.0.0.2"]
        assert [port.container_ip for port in both.published("10.0.0.2", "fd00::2", 80)] == [
            "10.0.0.2",
            "fd00::2",
        ]
    with reserved("127.0.0.1", (8080, 8080)) as four:
        assert [port.container_ip for port in four.published("10.0.0.2", "fd00::2", 80)] == ["10.0.0.2"]
        assert four.relayed() == ()
    with reserved("::1", (8080, 8080)) as six:
        assert six.published("10.0.0.2", "fd00::2", 80) == []
        assert len(six.relayed("fd00::2")) == 1


def test_the_relay_brings_ipv6_to_a_container_without_it(wired_lab: Lab, relays: Relays) -> None:
    """From the machine itself ([::1]), and from outside to its IPv6 address; IPv4 goes by the kernel."""
    web = wired_lab.connect("front")
    web.serve()
    web.serve(53, kind=UDP)
    gateway = wired_lab.state("front").gateway
    with reserved("", (8080, 8080)) as tcp, reserved("", (5353, 5353), "udp") as udp:
        tcp.relay_to(relays, web.ip, 80)
        udp.relay_to(relays, web.ip, 53)
        wired_lab.firewall(*tcp.published(web.ip, "", 80), *udp.published(web.ip, "", 53))

        assert wired_lab.ask("::1", 8080) == gateway
        assert wired_lab.ask("::1", 5353, kind=UDP) == gateway
        assert wired_lab.from_outside(lambda: ask(UPLINK6, 8080)) == gateway
        ip("address", "add", "2001:db8::9/64", "dev", "uplink", "nodad")
        for address in (UPLINK6, "2001:db8::9"):  # the kernel itself would answer from one of them only
            assert wired_lab.from_outside(lambda address=address: ask(address, 5353, kind=UDP)) == gateway
        assert wired_lab.from_outside(lambda: ask(UPLINK, 8080)) == "192.0.2.2"
    assert wired_lab.ask("::1", 8080) == "refused"
    with reserved("", (8080, 8080)):  # closing was complete
        pass


def test_the_relay_carries_bulk_both_ways_and_half_closed_connections(wired_lab: Lab, relays: Relays) -> None:
    """The client sends all, closes its half, and then reads the echo of everything."""
    web = wired_lab.connect("front")
    server = web.run(lambda: socket.create_server(("0.0.0.0", 80)))
    payload = os.urandom(1 << 22)

    def echo() -> None:
        connection, _sender = server.accept()
        with connection:
            received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            connection.sendall(received)

    thread = threading.Thread(target=echo)
    thread.start()
    with reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, web.ip, 80)
        with socket.create_connection(("::1", 8080)) as client:
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(1 << 16), b"")) == payload
        thread.join()
    server.close()


def test_the_relay_resets_who_finds_nobody(wired_lab: Lab, relays: Relays) -> None:
    web = wired_lab.connect("front")
    with reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, web.ip, 80)
        with socket.create_connection(("::1", 8080)) as client, pytest.raises(ConnectionResetError):
            client.recv(1)


@contextlib.contextmanager
def behind(lab: Lab, answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Have a container answer each of its connections on port 80, on a thread each; give its address."""
    web = lab.connect("front")
    server = web.run(lambda: socket.create_server(("0.0.0.0", 80), backlog=512))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _sender = server.accept()
                threads.append(threading.Thread(target=closing, args=(connection,)))
                threads[-1].start()

    def closing(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield web.ip
    finally:
        server.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        server.close()
        for thread in threads:
            thread.join()


def read_all(sock: socket.socket) -> bytes:
    """Return what comes until the end."""
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def test_an_answer_outlives_the_end_of_the_question(wired_lab: Lab, relays: Relays) -> None:
    """The container has sent all and is gone when a slow client, who has nothing more to say, begins to read."""
    payload = os.urandom(1 << 24)
    sent = threading.Event()

    def answer(connection: socket.socket) -> None:
        read_all(connection)
        connection.sendall(payload[: 1 << 20])
        sent.set()
        connection.sendall(payload[1 << 20 :])

    with behind(wired_lab, answer) as ip, reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, ip, 80)
        with socket.create_connection(("::1", 8080)) as client:
            client.shutdown(socket.SHUT_WR)
            assert sent.wait(ANSWERS_S)
            assert read_all(client) == payload


def test_a_reset_is_passed_on_both_ways(wired_lab: Lab, relays: Relays) -> None:
    """After much has gone through, too; and the other side doesn't wait for ever."""
    reset = struct.pack("=ii", 1, 0)
    seen: queue.SimpleQueue[type[BaseException] | None] = queue.SimpleQueue()

    def answer(connection: socket.socket) -> None:
        if connection.recv(1) == b"r":
            connection.sendall(bytes(1 << 22))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            return
        try:
            read_all(connection)
            seen.put(None)
        except OSError as exc:
            seen.put(type(exc))

    with behind(wired_lab, answer) as ip, reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, ip, 80)
        with socket.create_connection(("::1", 8080)) as client:
            client.sendall(b"r")
            with pytest.raises(ConnectionResetError):
                read_all(client)
        with socket.create_connection(("::1", 8080)) as client:
            client.sendall(b"x" * (1 << 22))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        assert seen.get(timeout=ANSWERS_S) is ConnectionResetError


def test_many_connections_at_once(wired_lab: Lab, relays: Relays) -> None:
    """Each gets what it has sent, and no descriptor is left."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(read_all(connection))

    before = len(os.listdir("/proc/self/fd"))
    with behind(wired_lab, answer) as ip, reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, ip, 80)
        clients = [socket.create_connection(("::1", 8080)) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(f"{number}".encode() * 5000)
            client.shutdown(socket.SHUT_WR)
        for number, client in enumerate(clients):
            with client:
                assert read_all(client) == f"{number}".encode() * 5000
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # the container's own


def test_clients_that_come_at_once_need_not_come_again() -> None:
    """A connection for which there is no room is tried again by the kernel a second later."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(reserved("::1", (8080, 8080)))
        for _ in range(300):
            stack.enter_context(socket.create_connection(("::1", 8080), timeout=0.9))


@pytest.fixture
def as_many_descriptors_as_a_supervisor() -> Iterator[None]:
    """Raise the limit of this process to what it may have: 4,096 at least, where init has raised none."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("as_many_descriptors_as_a_supervisor")
def test_datagrams_of_many_clients(wired_lab: Lab, relays: Relays, loop: asyncio.AbstractEventLoop) -> None:
    """A burst waits until somebody has time for it; of more clients than can be known the last ones count."""
    web = wired_lab.connect("front")
    server = web.run(lambda: socket.socket(socket.AF_INET, UDP))
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    server.bind(("0.0.0.0", 80))
    echo = threading.Thread(
        target=lambda: [server.sendto(*server.recvfrom(100)) for _ in range(1200)], daemon=True
    )
    echo.start()
    with server, reserved("::1", (8080, 8080), "udp") as port, contextlib.ExitStack() as stack:
        port.relay_to(relays, web.ip, 80)
        for _round in range(2):
            sent = threading.Event()
            loop.call_soon_threadsafe(sent.wait, ANSWERS_S)
            clients = [stack.enter_context(socket.socket(socket.AF_INET6, UDP)) for _ in range(600)]
            for number, client in enumerate(clients):
                client.settimeout(ANSWERS_S)
                client.connect(("::1", 8080))
                client.send(f"{number}".encode())
            sent.set()
            assert [client.recv(100) for client in clients] == [f"{n}".encode() for n in range(600)]
        echo.join()


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """Leave this process 256, and return that."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield 256
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_datagrams_from_everywhere_leave_descriptors(
    wired_lab: Lab, few_descriptors: int, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    """The last clients that have come have half of them, whatever their port; the rest is for everything else."""
    web = wired_lab.connect("front")
    server = web.run(lambda: socket.socket(socket.AF_INET, UDP))
    server.bind(("0.0.0.0", 80))
    server.settimeout(ANSWERS_S)
    with (
        server,
        contextlib.closing(Relays(loop, tmp_path / "relay")) as relays,
        contextlib.ExitStack() as stack,
    ):
        ports = [
            stack.enter_context(reserved("::1", (number, number), "udp")) for number in (8080, 8081, 8082)
        ]
        for port in ports:
            port.relay_to(relays, web.ip, 80)
        for number in range(few_descriptors):
            with socket.socket(socket.AF_INET6, UDP) as client:
                client.connect(("::1", 8080 + number % 3))
                client.send(b"x")
                assert server.recv(100) == b"x"
        assert len(relays.flows) == few_descriptors // 2


def test_a_killed_relay_is_followed_by_another(
    wired_lab: Lab, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    """What it carried is over; ports that it knew and others are served all the same, and it leaves nothing."""

    def relay() -> int:
        lists = [path.read_text("ascii") for path in Path("/proc/self/task").glob("*/children")]
        names = {}
        for pid in map(int, " ".join(lists).split()):
            with contextlib.suppress(OSError):  # one that has just been reaped
                names[pid] = Path(f"/proc/{pid}/comm").read_text("ascii")
        (found,) = [pid for pid, name in names.items() if name == "pycompose-relay\n" and pid not in killed]
        return found

    killed: set[int] = set()
    before = len(os.listdir("/proc/self/fd"))
    with (
        contextlib.closing(Relays(loop, tmp_path / "pycompose-relay")) as relays,
        behind(wired_lab, lambda connection: connection.sendall(connection.recv(16))) as ip,
        reserved("::1", (8080, 8080)) as one,
        reserved("::1", (8081, 8081)) as two,
    ):
        for port in (one, two):
            port.relay_to(relays, ip, 80)
        for number in (8080, 8081, 8080):
            with socket.create_connection(("::1", number)) as client:
                client.sendall(b"hello")
                assert client.recv(16) == b"hello"
                pid = relay()
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(16) == b""
            while Path(f"/proc/{pid}").exists():  # until it is reaped
                os.sched_yield()
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # the container's own
    with reserved("::1", (8080, 8080)):  # the port is free
        pass


def test_the_program_takes_over_when_it_can_be_had(
    wired_lab: Lab, loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was full when the first connection came: that one is served all the same, and later ones faster."""
    monkeypatch.setattr(relayprogram, "PAUSE_S", 0.0)
    program = tmp_path / "later/pycompose-relay"
    with (
        contextlib.closing(Relays(loop, program)) as relays,
        behind(wired_lab, lambda connection: connection.sendall(read_all(connection))) as ip,
        reserved("::1", (8080, 8080)) as port,
    ):
        port.relay_to(relays, ip, 80)
        for there in (False, True):
            if there:
                program.parent.mkdir()
            with socket.create_connection(("::1", 8080)) as client:
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b"hello"
            assert program.exists() == there


def test_a_connection_that_stands_still_keeps_no_other_waiting(wired_lab: Lab, relays: Relays) -> None:
    """A client that doesn't read, to whom much is said: who comes then is served at once, and no byte is lost."""
    payload = os.urandom(1 << 23)

    def answer(connection: socket.socket) -> None:
        if connection.recv(1) == b"b":
            connection.sendall(payload)
        else:
            connection.sendall(b"quick")

    with behind(wired_lab, answer) as ip, reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, ip, 80)
        with socket.create_connection(("::1", 8080)) as slow:
            slow.sendall(b"b")
            for _ in range(20):
                with socket.create_connection(("::1", 8080)) as client:
                    client.sendall(b"q")
                    assert read_all(client) == b"quick"
            assert read_all(slow) == payload


def test_a_target_that_moves_takes_new_connections_only(wired_lab: Lab, relays: Relays) -> None:
    """As when a container is replaced."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"here")
        connection.sendall(connection.recv(16))

    with behind(wired_lab, answer) as ip, reserved("::1", (8080, 8080)) as port:
        port.relay_to(relays, ip, 80)
        with socket.create_connection(("::1", 8080)) as client:
            assert client.recv(4) == b"here"
            port.relay_to(relays, ip, 81)
            with socket.create_connection(("::1", 8080)) as late, pytest.raises(ConnectionResetError):
                late.recv(1)  # nobody is there
            client.sendall(b"on")
            assert read_all(client) == b"on"


@pytest.mark.parametrize(
    ("family", "address"),
    ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")),
    ids=("IPv4", "IPv6"),
)
def test_connections_to_listening_ports_are_counted(family: socket.AddressFamily, address: str) -> None:
    """Those that wait to be accepted, too, until both ends have closed them; none of those to elsewhere."""
    own = os.getpid()
    with socket.create_server((address, 8080), family=family) as server:
        assert count_inbound(own) == 0
        client = socket.create_connection((address, 8080))
        assert count_inbound(own) == 1
        taken, _ = server.accept()
        client.close()
        assert count_inbound(own) == 1  # an answer may still come
        taken.close()
        assert count_inbound(own) == 0
        with socket.create_connection((address, 8080)):
            server.close()
            assert count_inbound(own) == 0
    assert count_inbound(2**22 + 1) == 0
