"""Use cases that change a project: building up, taking down, and what stands between.

What they change is asked of the project's supervisor, its only writer. Nothing here prints: events go to the sink of
the context.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.client.kept_networks import restore_all
from pycompose.client.selection import check_known, enabled, in_scope, scaled
from pycompose.client.supervisor import call, reach
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.errors import NotRunning
from pycompose.events import Event, Phase
from pycompose.ipc.client import connect_or_start
from pycompose.ipc.messages import ChangeResult
from pycompose.ipc.requests import (
    ApplyRequest,
    DownRequest,
    KillRequest,
    PauseRequest,
    RemoveRequest,
    RestartRequest,
    StartRequest,
    StopRequest,
)
from pycompose.ipc.retry import persistently
from pycompose.policy.graph import select
from pycompose.policy.options import Recreate
from pycompose.state.snapshot import claims, observe_containers

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.client.options import (
        CreateOptions,
        DownOptions,
        KillOptions,
        PauseOptions,
        RestartOptions,
        RmOptions,
        ScaleOptions,
        StartOptions,
        StopOptions,
        UpOptions,
    )
    from pycompose.config.load import Loaded
    from pycompose.ipc.messages import DownResult
    from pycompose.ipc.requests import PlanRequest
    from pycompose.model import Project

    ServicesOptions = StopOptions | StartOptions | RestartOptions | KillOptions | RmOptions | PauseOptions

DOWN_WAIT_S = 20.0


# ---------------------------------------------------------------------- building up


def up(context: Context, loaded: Loaded, options: UpOptions) -> None:
    """Create and start the services and what they need; raises what went wrong first."""
    _apply(context, loaded.runnable, options)


def create(context: Context, loaded: Loaded, options: CreateOptions) -> None:
    """Create containers without starting them."""
    _apply(context, loaded.runnable, options)


def remove_orphans(context: Context, loaded: Loaded, *, dry_run: bool, parallel: int | None) -> None:
    """Remove the containers of services that the file hasn't, and one-offs that have ended; change nothing else."""
    request = ApplyRequest(
        project=loaded.runnable,
        services=(),
        remove_orphans=True,
        start=False,
        parallel=parallel,
        dry_run=dry_run,
    )
    with reach(context, request.project.name, keeper=not dry_run) as connection:
        call(connection, request, context.sink)


def scale(context: Context, loaded: Loaded, options: ScaleOptions) -> None:
    """Change the number of replicas of services; what has changed of them and of what they need is recreated."""
    from pycompose.client.options import UpOptions  # noqa: PLC0415 - an import cycle of types only

    up_options = UpOptions(
        services=tuple(name for name, _ in options.scale),
        scale=options.scale,
        no_deps=options.no_deps,
        dry_run=options.dry_run,
        parallel=options.parallel,
    )
    _apply(context, loaded.runnable, up_options)


def _apply(context: Context, project: Project, options: CreateOptions) -> None:
    from pycompose.client.options import UpOptions  # noqa: PLC0415 - an import cycle of types only

    project = scaled(enabled(project, options.services), options.scale)
    if not project.services:
        raise PycomposeError("no service selected", hint="the compose file has no enabled service")
    chosen = select(project.services, options.services, dependencies=not options.no_deps)
    restore_all(context.paths)
    request = ApplyRequest(
        project=project,
        services=tuple(chosen),
        named=options.services,
        recreate=_recreate(options),
        recreate_dependencies=_recreate_dependencies(options),
        renew_volumes=options.renew_anon_volumes,
        remove_orphans=options.remove_orphans,
        ignore_orphans=options.ignore_orphans,
        open_firewall=options.open_firewall,
        all_resources=options.all_resources,
        start=False,
        timeout_s=options.timeout_s,
        parallel=options.parallel,
        dry_run=options.dry_run,
    )
    if isinstance(options, UpOptions):
        request = replace(
            request,
            start=not options.no_start,
            wait=options.wait,
            wait_timeout_s=options.wait_timeout_s,
            hook_output=options.hook_output,
        )
    if project.volumes:
        from pycompose.client.changed_volumes import expendable_volumes  # noqa: PLC0415 - for projects that have volumes

        expendable = expendable_volumes(context, project, chosen, yes=options.yes)
        request = replace(request, expendable_volumes=tuple(expendable))
    _send_apply(context, request, options)


def _send_apply(context: Context, request: ApplyRequest, options: CreateOptions) -> None:
    project = request.project
    forces = Recreate.FORCE in (request.recreate, request.recreate_dependencies)
    before = claims(context.paths, project.name) if forces else []
    first = True

    # First the connection: a new supervisor gets going with its project while we look for the images.
    def work() -> None:
        nonlocal first, request
        if forces and not first:
            request = replace(request, forced=tuple(before))
        first = False
        with reach(context, project.name, keeper=not options.dry_run) as connection:
            if not request.images:
                from pycompose.client.ready_images import ready_images  # noqa: PLC0415 - while the supervisor starts

                images = ready_images(context, project, list(request.services), options)
                request = replace(request, images=images)
            call(connection, request, context.sink)

    persistently(request, work, context.sink)


def _recreate(options: CreateOptions) -> Recreate:
    if options.force_recreate or options.renew_anon_volumes:  # new volumes need new containers
        return Recreate.FORCE
    return Recreate.NEVER if options.no_recreate else Recreate.DIVERGED


