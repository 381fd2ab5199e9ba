"""Running a function as an ordinary user of a private machine."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scenario import Host

UID = 1000


def as_user(host: Host, call: Callable[[], list[str]], uid: int = UID) -> list[str]:
    """Return what `call` returns in a process of user `uid` that sees the machine's files, network and /proc.

    `call` may only use what is imported already: that user can't read our modules.
    """
    return host.inside(lambda: _forked(call, uid))


def _forked(call: Callable[[], list[str]], uid: int) -> list[str]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        lines = ["no answer"]
        try:
            os.setgroups(())
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            lines = call()
        except BaseException:  # noqa: BLE001 - told to the test, which this process must not become
            lines = [traceback.format_exc()]
        finally:
            with os.fdopen(writer, "w") as file:
                file.write("\0".join(lines))
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return text.split("\0") if text else []
