"""What a link sets, where Docker is odd; the rest is seen from inside (scenarios/test_container_run.py)."""

from __future__ import annotations

from pycompose.supervisor.runtime.linked import variables


def names(*ports: str) -> list[str]:
    """Return the first two of the variables of these ports, and what is said of ranges."""
    found = list(variables("/web/db", "10.0.0.2", ports, ()))
    return [*found[:2], *(text for text in found if "_START" in text or "_END" in text)]


def test_the_first_port_and_ranges() -> None:
    """As seen at Docker 26.1: two ports are no range, and one of both protocols counts twice."""
    assert names("7001/tcp", "7000/tcp", "53/udp") == [
        "DB_PORT=udp://10.0.0.2:53",
        "DB_PORT_53_UDP=udp://10.0.0.2:53",
    ]
    assert names("53/udp", "54/tcp", "53/tcp") == [
        "DB_PORT=tcp://10.0.0.2:53",
        "DB_PORT_53_TCP_START=tcp://10.0.0.2:53",
        "DB_PORT_53_TCP_START=tcp://10.0.0.2:53",
        "DB_PORT_53_TCP_PORT_START=53",
        "DB_PORT_53_TCP_END=tcp://10.0.0.2:54",
        "DB_PORT_53_TCP_PORT_END=54",
    ]


def test_what_isnt_told() -> None:
    """Paths and homes are the image's, and what has no value has none."""
    env = ("PATH=/bin", "HOME=/", "A=b=c", "NONE", "EMPTY=")
    assert list(variables("/web/my-db", "10.0.0.2", (), env)) == [
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=b=c",
        "MY_DB_ENV_EMPTY=",
    ]