def _recreate_dependencies(options: CreateOptions) -> Recreate:
    if options.no_recreate:
        return Recreate.NEVER
    if options.always_recreate_deps or (options.force_recreate and not options.services):
        return Recreate.FORCE
    return Recreate.DIVERGED


# ---------------------------------------------------------------------- taking down


def down(context: Context, project_name: str, loaded: Loaded | None, options: DownOptions) -> None:
    """Stop and remove containers and networks, with `volumes` the data too; a project that isn't there is no error."""
    check_known(loaded, options.services)
    request = DownRequest(
        project=loaded.project if loaded else None,
        services=options.services,
        remove_orphans=options.remove_orphans,
        timeout_s=options.timeout_s,
        volumes=options.volumes,
        parallel=options.parallel,
        dry_run=options.dry_run,
    )
    result = persistently(request, lambda: _take_down(context, project_name, request), context.sink)
    untagged = False
    if options.rmi and loaded:
        from pycompose.client.images import remove_images  # noqa: PLC0415 - rarely

        project = enabled(loaded.project, options.services)
        services = options.services or tuple(project.services)
        untagged = remove_images(
            context, project, services, dry_run=options.dry_run, built_here=options.rmi == "local"
        )
    if result.nothing and not untagged and not options.dry_run:
        text = f"No resource found to remove for project {project_name!r}"
        context.sink(Event(subject="", text=text, phase=Phase.WARNING))


def _take_down(context: Context, project_name: str, request: DownRequest) -> DownResult:
    with reach(context, project_name) as connection:
        result, _ = connection.call(request, context.sink)
        if result.ends:
            # It removes its own state as its last act; afterwards really nothing is left.
            connection.socket.settimeout(DOWN_WAIT_S)
            with contextlib.suppress(NotRunning, TimeoutError):
                connection.receive()
    return result


def stop(context: Context, project_name: str, loaded: Loaded | None, options: StopOptions) -> None:
    """Stop running containers, dependants first."""
    request = StopRequest(timeout_s=options.timeout_s, hook_output=options.hook_output)
    _ask(context, project_name, loaded, request, options)


def start(context: Context, project_name: str, loaded: Loaded | None, options: StartOptions) -> None:
    """Start existing containers, dependencies first; raises NoSuchContainer for a service that has none."""
    check_known(loaded, options.services)
    wanted = options.services or (tuple(loaded.project.services) if loaded else ())
    there = {
        container.service
        for container in observe_containers(context.paths, project_name)[0]
        if not container.oneoff
    }
    idle = {s.name for s in loaded.project.services.values() if not s.replicas} if loaded else set()
    for name in wanted:
        if name not in there | idle:
            raise NoSuchContainer(
                f'service "{name}" has no container to start', hint="make one with `pycompose create` or `up`"
            )
    request = StartRequest(
        project=_with_files(loaded), wait=options.wait, wait_timeout_s=options.wait_timeout_s
    )
    if there.intersection(wanted) or not loaded:
        _ask(context, project_name, loaded, request, options)


def restart(context: Context, project_name: str, loaded: Loaded | None, options: RestartOptions) -> None:
    """Stop and start containers; changes of the compose file are not picked up."""
    request = RestartRequest(timeout_s=options.timeout_s, no_deps=options.no_deps)
    _ask(context, project_name, loaded, request, options)


def _with_files(loaded: Loaded | None) -> Project | None:
    """Return the project if it has secrets or configs, which are made anew at a start."""
    project = loaded.project if loaded else None
    return project if project and any(s.secrets or s.configs for s in project.services.values()) else None


def kill(context: Context, project_name: str, loaded: Loaded | None, options: KillOptions) -> bool:
    """Send a signal to running containers, those that `run` has made included; return whether there are any."""
    check_known(loaded, options.services)
    known = None if options.remove_orphans else loaded
    return not _ask(context, project_name, known, KillRequest(signal=options.signal), options).nothing


def rm(context: Context, project_name: str, loaded: Loaded | None, options: RmOptions) -> bool:
    """Remove stopped containers; return whether there are any."""
    request = RemoveRequest(stop=options.stop, volumes=options.volumes)
    return not _ask(context, project_name, loaded, request, options).nothing


def pause(context: Context, project_name: str, loaded: Loaded | None, options: PauseOptions) -> None:
    """Freeze running containers."""
    _ask(context, project_name, loaded, PauseRequest(pause=True), options)


def unpause(context: Context, project_name: str, loaded: Loaded | None, options: PauseOptions) -> None:
    """Let paused containers go on."""
    _ask(context, project_name, loaded, PauseRequest(pause=False), options)


def _ask(
    context: Context,
    project_name: str,
    loaded: Loaded | None,
    request: PlanRequest[ChangeResult],
    options: ServicesOptions,
) -> ChangeResult:
    """Perform an operation on existing containers; without any there is nothing to do.

    It is about the named services, else about those that the compose file has and no profile switches off: what is
    left of an earlier file, or was started under a profile, isn't touched. Without a file it is about all.
    """
    services = in_scope(loaded, options.services)
    if not claims(context.paths, project_name) or (loaded and not services):
        return ChangeResult(nothing=True)
    restore_all(context.paths)
    whole = replace(request, services=tuple(services), dry_run=options.dry_run, parallel=options.parallel)

    def work() -> ChangeResult:
        nonlocal whole
        request = whole
        if isinstance(whole, PauseRequest):
            whole = replace(whole, again=True)
        with connect_or_start(context.paths, project_name) as connection:
            return call(connection, request, context.sink)

    return persistently(whole, work, context.sink)
