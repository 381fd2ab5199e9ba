"""One connection: HTTP/1.1 by h11, one request after the other, and what an answer needs to travel.

Limits stand here, so that no client makes the server grow: headers and bodies have a size, and a request that has begun
has a time to arrive in. Who reads slowly is waited for, and holds nobody else up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
from pycompose.api.errors import ApiError, ClientGone
from pycompose.api.faults import fault
from pycompose.api.http import ApiAnswer, ApiCall, failure, http_date
from pycompose.api.pipes import write_fd
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from pycompose.api.http import Site
    from pycompose.api.workers import Workers

log = logging.getLogger(__name__)

HEADER_BYTES = 1 << 16
BODY_BYTES = 4 << 20
PIECE_BYTES = 1 << 16
IDLE_S = 300.0
REQUEST_S = 30.0
# How long the rest of a body that was refused is read.
REMAINDER_S = 1.0
# What a client may send on while its answer is still coming.
AHEAD_BYTES = 1 << 16
# A piece of an answer that is sent as it is, and not copied to get its frame.
LONG_BYTES = 1 << 14


def _reason(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()


class ApiConnection:
    """The server's end of one connection."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        site: Site,
        workers: Workers,
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        """`idle_s` is how long the next request may take to begin."""
        self._idle_s = idle_s
        self._reader, self._writer = streams
        # A client that doesn't read has one piece waiting here, not another one beside it.
        self._writer.transport.set_write_buffer_limits(0)
        self._site = site
        self._workers = workers
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)

    async def serve(self) -> None:
        """Answer requests until the client hangs up, takes too long, or sends nonsense."""
        try:
            while await self._one():
                self._http.start_next_cycle()
        except (OSError, TimeoutError, ClientGone, h11.LocalProtocolError) as exc:
            log.debug("connection ended: %s", exc)
        finally:
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._writer.wait_closed(), 5.0)

    async def refuse(self, status: int, message: str) -> None:
        """Answer whatever is asked with an error, and hang up."""
        with contextlib.suppress(OSError, TimeoutError, h11.ProtocolError):
            await self._request()
            await self._send_whole(failure(status, message), head=False)
        self._writer.close()

    async def _one(self) -> bool:
        """Answer one request; tell whether another one may follow."""
        try:
            request = await self._request()
        except h11.RemoteProtocolError as exc:
            await self._send_error(exc.error_status_hint, str(exc))
            return False
        if request is None:
            return False
        began = time.monotonic()
        head = request.method == b"HEAD"
        try:
            reply = await self._reply(request)
        except h11.RemoteProtocolError as exc:
            reply = failure(exc.error_status_hint, str(exc))
        except PycomposeError as exc:
            reply = fault(exc)
        except OSError as exc:
            log.warning("%s %s", request.method, request.target, exc_info=exc)
            reply = failure(500, f"{exc.filename or 'server'}: {exc.strerror}")
        except Exception as exc:
            log.exception("%r %r", request.method, request.target)
            reply = failure(500, f"server error: {type(exc).__name__}: {exc}")
        await self._send(reply, head=head)
        took_ms = (time.monotonic() - began) * 1000
        log.debug(
            "%s %s -> %d, %.1f ms", request.method.decode(), request.target.decode(), reply.status, took_ms
        )
        return bool(self._http.our_state is h11.DONE and self._http.their_state is h11.DONE)

    # ------------------------------------------------------------------ reading

    async def _request(self) -> h11.Request | None:
        """Return the head of the next request, None at the end of the connection. Raises RemoteProtocolError."""
        started = False
        deadline = asyncio.get_running_loop().time() + self._idle_s
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                left_s = deadline - asyncio.get_running_loop().time()
                data = await asyncio.wait_for(self._reader.read(PIECE_BYTES), max(left_s, 0.0))
                if data and not started:
                    started = True
                    deadline = asyncio.get_running_loop().time() + REQUEST_S
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                return event
            elif isinstance(event, h11.ConnectionClosed):
                return None

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the body. Raises RemoteProtocolError, TimeoutError when nothing comes for long."""
        if self._http.they_are_waiting_for_100_continue:
            await self._push(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await asyncio.wait_for(self._reader.read(PIECE_BYTES), REQUEST_S))
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                return

    async def _body(self) -> bytes:
        found = bytearray()
        async for piece in self._pieces():
            found += piece
            if len(found) > BODY_BYTES:
                raise ApiError(413, f"request body too large: more than {BODY_BYTES} bytes")
        return bytes(found)

    # ------------------------------------------------------------------ answering

    async def _reply(self, request: h11.Request) -> ApiAnswer:
        method, target = request.method.decode("ascii"), request.target.decode("ascii")
        route, call = self._site.find(method, target, request.headers)

        def work() -> ApiAnswer:
            if call.guard is not None:
                call.guard()
            return route.handler()(call)

        if not route.uploads:
            call.body = await self._body()
            return await self._workers.run(work, slow=route.slow)
        return await self._upload(call, work)

    async def _upload(self, call: ApiCall, work: Callable[[], ApiAnswer]) -> ApiAnswer:
        """Hand the body to the handler through a pipe while it works: it may be larger than our memory."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writing, False)
        pump = asyncio.ensure_future(self._fill(writing))

        def with_body() -> ApiAnswer:
            with open(reading, "rb", buffering=PIECE_BYTES) as call.upload:
                return work()

        try:
            reply = await self._workers.run(with_body, slow=True)
        except BaseException as exc:
            if isinstance(exc, PycomposeError):
                # Go's server reads on, too: a client that is answered while it sends tells of a broken pipe besides.
                await asyncio.wait([pump], timeout=REMAINDER_S)
            pump.cancel()
            await asyncio.wait([pump])
            raise
        await asyncio.wait([pump])
        if (error := pump.exception()) is not None:
            raise error
        return reply

    async def _fill(self, fd: int) -> None:
        """Write the body into a pipe; what its reader doesn't want is thrown away."""
        heard = True
        try:
            async for piece in self._pieces():
                if heard:
                    heard = await write_fd(fd, piece)
        finally:
            os.close(fd)

    async def _send(self, reply: ApiAnswer, *, head: bool) -> None:
        if reply.talk is not None and not head:
            with reply.during():
                await self._converse(reply)
        elif (reply.flow is not None or reply.stream is not None) and not head:
            with reply.during():
                await self._send_long(reply)
        else:
            await self._send_whole(reply, head=head)

    async def _send_error(self, status: int, message: str) -> None:
        with contextlib.suppress(h11.LocalProtocolError):
            await self._send_whole(failure(status, message), head=False)

    async def _send_whole(self, reply: ApiAnswer, *, head: bool) -> None:
        headers = [*self._headers(reply)]
        if reply.status not in (204, 304):
            headers.append(("Content-Length", str(len(reply.body))))
        if self._http.their_state not in (h11.DONE, h11.MUST_CLOSE):  # what is left of the request isn't read
            headers.append(("Connection", "close"))
        data = self._http.send(
            h11.Response(status_code=reply.status, headers=headers, reason=_reason(reply.status))
        )
        if reply.body and not head and reply.status not in (204, 304):
            data += self._http.send(h11.Data(data=reply.body))
        await self._push(data + self._http.send(h11.EndOfMessage()))

    def _headers(self, reply: ApiAnswer) -> list[tuple[str, str]]:
        own = {name for name, _ in reply.headers}
        common = [header for header in self._site.headers if header[0] not in own]
        return [*common, ("Date", http_date(time.time())), *reply.headers]

    async def _send_long(self, reply: ApiAnswer) -> None:
        """Send what comes piece by piece, until its end or the client's."""
        await self._push(
            self._http.send(
                h11.Response(
                    status_code=reply.status, headers=self._headers(reply), reason=_reason(reply.status)
                )
            )
        )
        outlet = ThreadOutlet(asyncio.get_running_loop(), self._send_piece)
        if reply.stream is not None:
            stream = reply.stream
            work = asyncio.ensure_future(self._workers.run_stream(lambda: stream(outlet)))
        else:
            assert reply.flow is not None  # noqa: S101 - one of them is there
            work = asyncio.ensure_future(self._flow(reply.flow))
        watch = asyncio.ensure_future(self._hangs_up())
        try:
            await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientGone
            work.result()
        finally:
            outlet.leave()
            watch.cancel()
            if not work.done():
                work.cancel()
            await asyncio.wait([watch])
        await self._push(self._http.send(h11.EndOfMessage()))

    async def _flow(self, flow: Callable[[], AsyncGenerator[bytes, None]]) -> None:
        async with contextlib.aclosing(flow()) as pieces:
            async for piece in pieces:
                await self._send_piece(piece)

    async def _send_piece(self, data: bytes) -> None:
        piece = h11.Data(data=data)
        if len(data) < LONG_BYTES:
            await self._push(self._http.send(piece))
            return
        for part in self._http.send_with_data_passthrough(piece) or ():
            self._writer.write(part)
        await self._writer.drain()

    async def _push(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _hangs_up(self) -> None:
        """Return when the client has hung up; what it sends ahead is kept for later, as far as that is little."""
        ahead = 0
        while ahead < AHEAD_BYTES:
            try:
                data = await self._reader.read(PIECE_BYTES)
            except OSError:
                data = b""
            if not data:
                return
            ahead += len(data)
            self._http.receive_data(data)
        await asyncio.Event().wait()

    async def _converse(self, reply: ApiAnswer) -> None:
        """Give the connection away: as the client asks by `Upgrade`, or without (moby hijack, Engine API "Attach")."""
        # Documented as public ("The state machines"), though missing in __all__.
        upgrades = self._http.their_state is h11.MIGHT_SWITCH_PROTOCOL  # type: ignore[attr-defined]
        given = dict(reply.headers)
        if "Upgrade" not in given:
            given = {"Content-Type": given.get("Content-Type", "application/vnd.docker.raw-stream")}
            given |= {"Connection": "Upgrade", "Upgrade": "tcp"} if upgrades else {}
        lines = ["HTTP/1.1 101 UPGRADED" if upgrades else "HTTP/1.1 200 OK"]
        lines += [f"{name}: {value}" for name, value in (*given.items(), *self._site.headers)]
        await self._push("\r\n".join([*lines, "", ""]).encode())
        assert reply.talk is not None  # noqa: S101 - who calls has looked
        await reply.talk(SocketWire(self._reader, self._writer, self._http.trailing_data[0]))
        self._http.send_failed()


class SocketWire:
    """A connection without HTTP, beginning with what has been read already."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, start: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._start = start

    async def read(self) -> bytes:
        """Return what comes, b"" at the end of it."""
        if self._start:
            start, self._start = self._start, b""
            return start
        return await self._reader.read(PIECE_BYTES)

    async def write(self, data: bytes) -> None:
        """Send, and wait until there is room for more. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    def hung_up(self) -> bool:
        """Tell whether the client has closed both directions (poll(2): POLLHUP; one alone is the end of its input)."""
        if self._writer.is_closing():
            return True
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))


class ThreadOutlet:
    """The way of a thread to the connection, which lives in the event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[bytes], Coroutine[Any, Any, None]]
    ) -> None:
        self._loop = loop
        self._send = send
        self._left = threading.Event()

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._left.is_set()

    def leave(self) -> None:
        """Have the thread's next write fail."""
        self._left.set()

    def write(self, data: bytes) -> None:
        """Send, and wait until there is room for more. Raises ClientGone."""
        if self._left.is_set():
            raise ClientGone
        waiting = asyncio.run_coroutine_threadsafe(self._send(data), self._loop)
        while True:
            try:
                waiting.result(1.0)
            except TimeoutError:
                if self._left.is_set():
                    waiting.cancel()
                    raise ClientGone from None
            except Exception as exc:
                raise ClientGone from exc
            else:
                return
