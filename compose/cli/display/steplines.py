"""The steps of a build as BuildKit's plain progress shows them: what one of them prints stays together.

```
#7 [web 2/3] RUN make
#7 0.123 cc -o a a.c
#7 ...

#8 [web other 2/2] COPY . /src
#8 DONE 0.1s

#7 [web 2/3] RUN make
#7 DONE 2.5s
```
(progress/progressui/printer.go.) Whoever greps finds the number of the step in front of each line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pycompose.cli.display import style
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

# One builder, as `builder ls` shows it.
HEAD = '#0 building with "default" instance using pycompose driver'
# How long the lines of a step wait for one that is being shown.
PATIENCE_S = 1.0


class StepLines:
    """Takes the events of steps from several threads; `write` gets a line, or several with line breaks between them."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        # The step that was shown last, and the one that has the floor, if any: others wait, unless they have ended.
        self._last = ""
        self._current = ""
        self._held: dict[str, list[str]] = {}
        self._timer: threading.Timer | None = None

    def take(self, event: Event) -> None:
        """Show a step, now or when those before it have said what they have to say."""
        step = f"#{event.number} {style.clean(event.subject)}"
        lines = [style.clean(line) for line in event.log.split("\n")] if event.log else []
        with self._lock:
            if self._current in ("", step) or event.phase is not Phase.WORKING:
                self._show(step, lines, goes_on=event.phase is Phase.WORKING)
                return
            self._held.setdefault(step, []).extend(lines)
            if self._timer is None:
                self._timer = threading.Timer(PATIENCE_S, self._lose_patience)
                self._timer.daemon = True
                self._timer.start()

    def finish(self) -> None:
        """Show what still waits."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._show_held()

    def _lose_patience(self) -> None:
        with self._lock:
            self._timer = None
            self._show_held()

    def _show_held(self) -> None:
        for step in list(self._held):
            self._show(step, [], goes_on=True)

    def _show(self, step: str, lines: Sequence[str], *, goes_on: bool) -> None:
        text = [] if self._last else [HEAD]
        if self._last != step:
            is_left = self._last and self._last == self._current
            text += [*([f"{self._number(self._last)} ..."] if is_left else []), "", step]
        number = self._number(step)
        text += [f"{number} {line}" for line in (*self._held.pop(step, ()), *lines)]
        self._last = step
        if text:
            self._write("\n".join(text))
        if goes_on:
            self._current = step
        elif self._current == step:
            self._current = ""
        if not self._current and self._held:
            self._show(next(iter(self._held)), [], goes_on=True)

    @staticmethod
    def _number(step: str) -> str:
        return step.partition(" ")[0]
