"""The use cases: what every command does, one function each, for the command line and for tests.

What changes something is sent to the project's supervisor, its only writer; what only looks reads the state files
(query.py, output.py, activity.py). Nothing here prints: events go to the sink of the context.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import plain
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import ExecError, NoSuchContainer, PycomposeError
from pycompose.errors import NotRunning, unknown_service
from pycompose.events import Event, Phase
from pycompose.ipc import spawn
from pycompose.ipc.client import Connection, Launch, connect_or_start
from pycompose.ipc.retry import persistently
from pycompose.policy.graph import select
from pycompose.state.snapshot import applied, claims, observe_containers, projects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pycompose.client.activity import events, stats, top, volumes, wait
    from pycompose.client.listings import images, ls, port, ps
    from pycompose.client.logs import follow, logs
    from pycompose.client.options import (
        CommitOptions,
        CpOptions,
        CreateOptions,
        DownOptions,
        ExportOptions,
        ImageOptions,
        KillOptions,
        PauseOptions,
        RestartOptions,
        RmOptions,
        ScaleOptions,
        StartOptions,
        StopOptions,
        UpOptions,
    )
    from pycompose.client.sessions import attach, exec_, launch, run, run_alone
    from pycompose.config.load import Loaded
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink
    from pycompose.model import Project

    Choice = StopOptions | StartOptions | RestartOptions | KillOptions | RmOptions | PauseOptions

__all__ = [
    "Context", "attach", "commit", "cp", "create", "down", "events", "exec_", "export", "follow", "images", "kill",
    "launch", "logs", "ls", "pause", "port", "prepare", "ps", "restart", "rm", "run", "run_alone", "scale", "start",
    "stats", "stop", "top", "unpause", "up", "volumes", "wait",
]  # fmt: skip

# Use cases with a module of their own, imported by the one command that asks for them.
_ELSEWHERE = {
    "pycompose.client.activity": ("events", "stats", "top", "volumes", "wait"),
    "pycompose.client.logs": ("follow", "logs"),
    "pycompose.client.listings": ("images", "ls", "port", "ps"),
    "pycompose.client.sessions": ("attach", "exec_", "launch", "run", "run_alone"),
}
DOWN_WAIT_S = 20.0


def __getattr__(name: str) -> Any:
    """Import a use case when it is asked for (PEP 562)."""
    for module, names in _ELSEWHERE.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _decline(_question: str) -> bool:
    """Answer for a caller who can't be asked."""
    return False


@dataclass(slots=True)
class Context:
    """Where state lies, where events go, the caller's environment, and how to ask whether data may be lost."""

    paths: StatePaths
    sink: Sink
    environment: Mapping[str, str] = field(default_factory=dict)
    confirm: Callable[[str], bool] = _decline


_prepared: list[Launch] = []


def prepare(context: Context, project_name: str | None = None) -> None:
    """Start a supervisor that will be given its project later, unless one seems to be there already.

    Its imports take longer than reading a compose file; this way both happen at the same time. Does nothing when the
    project (or, without a name, the project of the working directory) has a supervisor.
    """
    require_root()
    if spawn.waiting:
        _prepared.append(Launch(spawn.waiting.pop()))
        return
    here = os.getcwd()
    for name in projects(context.paths):
        if not context.paths.control_socket(name).exists():
            continue
        if name == project_name or (
            project_name is None and applied(context.paths, name).get("directory") == here
        ):
            return
    _prepared.append(Launch.now(context.paths))


def require_root() -> None:
    """Raise PycomposeError when we lack what starting containers takes."""
    if os.geteuid() != 0:
        raise PycomposeError(
            f"pycompose: needs root: namespaces, mounts and networks can't be made by user {os.geteuid()}",
            hint="run it with sudo",
        )


# ---------------------------------------------------------------------- building up


def up(context: Context, loaded: Loaded, options: UpOptions) -> None:
    """Create and start the services and what they need; raises what went wrong first."""
    _apply(
        context,
        loaded.project,
        options,
        {"start": not options.no_start, "wait": options.wait, "wait_timeout_s": options.wait_timeout_s},
    )


def create(context: Context, project_name: str, loaded: Loaded, options: CreateOptions) -> None:
    """Create containers without starting them."""
    del project_name
    _apply(context, loaded.project, options, {"start": False})


def scale(context: Context, project_name: str, loaded: Loaded, options: ScaleOptions) -> None:
    """Change the number of replicas of services; what has changed of them and of what they need is recreated."""
    from pycompose.client.options import UpOptions  # noqa: PLC0415 - an import cycle of types only

    del project_name
    up_options = UpOptions(
        services=tuple(name for name, _ in options.scale),
        scale=options.scale,
        no_deps=options.no_deps,
        dry_run=options.dry_run,
        parallel=options.parallel,
    )
    _apply(context, loaded.project, up_options, {"start": True})


