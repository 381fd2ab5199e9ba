"""Output of containers on the screen."""

from __future__ import annotations

import io

import pytest
from pycompose.cli.display.prefix import LogPrinter, short_name
from pycompose.client.views import ContainerLogLine


def line(service: str, data: bytes, stream: str = "stdout") -> ContainerLogLine:
    return ContainerLogLine(
        container=f"demo-{service}-1", service=service, data=data, stream=stream, stamp_ns=10**9
    )


def printer(**options: bool) -> tuple[LogPrinter, io.BytesIO, io.BytesIO]:
    out, err = io.BytesIO(), io.BytesIO()
    return LogPrinter(out, err, project="demo", **options), out, err


def test_the_prefix_grows_with_the_longest_name() -> None:
    show, out, _ = printer()
    show.line(line("db", b"one"))
    show.line(line("worker", b"two"))
    show.line(line("db", b"three"))

    assert out.getvalue() == b"db-1  | one\nworker-1  | two\ndb-1      | three\n"


def test_expected_names_align_from_the_start() -> None:
    show, out, _ = printer()
    show.expect(["db-1", "worker-1"])
    show.line(line("db", b"one"))

    assert out.getvalue() == b"db-1      | one\n"


def test_streams_stay_apart() -> None:
    show, out, err = printer()
    show.line(line("db", b"oops", "stderr"))

    assert (out.getvalue(), err.getvalue()) == (b"", b"db-1  | oops\n")


def test_only_the_prefix_is_coloured_and_the_eleventh_colour_is_the_first() -> None:
    show, out, _ = printer(colour=True)
    for number in range(11):
        show.line(line(f"s{number}", b"x"))
    lines = out.getvalue().splitlines()

    assert lines[0] == b"\x1b[36ms0-1  | \x1b[0mx"
    assert lines[1].startswith(b"\x1b[33m")
    assert lines[10].startswith(b"\x1b[36m")


def test_bytes_go_through_unchanged() -> None:
    show, out, _ = printer(prefix=False)
    show.line(line("db", b"\xff\x1b[31mred\x00"))

    assert out.getvalue() == b"\xff\x1b[31mred\x00\n"


def test_time_stamps() -> None:
    show, out, _ = printer(timestamps=True)
    show.line(line("db", b"x"))

    assert out.getvalue() == b"db-1  | 1970-01-01T00:00:01.000000000Z x\n"


def test_status_lines_carry_the_short_name() -> None:
    show, out, _ = printer()
    show.status("demo-web-1", "web", 1, "{} exited with code 0")

    assert out.getvalue() == b"web-1 exited with code 0\n"


def test_the_footer_moves_below_every_line() -> None:
    show, out, _ = printer()
    show.footer("d Detach")
    show.line(line("db", b"x"))
    show.footer("")

    assert out.getvalue() == b"d Detach\r\x1b[Kdb-1  | x\nd Detach\r\x1b[K"


@pytest.mark.parametrize(
    ("container", "name"),
    (("demo-web-1", "web-1"), ("demo_web_1", "web_1"), ("my-own", "my-own"), ("demo-web-2", "demo-web-2")),
)
def test_short_names(container: str, name: str) -> None:
    """A name that the service chose itself is shown as it is."""
    assert short_name(container, "demo", "web", 1) == name
