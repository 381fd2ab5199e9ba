"""Containers of other projects on networks that are shared: their names are answered too, and they learn of ours."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.ipc.client import connect
from pycompose.ipc.requests import RefreshNamesRequest
from pycompose.state.records import read_runtime

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pycompose.engine.paths import StatePaths
    from pycompose.networking.api import Networking
    from pycompose.networking.model import NetworkState
    from pycompose.policy.observed import EndpointRecord


class OtherProjects:
    """What one project knows of the others; `endpoints` are those of their containers, by id."""

    def __init__(self, paths: StatePaths, project: str, networking: Networking) -> None:
        self._paths = paths
        self._project = project
        self._networking = networking
        self.endpoints: dict[str, tuple[EndpointRecord, ...]] = {}

    def refresh(self, networks: Iterable[str], ours: Container[str]) -> bool:
        """Learn who is on `networks` besides `ours`, the ids of our containers; tell whether something has changed."""
        claims = self._paths.project_claims(self._project)
        foreign_ids = {
            container_id
            for name in networks
            for container_id in self._networking.connected(name)
            if container_id not in ours and not (claims / container_id).exists()
        }
        before = self.endpoints
        self.endpoints = {item: read_runtime(self._paths, item).endpoints for item in sorted(foreign_ids)}
        return self.endpoints != before

    def shares(self, endpoints: Iterable[EndpointRecord], states: Iterable[NetworkState]) -> bool:
        """Tell whether one of the endpoints is on a network that others have made, or are on."""
        foreign = {state.name for state in states if state.project != self._project}
        theirs = {endpoint.network for found in self.endpoints.values() for endpoint in found}
        return not (foreign | theirs).isdisjoint(endpoint.network for endpoint in endpoints)

    def notify(self) -> None:
        """Let the supervisors of other projects look, too."""
        for project in os.listdir(self._paths.projects_run):
            if project != self._project:
                with (
                    contextlib.suppress(PycomposeError, OSError),
                    connect(self._paths, project) as connection,
                ):
                    connection.call(RefreshNamesRequest(), lambda _: None)
