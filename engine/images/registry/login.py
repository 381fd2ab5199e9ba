"""Trying credentials before they are kept, and which registry a host name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.images.reference import HUB, parse
from pycompose.engine.images.registry.registry import Repository, registry_host
from pycompose.engine.images.registry.transport import Transport

if TYPE_CHECKING:
    from pycompose.engine.images.registry.auth import Credentials
    from pycompose.engine.images.registry.settings import RegistrySettings


def login(settings: RegistrySettings, domain: str, credentials: Credentials) -> None:
    """Try credentials at a registry.

    Raises AuthError when it refuses them, PullError when it can't be reached.
    """
    transport = Transport(settings)
    try:
        Repository(transport, registry_host(domain), "", credentials=lambda: credentials).ping()
    finally:
        transport.close()


def registry_domain(text: str) -> str:
    """Return the registry that `login HOST` means; "" is Docker Hub. Raises InvalidReference."""
    host = text.removeprefix("https://").removeprefix("http://").rstrip("/").partition("/")[0]
    return parse(f"{host}/x").domain if host else HUB
