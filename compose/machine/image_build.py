"""`image build`: flags of docker → a request; contexts from a folder, a tar or standard input; outputs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pycompose.build import requests
from pycompose.build.services import StepLog
from pycompose.build.session import BuildSession
from pycompose.client.build import arguments, fetcher
from pycompose.engine.builder.output import check_output, write_output
from pycompose.engine.builder.request import BuildRequest, Secret
from pycompose.engine.config import Rlimit
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError, BuildError, PycomposeError
from pycompose.engine.filesystem.transfer import Extractor
from pycompose.engine.images.layers.compress import Budget, detect, pieces
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.engine.images.spec import Image

WHAT = "image build"
STDIN = "-"
_TAR_AT = slice(257, 262)
_HEAD_BYTES = 512


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
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    quiet: bool = False
    output: str = ""
    allow: tuple[str, ...] = ()


def build_image(context: Context, options: ImageBuildOptions) -> Image:
    """Build one image and give it its names, or write it where `output` says.

    Raises DockerfileError, StepFailed, BuildError, ImageError, PycomposeError for flags that can't be meant.
    """
    wanted = check_output(options.output)
    subject = f"Image {options.tags[0] if options.tags else 'without a name'}"
    with _source(options) as (folder, text, name):
        request = _request(context, options, folder, text, name)
        log = StepLog(context.sink, several=False, quiet=options.quiet)
        with BuildSession(context.paths, fetcher(context, quiet=options.quiet)) as session:
            context.sink(Event(subject=subject, text="Building", phase=Phase.WORKING))
            try:
                image = session.build(request, options.tags, log.of("", subject))
            except BaseException as exc:
                details = str(exc) if isinstance(exc, PycomposeError) else ""
                context.sink(Event(subject=subject, text="Error", phase=Phase.ERROR, details=details))
                raise
            write_output(context.paths, session.store, image, wanted)
            context.sink(Event(subject=subject, text="Built", phase=Phase.DONE))
    return image


def _request(
    context: Context, options: ImageBuildOptions, folder: Path | None, text: str, name: str
) -> BuildRequest:
    allowed = set(options.allow) - {"security.insecure", "network.host"}
    if allowed:
        raise BuildError(
            f"--allow {min(allowed)}: unknown entitlement", hint="security.insecure, network.host"
        )
    no_cache = () if options.no_cache else options.no_cache_filter or None
    given = arguments(options.build_args, context)
    return BuildRequest(
        dockerfile=text,
        dockerfile_name=name,
        context=folder,
        ignore_text=requests.ignore_text(folder, name) if folder else "",
        target=options.target,
        arguments=given,
        labels=dict(_pair(item, "--label") for item in options.labels),
        contexts=requests.contexts(dict(_pair(item, "--build-context") for item in options.contexts), WHAT),
        secrets={item.id: item for item in map(secret, options.secrets)},
        ssh=requests.agents(options.ssh, context.environment, WHAT),
        platform=requests.platform((), options.platform, WHAT),
        network=requests.network(options.network, WHAT),
        extra_hosts=tuple(_host(item) for item in options.hosts),
        shm_bytes=options.shm_bytes or BuildRequest(dockerfile="").shm_bytes,
        memory_bytes=options.memory_bytes,
        rlimits=tuple(map(_ulimit, options.ulimits)),
        no_cache=no_cache,
        pull=options.pull,
        allow_insecure="security.insecure" in options.allow,
        allow_host_network="network.host" in options.allow,
        source_date_epoch=requests.epoch(given, context.environment),
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


def _ulimit(text: str) -> Rlimit:
    name, _, value = text.partition("=")
    soft, colon, hard = value.partition(":")
    try:
        return Rlimit(name=name, soft=int(soft), hard=int(hard) if colon else int(soft))
    except ValueError:
        raise BuildError(f"--ulimit {text}: is not of the form name=soft:hard") from None


# ---------------------------------------------------------------------- contexts


@contextlib.contextmanager
def _source(options: ImageBuildOptions) -> Iterator[tuple[Path | None, str, str]]:
    """Yield the context's folder (None without one), the Dockerfile's text and its name."""
    if options.path == STDIN:
        if options.dockerfile == STDIN:
            raise BuildError("invalid argument: can't use stdin for both build context and dockerfile")
        with _from_stdin(options) as found:
            yield found
        return
    folder = requests.local_context(options.path, WHAT).resolve()
    if options.dockerfile == STDIN:
        yield folder, sys.stdin.buffer.read().decode("utf-8", "surrogateescape"), "Dockerfile"
        return
    path = Path(options.dockerfile) if options.dockerfile else folder / "Dockerfile"
    yield folder, requests.read_dockerfile(path, WHAT), os.path.relpath(path)


@contextlib.contextmanager
def _from_stdin(options: ImageBuildOptions) -> Iterator[tuple[Path | None, str, str]]:
    """Yield what standard input holds: a Dockerfile, or a tar (compressed or not) of a context."""
    stream = sys.stdin.buffer
    head = stream.read(_HEAD_BYTES)
    compression = detect(head)
    if not compression and head[_TAR_AT] != b"ustar":
        text = (head + stream.read()).decode("utf-8", "surrogateescape")
        if not text.strip():
            raise BuildError("standard input is empty: it holds neither a Dockerfile nor a tar")
        yield None, text, "Dockerfile"
        return
    with tempfile.TemporaryDirectory(prefix="pycompose-context-") as place:
        _extract(head, stream, compression, place)
        folder = Path(place)
        name = options.dockerfile or "Dockerfile"
        yield folder, requests.read_dockerfile(folder / name, WHAT), name


def _extract(head: bytes, stream: BinaryIO, compression: str, place: str) -> None:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Extractor(fd).tar(TarReader(pieces(_Joined(head, stream), compression, Budget())))
    except ArchiveError as exc:
        raise BuildError(f"the context on standard input: {exc.message}", hint=exc.hint) from exc
    finally:
        os.close(fd)


class _Joined:
    """What was read already, then the rest of a stream."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        if self._head:
            data, self._head = self._head, b""
            return data
        return self._stream.read(size)


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
