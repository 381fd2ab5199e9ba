"""Use cases that only look: they read state and log files, and need no supervisor."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from pycompose.client.views import ContainerView, ImageView, MountView, ProjectView, VolumeView
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import Status
from pycompose.labels import CONFIG_FILES, PROJECT
from pycompose.policy.observed import ObservedContainer, PortBinding
from pycompose.state.snapshot import (
    STANDALONE,
    applied,
    observe_containers,
    projects,
    shown_labels,
)
from pycompose.state.users import source_of, volume_of
from pycompose.state.watching import background_watcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycompose.client.context import Context
    from pycompose.client.options import ImagesOptions, LsOptions, PortOptions, PsOptions, VolumesOptions
    from pycompose.policy.observed import RuntimeRecord


def ps(context: Context, project_name: str, options: PsOptions) -> list[ContainerView]:
    """Return the project's containers by name: the running ones, with `all` every one."""
    found, _ = observe_containers(context.paths, project_name)
    views = []
    for container in found:
        if options.services and container.service not in options.services:
            continue
        if container.hook or (not options.all and (container.oneoff or not container.running)):
            continue
        if not options.orphans and container.service not in options.known_services:
            continue
        views.append(container_view(context, container))
    return views


def container_view(context: Context, container: ObservedContainer) -> ContainerView:
    """Return what is shown of one container."""
    config, state = container.config, container.state
    restarting = container.waits
    running = state.status in (Status.RUNNING, Status.PAUSED)
    return ContainerView(
        id=config.id,
        name=config.name,
        image=config.image,
        image_id=config.image_id,
        command=config.process.args,
        project=config.labels.get(PROJECT, config.project),
        service=container.service,
        state="restarting" if restarting else state.status.value,
        number=container.number,
        oneoff=container.oneoff,
        health=str(container.health.get("status", "")) if running else "",
        exit_code=state.exit_code,
        exit_code_known=state.exit_code_known,
        created_ns=config.created_ns,
        started_ns=state.started_ns,
        finished_ns=state.finished_ns,
        pid=state.pid if running else 0,
        restart_count=container.runtime.restarts,
        oom_killed=state.oom_killed,
        ports=(*container.runtime.ports, *_exposed(container.runtime)) if running else (),
        labels=shown_labels(config),
        mounts=tuple(_mount_views(context, container)),
        networks=_networks(context, container),
        endpoints=container.runtime.endpoints if running else (),
        network_mode="" if config.namespaces.network == "private" else config.namespaces.network,
    )


def _exposed(runtime: RuntimeRecord) -> Iterator[PortBinding]:
    """Yield the ports that are exposed and not published."""
    published = {(port.target, port.protocol) for port in runtime.ports}
    for text in runtime.exposed:
        number, _, protocol = text.partition("/")
        if (int(number), protocol or "tcp") not in published:
            yield PortBinding(host_ip="", host_port=0, protocol=protocol or "tcp", target=int(number))


def _networks(context: Context, container: ObservedContainer) -> tuple[str, ...]:
    """Return the networks that a container is on, or will be on when it is started again; or `host`, or `none`."""
    if (mode := container.config.namespaces.network) in ("host", "none"):
        return (mode,)
    endpoints = container.runtime.endpoints
    if endpoints or container.running:
        return tuple(endpoint.network for endpoint in endpoints)
    from pycompose.state.records import read_service  # noqa: PLC0415 - for stopped ones

    try:
        record = read_service(context.paths, container.id)
    except (FileNotFoundError, PycomposeError):
        return ()
    return tuple(record.networks[endpoint.network].name for endpoint in record.service.networks)


def _mount_views(context: Context, container: ObservedContainer) -> Iterator[MountView]:
    for mount in container.config.mounts:
        if name := volume_of(context.paths, mount):
            yield MountView(
                kind="volume", source=name, target=mount.target, local=True, read_only=mount.read_only
            )
        else:
            yield MountView(
                kind=mount.kind.value,
                source=source_of(context.paths, container.id, mount),
                target=mount.target,
                read_only=mount.read_only,
            )


def port(context: Context, project_name: str, options: PortOptions) -> PortBinding:
    """Return where a container port is published; raises NoSuchContainer, or PycomposeError with the known ports."""
    replicas = _replicas(context, project_name, options.service, options.index)
    bindings = container_view(context, replicas[0]).ports
    for binding in bindings:
        if (binding.target, binding.protocol) == (options.port, options.protocol):
            return binding
    known = ", ".join(dict.fromkeys(f"{b.target}/{b.protocol}" for b in bindings)) or "none"
    raise PycomposeError(
        f"no port {options.port}/{options.protocol} for container {replicas[0].name}: {known}",
        hint="add it to `ports:` of the service",
    )


