"""/images/…: what there is of images, fetching, naming, packing and removing them."""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import JSON_TYPE, ApiAnswer, ApiCall, Outlet, answer, done, dumps
from pycompose.api.progress import told
from pycompose.api.registry import credentials, refusals, server_of
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import AuthError, ImageError, NoSuchImage
from pycompose.engine.images.reference import parse
from pycompose.engine.images.store import ImageStore
from pycompose.machine import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.client.context import Context
    from pycompose.events import Event

Json = dict[str, Any]
_NS = 1_000_000_000
_PIECE_BYTES = 1 << 16
# What waits for each client that reads slowly.
_OUTWARD_BYTES = 1 << 15


def rows(
    context: Context, filters: Iterable[str], *, everything: bool, until_ns: int | None = None
) -> list[Json]:
    """Return the images, each once with all its names; those of steps of builds aren't images here."""
    del everything
    found: dict[str, Json] = {}
    for row in images.rows(context, filters=filters, until_ns=until_ns):
        entry = found.setdefault(
            row.id,
            {
                "Containers": -1,
                "Created": row.created_ns // _NS,
                "Id": row.id,
                "Labels": row.labels or None,
                "ParentId": "",
                "RepoDigests": [],
                "RepoTags": [],
                "SharedSize": -1,
                "Size": row.size_bytes,
            },
        )
        if row.tag != images.NONE:
            entry["RepoTags"].append(f"{row.repository}:{row.tag}")
        if images.NONE not in (row.digest, row.repository):
            entry["RepoDigests"].append(f"{row.repository}@{row.digest}")
    return list(found.values())


def listing(call: ApiCall) -> ApiAnswer:
    """GET /images/json."""
    filters = [text for text in query.filters(call) if not text.startswith("until=")]
    if name := query.text(call, "filter"):  # of clients before API 1.41
        filters.append(f"reference={name}")
    until_ns = query.until(call) or None
    return answer(rows(call.context, filters, everything=query.flag(call, "all"), until_ns=until_ns))


def inspect(call: ApiCall) -> ApiAnswer:
    """GET /images/NAME/json."""
    return answer(images.inspect(call.context, [call.names[0]])[0])


def history(call: ApiCall) -> ApiAnswer:
    """GET /images/NAME/history."""
    name = call.names[0]
    (document,) = images.inspect(call.context, [name])
    return answer(
        [
            {
                "Comment": row.comment,
                "Created": row.created_ns // _NS,
                "CreatedBy": row.created_by,
                "Id": row.id or "<missing>",
                "Size": row.size_bytes,
                "Tags": (document["RepoTags"] or None) if row.id else None,
            }
            for row in images.history(call.context, name)
        ]
    )


def tag(call: ApiCall) -> ApiAnswer:
    """POST /images/NAME/tag."""
    target = query.text(call, "repo")
    if number := query.text(call, "tag"):
        target = f"{target}:{number}"
    images.tag(call.context, call.names[0], target)
    return done(201)


def remove(call: ApiCall) -> ApiAnswer:
    """DELETE /images/NAME."""
    return answer(_removed(images.remove(call.context, call.names[0], force=query.flag(call, "force"))))


def prune(call: ApiCall) -> ApiAnswer:
    """POST /images/prune: nameless ones, with dangling=false all that nothing uses."""
    found = query.sparing(call, "label", "until", "dangling")
    everything = not query.truth_filter(found, "dangling", default=True)
    labels, without = query.label_filters(found)
    until_ns = query.until(call)
    gone = images.prune(
        call.context,
        everything=everything,
        before_s=until_ns / 1e9 if until_ns else None,
        labels=labels,
        without=without,
    )
    return answer({"ImagesDeleted": _removed(gone) or None, "SpaceReclaimed": gone.freed_bytes})


def _removed(gone: images.ImageRemoval) -> list[Json]:
    return [*({"Untagged": name} for name in gone.untagged), *({"Deleted": name} for name in gone.deleted)]


# ---------------------------------------------------------------------- that take long


