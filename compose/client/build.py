"""`build`: the images of services, from their Dockerfiles."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from pycompose.build.checks import CheckReport, check_requests
from pycompose.build.contexts import Contexts
from pycompose.build.requests import BuildFlags, service_request
from pycompose.build.services import build_services, buildable, needed
from pycompose.client.images import chosen_services, fetch_image, image_reference
from pycompose.engine.errors import NoSuchImage, PycomposeError
from pycompose.engine.images.store import ImageStore
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.build.session import Fetch
    from pycompose.build.steplog import StepRow
    from pycompose.client.context import Context
    from pycompose.client.options import BuildOptions
    from pycompose.engine.images.spec import Image
    from pycompose.model import Project


def build(
    context: Context, project: Project, options: BuildOptions, rows: list[StepRow] | None = None
) -> None:
    """Build the images of services (all that have a `build:`); their steps are added to `rows`.

    Raises UnknownService, DockerfileError, StepFailed, BuildError, ImageError.
    """
    project, services = chosen_services(project, options.services, dependencies=options.with_dependencies)
    wanted = buildable(project, services)
    if not wanted:
        context.sink(Event(subject="", text="No services to build", phase=Phase.WARNING))
        return
    flags = BuildFlags(
        arguments=arguments(options.build_args, context),
        no_cache=options.no_cache,
        pull=options.pull,
        ssh=options.ssh,
        memory_bytes=options.memory_bytes,
        quiet=options.quiet,
        parallel=options.parallel,
    )
    if options.dry_run:
        for name in wanted:
            subject = f"Image {image_reference(project, project.services[name])}"
            context.sink(Event(subject=subject, text="Building", phase=Phase.WORKING))
            context.sink(Event(subject=subject, text="Built", phase=Phase.DONE))
        return
    _build(context, project, wanted, flags, rows)


def check_services(context: Context, project: Project, options: BuildOptions) -> CheckReport:
    """Look through the Dockerfiles of services, build nothing. Raises UnknownService, DockerfileError, BuildError."""
    project, services = chosen_services(project, options.services, dependencies=options.with_dependencies)
    flags = BuildFlags(arguments=arguments(options.build_args, context))
    with Contexts(context.paths, context.environment) as contexts:
        requests = {
            name: service_request(project, project.services[name], flags, context.environment, contexts)
            for name in buildable(project, services)
        }
        return check_requests(context.paths, requests)


def print_bake(context: Context, project: Project, options: BuildOptions) -> str:
    """Return what bake would be told (`build --print`) as JSON, "" without services to build.

    Raises UnknownService, BuildError.
    """
    from pycompose.build.bake import BakeFlags, bake  # noqa: PLC0415 - seldom

    project, services = chosen_services(project, options.services, dependencies=options.with_dependencies)
    wanted = needed(project, buildable(project, services))
    flags = BakeFlags(
        arguments=arguments(options.build_args, context),
        ssh=options.ssh,
        no_cache=options.no_cache,
        pull=options.pull,
        push=options.push,
        check=options.check,
    )
    return json.dumps(bake(project, wanted, flags), indent=2, ensure_ascii=False) + "\n" if wanted else ""


def build_images(
    context: Context,
    project: Project,
    services: Sequence[str],
    *,
    quiet: bool,
    parallel: int | None = None,
) -> dict[str, Image]:
    """Build images on the way to something else (`up`, `run`, `create`), return them by service."""
    return _build(context, project, services, BuildFlags(quiet=quiet, parallel=parallel))


def _build(
    context: Context,
    project: Project,
    services: Sequence[str],
    flags: BuildFlags,
    rows: list[StepRow] | None = None,
) -> dict[str, Image]:
    return build_services(
        context.paths,
        project,
        services,
        flags,
        environment=context.environment,
        sink=context.sink,
        fetch=fetcher(context, quiet=flags.quiet),
        quiet=flags.quiet,
        rows=rows,
        on_failure=context.on_failure,
    )


def fetcher(context: Context, *, quiet: bool) -> Fetch:
    """Return what gets base images: one that isn't there, or a newer one when that is asked for."""
    store = ImageStore(context.paths)
    lock = threading.Lock()

    def fetch(name: str, platform: str, newer: bool) -> None:  # noqa: FBT001 - session.Fetch
        with lock:
            if not newer:
                try:
                    store.resolve(name, platform=platform)
                except NoSuchImage:
                    pass
                else:
                    return
            fetch_image(context, name, platform, quiet=quiet)

    return fetch


def arguments(given: Sequence[str], context: Context) -> dict[str, str]:
    """Return `--build-arg` values; a lone name takes the environment's. Raises PycomposeError for an empty name."""
    found = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not name:
            raise PycomposeError(f"--build-arg {item!r}: a name is missing")
        if equals:
            found[name] = value
        elif name in context.environment:
            found[name] = context.environment[name]
    return found
