"""The only module that imports rich: it draws the rows of a progress ProgressBoard on a terminal.

[+] up 3/4
 ✔ Network demo_default   Created   0.1s
 ⠋ Container demo-web-1   Starting  0.4s
"""

from __future__ import annotations

import threading
from typing import IO

from pycompose.cli.display.board import ProgressBoard, ProgressRow
from pycompose.cli.display.humanize import size
from pycompose.cli.display.style import clean
from pycompose.events import Phase
from rich.console import Console
from rich.live import Live
from rich.text import Text

REFRESH_S = 0.1
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
BAR_CELLS = 20
SHOWN_CHILDREN = 6
# The view that shows what belongs to a row (the steps of an image) also when that is done.
KEEPS_CHILDREN = "build"
_MARKS = {Phase.DONE: ("✔", "green"), Phase.WARNING: ("!", "yellow"), Phase.ERROR: ("✘", "red")}


def draw(
    stream: IO[str],
    board: ProgressBoard,
    lock: threading.Lock,
    done: threading.Event,
    *,
    title: str,
    colour: bool,
) -> None:
    """Redraw `board` on `stream` until `done`, holding `lock` while reading it; the last drawing stays."""
    console = Console(file=stream, no_color=not colour, highlight=False, markup=False, force_terminal=True)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        finished = False
        tick = 0
        while not finished:
            finished = done.wait(REFRESH_S if tick else 0.0)
            with lock:
                height = max(console.height - 2, 1) if not finished else None
                view = render(board, title=title, columns=console.width, rows=height, tick=tick)
            live.update(view, refresh=True)
            tick += 1


def render(board: ProgressBoard, *, title: str, columns: int, rows: int | None, tick: int) -> Text:
    """Return the view as text of at most `columns` cells and `rows` lines (None is unlimited); pure."""
    now = board.now()
    total = len(board.rows)
    done = board.done()
    out = Text()
    out.append(f"[+] {title} {done}/{total}", style="blue" if done == total else "")
    width = max((len(clean(row.subject)) for row in board.rows.values()), default=0)
    lines: list[Text] = []
    keeps_children = title == KEEPS_CHILDREN
    for row in board.rows.values():
        lines.append(_line(row, width, now, tick, indent=1, columns=columns))
        children = list(row.children.values())
        if not keeps_children:
            working = [child for child in children if child.phase is Phase.WORKING] or children
            children = working[:SHOWN_CHILDREN] if row.phase is Phase.WORKING else []
        lines += [_line(child, width - 2, now, tick, indent=3, columns=columns) for child in children]
    if rows is not None and len(lines) > rows:
        more = Text(f" … {len(lines) - rows + 1} more")
        # The last steps of a build are those that are under way.
        lines = [more, *lines[1 - rows :]] if keeps_children and rows > 1 else [*lines[: rows - 1], more]
    for line in lines:
        line.truncate(columns, overflow="ellipsis")
        out.append("\n")
        out.append_text(line)
    return out


def _line(row: ProgressRow, width: int, now_s: float, tick: int, *, indent: int, columns: int) -> Text:
    mark, style = _MARKS.get(row.phase, (SPINNER[tick % len(SPINNER)], "cyan"))
    elapsed = f"  {row.elapsed_s(now_s):.1f}s"
    text = clean(row.text)
    # A long name gives way to what becomes of it, and how long that takes.
    room = max(columns - indent - len(mark) - len(text) - len(elapsed) - 4, 1)
    subject = clean(row.subject)
    if len(subject) > room:
        subject = f"{subject[: room - 1]}…"
    line = Text(" " * indent)
    line.append(mark, style=style)
    line.append(f" {subject:<{max(width, 0)}}  ")
    line.append(text, style=style if row.phase is not Phase.WORKING else "")
    if row.total and row.phase is Phase.WORKING:
        filled = min(BAR_CELLS, row.current * BAR_CELLS // row.total)
        line.append(f" [{'█' * filled}{' ' * (BAR_CELLS - filled)}] {size(row.current)}/{size(row.total)}")
    elif row.details:
        details = clean(row.details)
        room = columns - line.cell_len - len(elapsed) - 1
        if len(details) > room and indent > 1:
            details = f"{details[: max(room - 1, 0)]}…" if room > 1 else ""
        line.append(f" {details}" if details else "", style="dim")
    line.append(elapsed, style="blue")
    return line
