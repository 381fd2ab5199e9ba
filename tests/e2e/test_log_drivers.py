"""`logging:` drivers with real containers: syslog over every transport, and output that nobody keeps."""

from __future__ import annotations

import os
import re
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.scenario import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host

SYSLOG = """
services:
  datagrams:
    image: busybox
    command: [sh, -c, "echo one; echo two >&2"]
    logging:
      driver: syslog
      options: {syslog-address: "udp://127.0.0.1:5514", syslog-format: rfc5424, syslog-facility: local1,
                tag: "{{.Name}}/{{.ImageName}}/{{.ID}}"}
  stream:
    image: busybox
    command: [sh, -c, "printf no; echo rmal; printf unfinished"]
    logging: {driver: syslog, options: {syslog-address: "tcp://localhost:5514", syslog-format: rfc3164, tag: s}}
  local:
    image: busybox
    command: [sh, -c, "echo here"]
    logging: {driver: syslog, options: {syslog-address: "unixgram:///run/log-of-test", tag: l}}
"""
TALK = "[sh, -c, \"trap 'echo bye; exit 3' TERM; echo hello; echo oops >&2; sleep 1000 & wait\"]"
UNKEPT = f"""
services:
  web: {{image: busybox, command: {TALK}, logging: {{driver: none}}}}
  far:
    image: busybox
    command: {TALK}
    logging: {{driver: syslog, options: {{syslog-address: "udp://127.0.0.1:5514", cache-disabled: "true"}}}}
"""


class Servers:
    """Syslog servers of the machine: UDP and TCP on port 5514, and a datagram socket in its /run."""

    def __init__(self, host: Host, stack: ExitStack) -> None:
        self.host = host
        self.udp, self.tcp, self.local = host.inside(self._open)
        for one in (self.udp, self.tcp, self.local):
            stack.enter_context(one)
        self._stack = stack

    @staticmethod
    def _open() -> tuple[socket.socket, socket.socket, socket.socket]:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 5514))
        tcp = socket.create_server(("127.0.0.1", 5514))
        local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        local.bind("/run/log-of-test")
        for one in (udp, tcp, local):
            one.settimeout(20)
        return udp, tcp, local

    def stream(self) -> bytes:
        """Return all that one connection sends until it ends."""
        connection, _ = self.tcp.accept()
        data = b""
        with connection:
            connection.settimeout(20)
            while block := connection.recv(65536):
                data += block
        return data


@pytest.fixture
def servers(busy: Host) -> Iterator[Servers]:
    """Give the machine syslog servers."""
    with ExitStack() as stack:
        yield Servers(busy, stack)


def container_id(host: Host, project: Path, service: str) -> str:
    found = host.run("ps", "-aq", "--no-trunc", service, cwd=project).ok()
    return found.stdout.strip()


def test_syslog(busy: Host, servers: Servers) -> None:
    """Every transport delivers what was printed in Docker's form, and `logs` still has it."""
    project = busy.project({"compose.yaml": SYSLOG})
    busy.run("up", "-d", cwd=project).ok()
    ours = container_id(busy, project, "datagrams")

    datagrams = sorted(servers.udp.recv(4096).decode() for _ in range(2))
    tag = f"demo-datagrams-1/busybox/{ours[:12]}"
    stamp = r"1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+"
    assert re.fullmatch(rf"<139>{stamp} {tag} \d+ {tag} - two\n", datagrams[0])
    assert re.fullmatch(rf"<142>{stamp} {tag} \d+ {tag} - one\n", datagrams[1])
    assert re.fullmatch(
        r"<30>\w{3} [ \d]\d [\d:]{8} \S+ s\[\d+\]: normal\n<30>\w{3} [ \d]\d [\d:]{8} \S+ s\[\d+\]: unfinished\n",
        servers.stream().decode(),
    )
    assert servers.local.recv(4096).endswith(b"]: here\n")
    kept = busy.run("logs", "--no-log-prefix", cwd=project).ok().stdout.splitlines()
    assert sorted(kept) == ["here", "normal", "one", "two", "unfinished"]
    busy.run("down", cwd=project).ok()


def test_a_syslog_server_that_is_away(busy: Host) -> None:
    """It is told at the start, as Docker does; an option that makes no sense is told with its place."""
    project = busy.project({"compose.yaml": SYSLOG})
    result = busy.run("up", "-d", "stream", cwd=project)
    assert result.code == 1
    assert "cannot use syslog: 127.0.0.1:5514: Connection refused" in result.stderr
    busy.run("down", cwd=project).ok()

    wrong = busy.project({"compose.yaml": SYSLOG.replace("tag: s", "syslog-facility: nonsense")}, "wrong")
    result = busy.run("up", "-d", "stream", cwd=wrong)
    assert result.code == 1
    assert re.match(
        r"error: compose\.yaml:\d+:\d+: services\.stream\.logging\.options\.syslog-facility: ", result.stderr
    )
    busy.run("down", cwd=wrong).ok()


def test_output_that_nobody_keeps(busy: Host, servers: Servers) -> None:
    """An attached `up` shows it, after a restart too; `logs` says that there is none; the disk never has it."""
    project = busy.project({"compose.yaml": UNKEPT})
    up = busy.spawn("up", cwd=project)
    for service in ("web", "far"):
        up.expect(rf"{service}-1 +\| hello")
        up.expect(rf"{service}-1 +\| oops")
    assert servers.udp.recv(4096).endswith(b": hello\n")
    busy.run("restart", "-t", "5", "web", cwd=project).ok()
    up.expect(r"web-1 +\| bye")
    up.expect(r"web-1 +\| hello")

    said = busy.run("logs", cwd=project).ok()
    assert "hello" not in said.stdout
    for service in ("web", "far"):
        assert f'Can\'t retrieve logs for "demo-{service}-1"' in said.stderr
    one = busy.run("container", "logs", "demo-web-1", cwd=project)
    assert one.code == 1
    assert "cannot read its log: logging driver none keeps none" in one.stderr
    up.interrupt()
    assert up.wait() == 130
    ids = [container_id(busy, project, service) for service in ("web", "far")]
    assert not any(busy.inside((busy.paths.container(one) / "log").exists) for one in ids)
    busy.run("down", cwd=project).ok()


def test_a_keeper_that_dies_goes_on_sending(busy: Host, servers: Servers) -> None:
    """The next one opens the driver again and reads the container's output on."""
    project = busy.project(
        {
            "compose.yaml": """
services:
  web:
    image: busybox
    command: [sh, -c, "while :; do read line </tmp/pipe && echo $$line; done"]
    entrypoint: [sh, -c, 'mkfifo /tmp/pipe; exec "$$0" "$$@"']
    logging: {driver: syslog, options: {syslog-address: "udp://127.0.0.1:5514"}}
"""
        }
    )
    busy.run("up", "-d", cwd=project).ok()
    eventually(lambda: busy.run("exec", "-T", "web", "test", "-p", "/tmp/pipe", cwd=project).code == 0)
    busy.run("exec", "-T", "web", "sh", "-c", "echo before > /tmp/pipe", cwd=project).ok()
    assert servers.udp.recv(4096).endswith(b": before\n")
    keeper = busy.process("pycompose.engine.keeper")
    os.kill(keeper, signal.SIGKILL)
    busy.process("pycompose.engine.keeper", keeper)
    busy.run("exec", "-T", "web", "sh", "-c", "echo after > /tmp/pipe", cwd=project).ok()
    assert servers.udp.recv(4096).endswith(b": after\n")
    busy.run("down", cwd=project).ok()
