"""Work that takes long, told as lines of JSON while it goes on (moby jsonmessage)."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from pycompose.api.errors import ClientGone
from pycompose.api.http import JSON_TYPE, ApiAnswer, ApiCall, Outlet, dumps
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError, StepFailed
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context

Json = dict[str, Any]
# How often a client that hears nothing is looked at.
_LOOK_S = 1.0


def told(
    call: ApiCall,
    work: Callable[[Context, Callable[[Json], None]], None],
    cancel: Callable[[], None] = lambda: None,
) -> ApiAnswer:
    """Return an answer that tells of work as JSON lines; a failure is the last of them, as Docker has it.

    What goes wrong before anything is told is an error of HTTP. `cancel` is called when the client has gone: work that
    can't be cancelled goes on.
    """
    lines: queue.SimpleQueue[Json | PycomposeError | None] = queue.SimpleQueue()

    def say(line: Json) -> None:
        lines.put(line)

    def run() -> None:
        try:
            work(replace(call.context, sink=lambda event: _say_event(say, event)), say)
        except PycomposeError as exc:
            lines.put(exc)
        except Exception as exc:  # noqa: BLE001 - the client is told
            lines.put(PycomposeError(f"server error: {type(exc).__name__}: {exc}"))
        finally:
            lines.put(None)

    threading.Thread(target=run, name="api-work", daemon=True).start()
    first = lines.get()
    if isinstance(first, PycomposeError):
        raise first

    def stream(outlet: Outlet) -> None:
        line: Json | PycomposeError | None = first
        try:
            while line is not None:
                outlet.write(dumps(_failure(line) if isinstance(line, PycomposeError) else line))
                line = _next(lines, outlet)
        except ClientGone:
            cancel()
            raise

    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), stream=stream)


def _next(
    lines: queue.SimpleQueue[Json | PycomposeError | None], outlet: Outlet
) -> Json | PycomposeError | None:
    """Return the next line when there is one. Raises ClientGone."""
    while True:
        try:
            return lines.get(timeout=_LOOK_S)
        except queue.Empty:
            if outlet.gone:
                raise ClientGone from None


def _failure(error: PycomposeError) -> Json:
    """Return the last line of what has gone wrong; `docker build` ends with the code of a step."""
    detail: Json = {"message": error.message}
    if isinstance(error, StepFailed):
        detail = {"code": error.status, **detail}
    return {"errorDetail": detail, "error": error.message}


def _say_event(say: Callable[[Json], None], event: Event) -> None:
    """Tell of a step as docker's clients show it: a status for each layer, with bytes where there are any.

    Of the image as a whole nothing: what fails before there are layers is an error of HTTP.
    """
    if event.record is not None or event.log:
        return
    if event.parent:
        detail = {"current": event.current, "total": event.total} if event.total else {}
        say({"status": event.text, "progressDetail": detail, "id": event.subject})
    elif event.phase is Phase.WARNING:
        say({"status": f"warning: {event.text}"})
