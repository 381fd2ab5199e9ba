"""Events as lines, as JSON, and as the live view on a real terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import queue
import struct
import termios
from fcntl import ioctl

from pycompose.cli.display.board import ProgressBoard
from pycompose.cli.display.console import render
from pycompose.cli.display.progress import JsonRenderer, PlainRenderer, QuietRenderer, renderer
from pycompose.cli.display.steplines import StepLines
from pycompose.events import Event, Phase


def event(subject: str, text: str, phase: Phase = Phase.WORKING, **more: object) -> Event:
    return Event(subject=subject, text=text, phase=phase, **more)  # type: ignore[arg-type]


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time that was set."""
        return self.now


def test_plain_lines() -> None:
    out = io.StringIO()
    show = PlainRenderer(out)
    show(event("Container demo-web-1", "Starting"))
    show(event("Container demo-web-1", "Starting"))
    show(event("Container demo-web-1", "Started", Phase.DONE))
    show(event("Container demo-db-1", "Error", Phase.ERROR, details="no space left"))

    assert out.getvalue() == (
        " Container demo-web-1 Starting\n"
        " Container demo-web-1 Started\n"
        " Container demo-db-1 Error no space left\n"
    )


def test_bytes_alone_make_no_plain_line() -> None:
    out = io.StringIO()
    show = PlainRenderer(out)
    for current in range(0, 100, 10):
        show(
            event(
                "layer", "Downloading", details=f"{current} B", current=current, total=100, parent="Image x"
            )
        )

    assert out.getvalue() == " layer Downloading\n"


def test_a_hostile_name_cannot_act_on_the_terminal() -> None:
    out = io.StringIO()
    PlainRenderer(out)(event("Container \x1b[2J", "Starting"))

    assert "\x1b" not in out.getvalue()


def step(number: int, log: str = "", phase: Phase = Phase.WORKING) -> Event:
    return event(f"[web {number}/9] RUN {number}", "", phase, number=number, log=log)


def test_steps_one_after_the_other() -> None:
    """Number and title once, an empty line between two of them; on a stream of their own if there is one."""
    out, steps = io.StringIO(), io.StringIO()
    show = PlainRenderer(out, steps=steps)
    show(event("Image a", "Building"))
    for told in (step(1), step(1, "0.1 a\n0.2 \x1b[2J"), step(1, "DONE 0.3s", Phase.DONE)):
        show(told)
    show(step(2, "CACHED", Phase.DONE))
    show.finish()

    assert out.getvalue() == " Image a Building\n"
    assert steps.getvalue() == (
        '#0 building with "default" instance using pycompose driver\n\n'
        "#1 [web 1/9] RUN 1\n#1 0.1 a\n#1 0.2 \\x1b[2J\n#1 DONE 0.3s\n\n#2 [web 2/9] RUN 2\n#2 CACHED\n"
    )


def test_lines_of_a_step_stay_together() -> None:
    """Another one waits, unless it has ended; nothing of it is lost, also when the build ends early."""
    written: list[str] = []
    show = StepLines(written.append)
    for told in (
        step(1),
        step(2, "b"),
        step(1, "a"),
        step(3, "DONE", Phase.DONE),
        step(1, "A"),
        step(2, "B"),
    ):
        show.take(told)
    show.take(step(1, "DONE", Phase.DONE))
    show.take(step(4, "d"))
    show.finish()

    assert "\n".join(written).split("\n")[2:] == [
        "#1 [web 1/9] RUN 1", "#1 a", "#1 ...", "",
        "#3 [web 3/9] RUN 3", "#3 DONE", "",
        "#1 [web 1/9] RUN 1", "#1 A", "#1 DONE", "",
        "#2 [web 2/9] RUN 2", "#2 b", "#2 B", "#2 ...", "",
        "#4 [web 4/9] RUN 4", "#4 d",
    ]  # fmt: skip


def test_a_step_that_says_no_more_keeps_nobody_waiting() -> None:
    """Its silence may be long."""
    written: queue.SimpleQueue[str] = queue.SimpleQueue()
    show = StepLines(written.put)
    show.take(step(1))
    show.take(step(2, "b"))

    assert written.get(timeout=60).endswith("#1 [web 1/9] RUN 1")
    assert written.get(timeout=60) == "#1 ...\n\n#2 [web 2/9] RUN 2\n#2 b"