def _apply(context: Context, project: Project, options: CreateOptions, extra: dict[str, Any]) -> None:
    require_root()
    project = scaled(enabled(project, options.services), options.scale)
    if not project.services:
        raise PycomposeError("no service selected", hint="the compose file has no enabled service")
    chosen = select(project.services, options.services, dependencies=not options.no_deps)
    restore_networks(context)
    message = {
        "op": "apply",
        "project": plain(project),
        "services": chosen,
        "named": list(options.services),
        "recreate": "force" if options.force_recreate else "never" if options.no_recreate else "diverged",
        "recreate_dependencies": _dependencies_policy(options),
        "renew_volumes": options.renew_anon_volumes,
        "remove_orphans": options.remove_orphans,
        "ignore_orphans": options.ignore_orphans,
        "timeout_s": options.timeout_s,
        "parallel": options.parallel,
        "dry_run": options.dry_run,
        **extra,
    }
    if project.volumes:
        from pycompose.client.changed_volumes import stale_volumes  # noqa: PLC0415 - for projects that have volumes

        message["stale_volumes"] = stale_volumes(context, project, chosen, yes=options.yes)

    forces = "force" in (message["recreate"], message["recreate_dependencies"])
    before = claims(context.paths, project.name) if forces else []
    first = True

    # First the connection: a new supervisor gets going with its project while we look for the images.
    def work() -> None:
        nonlocal first
        if forces and not first:
            message["forced"] = before
        first = False
        with reach(context, project.name, keeper=not options.dry_run) as connection:
            if "images" not in message:
                images = find_images(context, project, chosen, options)
                message["images"] = {key: plain(image) for key, image in images.items()}
            _called(connection, message, context.sink)

    persistently("apply", work, context.sink)


def restore_networks(context: Context) -> None:
    """Make again what `network create` had made before a reboot, if anything. Raises NetworkError."""
    if (context.paths.root / "networks").exists():
        from pycompose.machine import volumes as resources  # noqa: PLC0415 - rarely

        resources.restore_networks(context.paths, resources.kept_networks(context.paths))


def _called(connection: Connection, message: dict[str, Any], sink: Sink) -> dict[str, Any]:
    """Perform an operation whose failure is exit code 1 whatever it was; 126 and 127 are for `exec` and `run`."""
    try:
        return connection.call(message, sink)[0]
    except ExecError as exc:
        exc.exit_code = 1
        raise


def _dependencies_policy(options: CreateOptions) -> str:
    if options.no_recreate:
        return "never"
    if options.always_recreate_deps or (options.force_recreate and not options.services):
        return "force"
    return "diverged"


def enabled(project: Project, names: Iterable[str]) -> Project:
    """Return the project with the services of `names` that profiles switch off enabled; raises UnknownService."""
    services, disabled = dict(project.services), dict(project.disabled_services)
    for name in names:
        if name in disabled:
            services[name] = disabled.pop(name)
        elif name not in services:
            raise unknown_service(name, {**services, **disabled})
    return replace(project, services=services, disabled_services=disabled)


def scaled(project: Project, counts: Iterable[tuple[str, int]]) -> Project:
    """Return the project with other replica counts; raises UnknownService, PycomposeError."""
    services = dict(project.services)
    for name, count in counts:
        if name not in services:
            raise unknown_service(name, services)
        services[name] = replace(services[name], replicas=count)
    for service in services.values():
        if service.container_name and service.replicas > 1:
            raise PycomposeError(
                f"service {service.name}: cannot run {service.replicas} containers: container_name "
                f'"{service.container_name}" can only be given to one',
                hint="remove container_name",
            )
    return replace(project, services=services)


def find_images(
    context: Context, project: Project, services: Iterable[str], options: ImageOptions
) -> dict[str, Image]:
    """Return the image of each service, and of each image that is mounted under "image:REFERENCE"."""
    from pycompose.client.images import ensure_images  # noqa: PLC0415 - not for commands that look

    return ensure_images(context, project, list(services), options)


# ---------------------------------------------------------------------- taking down


def down(context: Context, project_name: str, loaded: Loaded | None, options: DownOptions) -> None:
    """Stop and remove containers and networks, with `volumes` the data too; a project that isn't there is no error."""
    require_root()
    check_known(loaded, options.services)
    message = {
        "op": "down",
        "project": plain(loaded.project) if loaded else None,
        "services": list(options.services),
        "remove_orphans": options.remove_orphans,
        "timeout_s": options.timeout_s,
        "volumes": options.volumes,
        "parallel": options.parallel,
        "dry_run": options.dry_run,
    }
    result = persistently("down", lambda: _take_down(context, project_name, message), context.sink)
    untagged = False
    # "local" are images that were built without a name: there is none here.
    if options.rmi == "all" and loaded:
        from pycompose.client.images import remove_images  # noqa: PLC0415 - rarely

        project = enabled(loaded.project, options.services)
        services = options.services or tuple(project.services)
        untagged = remove_images(context, project, services, dry_run=options.dry_run)
    if result.get("nothing") and not untagged and not options.dry_run:
        text = f"No resource found to remove for project {project_name!r}"
        context.sink(Event(subject="", text=text, phase=Phase.WARNING))


