"""`image build`: flags of docker → a request; contexts from a folder, a tar or standard input; outputs."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.build import requests
from pycompose.build.checks import CheckReport, check_requests
from pycompose.build.contexts import Contexts
from pycompose.build.session import BuildSession
from pycompose.build.steplog import StepLog
from pycompose.client.build import arguments, fetcher
from pycompose.engine.builder.annotations import parse_annotations
from pycompose.engine.builder.bases import base_of
from pycompose.engine.builder.contexts import OpenedContext, read_context
from pycompose.engine.builder.output import check_output, write_output
from pycompose.engine.builder.remotes import is_url
from pycompose.engine.builder.request import BuildRequest, Secret
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import BuildError, PycomposeError
from pycompose.engine.images.store import ImageStore
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.build.steplog import StepRow
    from pycompose.client.context import Context
    from pycompose.engine.builder.outline import Outline, Target
    from pycompose.engine.builder.request import OnEvent
    from pycompose.engine.images.layers.compress import Readable
    from pycompose.engine.images.spec import Image

WHAT = "image build"
STDIN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBuildOptions:
    """The flags of `image build`, as they were given."""

    path: str
    dockerfile: str | None = None
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    platform: str = ""
    network: str = "default"
    hosts: tuple[str, ...] = ()
    shm_bytes: int | None = None
    ulimits: tuple[str, ...] = ()
    memory_bytes: int | None = None
    cgroup_parent: str = ""
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    quiet: bool = False
    push: bool = False
    output: str = ""
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    # What is read for the path or the Dockerfile "-", None for standard input.
    stdin: Readable | None = None


class UploadedBuild:
    """A build for somebody who sends the context as a stream; may be cancelled by another thread."""

    def __init__(self) -> None:
        self._session: BuildSession | None = None
        self._canceled = False

    def build(
        self, context: Context, options: ImageBuildOptions, begin: Callable[[], None], on_event: OnEvent
    ) -> Image:
        """Build an image and give it its names; `begin` is called when the context has been read.

        Raises DockerfileError, StepFailed, BuildError, ImageError.
        """
        with (
            Contexts(context.paths, context.environment) as contexts,
            BuildSession(context.paths, fetcher(context, quiet=True), contexts.fetcher) as self._session,
        ):
            request = _request(context, options, contexts)
            begin()
            if self._canceled:
                self._session.cancel()
            return self._session.build(request, options.tags, on_event).image

    def cancel(self) -> None:
        """Kill all steps."""
        self._canceled = True
        if self._session is not None:
            self._session.cancel()


def build_image(context: Context, options: ImageBuildOptions, rows: list[StepRow]) -> Image:
    """Build one image and give it its names, or write it where `output` says; the steps are added to `rows`.

    Raises DockerfileError, StepFailed, BuildError, ImageError, PycomposeError for flags that can't be meant.
    """
    wanted = check_output(options.output)
    pushes = options.push or wanted.pushes
    names = (*options.tags, *([wanted.name] if wanted.name else ()))
    if pushes and not names:
        raise BuildError("tag is needed when pushing to registry", hint="add -t NAME")
    annotations = parse_annotations(options.annotations, wanted.annotations)
    subject = f"Image {names[0] if names else 'without a name'}"
    if options.annotations and not wanted.is_annotated:
        warning = f"--annotation has no effect with type={wanted.kind}: no manifest is written"
        context.sink(Event(subject=subject, text="Warning", phase=Phase.WARNING, details=warning))
    with (
        Contexts(context.paths, context.environment) as contexts,
        BuildSession(
            context.paths, fetcher(context, quiet=options.quiet), contexts.fetcher, context.on_failure
        ) as session,
    ):
        request = replace(_request(context, options, contexts), annotations=annotations.manifest)
        if wanted.rewrites_timestamps and request.source_date_epoch is None:
            warning = "rewrite-timestamp has no effect without SOURCE_DATE_EPOCH"
            context.sink(Event(subject=subject, text="Warning", phase=Phase.WARNING, details=warning))
        log = StepLog(context.sink, rows, several=False, quiet=options.quiet)
        context.sink(Event(subject=subject, text="Building", phase=Phase.WORKING))
        try:
            image = session.build(request, names, log.of("", subject)).image
        except BaseException as exc:
            details = str(exc) if isinstance(exc, PycomposeError) else ""
            context.sink(Event(subject=subject, text="Error", phase=Phase.ERROR, details=details))
            raise
        finally:
            log.finish()
        write_output(context.paths, session.store, image, wanted, annotations.descriptor)
        context.sink(Event(subject=subject, text="Built", phase=Phase.DONE))
    if pushes:
        from pycompose.machine.images import push  # noqa: PLC0415 - few do

        for name in names:
            push(context, name, quiet=options.quiet)
    return image


def check_image(context: Context, options: ImageBuildOptions) -> CheckReport:
    """Look through the Dockerfile, build nothing. Raises DockerfileError, BuildError."""
    with Contexts(context.paths, context.environment) as contexts:
        return check_requests(context.paths, {"": _request(context, options, contexts)})


def outline_image(context: Context, options: ImageBuildOptions) -> Outline:
    """Return what the build would take. Raises DockerfileError, BuildError."""
    from pycompose.engine.builder.outline import outline  # noqa: PLC0415 - few ask

    store = ImageStore(context.paths)
    with Contexts(context.paths, context.environment) as contexts:
        request = _request(context, options, contexts)
        return outline(request, lambda image, platform: base_of(store, image, platform=platform).image)


def targets_image(context: Context, options: ImageBuildOptions) -> tuple[BuildRequest, tuple[Target, ...]]:
    """Return the request, and what of its Dockerfile can be built. Raises DockerfileError, BuildError."""
    from pycompose.engine.builder.outline import targets  # noqa: PLC0415 - few ask

    with Contexts(context.paths, context.environment) as contexts:
        request = _request(context, options, contexts)
        return request, targets(request)


def _request(context: Context, options: ImageBuildOptions, contexts: Contexts) -> BuildRequest:
    allowed = set(options.allow) - {"security.insecure", "network.host"}
    if allowed:
        raise BuildError(
            f"--allow {min(allowed)}: unknown entitlement", hint="security.insecure, network.host"
        )
    no_cache = () if options.no_cache else options.no_cache_filter or None
    given = arguments(options.build_args, context)
    latest_s = requests.epoch(given, context.environment)
    secrets = {item.id: item for item in map(secret, options.secrets)}
    ssh = requests.agents(options.ssh, context.environment, WHAT, contexts)
    opened, text, name = _source(options, contexts, secrets, ssh, keep=requests.keeps_git_dir(given))
    places = {"cache_from": options.cache_from, "cache_to": options.cache_to}
    further = dict(_pair(item, "--build-context") for item in options.contexts)
    return BuildRequest(
        dockerfile=text,
        dockerfile_name=name,
        context=opened.folder,
        context_name=opened.name,
        ignore_text=requests.ignored(opened, name),
        target=options.target,
        arguments=requests.with_epoch(given, latest_s),
        labels=dict(_pair(item, "--label") for item in options.labels),
        contexts=requests.contexts(further, WHAT, contexts, secrets, ssh),
        secrets=secrets,
        ssh=ssh,
        platform=requests.platform((), options.platform, WHAT),
        network=requests.network(options.network, WHAT),
        extra_hosts=tuple(_host(item) for item in options.hosts),
        shm_bytes=options.shm_bytes or BuildRequest(dockerfile="").shm_bytes,
        memory_bytes=options.memory_bytes,
        cgroup_parent=options.cgroup_parent,
        rlimits=tuple(requests.rlimits(dict(map(_ulimit, options.ulimits)), WHAT)),
        no_cache=no_cache,
        pull=options.pull,
        allow_insecure="security.insecure" in options.allow,
        allow_host_network="network.host" in options.allow,
        source_date_epoch=latest_s,
        rewrites_timestamps=check_output(options.output).rewrites_timestamps is not False,
        **requests.caches(places, given, Path.cwd(), WHAT),
    )


def secret(text: str) -> Secret:
    """Return what `--secret id=ID[,src=FILE|,env=NAME]` names. Raises BuildError."""
    try:
        (fields,) = csv.reader(io.StringIO(text), strict=True)
        values = dict(item.split("=", 1) for item in fields)
    except (csv.Error, ValueError) as exc:
        raise BuildError(f"--secret {text}: is not of the form id=ID,src=FILE") from exc
    unknown = set(values) - {"id", "src", "source", "env", "type"}
    if unknown:
        raise BuildError(f"--secret {text}: unknown key {min(unknown)!r}")
    source = values.get("src") or values.get("source") or ""
    name = values.get("id") or os.path.basename(source)
    if not name:
        raise BuildError(f"--secret {text}: an id is missing")
    variable = values.get("env") or ("" if source else name)
    if variable and variable in os.environ and (values.get("type") == "env" or not source):
        return Secret(id=name, value=os.environb[os.fsencode(variable)])
    if values.get("env"):
        raise BuildError(f"--secret {text}: environment variable {variable} is not set")
    return Secret(id=name, path=source or name)


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or (not equals and flag != "--label"):
        raise BuildError(f"{flag} {text}: is not of the form name=value")
    return name, value


def _host(text: str) -> str:
    name, mark, address = text.partition("=" if "=" in text else ":")
    if not mark or not address:
        raise BuildError(f"--add-host {text}: is not of the form name:address")
    return f"{name}={address}"


def _ulimit(text: str) -> tuple[str, dict[str, int]]:
    name, _, value = text.partition("=")
    soft, colon, hard = value.partition(":")
    try:
        return name, {"soft": int(soft), "hard": int(hard) if colon else int(soft)}
    except ValueError:
        raise BuildError(f"--ulimit {text}: is not of the form name=soft:hard") from None


# ---------------------------------------------------------------------- contexts


def _source(
    options: ImageBuildOptions,
    contexts: Contexts,
    secrets: Mapping[str, Secret],
    ssh: Mapping[str, str],
    *,
    keep: bool,
) -> tuple[OpenedContext, str, str]:
    """Return the context, the Dockerfile's text and its name. Raises BuildError."""
    given = options.dockerfile
    if options.path == STDIN:
        if given == STDIN:
            raise BuildError("invalid argument: can't use stdin for both build context and dockerfile")
        opened = _from_stdin(options.stdin or sys.stdin.buffer, contexts.folder())
    else:
        opened = contexts.open(options.path, WHAT, secrets, ssh, keep_git_dir=keep)
    if given == STDIN:
        return opened, sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), "Dockerfile"
    if given is not None and is_url(given):
        found = contexts.fetcher.file(given)
        return opened, requests.read_dockerfile(found.folder / found.name, WHAT), found.name
    if opened.folder is None:
        return opened, opened.dockerfile, "Dockerfile"
    if opened.name:
        name = given or "Dockerfile"
        return opened, requests.read_dockerfile(Path(name), WHAT, opened), name
    folder = opened.folder.resolve()
    path = Path(given) if given else folder / "Dockerfile"
    return OpenedContext(folder=folder), requests.read_dockerfile(path, WHAT), os.path.relpath(path)


def _from_stdin(file: Readable, place: Path) -> OpenedContext:
    """Return what standard input holds: a Dockerfile, or a tar (compressed or not) of a context."""
    text = read_context(file, place, "the context on standard input")
    if text is None:
        return OpenedContext(folder=place, name=STDIN)
    if not text.strip():
        raise BuildError("standard input is empty: it holds neither a Dockerfile nor a tar")
    return OpenedContext(folder=None, dockerfile=text, name=STDIN)


# ---------------------------------------------------------------------- results


def write_text(path: str, text: str) -> None:
    """Write a small file. Raises BuildError."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise BuildError(f"{path}: cannot write: {exc.strerror}") from exc


def write_metadata(path: str, image: Image, tags: Sequence[str]) -> None:
    """Write what buildx writes for `--metadata-file`. Raises BuildError."""
    value = {"containerimage.config.digest": image.id, "containerimage.digest": image.id}
    if tags:
        value["image.name"] = ",".join(tags)
    write_text(path, json.dumps(value, indent=2) + "\n")
