"""Texts that people and scripts know from Docker."""

from __future__ import annotations

import pytest
from pycompose.cli.display import humanize
from pycompose.client.views import ContainerView
from pycompose.policy.observed import PortBinding

NS = humanize.NS
NOW = 1_800_000_000 * NS


def view(**changes: object) -> ContainerView:
    base: dict[str, object] = {
        "id": "a" * 64,
        "name": "demo-web-1",
        "image": "busybox",
        "command": ("sh",),
        "project": "demo",
        "service": "web",
        "state": "running",
    }
    return ContainerView(**(base | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    (
        (0, "Less than a second"),
        (0.99, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
    ),
)
def test_duration(seconds: float, text: str) -> None:
    assert humanize.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    (
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1_982_326, "1.98MB"),
        (999_999_999, "1e+03MB"),
        (2.5e9, "2.5GB"),
    ),
)
def test_size(value: int, text: str) -> None:
    assert humanize.size(value) == (text if "e+" not in text else "1000MB")


@pytest.mark.parametrize(
    ("value", "text"), ((0, "0B"), (1536, "1.5KiB"), (1024**3, "1GiB"), (2_048_000, "1.953MiB"))
)
def test_binary_size(value: int, text: str) -> None:
    assert humanize.binary_size(value) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    (
        ({"started_ns": NOW - 120 * NS}, "Up 2 minutes"),
        ({"started_ns": NOW - 120 * NS, "health": "healthy"}, "Up 2 minutes (healthy)"),
        ({"started_ns": NOW, "health": "starting"}, "Up Less than a second (health: starting)"),
        ({"state": "paused", "started_ns": NOW - 5 * NS}, "Up 5 seconds (Paused)"),
        ({"state": "exited", "exit_code": 1, "finished_ns": NOW - 5 * NS}, "Exited (1) 5 seconds ago"),
        ({"state": "exited", "exit_code_known": False, "finished_ns": NOW - NS}, "Exited (?) 1 second ago"),
        ({"state": "exited", "exit_code": 255}, "Exited (255)"),
        (
            {"state": "restarting", "exit_code": 1, "finished_ns": NOW - 9 * NS},
            "Restarting (1) 9 seconds ago",
        ),
        ({"state": "created"}, "Created"),
        ({"state": "removing"}, "Removal In Progress"),
        ({"state": "dead"}, "Dead"),
        ({"started_ns": NOW + 9 * NS}, "Up Less than a second"),
    ),
)
def test_status(changes: dict[str, object], text: str) -> None:
    assert humanize.status(view(**changes), NOW) == text


def port(target: int, published: int = 0, url: str = "", protocol: str = "tcp") -> PortBinding:
    return PortBinding(target=target, host_port=published, host_ip=url, protocol=protocol)


@pytest.mark.parametrize(
    ("ports", "text"),
    (
        ((), ""),
        ((port(80),), "80/tcp"),
        ((port(82), port(80), port(81), port(53, protocol="udp")), "53/udp, 80-82/tcp"),
        (
            (port(80, 8080, "0.0.0.0"), port(80, 8080, "::"), port(53, 32769, "0.0.0.0", "udp")),
            "0.0.0.0:32769->53/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
        ),
        ((port(90, 90, "127.0.0.1"), port(91, 91, "127.0.0.1")), "127.0.0.1:90-91->90-91/tcp"),
        (
            (port(90, 90, "127.0.0.1"), port(92, 92, "127.0.0.1")),
            "127.0.0.1:90->90/tcp, 127.0.0.1:92->92/tcp",
        ),
    ),
)
def test_ports(ports: tuple[PortBinding, ...], text: str) -> None:
    assert humanize.ports(ports) == text


@pytest.mark.parametrize(
    ("args", "text"),
    (
        (("sh", "-c", "for i in 1 2 3 4; do echo $i; done"), '"sh -c \'for i in 1 2…"'),
        (("redis-server",), '"redis-server"'),
        (("echo", 'a"b\n\x1b[31m'), '"echo a\\"b\\n\\x1b[31m"'),
        ((), '""'),
    ),
)
def test_command(args: tuple[str, ...], text: str) -> None:
    """As Docker prints it, and never with a byte that could move the cursor."""
    assert humanize.command(args) == text


def test_command_in_full() -> None:
    assert humanize.command(("sh", "-c", "x" * 40), truncate=False) == f'"sh -c {"x" * 40}"'


def test_moment_has_nine_digits() -> None:
    assert humanize.moment(1_700_000_000 * NS + 5) == "2023-11-14T22:13:20.000000005Z"


def test_image_without_a_name_is_its_short_id() -> None:
    assert humanize.image_name("", "sha256:" + "ab" * 32) == "abababababab"


def test_exit_sentences() -> None:
    assert humanize.exit_sentence("web-1", 3) == "web-1 exited with code 3"
    assert humanize.exit_sentence("web-1", 1, restarting=True) == "web-1 exited with code 1 (restarting)"
    assert humanize.exit_sentence("web-1", 0, known=False) == "web-1 exited with code unknown"
