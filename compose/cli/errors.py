"""How an error is shown: what, why, what to do, on standard error; a place in a file with line and caret."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pycompose.cli.display import style
from pycompose.engine.errors import CHOOSE_STATE, NO_PROCESSES, DockerfileError, PycomposeError, StepFailed
from pycompose.engine.paths import StatePaths

MAX_SHOWN = 20
# The kernel's words at the end of a message, wherever it comes from.
STORAGE_HINTS = {
    os.strerror(
        errno.ENOSPC
    ): "its file system is full: free some space, for example with 'pycompose system prune'",
    os.strerror(errno.EDQUOT): "the quota of its file system is used up: free some space, or raise it",
    os.strerror(
        errno.EROFS
    ): "make its file system writable, or choose other state directories with PYCOMPOSE_ROOT "
    "and PYCOMPOSE_RUN",
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def flatten(error: BaseException) -> Iterator[BaseException]:
    """Yield the single errors of a group, or of a loader's collection."""
    parts = getattr(error, "errors", None) if isinstance(error, PycomposeError) else None
    if isinstance(error, BaseExceptionGroup):
        parts = error.exceptions
    if not parts:
        yield error
        return
    for part in parts:
        yield from flatten(part)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error; of several, the first."""
    first = next(flatten(error))
    return first.exit_code if isinstance(first, PycomposeError) else 1


def report(error: BaseException, *, stream: IO[str], colour: bool, debug: bool = False) -> None:
    """Print `error`: two lines each on a pipe, the offending line and a caret between them on a terminal."""
    if debug:
        import traceback  # noqa: PLC0415 - 5 ms that nobody else pays

        traceback.print_exception(error, file=stream)
    found = list(flatten(error))
    for one in found[:MAX_SHOWN]:
        print(f"{style.paint('error:', style.BOLD, style.RED, on=colour)} {message(one)}", file=stream)
        if style.is_terminal(stream) or isinstance(one, DockerfileError):
            for line in snippet(one):
                print(style.paint(line, style.DIM, on=colour), file=stream)
        if isinstance(one, PycomposeError) and one.details:
            print(_lines(one.details), file=stream)
        hint = hint_of(one)
        if hint:
            print(f"{style.paint('hint:', style.CYAN, on=colour)} {_lines(hint)}", file=stream)
    if len(found) > MAX_SHOWN:
        print(f"… and {len(found) - MAX_SHOWN} more errors", file=stream)


def _lines(text: str) -> str:
    return "\n".join(style.clean(line) for line in text.split("\n"))


def report_json(error: BaseException, stream: IO[str]) -> None:
    """Print each error as one JSON object per line."""
    for one in flatten(error):
        value: dict[str, object] = {"error": True, "message": message(one)}
        if isinstance(one, PycomposeError):
            value |= one.to_json() | ({"details": one.details} if one.details else {})
        print(json.dumps(value, ensure_ascii=False), file=stream)


def message(error: BaseException) -> str:
    """Return the text of one error; one that isn't ours is a defect of pycompose and says so."""
    if isinstance(error, PycomposeError):
        return style.clean(error.message if error.details else str(error))
    if _no_directory(error):
        return "the working directory: it has been removed"
    if isinstance(error, OSError):
        what = "state directory " if _no_state(error) else ""
        return style.clean(f"{what}{error.filename or 'system call'}: {error.strerror or error}")
    if _no_thread(error):
        return f"cannot start a thread: {os.strerror(errno.EAGAIN)}"
    return style.clean(f"internal error: {type(error).__name__}: {error}")


def _no_directory(error: BaseException) -> bool:
    """Tell whether it is what getcwd(3) says in a directory that has been removed: no name, whoever asks."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _no_state(error: BaseException) -> bool:
    """Tell whether it is one of the state directories, or what is above them, that can't be had."""
    if not isinstance(error, OSError) or not isinstance(error.filename, str | Path):
        return False
    paths = StatePaths.from_environment()
    place = Path(error.filename)
    return any(place in (root, *root.parents) for root in (paths.root, paths.run))


def _no_thread(error: BaseException) -> bool:
    """Tell whether it is what the threading module makes of EAGAIN (pthread_create(3))."""
    return isinstance(error, RuntimeError) and str(error) == "can't start new thread"


def hint_of(error: BaseException) -> str:
    """Return what to do about one error, "" when nobody knows."""
    if isinstance(error, PycomposeError) and error.hint:
        return error.hint
    if _no_directory(error):
        return "change to one that is there: cd"
    if _no_thread(error):
        return NO_PROCESSES
    if _no_state(error):
        return CHOOSE_STATE
    for reason, hint in STORAGE_HINTS.items():
        if message(error).endswith(reason):
            return hint
    if isinstance(error, PycomposeError):
        return ""
    return "run again with --debug for the traceback"


def snippet(error: BaseException) -> list[str]:
    """Return the line that `error` points at, a caret below; [] when there is none.

    A step of a build that has failed shows what it printed last, too.
    """
    if isinstance(error, DockerfileError):
        return _build_snippet(error)
    place = getattr(error, "location", None)
    if place is None or not getattr(place, "line", 0) or not place.file:
        return []
    try:
        with open(place.file, encoding="utf-8", errors="replace") as file:
            text = next((line for number, line in enumerate(file, 1) if number == place.line), "")
    except OSError:
        return []
    text = style.clean(text.rstrip("\n").replace("\t", " "))
    margin = f"{place.line:>6} | "
    caret = " " * (len(margin) + max(place.column - 1, 0)) + "^"
    return [margin + text, caret]


def quiet_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush cannot fail on a closed pipe."""
    with open(os.devnull, "w", encoding="utf-8") as sink:
        os.dup2(sink.fileno(), sys.stdout.fileno())


def let_go_of_stdout() -> None:
    """Write what is left for standard output, or else give it up: the interpreter's failure would be another code."""
    try:
        sys.stdout.flush()
    except OSError:
        quiet_stdout()


def unwritten(error: Exception) -> PycomposeError | None:
    """Return what to say of an `error` without a file's name when the output took no more, None for all others."""
    if not isinstance(error, OSError) or error.filename is not None or error.errno not in _NO_ROOM:
        return None
    quiet_stdout()
    return PycomposeError(
        f"standard output: cannot write: {error.strerror}", hint="write it to another place"
    )


def _build_snippet(error: DockerfileError) -> list[str]:
    lines = [style.clean(f"     | {line}") for line in error.output] if isinstance(error, StepFailed) else []
    if not error.text:
        return lines
    margin = f"{error.line:>6} | "
    shown = [margin + style.clean(error.text.replace("\t", " "))]
    if error.column:
        shown.append(" " * (len(margin) + error.column - 1) + "^")
    return [*lines, *shown]
