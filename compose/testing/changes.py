"""The events of a stack's containers, to be waited on."""

from __future__ import annotations

import contextlib
import select
import time
from typing import TYPE_CHECKING, Self

from pycompose.engine.errors import PycomposeError
from pycompose.errors import NotRunning
from pycompose.ipc.client import connect
from pycompose.ipc.requests import SubscribeRequest

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths
    from pycompose.ipc.client import Connection


class Changes:
    """The events of a stack's containers, to be waited on; without a supervisor there are none."""

    def __init__(self, paths: StatePaths, project: str) -> None:
        self._paths = paths
        self._project = project
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(NotRunning):
            self._connection = connect(self._paths, self._project)
            self._connection.send(SubscribeRequest())
            self._connection.receive()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def wait(self, timeout_s: float) -> None:
        """Wait for an event, for `timeout_s` at most."""
        if self._connection is None:
            time.sleep(timeout_s)
            return
        try:
            if select.select([self._connection.socket], [], [], timeout_s)[0]:
                self._connection.receive()
        except PycomposeError:  # it has been killed; the keeper starts the next one
            self._connection.close()
            self._connection = None
