"""What handlers are given of a request, and what they give back. How it travels: connection.py."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from pycompose.api.errors import ApiError
from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from pycompose.api.execs import Attached, Execs
    from pycompose.api.followers import Followers
    from pycompose.api.hub import EventHub
    from pycompose.client.context import Context

JSON_TYPE = "application/json"
Headers = tuple[tuple[str, str], ...]
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(seconds: float) -> str:
    """Return a time, seconds since 1970, as headers have it (RFC 9110, 5.6.7), in no language of the machine's.

    The library's is in `email`, half a MiB of each server.
    """
    at = time.gmtime(seconds)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year} {time.strftime('%H:%M:%S', at)} GMT"


class Outlet(Protocol):
    """Where a handler in a thread of its own writes to."""

    def write(self, data: bytes) -> None:
        """Send, and wait until there is room for more. Raises ClientGone."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        ...


class Wire(Protocol):
    """A connection that has stopped speaking HTTP, and is a pipe in both directions."""

    async def read(self) -> bytes:
        """Return what comes, b"" at the end of it."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, and wait until there is room for more. Raises OSError."""
        ...

    def hung_up(self) -> bool:
        """Tell whether the client has closed both directions."""
        ...


class Clients:
    """How many connections there are, of every listener of the process; lives in the event loop."""

    def __init__(self) -> None:
        self.number = 0
        self.changed: Callable[[], None] = lambda: None

    def come(self) -> None:
        """Count one more."""
        self.number += 1
        self.changed()

    def go(self) -> None:
        """Count one less."""
        self.number -= 1
        self.changed()


@dataclass(slots=True, kw_only=True)
class Services:
    """What lives as long as the server does."""

    context: Context
    events: EventHub
    execs: Execs
    attached: Attached
    followers: Followers
    clients: Clients = field(default_factory=Clients)


@dataclass(slots=True, kw_only=True)
class ApiCall:
    """One request. `names` are the parts of its path that the route leaves open; `upload` is a body of any size.

    `scope` is the only project that there is for who asks, "" for all of them; `guard` raises for what is another's,
    and may block.
    """

    method: str
    path: str
    version: tuple[int, int]
    names: tuple[str, ...]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    services: Services
    body: bytes = b""
    upload: BinaryIO | None = None
    scope: str = ""
    guard: Callable[[], None] | None = None

    @property
    def context(self) -> Context:
        """What use cases are given."""
        return self.services.context

    def document(self) -> dict[str, Any]:
        """Return the JSON object of the body, {} without one. Raises ApiError."""
        if not self.body.strip():
            return {}
        try:
            found = json.loads(self.body.decode("utf-8", "replace"), parse_constant=_no_number)
        except (ValueError, RecursionError) as exc:
            raise ApiError(400, f"invalid JSON: {exc}") from exc
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ApiError(400, "invalid JSON: not an object")
        return _whole(found) if b"\\ud" in self.body.lower() else found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _whole(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with U+FFFD in the place of each half of a surrogate pair, as Go's decoder has it."""
    text = json.dumps(document, ensure_ascii=False).encode("utf-16", "surrogatepass")
    found: dict[str, Any] = json.loads(text.decode("utf-16", "replace"))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """What goes back: `body`, or at most one of three that take longer.

    `stream` writes from a thread of its own, `flow` yields pieces in the event loop, and is cancelled when the client
    hangs up; `talk` takes the connection over. `during` is entered, in the event loop, before any of them is sent, and
    left after its end has been.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    stream: Callable[[Outlet], None] | None = None
    flow: Callable[[], AsyncGenerator[bytes, None]] | None = None
    talk: Callable[[Wire], Awaitable[None]] | None = None
    during: Callable[[], AbstractContextManager[None]] = nullcontext


class Handling(Protocol):
    """How a request is answered: `slow` work has threads of its own, one that `uploads` reads its body as it comes."""

    @property
    def slow(self) -> bool:
        """Whether it may take as long as a container takes to stop."""
        ...

    @property
    def uploads(self) -> bool:
        """Whether its body may be of any size."""
        ...

    def handler(self) -> Callable[[ApiCall], ApiAnswer]:
        """Return the function that answers."""
        ...


class Site(Protocol):
    """What is served by connections: the Engine API, or the page."""

    headers: Headers

    def find(
        self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[Handling, ApiCall]:
        """Return what answers a request, and the request; raises ApiError, too for what may not be done."""
        ...


def dumps(document: Any) -> bytes:
    """Return JSON as Go writes it: without spaces, on a line of its own."""
    return (
        json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")
        + b"\n"
    )


def answer(document: Any, status: int = 200) -> ApiAnswer:
    """Return a document as an answer."""
    return ApiAnswer(status=status, headers=(("Content-Type", JSON_TYPE),), body=dumps(document))


def done(status: int = 204) -> ApiAnswer:
    """Return an answer that says nothing else."""
    return ApiAnswer(status=status)


def failure(status: int, message: str) -> ApiAnswer:
    """Return an error as Docker says it."""
    return answer({"message": message}, status)
