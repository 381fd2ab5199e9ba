"""Putting the devices that a service asks for into its container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.cdi.apply import apply
from pycompose.cdi.registry import read_registry
from pycompose.cdi.requests import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.engine.config import ContainerConfig
    from pycompose.model import DeviceRequest


def inject(config: ContainerConfig, requests: Iterable[DeviceRequest]) -> ContainerConfig:
    """Return the container with its devices; raises EngineError for one that isn't there."""
    registry = read_registry()
    names = [name for request in requests for name in resolve(request, registry)]
    return apply(config, registry.edits(names))
