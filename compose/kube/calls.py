"""Ports at which services call each other, as variables, commands and files of settings have them: `api:8000`.

In Compose every port of a container can be reached by its name, a Service leads to those that it lists.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.kube.scope import KubeScope
    from pycompose.model import Project, Service

LARGEST_SETTINGS = 1 << 16
# Where a URL names no port: IANA's service names, and the schemes that clients of databases know.
_PORTS = {
    "amqp": 5672,
    "amqps": 5671,
    "bolt": 7687,
    "http": 80,
    "https": 443,
    "ldap": 389,
    "ldaps": 636,
    "mariadb": 3306,
    "mongodb": 27017,
    "mqtt": 1883,
    "mysql": 3306,
    "mysql2": 3306,
    "nats": 4222,
    "neo4j": 7687,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "smtp": 25,
    "ws": 80,
    "wss": 443,
}
_CALL = re.compile(
    r"(?:\b(?P<scheme>[a-z][a-z0-9]*)(?:\+[a-z0-9]+)?://(?:[^/@\s\"']*@)?)?"
    r"(?<![\w.-])(?P<host>[A-Za-z0-9][\w.-]*)(?::(?P<port>[0-9]{1,5})(?![\w.]))?"
)


def called_ports(project: Project) -> dict[str, dict[int, str]]:
    """Return by service the ports that it is called at, each with the first place where it is written."""
    owners = {name: service.name for service in project.services.values() for name in _names(service)}
    owners |= {name: name for name in project.services}
    found: dict[str, dict[int, str]] = {}
    for service in project.services.values():
        for where, text in _texts(project, service):
            for match in _CALL.finditer(text):
                owner = owners.get(match["host"])
                number = int(match["port"] or 0) or _PORTS.get(match["scheme"] or "", 0)
                if owner and 0 < number < 65536:
                    found.setdefault(owner, {}).setdefault(number, where)
    return found


def undeclared(scope: KubeScope, service: Service, declared: frozenset[int]) -> dict[int, str]:
    """Return the ports that a service is called at and that nobody has declared, with where they are written."""
    called = scope.called.get(service.name, {})
    return {number: where for number, where in sorted(called.items()) if number not in declared}


def _names(service: Service) -> Iterator[str]:
    yield from (alias for endpoint in service.networks for alias in endpoint.aliases)
    if service.container_name:
        yield service.container_name


def _texts(project: Project, service: Service) -> Iterator[tuple[str, str]]:
    for variable, value in service.environment.items():
        yield f"{service.name}.environment.{variable}", value or ""
    for key in ("command", "entrypoint"):
        for word in getattr(service, key) or ():
            yield f"{service.name}.{key}", word
    for reference in service.configs:
        config = project.configs[reference.source]
        text = config.content or (_text_of(config.file) if config.file else "")
        yield f"configs.{reference.source}", text
    for index, volume in enumerate(service.volumes):
        if volume.kind == "bind":
            yield f"{service.name}.volumes[{index}]", _text_of(volume.source)


def _text_of(name: str) -> str:
    """Return the text of a file of settings; what is something else, or large, calls nobody."""
    try:
        info = os.stat(name)
        if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST_SETTINGS:
            return ""
        return Path(name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
