"""What images rely on in a container's network: its way out as networks come and go, port 80 and ping for everybody."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tests.support.attack import PYTHON
from tests.support.requires import requires
from tests.support.scenario import Host

WAIT = 'command: [sleep, "1000"], stop_signal: SIGKILL'


def inside(host: Host, folder: Path, service: str, script: str, *flags: str) -> str:
    """Return what a script prints in a container, errors included."""
    words = ("exec", "-T", *flags, service, "sh", "-c", f"({script}) 2>&1; true")
    return host.run(*words, cwd=folder).ok().stdout


@requires("ip")
def test_the_way_out_changes_with_the_networks(busy: Host) -> None:
    """The default route is that of the highest `gw_priority`; another network takes over when that one is left."""
    text = f"""
services:
  a: {{image: busybox, {WAIT}, networks: {{one: {{}}, two: {{gw_priority: 10}}}}}}
  b: {{image: busybox, {WAIT}, networks: [inner]}}
networks:
  one: {{ipam: {{config: [{{subnet: 10.88.1.0/24}}]}}}}
  two: {{ipam: {{config: [{{subnet: 10.88.2.0/24}}]}}}}
  inner: {{internal: true}}
"""
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=folder).ok()
    seen = []
    for service, words in (
        ("a", ()),
        ("a", ("disconnect", "demo_two", "demo-a-1")),
        ("a", ("connect", "demo_two", "demo-a-1")),
        ("a", ("disconnect", "demo_one", "demo-a-1")),
        ("b", ()),
        ("b", ("connect", "demo_one", "demo-b-1")),
        ("b", ("disconnect", "demo_one", "demo-b-1")),
    ):
        if words:
            busy.run("network", *words).ok()
        route = inside(busy, folder, service, "ip route | grep ^default").split()
        seen.append(route[2] if route else "")
    busy.run("down", cwd=folder).ok()

    assert seen == ["10.88.2.1", "10.88.1.1", "10.88.1.1", "10.88.2.1", "", "10.88.1.1", ""]


def test_up_gives_back_what_a_container_has_lost(busy: Host) -> None:
    """A network that it was taken off, and the namespace of one that was recreated alone; as Docker Compose."""
    text = f"""
services:
  a: {{image: busybox, command: httpd -f -p 80 -h /etc, stop_signal: SIGKILL, networks: [one, two]}}
  b: {{image: busybox, {WAIT}, network_mode: "service:a"}}
networks: {{one: {{}}, two: {{}}}}
"""
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=folder).ok()
    busy.run("network", "disconnect", "demo_two", "demo-a-1").ok()
    busy.run("up", "-d", cwd=folder).ok()
    links = inside(busy, folder, "a", "ls /sys/class/net").split()
    busy.run("up", "-d", "--force-recreate", "a", cwd=folder).ok()
    busy.run("up", "-d", cwd=folder).ok()
    name = inside(busy, folder, "b", "wget -q -O - http://127.0.0.1/hostname").strip()
    again = busy.run("up", "-d", cwd=folder).ok().stderr
    own = inside(busy, folder, "a", "hostname").strip()
    busy.run("down", cwd=folder).ok()

    assert links == ["eth0", "eth1", "lo"]
    assert name == own
    assert "Recreate" not in again


ECHO = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
sock.settimeout(5)
sock.sendto(struct.pack(">BBHHH", 8, 0, 0, 0, 1) + b"payload", (sys.argv[1], 0))
print(sock.recv(100)[-7:].decode())
server = socket.create_server(("0.0.0.0", 80))
print(server.getsockname()[1])
"""


@requires("host-python")
def test_everybody_has_port_80_and_ping(busy: Host) -> None:
    """An ordinary user without any capability binds a low port and sends ICMP echoes."""
    text = f"""
services:
  a: {{image: host, {WAIT}, cap_drop: [ALL], user: '1000:1000'}}
  b: {{image: busybox, {WAIT}}}
"""
    folder = busy.project({"compose.yaml": text})
    busy.run("up", "-d", cwd=folder).ok()
    said = busy.run("exec", "-T", "a", *PYTHON, ECHO, "b", cwd=folder).ok().stdout
    busy.run("down", cwd=folder).ok()

    assert said == "payload\n80\n"


def kernel_lines(marker: str) -> list[str]:
    """Return what the kernel has said since a marker was written to its log, which gives a line at each read."""
    lines = []
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(os.read(fd, 8192).decode(errors="replace"))
    finally:
        os.close(fd)
    places = [place for place, line in enumerate(lines) if marker in line]
    return lines[places[-1] + 1 :]


@requires("overlay")
def test_the_kernel_has_nothing_to_say_about_our_overlays(busy: Host) -> None:
    """Containers of an image and of `host`, a volume filled from an image, and their end."""
    text = f"""
services:
  a: {{image: busybox, {WAIT}, volumes: ["filled:/etc"], read_only: true}}
  b: {{image: host, {WAIT}, volumes: [{{type: image, source: busybox, target: /image}}]}}
volumes: {{filled: {{}}}}
"""
    folder = busy.project({"compose.yaml": text})
    said: list[list[str]] = []
    # The log is the whole machine's: what others cause isn't there each time.
    for attempt in range(3):
        marker = f"pycompose test {time.time_ns()} {attempt}"
        Path("/dev/kmsg").write_text(marker, encoding="ascii")
        busy.run("up", "-d", cwd=folder).ok()
        busy.run("down", "-v", cwd=folder).ok()
        said.append([line for line in kernel_lines(marker) if "overlayfs" in line])
        if not said[-1]:
            break
    assert not said[-1], said
