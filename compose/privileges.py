"""What this process may do on the machine: the one place where root is asked for.

Containers take namespaces, mounts, control groups and networks (capabilities(7): CAP_SYS_ADMIN, CAP_NET_ADMIN, and the
file capabilities for images), and what is known of them lies in directories that are root's. The entry asks before
anything else is loaded: this module imports next to nothing. Who isn't root becomes root of a private host of his own
(rootless/), where all of that is his.
"""

from __future__ import annotations

import os
import sys


def can_run_containers() -> bool:
    """Tell whether this process can make containers, and see those that there are."""
    return os.geteuid() == 0


def require_containers() -> None:
    """See to it that this process, of one thread, can make containers and see them; else raise PycomposeError."""
    if can_run_containers():
        return
    from pycompose.rootless import places  # noqa: PLC0415 - for those who aren't root

    if not places.is_refused():
        from pycompose.rootless import entering  # noqa: PLC0415 - as above

        entering.enter()
        return
    from pycompose.engine.errors import PycomposeError  # noqa: PLC0415 - for those who may not

    raise PycomposeError(
        f"pycompose: needs root: user {os.geteuid()} can neither make containers nor see those of root",
        hint=f"run it with sudo, or as this user without {places.SWITCH}=0",
    )


def notices() -> list[str]:
    """Return what there is to tell the user about his private host, once."""
    entering = sys.modules.get("pycompose.rootless.entering")
    if entering is None:
        return []
    told, entering.notices[:] = list(entering.notices), []
    return told


def leave() -> None:
    """Let the private host, if we are in one, end with the last process in it, and not only a while later."""
    entering = sys.modules.get("pycompose.rootless.entering")
    if entering is not None:
        entering.let_end()