def test_dry_run_says_so() -> None:
    out = io.StringIO()
    renderer("tty", out, dry_run=True)(event("Container demo-web-1", "Creating"))

    assert out.getvalue() == " DRY-RUN MODE - Container demo-web-1 Creating\n"


def test_json_lines() -> None:
    out = io.StringIO()
    show = JsonRenderer(out)
    show(event("layer", "Downloading", current=25, total=100, parent="Image x"))
    show(event("Container demo-web-1", "Started", Phase.DONE))

    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {
            "id": "layer", "parent_id": "Image x", "status": "Working", "text": "Downloading",
            "current": 25, "total": 100, "percent": 25,
        },
        {"id": "Container demo-web-1", "status": "Done", "text": "Started"},
    ]  # fmt: skip


def test_quiet_lets_warnings_through() -> None:
    out = io.StringIO()
    show = renderer("quiet", out)
    show(event("Container demo-web-1", "Started", Phase.DONE))
    show(event("Network demo_default", "Resource is still in use", Phase.WARNING))

    assert out.getvalue() == " Network demo_default Resource is still in use\n"
    assert isinstance(show, QuietRenderer)


def test_auto_is_plain_on_a_pipe() -> None:
    assert isinstance(renderer("auto", io.StringIO()), PlainRenderer)


def board() -> tuple[ProgressBoard, Clock]:
    clock = Clock()
    made = ProgressBoard(clock)
    made.take(event("Network demo_default", "Creating"))
    clock.now = 0.1
    made.take(event("Network demo_default", "Created", Phase.DONE))
    made.take(event("Container demo-web-1", "Starting"))
    clock.now = 0.5
    return made, clock


def test_the_view_counts_and_times() -> None:
    made, _ = board()

    assert render(made, title="up", columns=80, rows=None, tick=0).plain.splitlines() == [
        "[+] up 1/2",
        " ✔ Network demo_default  Created  0.1s",
        " ⠋ Container demo-web-1  Starting  0.4s",
    ]


def test_the_view_keeps_to_the_screen() -> None:
    made, _ = board()
    for number in range(20):
        made.take(event(f"Container demo-worker-{number}", "Starting"))
    lines = render(made, title="up", columns=30, rows=5, tick=0).plain.splitlines()

    assert len(lines) == 6
    assert lines[-1] == " … 18 more"
    assert max(map(len, lines)) <= 30


def test_layers_are_shown_below_their_image_while_it_works() -> None:
    made = ProgressBoard(Clock())
    made.take(event("abc", "Downloading", parent="Image x", current=50, total=100))
    shown = render(made, title="pull", columns=80, rows=None, tick=0).plain

    assert "   ⠋ abc" in shown
    assert "[██████████          ] 50B/100B" in shown
    made.take(event("Image x", "Pulled", Phase.DONE))
    assert "abc" not in render(made, title="pull", columns=80, rows=None, tick=0).plain


def test_work_that_begins_again_has_no_end() -> None:
    made, clock = board()
    made.take(event("Container demo-web-1", "Started", Phase.DONE))
    made.take(event("Container demo-web-1", "Stopping"))
    clock.now = 2.1

    assert made.rows["Container demo-web-1"].elapsed_s(clock.now) == 2.0


def test_the_live_view_leaves_its_last_state_on_the_terminal() -> None:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with open(slave, "w", encoding="utf-8") as stream:
        show = renderer("auto", stream, title="up", colour=False)
        show(event("Container demo-web-1", "Starting"))
        show(event("Container demo-web-1", "Started", Phase.DONE))
        show.finish()
        show(event("Container demo-web-1", "too late"))
        show.finish()
        data = b""
        while b"\x1b[?25h" not in data:  # the cursor is visible again
            data += os.read(master, 65536)
        text = data.decode()
    os.close(master)

    assert "[+] up 1/1" in text
    assert "Started" in text
    assert "too late" not in text
