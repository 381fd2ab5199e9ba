"""What this process may do on the machine: the one place where root is asked for.

Containers take namespaces, mounts, control groups and networks (capabilities(7): CAP_SYS_ADMIN, CAP_NET_ADMIN, and the
file capabilities for images), and what is known of them lies in directories that are root's. The entry asks before
anything else is loaded: this module imports next to nothing.
"""

from __future__ import annotations

import os


def can_run_containers() -> bool:
    """Tell whether this process can make containers, and see those that there are."""
    return os.geteuid() == 0


def require_containers() -> None:
    """Raise PycomposeError when this process can neither make containers nor see them."""
    if can_run_containers():
        return
    from pycompose.engine.errors import PycomposeError  # noqa: PLC0415 - for those who may not

    raise PycomposeError(
        f"pycompose: needs root: user {os.geteuid()} can neither make containers nor see those of root",
        hint="run it with sudo",
    )
