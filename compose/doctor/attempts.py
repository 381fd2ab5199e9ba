"""Trying things where they do no harm: in a child that has namespaces of its own and ends afterwards."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.engine.linux import namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycompose.doctor.facts import Reason

PATIENCE_S = 20
HUNG = f"no answer within {PATIENCE_S} s"


def attempt(step: Callable[[], object]) -> str:
    """Run `step` here and return why it failed, "" when it didn't."""
    try:
        step()
    except PycomposeError as exc:
        return exc.message
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    return ""


def attempts(kinds: int, steps: Mapping[str, Callable[[], object]]) -> dict[str, Reason]:
    """Run `steps` in order in a child with new namespaces (CLONE_NEW… in `kinds`); return step → reason.

    When there are no such namespaces, that is the reason of each; a step that hangs ends the child.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run(kinds, steps, reader, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as answers:
        told = [json.loads(line) for line in answers]
    os.waitpid(pid, 0)
    found = dict(told)
    return {name: found.get(name, HUNG) for name in steps}


def _run(kinds: int, steps: Mapping[str, Callable[[], object]], reader: int, writer: int) -> None:
    """Be the child."""
    try:
        os.close(reader)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE_S)
        refused = attempt(lambda: namespaces.unshare(kinds)) if kinds else ""
        for name, step in steps.items():
            answer = json.dumps([name, refused or attempt(step)])
            os.write(writer, answer.encode() + b"\n")
    finally:
        os._exit(0)
