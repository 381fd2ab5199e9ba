"""What `run` makes of a service: the flags laid over it, and nothing that belongs to serving."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pycompose.config.bind_parts import mounts, ports
from pycompose.config.files import display, read_text
from pycompose.config.syntax import dotenv
from pycompose.config.syntax.mounts import parse_volume
from pycompose.config.syntax.ports import parse_port
from pycompose.config.tree import Map
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.model import Restart, Volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.client.options import RunOptions
    from pycompose.model import Endpoint, Port, Project, ServiceVolume


def oneoff(project: Project, options: RunOptions, environment: Mapping[str, str]) -> Project:
    """Return the project with the service of `run` as the flags want it; `environment` is the caller's.

    Raises PycomposeError for a flag that says nothing sensible, ConfigError for an env file.
    """
    service = project.services[options.service]
    added = tuple(_volume(text) for text in options.volumes)
    changes: dict[str, Any] = {
        "environment": {**service.environment, **_environment(options, environment)},
        "labels": {**service.labels, **_labels(options.labels)},
        "volumes": (*_without(service.volumes, added), *added),
        "ports": service.ports if options.service_ports else _ports(options.publish),
        "networks": tuple(
            _endpoint(endpoint, service.name, aliases=options.use_aliases) for endpoint in service.networks
        ),
        "cap_add": _merged(service.cap_add, options.cap_add, options.cap_drop),
        "cap_drop": _merged(service.cap_drop, options.cap_drop, options.cap_add),
        "container_name": "",
        "restart": Restart(),
        "replicas": 1,
        "tty": options.tty,
        "stdin_open": options.interactive,
    }
    if options.entrypoint is not None:
        changes["entrypoint"] = options.entrypoint
        changes["command"] = ()
    if options.command:
        changes["command"] = options.command
    if options.user:
        changes["user"] = options.user
    if options.workdir:
        changes["working_dir"] = options.workdir
    wanted = replace(service, **changes)
    return replace(
        project,
        services={**project.services, service.name: wanted},
        volumes={**_new_volumes(project, added), **project.volumes},
    )


def given(entries: Iterable[str], environment: Mapping[str, str]) -> dict[str, str | None]:
    """Return "KEY=value", and bare "KEY" out of `environment` (or not at all), as a mapping."""
    found: dict[str, str | None] = {}
    for entry in entries:
        key, separator, value = entry.partition("=")
        if separator:
            found[key] = value
        elif key in environment:
            found[key] = environment[key]
    return found


def _environment(options: RunOptions, environment: Mapping[str, str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for file in options.env_files:
        path = os.path.abspath(file)
        shown = display(path, os.getcwd())
        if not os.path.exists(path):
            raise PycomposeError(f"--env-from-file {file}: not found")
        found.update(dotenv.parse(read_text(path, shown, what="env file"), shown, environment.get))
    return {**found, **given(options.env, environment)}


def _labels(entries: Iterable[str]) -> dict[str, str]:
    found = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals:
            raise PycomposeError(f"--label {entry}: must be KEY=VALUE")
        found[key] = value
    return found


def _merged(own: tuple[str, ...], more: tuple[str, ...], opposite: tuple[str, ...]) -> tuple[str, ...]:
    """Return the capabilities of one list: what the flags add, less what they put into the other."""
    return tuple(dict.fromkeys(name for name in (*own, *more) if name in more or name not in opposite))


def _ports(entries: Iterable[str]) -> tuple[Port, ...]:
    found: list[Port] = []
    for text in entries:
        try:
            found += ports(Map(entry) for entry in parse_port(text))
        except ValueError as exc:
            raise PycomposeError(f"--publish {text}: {exc}", hint="for example 8080:80") from None
    return tuple(found)


def _volume(text: str) -> ServiceVolume:
    try:
        (volume,) = mounts([Map(parse_volume(text))])
    except ValueError as exc:
        raise PycomposeError(f"--volume {text}: {exc}") from None
    if volume.kind == "bind":
        return replace(volume, source=os.path.abspath(os.path.expanduser(volume.source)))
    return volume


def _without(own: tuple[ServiceVolume, ...], added: tuple[ServiceVolume, ...]) -> list[ServiceVolume]:
    """Return the service's mounts whose place no flag takes."""
    taken = {os.path.normpath(volume.target) for volume in added}
    return [volume for volume in own if os.path.normpath(volume.target) not in taken]


def _new_volumes(project: Project, added: tuple[ServiceVolume, ...]) -> dict[str, Volume]:
    """Return the named volumes that the compose file doesn't have: their name is as it is written."""
    names = {volume.source for volume in added if volume.kind == "volume" and volume.source}
    return {name: Volume(key=name, name=name) for name in sorted(names - set(project.volumes))}


def _endpoint(endpoint: Endpoint, service: str, *, aliases: bool) -> Endpoint:
    """Return how a one-off sits on a network: not with the MAC address of the replica that may run beside it.

    At fixed IP addresses it can't be beside that one, as Docker has it.
    """
    return replace(endpoint, aliases=(service, *endpoint.aliases) if aliases else (), mac_address="")