def create(call: ApiCall) -> ApiAnswer:
    """POST /images/create: pull `fromImage`, or import what comes (`fromSrc=-`)."""
    if query.text(call, "fromSrc"):
        return _import(call)
    name, number = query.text(call, "fromImage"), query.text(call, "tag")
    if not name:
        raise ApiError(400, "fromImage: no image is named")
    if number:
        name = f"{name}@{number}" if number.startswith("sha256:") else f"{name}:{number}"
    platform = query.text(call, "platform") or None

    def work(context: Context, say: Callable[[Json], None]) -> None:
        before, parsed = _id(context, name), parse(name)
        head = [{"status": f"Pulling from {parsed.path}", "id": parsed.tag or parsed.digest or "latest"}]

        def sink(event: Event) -> None:
            if event.parent and head:  # the registry has the image
                say(head.pop())
            context.sink(event)

        try:
            with refusals(name), credentials(call, context, server_of(parsed.domain)) as mine:
                reference = images.pull(replace(mine, sink=sink), name, platform=platform)
        except AuthError as exc:
            raise ApiError(500, exc.message) from exc
        for line in head:
            say(line)
        (document,) = images.inspect(context, [reference])
        for digest in document["RepoDigests"][:1]:
            say({"status": f"Digest: {digest.partition('@')[2]}"})
        status = "Image is up to date" if document["Id"] == before else "Downloaded newer image"
        say({"status": f"Status: {status} for {reference}"})

    return told(call, work)


def _id(context: Context, name: str) -> str:
    """Return the id of an image, "" when it isn't here."""
    with contextlib.suppress(ImageError):
        return str(images.inspect(context, [name])[0]["Id"])
    return ""


def _import(call: ApiCall) -> ApiAnswer:
    if query.text(call, "fromSrc") != "-":
        raise ApiError(400, "fromSrc: only the request's body (-) can be imported")
    target = query.text(call, "repo")
    if number := query.text(call, "tag"):
        target = f"{target}:{number}"
    with kept(call.upload) as file:
        found = images.import_(
            call.context,
            file,
            target or None,
            changes=call.query.get("changes", []),
            message=query.text(call, "message"),
        )
    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), body=dumps({"status": found}))


def load(call: ApiCall) -> ApiAnswer:
    """POST /images/load."""
    with kept(call.upload) as file:
        names = images.load(call.context, file)
    lines = [
        dumps({"stream": f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}\n"})
        for name in names
    ]
    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), body=b"".join(lines))


@contextlib.contextmanager
def kept(upload: BinaryIO | None) -> Iterator[BinaryIO]:
    """Yield a body as a file that can be read from anywhere; it lies on the disk meanwhile."""
    with tempfile.TemporaryFile() as file:
        while upload is not None and (piece := upload.read(_PIECE_BYTES)):
            file.write(piece)
        file.seek(0)
        yield cast("BinaryIO", file)


class _Outward:
    """A stream of an answer as a file that is written."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._waiting = bytearray()

    def write(self, data: bytes) -> int:
        """Send, in pieces that are worth it."""
        if len(data) >= _OUTWARD_BYTES:
            self.flush()
            self._outlet.write(data)  # not a copy of it: the client may take its time
        else:
            self._waiting += data
            if len(self._waiting) >= _OUTWARD_BYTES:
                self.flush()
        return len(data)

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            data, self._waiting = bytes(self._waiting), bytearray()
            self._outlet.write(data)


def outward(outlet: Outlet) -> _Outward:
    """Return a stream as a file that is written."""
    return _Outward(outlet)


def save(call: ApiCall) -> ApiAnswer:
    """GET /images/get and /images/NAME/get."""
    names = list(call.names) or [unquote(name) for name in call.query.get("names", [])]
    for name in names:
        images.inspect(call.context, [name])  # what isn't there is said before the answer has begun

    def stream(outlet: Outlet) -> None:
        out = outward(outlet)
        images.save(call.context, names, out)
        out.flush()

    return ApiAnswer(headers=(("Content-Type", "application/x-tar"),), stream=stream)


def push(call: ApiCall) -> ApiAnswer:
    """POST /images/NAME/push."""
    name = call.names[0]
    if number := query.text(call, "tag"):
        name = f"{name}:{number}"

    def work(context: Context, say: Callable[[Json], None]) -> None:
        say({"status": f"The push refers to repository [{parse(name).name}]"})
        try:
            images.inspect(context, [name])
        except NoSuchImage as exc:
            raise ApiError(404, f"An image does not exist locally with the tag: {call.names[0]}") from exc
        with refusals(name), credentials(call, context, server_of(parse(name).domain)) as mine:
            digest = images.push(mine, name)
        size = ImageStore(context.paths).layout.blob_path(digest).stat().st_size
        say({"status": f"{number or 'latest'}: digest: {digest} size: {size}"})
        say({"progressDetail": {}, "aux": {"Tag": number or "latest", "Digest": digest, "Size": size}})

    return told(call, work)


def search(_call: ApiCall) -> ApiAnswer:
    """GET /images/search: a service of Docker Hub's."""
    raise ApiError(501, "searching Docker Hub is not done here")
