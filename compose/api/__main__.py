"""The server of one container's socket, which a supervisor starts: `python -m pycompose.api FD ACCESS`."""

from __future__ import annotations

import logging
import os
import signal
import sys

from pycompose.api.lean import load_asyncio
from pycompose.client.context import Context
from pycompose.engine.linux.process import set_name, set_parent_death_signal
from pycompose.engine.paths import StatePaths
from pycompose.policy.sockets import SocketAccess


def main() -> None:
    """Serve until nobody has come for a while."""
    set_name("pycompose api")
    set_parent_death_signal(signal.SIGTERM)  # the next supervisor starts another one when somebody asks
    logging.basicConfig(level=logging.WARNING)
    load_asyncio()
    from pycompose.api.server import serve_given  # noqa: PLC0415 - after the line above

    descriptor, access = int(sys.argv[1]), SocketAccess.from_text(sys.argv[2])
    context = Context(paths=StatePaths.from_environment(), sink=lambda _event: None, environment=os.environ)
    serve_given(context, descriptor, access)


main()
