"""Where errors become text and exit codes, whichever way the command line was read. Without click."""

# ruff: noqa: PLC0415 - few commands fail

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pycompose.cli.errors import exit_code, let_go_of_stdout, quiet_stdout, report, report_json, unwritten
from pycompose.cli.invocation import Invocation
from pycompose.cli.lossy import lossy

SIGPIPE_EXIT = 141
INTERRUPTED_EXIT = 130


def guarded(work: Callable[[], object], invocation: Invocation) -> int:
    """Do `work` with standard streams that can be used, report what goes wrong, and return the exit code.

    What `work` returns is that, if it is a number.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_missing_streams()
    own = sys.__stderr__
    if own is not None and sys.stderr is own:
        sys.stderr = lossy(own)
    try:
        result = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        quiet_stdout()
        return SIGPIPE_EXIT
    except Exception as exc:  # noqa: BLE001 - the boundary: whatever it is becomes two lines
        _report(unwritten(exc) or exc, invocation)
        let_go_of_stdout()
        code = exit_code(exc) if invocation.command_codes else 1
        return invocation.failure_code if code == 1 else code
    return result if isinstance(result, int) else 0


def _open_missing_streams() -> None:
    """Put /dev/null where the caller has closed a standard stream: the next file would get its number otherwise."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if opened == fd:
                os.set_inheritable(fd, True)
            setattr(sys, name, open(opened, "w" if fd else "r", encoding="utf-8"))  # noqa: SIM115 - stays open


def _report(error: Exception, invocation: Invocation) -> None:
    from pycompose.errors import ConfigError

    if isinstance(error, ConfigError):
        invocation.show_warnings(error.warnings)
    if invocation.json_errors or invocation.progress == "json":
        report_json(error, sys.stderr)
        return
    debug = invocation.debug or bool(os.environ.get("PYCOMPOSE_DEBUG"))
    report(error, stream=sys.stderr, colour=invocation.colour(sys.stderr), debug=debug)
