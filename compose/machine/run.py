"""What `pycompose container run` and `create` do: a container outside any compose file."""

from __future__ import annotations

import contextlib
import io
import os
from typing import IO, TYPE_CHECKING

from pycompose.client.sessions import start_oneoff
from pycompose.client.supervisor import prepare
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.events import Event, Phase
from pycompose.ipc.requests import RunRequest
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import ContainerRunOptions
    from pycompose.client.sessions import Session


def run(context: Context, options: ContainerRunOptions) -> Session:
    """Make, and unless told otherwise start, a container outside any compose file; raises PycomposeError.

    Its warnings go to the sink. Without a start, or detached, the session only has the container's id.
    """
    prepare(context, STANDALONE)
    return make(context, options)


def make(context: Context, options: ContainerRunOptions) -> Session:
    """Do as `run`, with no supervisor started ahead: for who runs on, and may find out that the image is missing."""
    # While the supervisor starts.
    from pycompose.client.ready_images import ready_images  # noqa: PLC0415
    from pycompose.machine import run_project  # noqa: PLC0415

    if given := options.keys.get("external_links"):
        options = replace(options, keys={**options.keys, "external_links": _linked(context, given)})
    project, loaded = run_project.project_of(
        options, context.environment, lambda name: _network(context, name)
    )
    (service,) = project.services.values()
    for text in run_project.ineffective_flags(service, loaded):
        context.sink(Event(subject="", text=text, phase=Phase.WARNING))
    with _naming_container(service.name):
        images = ready_images(context, project, [service.name], options)
    if options.publish_all:
        service = run_project.publish_exposed(service, images[service.name])
        project = replace(project, services={service.name: service})
    request = RunRequest(
        project=project,
        images=images,
        service=service.name,
        name=service.name,
        remove=options.remove,
        start=options.start,
        detach=options.detach or not options.start,
        rows=options.rows,
        columns=options.columns,
    )
    with _id_file(options.cidfile) as file, _naming_container(service.name):
        session = start_oneoff(context, request, outputs=options.outputs, stdin=service.stdin_open)
        file.write(session.container)
    return session


def _network(context: Context, text: str) -> str:
    """Return the name of a network of this name or id prefix; raises NetworkError."""
    from pycompose.machine import networks  # noqa: PLC0415 - for those who name one

    return networks.find(context, text).name


def _linked(context: Context, links: Iterable[str]) -> list[str]:
    """Return the links, NAME:ALIAS, of those that are written: the first of an alias counts (moby registerLinks).

    Raises PycomposeError for what is none, and for a link to nobody.
    """
    from pycompose.machine import containers  # noqa: PLC0415 - for those who link

    found: dict[str, str] = {}
    for link in links:
        name, colon, alias = link.partition(":")
        if not link:
            raise PycomposeError("empty string specified for links", hint="--link CONTAINER[:ALIAS]")
        if ":" in alias:
            raise PycomposeError(f"bad format for links: {link}", hint="--link CONTAINER[:ALIAS]")
        try:
            other = containers.find(context, name)
        except NoSuchContainer as exc:
            raise PycomposeError(
                f"--link {link}: could not get container for {name}: No such container: {name}"
            ) from exc
        if other.config.namespaces.network == "host":
            raise PycomposeError(
                f"--link {link}: conflicting options: host type networking can't be used with links",
                hint=f"container {other.name} has the machine's network: host-gateway in --add-host leads there",
            )
        if alias or not colon:
            found.setdefault(alias or name, other.name)
    return [f"{name}:{alias}" for alias, name in found.items()]


@contextlib.contextmanager
def _naming_container(name: str) -> Iterator[None]:
    """Say "container" in errors about the service that stands for it."""
    try:
        yield
    except PycomposeError as exc:
        exc.message = exc.message.replace(f"service {name}: ", f"container {name}: ")
        if "no command: " in exc.message:
            exc.message = exc.message.replace("neither the service nor image", "image")
            exc.message = exc.message.replace(" has one", " has none, and none is given")
            exc.hint = "name one behind the image"
        raise


@contextlib.contextmanager
def _id_file(path: str) -> Iterator[IO[str]]:
    """Open the new file of `--cidfile`, which an error takes away again; nothing for "". Raises PycomposeError."""
    if not path:
        yield io.StringIO()
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise PycomposeError(f"--cidfile {path}: cannot create: {exc.strerror}") from exc
    with open(fd, "w", encoding="ascii") as file:
        try:
            yield file
        except BaseException:
            os.unlink(path)
            raise
