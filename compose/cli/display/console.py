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
    for row in board.rows.values():
        lines.append(_line(row, width, now, tick, indent=1))
        if row.phase is Phase.WORKING:
            children = list(row.children.values())
            working = [child for child in children if child.phase is Phase.WORKING] or children
            lines += [_line(child, width - 2, now, tick, indent=3) for child in working[:SHOWN_CHILDREN]]
    if rows is not None and len(lines) > rows:
        hidden = len(lines) - rows + 1
        lines = [*lines[: rows - 1], Text(f" … {hidden} more")]
    for line in lines:
        line.truncate(columns, overflow="ellipsis")
        out.append("\n")
        out.append_text(line)
    return out


def _line(row: ProgressRow, width: int, now_s: float, tick: int, *, indent: int) -> Text:
    mark, style = _MARKS.get(row.phase, (SPINNER[tick % len(SPINNER)], "cyan"))
    line = Text(" " * indent)
    line.append(mark, style=style)
    line.append(f" {clean(row.subject):<{max(width, 0)}}  ")
    line.append(clean(row.text), style=style if row.phase is not Phase.WORKING else "")
    if row.total and row.phase is Phase.WORKING:
        filled = min(BAR_CELLS, row.current * BAR_CELLS // row.total)
        line.append(f" [{'█' * filled}{' ' * (BAR_CELLS - filled)}] {size(row.current)}/{size(row.total)}")
    elif row.details:
        line.append(f" {clean(row.details)}", style="dim")
    line.append(f"  {row.elapsed_s(now_s):.1f}s", style="blue")
    return line