def _take_down(context: Context, project_name: str, message: dict[str, Any]) -> dict[str, Any]:
    with reach(context, project_name) as connection:
        result, _ = connection.call(message, context.sink)
        if result.get("ends"):
            # It removes its own state as its last act; afterwards really nothing is left.
            connection.socket.settimeout(DOWN_WAIT_S)
            with contextlib.suppress(NotRunning, TimeoutError):
                connection.receive()
    return result


def stop(context: Context, project_name: str, loaded: Loaded | None, options: StopOptions) -> None:
    """Stop running containers, dependants first."""
    _ask(context, project_name, loaded, {"op": "stop", "timeout_s": options.timeout_s}, options)


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
    message = {"op": "start", "wait": options.wait, "wait_timeout_s": options.wait_timeout_s}
    if there.intersection(wanted) or not loaded:
        _ask(context, project_name, loaded, message, options)


def restart(context: Context, project_name: str, loaded: Loaded | None, options: RestartOptions) -> None:
    """Stop and start containers; changes of the compose file are not picked up."""
    message = {"op": "restart", "timeout_s": options.timeout_s, "no_deps": options.no_deps}
    _ask(context, project_name, loaded, message, options)


def kill(context: Context, project_name: str, loaded: Loaded | None, options: KillOptions) -> None:
    """Send a signal to running containers, those that `run` has made included."""
    check_known(loaded, options.services)
    known = None if options.remove_orphans else loaded
    if _ask(context, project_name, known, {"op": "kill", "signal": options.signal}, options).get("nothing"):
        context.sink(Event(subject="", text="No container to kill", phase=Phase.WARNING))


def rm(context: Context, project_name: str, loaded: Loaded | None, options: RmOptions) -> None:
    """Remove stopped containers."""
    message = {"op": "rm", "stop": options.stop, "volumes": options.volumes}
    if _ask(context, project_name, loaded, message, options).get("nothing"):
        context.sink(Event(subject="", text="No stopped containers", phase=Phase.WARNING))


def pause(context: Context, project_name: str, loaded: Loaded | None, options: PauseOptions) -> None:
    """Freeze running containers."""
    _ask(context, project_name, loaded, {"op": "pause", "pause": True}, options)


def unpause(context: Context, project_name: str, loaded: Loaded | None, options: PauseOptions) -> None:
    """Let paused containers go on."""
    _ask(context, project_name, loaded, {"op": "pause", "pause": False}, options)


def cp(context: Context, project_name: str, options: CpOptions) -> None:
    """Copy between the host and the containers of a service (copying.py)."""
    from pycompose.client.copy import cp as copy  # noqa: PLC0415 - not for commands that look

    require_root()
    copy(context, project_name, options)


def export(context: Context, project_name: str, options: ExportOptions) -> None:
    """Write the file system of a container as a tar (snapshot.py)."""
    from pycompose.client.export import export as write  # noqa: PLC0415 - not for commands that look

    require_root()
    write(context, project_name, options)


def commit(context: Context, project_name: str, options: CommitOptions) -> str:
    """Make an image of a container, return its id (snapshot.py)."""
    from pycompose.client.export import commit as make  # noqa: PLC0415 - not for commands that look

    require_root()
    return make(context, project_name, options)


def check_known(loaded: Loaded | None, services: Iterable[str]) -> None:
    """Raise UnknownService for a name that the compose file, if there is one, doesn't have."""
    known = {**loaded.tree["services"], **loaded.disabled} if loaded else {}
    for name in services if loaded else ():
        if name not in known:
            raise unknown_service(name, known)


def in_scope(loaded: Loaded | None, services: Iterable[str]) -> list[str]:
    """Return the services that a command is about, nothing for all there are; raises UnknownService."""
    check_known(loaded, services)
    return list(services) or (list(loaded.project.services) if loaded else [])


# ---------------------------------------------------------------------- talking to the supervisor


def reach(context: Context, project_name: str, *, keeper: bool = False) -> Connection:
    """Return a connection to the project's supervisor, by the one that `prepare` has started if it needs one.

    With `keeper` a new supervisor starts its keeper at once, as it will need it.
    """
    launch = _prepared.pop() if _prepared else None
    return connect_or_start(context.paths, project_name, launch, keeper=keeper)


def _ask(
    context: Context, project_name: str, loaded: Loaded | None, message: dict[str, Any], options: Choice
) -> dict[str, Any]:
    """Perform an operation on existing containers; without any there is nothing to do.

    It is about the named services, else about those that the compose file has and no profile switches off: what is
    left of an earlier file, or was started under a profile, isn't touched. Without a file it is about all.
    """
    require_root()
    services = in_scope(loaded, options.services)
    if not claims(context.paths, project_name) or (loaded and not services):
        return {"nothing": True}
    restore_networks(context)
    shared = {"services": services, "dry_run": options.dry_run, "parallel": options.parallel}

    def work() -> dict[str, Any]:
        with connect_or_start(context.paths, project_name) as connection:
            return _called(connection, {**message, **shared}, context.sink)

    return persistently(message["op"], work, context.sink)