def _replicas(context: Context, project_name: str, service: str, index: int) -> list[ObservedContainer]:
    found, _ = observe_containers(context.paths, project_name)
    replicas = [
        c for c in found if c.service == service and not c.oneoff and (not index or c.number == index)
    ]
    if not replicas:
        which = f" (index {index})" if index else ""
        raise NoSuchContainer(f'service "{service}" has no container{which}', hint="see `pycompose ps -a`")
    return sorted(replicas, key=lambda c: c.number)


def is_isolated(environment: Mapping[str, str], project_name: str) -> bool:
    """Tell whether a project was brought up as a copy that may run beside others; False for whoever may not know."""
    try:
        return bool(applied(StatePaths.from_environment(environment), project_name).get("isolated"))
    except OSError:
        return False


def ls(context: Context, options: LsOptions) -> list[ProjectView]:
    """Return the projects that have containers, by name."""
    views = []
    for name in projects(context.paths):
        if name == STANDALONE:
            continue
        if options.names and not any(_matches(pattern, name) for pattern in options.names):
            continue
        found, _ = observe_containers(context.paths, name)
        shown = [c for c in found if not c.hook and (options.all or c.running)]
        if not shown:
            continue
        counts: dict[str, int] = {}
        for container in shown:
            state = container_view(context, container).state
            counts[state] = counts.get(state, 0) + 1
        files = dict.fromkeys(
            file for c in shown for file in c.config.labels.get(CONFIG_FILES, "").split(",") if file
        )
        views.append(
            ProjectView(
                name=name,
                counts=tuple(sorted(counts.items())),
                config_files=tuple(files),
                watcher=background_watcher(context.paths, name),
            )
        )
    return views


def _matches(pattern: str, name: str) -> bool:
    """Tell whether a name is what a filter says, or has a match of it as a regular expression (docker's `Match`)."""
    try:
        return pattern == name or re.search(pattern, name) is not None
    except re.error:
        return False


def watcher(context: Context, project_name: str) -> int:
    """Return the process that watches the project in the background, 0 when there is none."""
    return background_watcher(context.paths, project_name)


def images(context: Context, project_name: str, options: ImagesOptions) -> list[ImageView]:
    """Return the images that the project's containers were made from."""
    from pycompose.engine.images.store import ImageStore  # noqa: PLC0415 - only here
    from pycompose.units import stamp_ns  # noqa: PLC0415 - only here

    store = ImageStore(context.paths)
    found, _ = observe_containers(context.paths, project_name)
    views = []
    for container in found:
        if container.oneoff or (options.services and container.service not in options.services):
            continue
        repository, tag = _repository_and_tag(container.config.image)
        size_bytes, platform, created_ns = 0, "", 0
        with contextlib.suppress(PycomposeError):
            image = store.resolve(
                container.config.image_id if repository not in ("host", "rootfs") else repository
            )
            size_bytes, platform = image.size_bytes, image.platform
            created_ns = stamp_ns(image.created)
        views.append(
            ImageView(
                container=container.name,
                repository=repository,
                tag=tag,
                image_id=container.config.image_id,
                platform=platform,
                size_bytes=size_bytes,
                created_ns=created_ns,
            )
        )
    return views


def _repository_and_tag(reference: str) -> tuple[str, str]:
    name, separator, tag = reference.partition("@")[0].rpartition(":")
    if not separator or "/" in tag:
        return reference, "latest" if reference != "host" else ""
    return name, tag


def volumes(context: Context, project_name: str, options: VolumesOptions) -> list[VolumeView]:
    """Return the project's named volumes, or those that the containers of some services use."""
    from pycompose.volumes.store import VolumeStore  # noqa: PLC0415 - only here

    store = VolumeStore(context.paths)
    found, _ = observe_containers(context.paths, project_name)
    users: dict[str, int] = {}
    for container in found:
        if options.services and container.service not in options.services:
            continue
        for mount in container.config.mounts:
            if name := volume_of(context.paths, mount):
                users[name] = users.get(name, 0) + 1
    names = set(users) if options.services else set(users) | {v.name for v in store.of_project(project_name)}
    views = []
    for name in sorted(names):
        with contextlib.suppress(PycomposeError):
            state = store.get(name)
            if state is not None and not state.anonymous:
                views.append(
                    VolumeView(
                        name=name,
                        driver=state.driver,
                        mountpoint=str(store.data(name)),
                        labels=state.labels,
                        links=users.get(name, 0),
                    )
                )
    return views
